"""What the engine needs from the world, as small Protocols.

Adapters implement them and translate every exception of their library: a port raises `Malformed` (content is wrong)
or `Unavailable` (nobody answered), nothing else.
"""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Awaitable, Callable, Protocol, Sequence, TypeVar

from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.inquiry import Confirmed, Fetched, RevocationQuery
from agent.model.reference import Reference, Repository
from agent.model.verdict import Memory

Item = TypeVar("Item")
Result = TypeVar("Result")


class Registry(Protocol):
    """Reads from registries.  Every byte that comes back was checked against its digest."""

    async def resolve(self, reference: Reference) -> Descriptor:
        """What a tag (or digest) names at this moment."""
        ...

    async def tagged(self, reference: Reference) -> Descriptor | None:
        """What a tag names at this moment, None if there is no such tag."""
        ...

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
        """List what points at `subject`; `artifact_types` may be used to ask for less, never to trust the answer."""
        ...

    async def manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """Fetch a manifest."""
        ...

    async def blob(self, repository: Repository, descriptor: Descriptor, limit: int) -> bytes:
        """Fetch a blob of at most `limit` bytes."""
        ...


class RevocationSource(Protocol):
    """Fetches what tells whether certificates were revoked."""

    async def fetch(self, query: RevocationQuery) -> Fetched:
        """The answer to `query`, perhaps one kept from before; nobody has checked it."""
        ...

    async def keep(self, confirmed: Confirmed) -> None:
        """Keep an answer for the next time.  Never raises: what can't be kept is asked for again."""
        ...


class Concurrent(Protocol):
    """Runs one function over many items, at once or one after another; results keep the items' order."""

    async def map(
        self,
        function: Callable[[Item], Awaitable[Result]],
        items: Sequence[Item],
        *,
        enough: Callable[[Sequence[Result]], bool],
    ) -> list[Result]:
        """The results of the shortest run of items from the first on that is `enough`, or of all of them.

        However many ran at once: nothing behind that run is returned, so that every process comes to the same.
        """
        ...

    async def pause(self) -> None:
        """Let whoever else runs go on, in the midst of long work."""
        ...


class PolicyRunner(Protocol):
    """Runs what can't be interrupted where it can be, in bounded time and memory.

    That is a policy's evaluation, and the reading of content that is large or takes a schema to check.
    """

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """What `evaluate` returns; it may raise `PolicyFault`.  Raises `PolicyFault`, also if it was too much."""
        ...

    async def labour(self, work: Callable[[], bytes], left: list[float]) -> bytes:
        """What `work` returns.  Raises `LimitExceeded` if it takes more than half of an image's time for such work.

        `left` is what is left of that, one number (s); what it took is taken from it once it is done.
        """
        ...


class Room(Protocol):
    """Memory for what others chose, in bytes, where many verifications share it.

    Each raises `NoRoom` if there is not so much at all.  Where others hold what there is, a verification may end by an
    exception of whoever runs it, which is nothing that was found: somebody else verifies the image.
    """

    def holding(self, size: int) -> AbstractAsyncContextManager[None]:
        """Hold so many bytes of content meanwhile, whatever else is waited for."""
        ...

    def working(self, size: int) -> AbstractAsyncContextManager[None]:
        """Hold so many bytes for work that waits for nothing."""
        ...

    async def keep(self, size: int) -> None:
        """Hold so many bytes of what evidence told, until its image is judged."""
        ...


class VerdictStore(Protocol):
    """Remembers what was said of images.  Never raises: what can't be read is not known.

    `ground` names what the verdict rested on (`agent.rules.rule.Rule.ground`), `image` what it is about
    (`agent.model.request.PullRequest.described`); without a descriptor, whatever that was.
    """

    async def recall(self, ground: str, image: str) -> Memory:
        """What is remembered of an image on the same ground."""
        ...

    async def remember(self, ground: str, image: str, memory: Memory) -> None:
        """Let `memory` be what is remembered of an image."""
        ...

    async def doubt(self, ground: str, certificate: str, now: datetime) -> None:
        """Believe nothing that was said on this ground before `now`: `certificate`, on which it may rest, was revoked.

        The first time alone: who presents a revoked certificate again and again changes nothing.
        """
        ...


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present, with time zone UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...


class Trace(Protocol):
    """Is told what happens, for a person who asked to see it."""

    def step(self, name: str, looked_for: str, found: str) -> None:
        """A step is over: what was looked for, what was found (a short text each)."""
        ...


class Log(Protocol):
    """The log of a process that lives long: what happened, with values by name.  Never raises."""

    def info(self, event: str, **fields: object) -> None:
        """Something that is as it should be."""
        ...

    def warning(self, event: str, **fields: object) -> None:
        """Something that somebody should look at."""
        ...

    def error(self, event: str, **fields: object) -> None:
        """Something that failed."""
        ...
