"""How the daemon answers pulls: the judgement that containerd's child would make, by a process that has all at hand.

A pull's question carries what containerd told the child; the answer is what the child would have said, byte for byte.
For each question it is checked whether the node's state has changed, and then it is read again.  An image is verified
by one task at a time (a `Flight`), which goes on even if everybody who asked gives up.

What can't be answered here is declined (`agent.adapters.ipc`), and the child does the work alone.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime, timezone
from enum import Enum
from importlib import import_module
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup

from agent import __version__
from agent.adapters import answers, ipc
from agent.adapters.answers import Given
from agent.adapters.beside import Beside, VerdictsBeside
from agent.adapters.budget import USUAL, Budget, divided
from agent.adapters.concurrent import SideBySide
from agent.adapters.doubtful import DoubtfulApart
from agent.adapters.flights import Flights
from agent.adapters.inline import NoTrace, SystemClock
from agent.adapters.nodestate import NodeState
from agent.adapters.policy_thread import ThreadedWorker
from agent.adapters.policy_worker import RunJob
from agent.adapters.room import RoomOfOne, Rooms
from agent.adapters.stored_registry import StoredRegistry, way_of
from agent.adapters.turns import Crowded, Turns
from agent.adapters.verdicts import VerdictFolder
from agent.codec import strictjson
from agent.config.config import Config
from agent.engine import Engine
from agent.errors import Cause, Malformed, Unavailable, UsageError
from agent.judgement import Case, Judgement, Verifies, early_until, judge, opened
from agent.model.answer import Answer
from agent.model.descriptor import Descriptor
from agent.model.metrics import Histogram
from agent.model.record import Record
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.model.verdict import Decision
from agent.modes.fromstore import AllowancesOnly, FromStore
from agent.modes.plugin import DEADLINE, PATIENCE, SLOTS, STDIN_LIMIT, out_of_time, parse_arguments, rendered
from agent.modes.warm_access import Connections
from agent.modes.warmstate import Declined, State, free, read
from agent.rego.builtins import FAMILIES
from agent.rules import precedence
from agent.rules.precedence import Standing

DOOR = "daemon"
"""The name of this door in records of the spool."""

MOST_SUBJECTS = 10_000
"""Most images whose descriptors are remembered; then the oldest is forgotten."""

_PRELOADED = (
    "agent.formats.notation_cose",
    "agent.formats.notation_jws",
    "agent.formats.notation_steps",
    "agent.registry.credentials",
    "agent.registry.login",
    *(f"agent.rego.builtins.{family}" for family in FAMILIES),  # for workers that are copies of this process
    "agent.trust.revocation",
    "agent.trust.timestamp",
)
"""Modules that a child imports only when it needs them; the daemon imports them before the first pull does."""

_READING = 5.0  # seconds to read the node's state; the largest snapshot takes one or two
_DESCRIPTORS = 8  # more than are open at once while the node's state is read
_DESCRIPTORS_OF_A_WRITE = 3  # what a thread that writes may have open
_PLENTY = 2048  # free descriptors: more than connections and threads may take while the state is read
_SHORTEST, _LONGEST = 0.005, 0.05  # seconds between two tries to get an image's lock
_OF_THE_CHILD = 1.0  # seconds that the child needs around its question, as `fastpath` says by default
_SHORTEST_TURN = 0.2  # seconds for which a verification waits for its turn at least
_ANSWER_FIRST = 0.002  # seconds in which those who wait are answered, before the disk is written to


class How(str, Enum):
    """How the daemon came to answer a pull, or not to."""

    DECIDED = "decided"
    """By lists and rules alone."""
    REMEMBERED = "remembered"
    VERIFIED = "verified"
    """By asking a registry, alone or with others who waited for the same image."""
    DECLINED = "declined"


class Flight:
    """One verification of one image, for all who wait for it; `judgement` stays None if it failed."""

    __slots__ = ("begun", "judgement", "over", "until")

    def __init__(self, until: float) -> None:
        """It has not begun yet; who asked first is answered `until` a moment of `time.monotonic()`."""
        self.until = until
        self.begun = False
        self.judgement: Judgement | None = None
        self.over = anyio.Event()


class WarmDoor:
    """Answers pulls, within one event loop.

    `group` owns the verifications; `bug` is told the exceptions that nobody foresaw.
    """

    def __init__(
        self,
        root: str,
        connections: Connections,
        group: TaskGroup,
        bug: Callable[[Exception], None],
        budget: Budget | None = None,
        run_job: RunJob | None = None,
    ) -> None:
        """`root` is what the node's folders are under; `budget` is for the process's memory, None for the usual one.

        `run_job` makes the worker processes; without it they are copies of this process.
        """
        self.root = root
        self.beside = Beside(group, bug)
        self.verdicts = DoubtfulApart(VerdictsBeside(VerdictFolder(root), self.beside))
        self.turns = Turns()
        self.subjects: dict[str, Descriptor] = {}
        self.bug = bug
        self.latency = Histogram()
        """Seconds of pulls, from the question to the answer."""
        self.pulls: dict[How, int] = dict.fromkeys(How, 0)
        self._connections = connections
        connections.write_by(self.beside.later)
        self._loading = anyio.Lock()
        self._group = group
        self._node = NodeState(root)
        self.rooms = Rooms(budget or divided(USUAL))
        self._policies = ThreadedWorker(room=RoomOfOne(self.rooms, ""), run_job=run_job)
        self._locks = Flights(root, slots=SLOTS)
        self._flights: dict[tuple[str, str, bytes | None], Flight] = {}
        self._state: State | None = None

    def pull(self, question: ipc.Question) -> "Pull":
        """A pull's question, to be answered by the server."""
        return Pull(self, question)

    async def state(self) -> State:
        """What holds on the node now.  Raises `Declined`."""
        stamp = answers.state(self.root)
        if self._state is not None and stamp is not None and stamp == self._state.stamp:
            return self._state
        async with self._loading:  # the next one finds what this one has read
            stamp = answers.state(self.root)
            if self._state is not None and stamp is not None and stamp == self._state.stamp:
                return self._state
            state = await self._read()
            if isinstance(state.node.config, Config):
                self._connections.reach(state.node.host)
                await self._connections.keep_only(state.node.config)
            self._state = state
            return state

    async def _read(self) -> State:
        """Read it in a thread; where descriptors are scarce, in the event loop: there nobody else can take the last."""
        if free() < _PLENTY:
            return read(self.root, _DESCRIPTORS + _DESCRIPTORS_OF_A_WRITE * self.beside.under_way)
        found: list[State] = []
        if not await self.beside.do(lambda: found.append(read(self.root, _DESCRIPTORS)), _READING):
            raise Declined(ipc.NO_RESULT)
        return found[0]

    def now(self, standing: Standing) -> Standing:
        """What holds at this moment of a state that was read before."""
        return self._node.now(standing)

    def warm_up(self, state: State) -> None:
        """Load what the first pull would wait for: modules, and formats with their trust stores."""
        for module in _PRELOADED:
            import_module(module)
        for verifier in state.verifiers.values():
            _ = verifier.format

    def note(self, request: PullRequest) -> None:
        """Remember what an image is, for verifying it again without a pull."""
        self.subjects.pop(request.identity, None)
        self.subjects[request.identity] = request.subject
        if len(self.subjects) > MOST_SUBJECTS:
            del self.subjects[next(iter(self.subjects))]

    async def resolve(self, reference: Reference, state: State) -> Descriptor:
        """What a name means at its registry.  Raises `Malformed`, `Unavailable`, `Declined`."""
        owner = precedence.terms_for(reference.repository, state.node.standing).owner
        with _uncrowded():
            async with self.rooms.of(str(reference.repository), _seconds(state)) as room:
                return await self._registry(state, owner, time.monotonic() + _seconds(state), room).resolve(reference)

    async def judged_from_store(self, case: Case, state: State, since: datetime) -> Judgement:
        """Verify with stored lists of referrers that were fetched at `since` or later, where there are such.

        A verdict that allows is remembered, for no longer than if it were from when they were fetched.  Raises
        `Declined`.
        """
        deadline = time.monotonic() + _seconds(state)
        async with (
            self._alone(case.request.identity, deadline - PATIENCE),
            self.rooms.of(str(case.request.repository), _seconds(state)) as room,
        ):
            registry = self._registry(state, case.terms.owner, deadline, room, lists_since=since)
            verifier = FromStore(
                self._engine(state, registry, deadline, room), registry, case.standing.ruleset.lifetimes
            )
            try:
                with _uncrowded():
                    judgement = await judge(case, verifier, AllowancesOnly(self.verdicts, registry))
                if case.terms.rule is not None:
                    await self.verdicts.write(case.terms.rule.ground, case.request.described)
                await self.beside.do(registry.keep)
            finally:
                registry.forget()
            return judgement

    async def judged(self, case: Case, state: State, watch: "Pull | None" = None) -> Judgement:
        """Verify, or wait for the same verification if it is under way.  Raises `Declined`.

        `watch` is the pull that waits, None if no child does: then its turn is waited for without an end.
        """
        rule = case.terms.rule
        if rule is None:
            room = RoomOfOne(self.rooms, "")
            registry = self._registry(state, case.terms.owner, 0.0, room)  # nobody is asked
            return await judge(case, self._engine(state, registry, 0.0, room), self.verdicts)
        key = (rule.ground, case.request.described, state.stamp)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(math.inf if watch is None else watch.until)
            self._group.start_soon(self._fly, flight, key, case, state)
        if watch is not None:
            watch.flight = flight
            with anyio.move_on_after(_seconds_for_a_turn(state)):
                await flight.over.wait()
            if not (flight.begun or flight.over.is_set()):
                raise Declined(ipc.NO_TURN)
        await flight.over.wait()
        if flight.judgement is None:
            raise Declined(ipc.NO_RESULT)
        return await case.shared(flight.judgement, self.verdicts)

    async def _fly(self, flight: Flight, key: tuple[str, str, bytes | None], case: Case, state: State) -> None:
        """Verify in turn, and let those who wait go on.  Raises nothing: no caller could be told."""
        try:
            async with self.turns.turn(str(case.request.repository)):
                flight.begun = True
                async with self.rooms.of(str(case.request.repository), _seconds(state)) as room:
                    await self._flown(flight, key, case, state, room)
        except Crowded:
            pass
        except Exception as error:  # noqa: BLE001 - whoever waits does without us, and says what it is
            self.bug(error)
        finally:
            self._end(flight, key)

    async def _flown(
        self, flight: Flight, key: tuple[str, str, bytes | None], case: Case, state: State, room: RoomOfOne
    ) -> None:
        """Verify, answer those who wait, and only then write to the disk."""
        deadline, insist = time.monotonic() + _seconds(state), list[Callable[[], bool]]()
        registry = self._registry(state, case.terms.owner, deadline, room, insist=insist)
        try:
            async with self._alone(case.request.identity, deadline - PATIENCE) as waited:
                verifier = self._engine(state, registry, deadline, room, insist, min(flight.until, deadline))
                flight.judgement = await self._verified(case, verifier, waited=waited)
                self._end(flight, key)
                await anyio.sleep(_ANSWER_FIRST)
                await self.verdicts.write(key[0], key[1])
            await self.beside.do(registry.keep)
        finally:
            registry.forget()

    def _end(self, flight: Flight, key: tuple[str, str, bytes | None]) -> None:
        """Let everybody go on who waits for a flight.  Who comes now begins another one."""
        if self._flights.get(key) is flight:
            del self._flights[key]
        flight.over.set()

    async def _verified(self, case: Case, verifier: Verifies, *, waited: bool) -> Judgement:
        """Verify; if another process did so while this one `waited`, use the verdict that it left."""
        if waited:
            again = await opened(case.request, self.now(case.standing), self.verdicts)
            if isinstance(again, Answer):
                return Judgement(again, None)
            known = again.known()
            if known is not None:
                return known
            case = again
        return await judge(case, verifier, self.verdicts)

    @asynccontextmanager
    async def _alone(self, image: str, until: float) -> AsyncIterator[bool]:
        """Hold the image's lock, which children take too; what is given is whether it had to be waited for.

        `until` is on the monotonic clock (s); then the work is done without the lock.
        """
        waited, pause = False, _SHORTEST
        while (held := self._locks.try_alone(image)) is None:
            waited = True
            if time.monotonic() + pause > until:
                held = ExitStack()
                break
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        with held:
            yield waited

    def _registry(
        self,
        state: State,
        owner: str,
        deadline: float,
        room: RoomOfOne,
        *,
        lists_since: datetime | None = None,
        insist: list[Callable[[], bool]] | None = None,
    ) -> StoredRegistry:
        """The registry, with the credentials and the stored content that are for an owner's images.

        `deadline` is on the monotonic clock (s).  Raises `Unavailable` if there is no configuration.
        """
        config = state.config.seen_by(owner)
        inner = self._connections.registry(config, deadline, insist, room)
        return StoredRegistry(
            inner,
            self.root,
            way=way_of(config.stores, state.node.host.registries),
            lists_since=lists_since,
            at_once=False,
            unwritten=self.rooms.unwritten,
        )

    def _engine(
        self,
        state: State,
        registry: StoredRegistry,
        deadline: float,
        room: RoomOfOne,
        insist: Sequence[Callable[[], bool]] = (),
        until: float = math.inf,
    ) -> Engine:
        return Engine(
            state.config,
            registry=registry,
            revocation=self._connections.revocation(deadline, room),
            concurrent=SideBySide(step=room.step),
            policies=self._policies.within(_seconds(state), room, until),
            clock=SystemClock(),
            trace=NoTrace(),
            verifiers=state.verifiers,
            deadline=deadline,
            insist=insist,
            room=room,
        )


class Reply(NamedTuple):
    """An answer, until when it may be given again (None: not at all), and whether it is `final` for the child."""

    answer: Answer
    until: datetime | None
    final: bool = True


class Pull:
    """`ipc_server.Pending` for one pull."""

    def __init__(self, door: WarmDoor, question: ipc.Question) -> None:
        """Nothing is done yet."""
        self._door = door
        self._question = question
        self._kept: Callable[[], None] | None = None
        self._how = How.DECIDED
        self.flight: Flight | None = None
        self.until = math.inf
        """When its child is answered at the latest, a moment of `time.monotonic()`."""

    def told(self) -> None:
        """See `ipc_server.Pending.told`: the fast path may give the same answer again."""
        if self._kept is not None:
            self._door.beside.later(self._kept)

    def is_busy(self) -> bool:
        """See `ipc_server.Pending.is_busy`."""
        return self.flight is not None and not self.flight.begun

    async def message(self) -> bytes:
        """See `ipc_server.Pending.message`."""
        asked = self._question
        if asked.program != __version__:
            return ipc.other()
        try:
            request = _requested(ipc.words(asked.body))
        except (UsageError, Malformed):
            return ipc.declined(ipc.NOT_WHOLE)
        begin, begun_at = datetime.now(timezone.utc), time.monotonic()
        self._door.note(request)
        try:
            state = await self._door.state()
            reply = await self._reply(request, state)
        except Declined as error:
            self._door.pulls[How.DECLINED] += 1
            return ipc.declined(str(error))
        self._door.pulls[self._how] += 1
        self._door.latency.observe(time.monotonic() - begun_at)
        return self._said(request, reply, begin, state)

    async def _reply(self, request: PullRequest, state: State) -> Reply:
        """The same as `agent.modes.plugin` does behind its door.  Raises `Declined`."""
        standing = self._door.now(state.node.standing)
        case = await opened(request, standing, self._door.verdicts)
        if isinstance(case, Answer):
            return Reply(case, early_until(case, request, standing))
        config = state.node.config
        if isinstance(config, Unavailable):
            return Reply(case.unverified(config.cause, config.message), None, final=False)
        judgement = case.known()
        self._how = How.REMEMBERED if judgement else How.VERIFIED
        if judgement is None:
            seconds = min(self._question.seconds, _seconds_to_answer(state))
            self.until = time.monotonic() + seconds
            with anyio.move_on_after(seconds):
                judgement = await self._door.judged(case, state, self)
        if judgement is None:
            return Reply(case.unverified(Cause.DEADLINE, out_of_time(_seconds(state))), None)
        return Reply(judgement.answer, judgement.until, self._is_final(case, judgement))

    def _is_final(self, case: Case, judgement: Judgement) -> bool:
        """False if only this process could not tell, and the child may try: not after throttling, nor out of time."""
        verdict, rule = judgement.verdict, case.terms.rule
        if verdict is None or rule is None or verdict.decision is not Decision.CANNOT_TELL:
            return True
        if verdict.causes[0] in (Cause.THROTTLED, Cause.DEADLINE):
            return True
        return not self._door.verdicts.is_mine(rule.ground, case.request.described)

    def _said(self, request: PullRequest, reply: Reply, begin: datetime, state: State) -> bytes:
        code, line = rendered(reply.answer)
        now = datetime.now(timezone.utc)
        record = Record.of(reply.answer, now=now, door=DOOR, image=request.identity, name=request.name)
        key, until, root = self._question.key, reply.until, self._door.root

        def keep() -> None:
            if until and answers.state(root) == state.stamp:
                answers.write(root, key, Given(code, line, record), begin, until)

        if reply.final and until and key and state.stamp:
            self._kept = keep
        return ipc.answer(code, (line, *answers.around_time(record)), final=reply.final)


@contextmanager
def _uncrowded() -> Iterator[None]:
    """Work that no child waits for is not done if there is no room for it: `Crowded` becomes `Declined`."""
    try:
        yield
    except Crowded:
        raise Declined(ipc.NO_RESULT) from None


def _seconds(state: State) -> float:
    """Within how many seconds of its start a child has to answer."""
    return DEADLINE if state.node.host.deadline is None else state.node.host.deadline


def _seconds_to_answer(state: State) -> float:
    """Seconds from its question on: the child needs some of its time before and after it."""
    seconds = _seconds(state)
    return seconds if state.node.host.deadline is None else max(seconds - _OF_THE_CHILD, seconds / 2)


def _seconds_for_a_turn(state: State) -> float:
    """For how many seconds a verification may wait for its turn while a child waits for it.

    With the usual time, the child itself goes on alone early enough; one that has less of it is told when.
    """
    seconds = _seconds(state)
    return max(seconds - PATIENCE, _SHORTEST_TURN) if seconds < DEADLINE else math.inf


def _requested(words: ipc.Words) -> PullRequest:
    """The request that containerd made of the child.  Raises `UsageError`, `Malformed`."""
    arguments = parse_arguments(words.argv)
    value = strictjson.decode(words.stdin, "standard input", limit=STDIN_LIMIT)
    return PullRequest.agreed(arguments.name, arguments.digest, arguments.stdin_media_type, value)
