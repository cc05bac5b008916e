"""`ports.Room` of the daemon, which verifies many images at once: admission control by bytes of memory.

`Rooms` belongs to the process, `RoomOfOne` to one verification.  Each share of the memory (`agent.adapters.budget`) is
an `Account`.  The rules:

- *Small content is free.*  A verification with an ordinary signature never waits, whatever large content others hold.
- *All or nothing.*  A verification gets all the bytes that it asks for, or waits.  What is larger than the whole share
  fails at once (`NoRoom`), as at any other limit of content; if the share is only too small because the daemon's limit
  is below the usual one, the child has to verify the image (`Crowded`).  Whoever holds working room waits for nothing
  else, so that it always comes free: no deadlock.
- *In turn.*  Repositories are served in turn.  A large request is not overtaken by smaller ones.  The images of one
  registry hold at most `_OF_ONE_REGISTRY` of a share, unless it is one single request.
- *Nobody pays for others.*  A verification that has waited as long as it may ends as `Crowded`.  That says nothing of
  its image: the child verifies it alone, in memory of its own.

The event loop's time is shared as well.  Parsing large content blocks it for a tenth of a second.  So only one such
`step` is made at a time, registry by registry, and other tasks run between two of them.

To be used in one event loop; only `Allowance` may be used by threads.
"""

import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import NamedTuple

import anyio

from agent.adapters.allowance import Allowance
from agent.adapters.budget import USUAL, Budget, divided
from agent.adapters.turns import Crowded, registry_of
from agent.asking import read_in
from agent.errors import NoRoom

FREE = 256 * 1024
"""Bytes of content that a verification may hold without asking.

`agent.adapters.budget.OVERHEAD` has room for that of `agent.adapters.turns.MOST_AT_ONCE` verifications.
"""

FREE_TOLD = 32 * 1024
"""Bytes of what its evidence told that a verification may keep without asking."""

WAITING = 2.0
"""Seconds for which a verification waits in all, where a pull has its usual 8 s; the child needs the rest."""

_WAITING_SHARE = 1 / 4
"""The same as a part of the time that a pull has, where that is less than usual."""

_OF_ONE_REGISTRY = 3 / 4
"""Part of a share that the images of one registry may hold together."""


class _Request(NamedTuple):
    """A number of bytes that a verification waits for; `granted` is set once they are held."""

    amount: int
    granted: anyio.Event


class Account:
    """One share: a number of bytes, and a queue for each repository that waits for some of them."""

    def __init__(self, size: int, usual: int = 0) -> None:
        """All `size` bytes are free; `usual` is how many the share has under the usual limit."""
        self.size = size
        self._usual = usual
        self.held = 0
        self._most_of_one = int(size * _OF_ONE_REGISTRY)
        self._of: Counter[str] = Counter()  # bytes held by the images of each registry
        self._waiting: dict[str, deque[_Request]] = {}

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._waiting.values()))

    async def take(self, amount: int, owner: str, seconds: float) -> None:
        """Wait until `amount` bytes are free, at most `seconds`, and hold them; `give` gives them back.

        `owner` is the repository (`HOST/PATH`) whose turn it has to be.  Raises `NoRoom` if the whole share is smaller,
        `Crowded` if the time is over, or only a limit below the usual one makes the share too small.
        """
        if self.size < amount <= self._usual:
            raise Crowded
        if amount > self.size:
            raise NoRoom(f"content: got {amount} bytes of memory to hold; expected at most {self.size}")
        request = _Request(amount, anyio.Event())
        self._waiting.setdefault(owner, deque()).append(request)
        self._next()
        if request.granted.is_set():
            return
        try:
            with anyio.move_on_after(max(seconds, 0.0)):
                await request.granted.wait()
        except BaseException:
            self._leave(owner, request)
            raise
        if not request.granted.is_set():
            self._leave(owner, request)
            raise Crowded

    def give(self, amount: int, owner: str) -> None:
        """Give back what `take` got for `owner`."""
        self.held -= amount
        registry = registry_of(owner)
        self._of[registry] -= amount
        if self._of[registry] <= 0:
            del self._of[registry]
        self._next()

    def _leave(self, owner: str, request: _Request) -> None:
        """Wait no longer for a request; if it was granted in the same moment, give the bytes back."""
        if request.granted.is_set():
            self.give(request.amount, owner)
            return
        queue = self._waiting[owner]
        queue.remove(request)
        if not queue:
            del self._waiting[owner]
        self._next()

    def _next(self) -> None:
        """Serve the queues, one repository after the other, as long as there is room."""
        while (owner := self._whose_turn()) is not None:
            queue = self._waiting.pop(owner)
            request = queue.popleft()
            self.held += request.amount
            self._of[registry_of(owner)] += request.amount
            request.granted.set()
            if queue:
                self._waiting[owner] = queue  # behind the others

    def _whose_turn(self) -> str | None:
        """The repository that is to be served next; None if nobody waits, or if there is no room for its request.

        Those of a registry that holds all that it may are passed over.
        """
        full = set[str]()
        for owner, queue in self._waiting.items():
            registry, amount = registry_of(owner), queue[0].amount
            if self._of[registry] and self._of[registry] + amount > self._most_of_one:
                full.add(registry)  # its smaller requests must not overtake this one, either
            if registry in full:
                continue
            return owner if self.held + amount <= self.size else None
        return None


class Patience:
    """How long one verification may still wait.

    Requests that wait side by side count once: what is measured is the time in which at least one waits.
    """

    def __init__(self, seconds: float = WAITING) -> None:
        """`seconds` are left, and nothing waits."""
        self._left = seconds
        self._count = 0
        self._since = 0.0

    @contextmanager
    def waiting(self) -> Iterator[float]:
        """Something waits within this context; what is given is for how many seconds it may."""
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
        usual = divided(USUAL)
        self.working = Account(budget.working, usual.working)
        self.content = Account(budget.content, usual.content)
        self.told = Account(budget.told, usual.told)
        self.unwritten = Allowance(budget.unwritten)
        self._steps = Account(1)

    def as_json(self) -> dict[str, object]:
        """Bytes: the limit, and of each share how much there is and is held, and how many wait."""
        shares = {"working": self.working, "content": self.content, "told": self.told}
        told = {name: {"size": each.size, "held": each.held, "waiting": each.waiting} for name, each in shares.items()}
        return {"limit": self.budget.limit, **told}

    async def step(self, repository: str) -> None:
        """Return when the caller may block the event loop for a long step: one at a time, after other ready tasks.

        Another registry's images are next but one, however many steps those of one have to make.
        """
        registry = registry_of(repository)
        await self._steps.take(1, registry, math.inf)
        try:
            await anyio.sleep(0)
        finally:
            self._steps.give(1, registry)

    @asynccontextmanager
    async def of(self, repository: str, within: float = math.inf) -> AsyncIterator["RoomOfOne"]:
        """The room of one verification, of an image of `repository`.  What it keeps (`keep`) is given back at the end.

        `within` is how many seconds the verification may take in all.
        """
        room = RoomOfOne(self, repository, min(WAITING, within * _WAITING_SHARE))
        try:
            yield room
        finally:
            room.close()


class RoomOfOne:
    """`ports.Room` of one verification.  Whatever asks for room raises `Crowded` as well."""

    def __init__(self, rooms: Rooms, owner: str, waiting: float = WAITING) -> None:
        """It holds nothing, and may wait for `waiting` seconds in all; `owner` is the image's repository."""
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
        """Hold `size` bytes for a worker process, or the whole share if that is less; what is given is how many."""
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
