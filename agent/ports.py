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
    """Runs work that may take long where it can be killed, in bounded time and memory.

    That is a policy's evaluation, and the reading of content that is large or is checked under a schema.
    """

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """What `evaluate` returns.  Raises `PolicyFault` if it does, or if it takes too much time or memory."""
        ...

    async def labour(self, work: Callable[[], bytes], left: list[float]) -> bytes:
        """What `work` returns.  Raises `LimitExceeded` if it takes more than half of an image's time for such work.

        `left` holds one number, the seconds that are left of that; what the work took is subtracted from it.
        """
        ...


class Room(Protocol):
    """Bytes of memory for content that others chose, in a process where many verifications share it.

    Each method waits until there is room.  It raises `NoRoom` if there never can be.  If other verifications hold the
    room for too long, it may raise an exception of whoever runs the verification: that says nothing of the image, which
    is then verified by somebody else.
    """

    def holding(self, size: int) -> AbstractAsyncContextManager[None]:
        """Hold `size` bytes for content within this context, in which other things may be waited for."""
        ...

    def working(self, size: int) -> AbstractAsyncContextManager[None]:
        """Hold `size` bytes for work within this context, in which nothing else is waited for: so no deadlock."""
        ...

    async def keep(self, size: int) -> None:
        """Hold `size` bytes of what evidence told until its image is judged."""
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
