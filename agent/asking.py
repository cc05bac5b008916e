"""One subject, how it is asked about, and what that may cost: what the steps of a verification hand to each other.

Used by the steps (`agent.engine`, `agent.gathering`).  Awaits ports and imports no event loop, like them.
"""

from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from typing import Awaitable, Callable, NamedTuple, Sequence, cast

from agent.errors import LimitExceeded, NodesealError, NoRoom
from agent.model.descriptor import Descriptor
from agent.model.inquiry import Confirmed, Fetched, Inquiry, Labour, Paused, Step
from agent.model.outcome import Outcome
from agent.model.reference import Reference, Repository
from agent.model.request import PullRequest
from agent.policies import Policy, policy_class
from agent.ports import Clock, Concurrent, PolicyRunner, Registry, RevocationSource, Room, Trace
from agent.verifier import Verifier

MAX_LABOUR = 3.0
"""Most seconds of work on the content of reports, for one image: what takes more is their authors' choice."""

MAX_TOLD = 4 * 1024 * 1024
"""Most bytes (as JSON) that the evidence of one image tells a policy, beside what is short."""

LARGE = 256 * 1024
"""Bytes of content from which on its reading is work that room is asked for."""

_DENSE = 36
"""Bytes of memory that one of JSON becomes at most: `{"a":0}` in a list (measured)."""

_MOST_DENSE = 768 * 1024
"""Bytes of JSON in which all the values stand that the codec takes, as dense as they can be."""


def read_in(size: int) -> int:
    """Bytes of memory that reading so many bytes of content takes at the peak.

    Beside its values (`_DENSE`) there is the text twice, each with four bytes for a character (measured).
    """
    return 8 * size + _DENSE * min(size, _MOST_DENSE)


def as_manifest(size: int) -> int:
    """Bytes of memory that a manifest takes while it is looked at: it has few values (`gathering.MAX_VALUES`)."""
    return 4 * size + _DENSE * min(size, 16 * 1024)


def as_content(blobs: Sequence[int], told: int) -> int:
    """Bytes of memory that blobs of such sizes take while they are verified; up to `told` bytes are told of them.

    All as they came; and one at a time decoded, with what is signed around it.
    """
    size = sum(blobs)
    return size + 2 * max(blobs, default=0) + _DENSE * min(size, told)


class Ports(NamedTuple):
    """What gathering asks the world through."""

    registry: Registry
    revocation: RevocationSource
    concurrent: Concurrent
    clock: Clock
    trace: Trace
    policies: PolicyRunner
    room: Room


class Ask(NamedTuple):
    """One subject, and how it is asked about.

    `repository` is where its evidence lies.  `depth` is 1 for an image, 2 for its referrers' referrers.  `left` counts
    down what may still be fetched, `tried` counts signatures that were verified, `since` is when it began (the clock's
    monotonic seconds), `patience` how long it may look, `labour` what is left of `MAX_LABOUR`, and `told` of
    `MAX_TOLD`: all of one image, with whoever asks about its referrers.
    """

    request: PullRequest
    repository: Repository
    verifiers: Sequence[Verifier]
    policy: Policy
    now: datetime
    cosign_tags: bool
    depth: int
    left: list[int]
    tried: list[int]
    since: float
    patience: float
    labour: list[float]
    told: list[int]

    def about(self, descriptor: Descriptor) -> "Ask":
        """The same about a referrer.

        It belongs to the image, wherever it lies: scopes of trust policies name the image's repository.
        """
        reference = Reference(self.request.repository, None, descriptor.digest)
        return self._replace(request=PullRequest(str(reference), reference, descriptor), depth=self.depth + 1)

    def by_one_of(self, names: Sequence[str]) -> "Ask":
        """The same asked of these verifiers alone, one of which is enough, with as many signers as it asks for."""
        asked = [each for each in self.verifiers if each.name in names]
        signers = {each.name: each.signers for each in asked if each.signers > 1}
        one = policy_class("nodeseal").load({"threshold": 1, "of": names, "signers": signers})
        return self._replace(verifiers=asked, policy=one)


class EnoughRoom:
    """`ports.Room` of a process that is there for one image: what bounds the process bounds it."""

    def holding(self, size: int) -> "EnoughRoom":
        """See `ports.Room.holding`."""
        del size
        return self

    working = holding

    async def keep(self, size: int) -> None:
        """See `ports.Room.keep`."""

    async def __aenter__(self) -> None:
        """There is room."""

    async def __aexit__(self, *_: object) -> None:
        """Nothing was counted."""


async def inquire(
    inquiry: Inquiry[Outcome], largest: int, ask: Ask, ports: Ports, pause: Callable[[], Awaitable[None]]
) -> Outcome:
    """Run a verification to its end, and ask what it has to ask.

    `largest` is the size of what is read here at once, `pause` is what happens between two signatures.  Raises
    `LimitExceeded`.
    """
    run = _Run(inquiry, ask, ports, pause)
    async with AsyncExitStack() as held:
        step = await run.next(lambda: next(inquiry), largest)
        while not isinstance(step, Outcome):
            try:
                answer = await run.answer(step, held)
            except NoRoom:
                raise
            except NodesealError as error:
                if isinstance(step, Confirmed | Paused):
                    raise
                step = await run.next(partial(inquiry.throw, error), largest)
            else:
                size = len(answer.content) if isinstance(step, Labour) else 0
                step = await run.next(partial(inquiry.send, answer), max(largest, size))
        return step


class _Run(NamedTuple):
    """A verification, and what it asks through."""

    inquiry: Inquiry[Outcome]
    ask: Ask
    ports: Ports
    pause: Callable[[], Awaitable[None]]

    async def next(self, act: Callable[[], Step], size: int) -> Step | Outcome:
        """The next step, or the end, with room for reading so many bytes.  Raises `NoRoom`."""
        if size <= LARGE:
            return _step(act)
        async with self.ports.room.working(read_in(size)):
            return _step(act)

    async def answer(self, step: Step, held: AsyncExitStack) -> Fetched:
        """What a step asks for; what is long is `held`.  Raises `NodesealError`."""
        source, trace = self.ports.revocation, self.ports.trace
        if isinstance(step, Labour):
            return Fetched(await self._labour(step))
        if isinstance(step, Confirmed | Paused):
            await (source.keep(step) if isinstance(step, Confirmed) else self.pause())
            return Fetched(b"")
        try:
            fetched = await source.fetch(step)
        except NodesealError as error:
            trace.step("ask about revocation", step.url, error.message)
            raise
        trace.step(
            "ask about revocation",
            step.url,
            f"{len(fetched.content)} bytes{', kept from before' if fetched.kept else ''}",
        )
        if len(fetched.content) > LARGE:  # a list is needed to the end
            await held.enter_async_context(self.ports.room.holding(2 * len(fetched.content)))
        return fetched

    async def _labour(self, step: Labour) -> bytes:
        """Have work done that content asks for, in what is left of the time for it.  Raises `LimitExceeded`."""
        left = self.ask.labour
        if left[0] <= 0:
            raise LimitExceeded("content: got so much of it that reading it took all the time there is; expected less")
        return await self.ports.policies.labour(step.work, left)


def _step(act: Callable[[], Step]) -> Step | Outcome:
    try:
        return act()
    except StopIteration as finished:
        return cast("Outcome", finished.value)
