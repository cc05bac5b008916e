"""`ports.PolicyRunner` for an event loop: the worker process of `policy_worker`, waited for in a thread.

A worker starts once there is working room for all that it may come to take (`agent.adapters.room`).
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from agent.adapters.budget import USUAL, divided
from agent.adapters.inline import run
from agent.adapters.policy_worker import (
    COPIED,
    FEW,
    LABOUR_MEMORY,
    MEMORY,
    SECONDS,
    ForkedWorker,
    Job,
    TooLittleMemory,
    longest,
)
from agent.adapters.room import NoTurn, Rooms
from agent.errors import LimitExceeded, PolicyFault

AT_ONCE = 4
"""Evaluations at once, if there is room for them; each is a process."""

LABOURS_AT_ONCE = 1
"""Readings of content at once."""

Value = TypeVar("Value")
Done = Callable[[Job, Callable[[], bytes]], bytes]

_SHORTEST = 0.1
"""Seconds that an evaluation has at least once it is its turn."""


class ThreadedWorker:
    """Evaluates each policy in a process of its own, and lets everything else go on meanwhile.

    Waiting for one's turn, and for room, counts as time that the work itself takes.  Else whoever may push could have
    many images looked at whose reading takes long, and bring another's verification to the deadline: to "cannot tell".
    """

    def __init__(
        self,
        seconds: float = SECONDS,
        limiters: Sequence[CapacityLimiter] = (),
        rooms: Rooms | None = None,
        owner: str = "",
        done: Done | None = None,
    ) -> None:
        """Made in the event loop.  `limiters` and `rooms` are shared by those that are to count together.

        `owner` is whose turn it is; `done` has jobs done elsewhere than in copies of this process.
        """
        self._done = done
        self._seconds = seconds
        self._limiters = tuple(limiters) or tuple(map(CapacityLimiter, (AT_ONCE, LABOURS_AT_ONCE)))
        self._rooms = rooms or Rooms(divided(USUAL))
        self._owner = owner

    def within(self, seconds: float, owner: str = "") -> "ThreadedWorker":
        """The same for pulls that are answered within so many seconds, of a repository."""
        return ThreadedWorker(longest(seconds), self._limiters, self._rooms, owner, self._done)

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """See `ports.PolicyRunner.run`.

        Nearly all policies do with little memory, and find room side by side; one that does not begins anew with more.
        """
        end = time.monotonic() + self._seconds
        try:
            async with _turn(self._limiters[0], self._seconds):
                try:
                    return await self._evaluated(evaluate, FEW, end)
                except TooLittleMemory:
                    return await self._evaluated(evaluate, MEMORY, end)
        except NoTurn:
            raise PolicyFault(
                f"the policy's evaluation: got no turn in {self._seconds:g} s, as others took theirs; expected fewer"
            ) from None

    async def _evaluated(self, evaluate: Callable[[], bool], memory: int, end: float) -> bool:
        """Raises `NoTurn`, `PolicyFault`."""
        async with self._room(memory, end - time.monotonic()) as given:
            seconds = max(round(end - time.monotonic(), 1), _SHORTEST)
            worker = ForkedWorker(seconds=seconds, memory=given, done=self._done)
            return await _in_a_thread(lambda: run(worker.run(evaluate)))

    async def labour(self, work: Callable[[], bytes], left: list[float]) -> bytes:
        """See `ports.PolicyRunner.labour`."""
        times = self._rooms.times
        times.begin(left)
        try:
            async with _turn(self._limiters[1], left[0]), self._room(LABOUR_MEMORY, times.now(left)) as given:
                mine = [times.now(left)]
                worker = ForkedWorker(labour_memory=given, done=self._done)
                return await _in_a_thread(lambda: run(worker.labour(work, mine)))
        except NoTurn:
            raise LimitExceeded("reading the content: got no turn, as others took theirs; expected fewer") from None
        finally:
            times.end(left)

    @asynccontextmanager
    async def _room(self, memory: int, seconds: float) -> AsyncIterator[int]:
        """Room for a worker that takes so much; what it may take, less where there is not so much at all."""
        account = self._rooms.working
        taken = min(memory + COPIED, account.size)
        await account.take(taken, self._owner, seconds)
        try:
            yield taken - COPIED
        finally:
            account.give(taken)


async def _in_a_thread(work: Callable[[], Value]) -> Value:
    return await to_thread.run_sync(work, limiter=CapacityLimiter(1))


@asynccontextmanager
async def _turn(limiter: CapacityLimiter, seconds: float) -> AsyncIterator[None]:
    """One's turn.  Raises `NoTurn` if it does not come within `seconds`."""
    token = object()
    with anyio.move_on_after(seconds) as scope:
        await limiter.acquire_on_behalf_of(token)
    if scope.cancelled_caught:
        raise NoTurn
    try:
        yield
    finally:
        limiter.release_on_behalf_of(token)
