"""`ports.Room` of a process that verifies many images at once: one account of the memory that others' content takes.

`Rooms` is the process's, `RoomOfOne` one verification's.  Each kind of thing has its share (`agent.adapters.budget`),
and within it:

- *Small things are free.*  What an ordinary signature takes is never waited for; who brings much is in nobody's way.
- *All or nothing.*  Who waits for room gets all that was asked for, or none of it; what is larger than the share is
  refused at once.  Who holds working room waits for nothing, so it always comes free; who holds content may wait for
  working room alone.  So nobody waits in a circle.
- *In turn.*  Who waits is served repository by repository; nobody is passed because less would do for another.
- *Waiting is the waiter's.*  It takes from the time that an image has for its content, and ends as content that asks
  for too much: not as "cannot tell", which others' images must not choose.

Used in one event loop; only `Allowance` is used by threads as well.
"""

import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio

from agent.adapters.allowance import Allowance
from agent.adapters.budget import Budget
from agent.asking import read_in
from agent.errors import NoRoom

FREE = 256 * 1024
"""Bytes of content that a verification may hold without asking; 32 verifications may have as much each."""

FREE_TOLD = 32 * 1024
"""The same of what its evidence told."""


WAITING = 1.5
"""Seconds for which a verification waits for room in all, where a pull has its usual 8 s: a policy may still take 3."""

_SHARE = 3 / 16


class NoTurn(Exception):
    """Others had theirs for all the time that there was, or there is less than was asked for."""


class Account:
    """So many bytes, given to those who wait in turn."""

    def __init__(self, size: int) -> None:
        """Nobody holds anything."""
        self.size = size
        self.held = 0
        self._waiting: dict[str, deque[tuple[int, anyio.Event]]] = {}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    async def take(self, amount: int, owner: str, seconds: float) -> None:
        """Hold so many bytes, of which `give` gives back; `owner` has its turn.  Raises `NoTurn` after so long."""
        if amount > self.size:
            raise NoTurn
        if not self._waiting and self.held + amount <= self.size:
            self.held += amount
            return
        waiter = amount, anyio.Event()
        queue = self._waiting.setdefault(owner, deque())
        queue.append(waiter)
        try:
            with anyio.move_on_after(max(seconds, 0.0)):
                await waiter[1].wait()
        except BaseException:
            self._leave(owner, waiter)
            raise
        if not waiter[1].is_set():
            self._leave(owner, waiter)
            raise NoTurn

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        self.held -= amount
        self._next()

    def _leave(self, owner: str, waiter: tuple[int, anyio.Event]) -> None:
        """Wait no longer; what came meanwhile is given back."""
        queue = self._waiting.get(owner)
        if waiter[1].is_set():
            self.give(waiter[0])
            return
        if queue is not None:
            queue.remove(waiter)
            if not queue:
                del self._waiting[owner]
        self._next()

    def _next(self) -> None:
        while self._waiting:
            owner = next(iter(self._waiting))
            amount, event = self._waiting[owner][0]
            if self.held + amount > self.size:
                return
            self.held += amount
            event.set()
            queue = self._waiting.pop(owner)
            queue.popleft()
            if queue:
                self._waiting[owner] = queue  # behind the others


class Times:
    """What images have left of their time for content: taken off while anything of theirs waits or is read.

    Once, however much of an image's that is.  A time is the one number (s) of a list, which tells the image.
    """

    def __init__(self) -> None:
        """Nobody waits."""
        self._pending: dict[int, tuple[int, float]] = {}

    def begin(self, left: list[float]) -> None:
        """Something more of an image's waits, or is read."""
        self._settle(left, 1)

    def now(self, left: list[float]) -> float:
        """What is left at this moment."""
        self._settle(left, 0)
        return left[0]

    def end(self, left: list[float]) -> None:
        """That is over."""
        self._settle(left, -1)

    def _settle(self, left: list[float], change: int) -> None:
        now = time.monotonic()
        count, since = self._pending.pop(id(left), (0, now))
        if count:
            left[0] -= now - since
        if count + change:
            self._pending[id(left)] = (count + change, now)


class Rooms:
    """The accounts of one process."""

    def __init__(self, budget: Budget) -> None:
        """Made in the event loop."""
        self.budget = budget
        self.working = Account(budget.working)
        self.content = Account(budget.content)
        self.told = Account(budget.told)
        self.unwritten = Allowance(budget.unwritten)
        self.times = Times()

    def as_json(self) -> dict[str, object]:
        """Bytes: the limit, and of each share how much there is and is held, and how many wait."""
        shares = {"working": self.working, "content": self.content, "told": self.told}
        told = {name: {"size": each.size, "held": each.held, "waiting": each.waiting} for name, each in shares.items()}
        return {"limit": self.budget.limit, **told}

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
    """`ports.Room` of one verification."""

    def __init__(self, rooms: Rooms, owner: str, waiting: float = WAITING) -> None:
        """It holds nothing, and may wait for so many seconds."""
        self._rooms = rooms
        self.owner = owner
        self._free = FREE
        self._free_told = FREE_TOLD
        self._told = 0
        self._waiting = [waiting]

    def coming(self, size: int) -> AbstractAsyncContextManager[None]:
        """See `http_pooled.BodyRoom.coming`."""
        return self.holding(size, self._waiting)

    def reading(self, size: int) -> AbstractAsyncContextManager[None]:
        """See `http_pooled.BodyRoom.reading`."""
        return self.working(read_in(size), self._waiting)

    @asynccontextmanager
    async def holding(self, size: int, left: list[float]) -> AsyncIterator[None]:
        """See `ports.Room.holding`."""
        if size <= self._free:
            self._free -= size
            try:
                yield
            finally:
                self._free += size
            return
        async with self._taken(self._rooms.content, size, left):
            yield

    @asynccontextmanager
    async def working(self, size: int, left: list[float]) -> AsyncIterator[None]:
        """See `ports.Room.working`."""
        async with self._taken(self._rooms.working, min(size, self._rooms.working.size), left):
            yield

    async def keep(self, size: int, left: list[float]) -> None:
        """See `ports.Room.keep`."""
        if size <= self._free_told:
            self._free_told -= size
            return
        await self._take(self._rooms.told, size, left)
        self._told += size

    def close(self) -> None:
        """Give back what was kept."""
        self._rooms.told.give(self._told)
        self._told = 0

    @asynccontextmanager
    async def _taken(self, account: Account, size: int, left: list[float]) -> AsyncIterator[None]:
        await self._take(account, size, left)
        try:
            yield
        finally:
            account.give(size)

    async def _take(self, account: Account, size: int, left: list[float]) -> None:
        times, both = self._rooms.times, (left, self._waiting) if left is not self._waiting else (left,)
        for each in both:
            times.begin(each)
        try:
            await account.take(size, self.owner, min(map(times.now, both)))
        except NoTurn:
            raise NoRoom(
                f"content: got {size} bytes of memory to hold, and no room for them in time; expected less, or fewer"
            ) from None
        finally:
            for each in both:
                times.end(each)
