"""`ports.Room` of a process that verifies many images at once: one account of the memory that others' content takes.

`Rooms` is the process's, `RoomOfOne` one verification's.  Each kind of thing has its share (`agent.adapters.budget`),
and within it:

- *Small things are free.*  What an ordinary signature takes is never waited for; who brings much is in nobody's way.
- *All or nothing.*  Who waits for room gets all that was asked for, or none of it; what is larger than the share is
  refused at once: content's own limit.  Who holds working room waits for nothing, so it always comes free.
- *In turn.*  Who waits is served repository by repository; nobody is passed because less would do for another.  One
  registry's take no more than most of a share, unless it is one thing alone.
- *Others are nobody's fault.*  Who has waited for his patience's time is `Crowded`: his image is neither refused nor
  "cannot tell" for what others' hold.  The child does the work alone, in memory of its own.

The event loop's time is shared, too: reading and checking what is large takes it a tenth of a second, in which nobody
is told anything.  So one such `step` is made at a time, registry by registry, and between two of them whatever else is
ready goes on.

Used in one event loop; only `Allowance` is used by threads as well.
"""

import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import anyio

from agent.adapters.allowance import Allowance
from agent.adapters.budget import Budget
from agent.adapters.turns import Crowded
from agent.asking import read_in
from agent.errors import NoRoom

FREE = 256 * 1024
"""Bytes of content that a verification may hold without asking; 32 verifications may have as much each."""

FREE_TOLD = 32 * 1024
"""The same of what its evidence told."""

WAITING = 2.0
"""Seconds for which a verification waits for others in all, where a pull has its usual 8 s; a child needs the rest."""

_SHARE = 1 / 4

_OF_ONE_REGISTRY = 3 / 4


class Account:
    """So many bytes, given to those who wait in turn."""

    def __init__(self, size: int) -> None:
        """Nobody holds anything."""
        self.size = size
        self.held = 0
        self._of_one = int(size * _OF_ONE_REGISTRY)
        self._of: Counter[str] = Counter()
        self._waiting: dict[str, deque[tuple[int, anyio.Event]]] = {}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    async def take(self, amount: int, owner: str, seconds: float) -> None:
        """Hold so many bytes, of which `give` gives back; `owner`, a repository (`HOST/PATH`), has its turn.

        Raises `NoRoom` if there are not so many at all, `Crowded` after so long.
        """
        if amount > self.size:
            raise NoRoom(f"content: got {amount} bytes of memory to hold; expected at most {self.size}, or less of it")
        waiter = amount, anyio.Event()
        self._waiting.setdefault(owner, deque()).append(waiter)
        self._next()
        if waiter[1].is_set():
            return
        try:
            with anyio.move_on_after(max(seconds, 0.0)):
                await waiter[1].wait()
        except BaseException:
            self._leave(owner, waiter)
            raise
        if not waiter[1].is_set():
            self._leave(owner, waiter)
            raise Crowded

    def give(self, amount: int, owner: str) -> None:
        """Give back what was taken."""
        self.held -= amount
        registry = _registry(owner)
        self._of[registry] -= amount
        if self._of[registry] <= 0:
            del self._of[registry]
        self._next()

    def _leave(self, owner: str, waiter: tuple[int, anyio.Event]) -> None:
        """Wait no longer; what came meanwhile is given back."""
        if waiter[1].is_set():
            self.give(waiter[0], owner)
            return
        queue = self._waiting[owner]
        queue.remove(waiter)
        if not queue:
            del self._waiting[owner]
        self._next()

    def _next(self) -> None:
        """Give to those whose turn it is."""
        while (owner := self._whose_turn()) is not None:
            queue = self._waiting.pop(owner)
            amount, event = queue.popleft()
            self.held += amount
            self._of[_registry(owner)] += amount
            event.set()
            if queue:
                self._waiting[owner] = queue  # behind the others

    def _whose_turn(self) -> str | None:
        """The first who waits and whose registry has not all that it may; None if there is no room for him."""
        full = set[str]()
        for owner, queue in self._waiting.items():
            registry, amount = _registry(owner), queue[0][0]
            if self._of[registry] and self._of[registry] + amount > self._of_one:
                full.add(registry)  # nobody of its own is passed, either
            if registry in full:
                continue
            return owner if self.held + amount <= self.size else None
        return None


def _registry(owner: str) -> str:
    return owner.partition("/")[0]


class Patience:
    """For how long one verification waits for others: once, however much of it waits side by side."""

    def __init__(self, seconds: float = WAITING) -> None:
        """Nothing waits."""
        self._left = seconds
        self._count = 0
        self._since = 0.0

    @contextmanager
    def waiting(self) -> Iterator[float]:
        """Something waits meanwhile; for how many seconds it may is given."""
        self._settle()
        self._count += 1
        try:
            yield max(self._left, 0.0)
        finally:
            self._settle()
            self._count -= 1

    def _settle(self) -> None:
        now = time.monotonic()
        if self._count:
            self._left -= now - self._since
        self._since = now


class Rooms:
    """The accounts of one process, and its event loop's time."""

    def __init__(self, budget: Budget) -> None:
        """Made in the event loop."""
        self.budget = budget
        self.working = Account(budget.working)
        self.content = Account(budget.content)
        self.told = Account(budget.told)
        self.unwritten = Allowance(budget.unwritten)
        self._steps = Account(1)

    def as_json(self) -> dict[str, object]:
        """Bytes: the limit, and of each share how much there is and is held, and how many wait."""
        shares = {"working": self.working, "content": self.content, "told": self.told}
        told = {name: {"size": each.size, "held": each.held, "waiting": each.waiting} for name, each in shares.items()}
        return {"limit": self.budget.limit, **told}

    async def step(self, repository: str) -> None:
        """Return once it is one's turn for a step that takes long, and whatever else is ready has gone on.

        Another registry's images are next but one, however many steps those of one have to make.
        """
        registry = _registry(repository)
        await self._steps.take(1, registry, math.inf)
        try:
            await anyio.sleep(0)
        finally:
            self._steps.give(1, registry)

    @asynccontextmanager
    async def of(self, repository: str, within: float = math.inf) -> AsyncIterator["RoomOfOne"]:
        """One verification's, of an image of this repository; at the end all that it still holds is given back.

        It is over `within` so many seconds.
        """
        room = RoomOfOne(self, repository, min(WAITING, within * _SHARE))
        try:
            yield room
        finally:
            room.close()


class RoomOfOne:
    """`ports.Room` of one verification.  What takes room raises `Crowded` as well."""

    def __init__(self, rooms: Rooms, owner: str, waiting: float = WAITING) -> None:
        """It holds nothing, and may wait for so many seconds."""
        self._rooms = rooms
        self._owner = owner
        self._free = FREE
        self._free_told = FREE_TOLD
        self._told = 0
        self.patience = Patience(waiting)

    def coming(self, size: int) -> AbstractAsyncContextManager[None]:
        """See `http_pooled.BodyRoom.coming`."""
        return self.holding(size)

    def reading(self, size: int) -> AbstractAsyncContextManager[None]:
        """See `http_pooled.BodyRoom.reading`."""
        return self.working(read_in(size))

    async def step(self) -> None:
        """See `Rooms.step`."""
        await self._rooms.step(self._owner)

    @asynccontextmanager
    async def holding(self, size: int) -> AsyncIterator[None]:
        """See `ports.Room.holding`."""
        if size <= self._free:
            self._free -= size
            try:
                yield
            finally:
                self._free += size
            return
        async with self._taken(self._rooms.content, size):
            yield

    @asynccontextmanager
    async def working(self, size: int) -> AsyncIterator[None]:
        """See `ports.Room.working`."""
        async with self.worker(size):
            await self.step()
            yield

    @asynccontextmanager
    async def worker(self, size: int) -> AsyncIterator[int]:
        """Hold so many bytes for another process, or as many as there are; how many is given."""
        size = min(size, self._rooms.working.size)
        async with self._taken(self._rooms.working, size):
            yield size

    async def keep(self, size: int) -> None:
        """See `ports.Room.keep`."""
        if size <= self._free_told:
            self._free_told -= size
            return
        await self._take(self._rooms.told, size)
        self._told += size

    def close(self) -> None:
        """Give back what was kept."""
        self._rooms.told.give(self._told, self._owner)
        self._told = 0

    @asynccontextmanager
    async def _taken(self, account: Account, size: int) -> AsyncIterator[None]:
        await self._take(account, size)
        try:
            yield
        finally:
            account.give(size, self._owner)

    async def _take(self, account: Account, size: int) -> None:
        with self.patience.waiting() as seconds:
            await account.take(size, self._owner, seconds)
