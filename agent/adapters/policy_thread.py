"""`ports.PolicyRunner` for an event loop: the worker process of `policy_worker`, waited for in a thread.

A worker starts once there is working room for all that it may come to take (`agent.adapters.room`).
"""

import math
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
from agent.adapters.room import RoomOfOne, Rooms
from agent.adapters.turns import Crowded
from agent.errors import LimitExceeded

AT_ONCE = 4
"""Evaluations at once, if there is room for them; each is a process."""

LABOURS_AT_ONCE = 1
"""Readings of content at once."""

Value = TypeVar("Value")
Done = Callable[[Job, Callable[[], bytes]], bytes]

_SHORTEST = 0.1
"""Seconds that an evaluation has at least."""


class ThreadedWorker:
    """Evaluates each policy in a process of its own, and lets everything else go on meanwhile.

    Others' images take no time of one's own, nor one's turn: whoever may push could have many looked at whose reading
    takes long, and another's would be denied for it, or come to the deadline.  Who waits too long for a turn, or for
    room, is `Crowded`, and his child does it.
    """

    def __init__(
        self,
        seconds: float = SECONDS,
        limiters: Sequence[CapacityLimiter] = (),
        room: RoomOfOne | None = None,
        done: Done | None = None,
        until: float = math.inf,
    ) -> None:
        """Made in the event loop.  `limiters` are shared by those that are to count together.

        `room` is one verification's; `done` has jobs done elsewhere than in copies of this process; `until` is when
        somebody is answered (`policy_worker.in_time`).
        """
        self._until = until
        self._done = done
        self._seconds = seconds
        self._limiters = tuple(limiters) or tuple(map(CapacityLimiter, (AT_ONCE, LABOURS_AT_ONCE)))
        self._room = room or RoomOfOne(Rooms(divided(USUAL)), "")
        self._labouring = anyio.Lock()  # what an image reads side by side waits for each other, and not for others

    def within(self, seconds: float, room: RoomOfOne, until: float = math.inf) -> "ThreadedWorker":
        """The same for a verification that is over within so many seconds, and for whoever is answered `until` then."""
        return ThreadedWorker(longest(seconds), self._limiters, room, self._done, until)

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """See `ports.PolicyRunner.run`.  Raises `Crowded` as well.

        Nearly all policies do with little memory, and find room side by side; one that does not begins anew with more.
        """
        left = [self._seconds]
        async with self._turn(self._limiters[0]):
            try:
                return await self._evaluated(evaluate, FEW, left)
            except TooLittleMemory:
                return await self._evaluated(evaluate, MEMORY, left)

    async def _evaluated(self, evaluate: Callable[[], bool], memory: int, left: list[float]) -> bool:
        """Evaluate in what is `left` of the time.  Raises `Crowded`, `PolicyFault`."""
        async with self._room.worker(memory + COPIED) as given:
            begun = time.monotonic()
            seconds = max(round(left[0], 1), _SHORTEST)
            worker = ForkedWorker(seconds=seconds, memory=given - COPIED, done=self._done, until=self._until)
            try:
                return await _in_a_thread(lambda: run(worker.run(evaluate)))
            finally:
                left[0] -= time.monotonic() - begun

    async def labour(self, work: Callable[[], bytes], left: list[float]) -> bytes:
        """See `ports.PolicyRunner.labour`.  Raises `Crowded` as well."""
        async with (
            self._labouring,
            self._turn(self._limiters[1]),
            self._room.worker(LABOUR_MEMORY + COPIED) as given,
        ):
            if left[0] <= 0:
                raise LimitExceeded("reading the content: got no time, as its image's other content took it all")
            worker = ForkedWorker(labour_memory=given - COPIED, done=self._done, until=self._until)
            return await _in_a_thread(lambda: run(worker.labour(work, left)))

    @asynccontextmanager
    async def _turn(self, limiter: CapacityLimiter) -> AsyncIterator[None]:
        """One's turn.  Raises `Crowded` if it does not come."""
        token = object()
        try:
            limiter.acquire_on_behalf_of_nowait(token)
        except anyio.WouldBlock:
            with self._room.patience.waiting() as seconds, anyio.move_on_after(seconds) as scope:
                await limiter.acquire_on_behalf_of(token)
            if scope.cancelled_caught:
                raise Crowded from None
        try:
            yield
        finally:
            limiter.release_on_behalf_of(token)


async def _in_a_thread(work: Callable[[], Value]) -> Value:
    return await to_thread.run_sync(work, limiter=CapacityLimiter(1))
