"""`ports.PolicyRunner` for an event loop: a worker process of `policy_worker`, for which a thread waits.

A worker starts once there is working room for all the memory that its bounds allow (`agent.adapters.room`).
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
    COPY_MEMORY,
    LABOUR_MEMORY,
    MEMORY,
    SECONDS,
    SMALL_MEMORY,
    ForkedWorker,
    RunJob,
    TooLittleMemory,
    longest,
)
from agent.adapters.room import RoomOfOne, Rooms
from agent.adapters.turns import Crowded
from agent.errors import LimitExceeded

AT_ONCE = 4
"""Evaluations at once, if there is room for them; each has a worker process."""

LABOURS_AT_ONCE = 1
"""Readings of content at once."""

Value = TypeVar("Value")

_SHORTEST = 0.1
"""Seconds that an evaluation has at least, also where the first try with little memory took nearly all."""


class ThreadedWorker:
    """Evaluates each policy in a worker process of its own, while the event loop goes on.

    The time that a job waits for its turn and for room is not taken from its own.  Else whoever may push images that
    take long to read could have another's image denied, or brought to its deadline.  A job that waits too long is
    `Crowded`, and the child does it.
    """

    def __init__(
        self,
        seconds: float = SECONDS,
        limiters: Sequence[CapacityLimiter] = (),
        room: RoomOfOne | None = None,
        run_job: RunJob | None = None,
        until: float = math.inf,
    ) -> None:
        """To be made in the event loop.

        `seconds` bounds an evaluation.  `limiters`, for evaluations and for readings of content, are shared by all
        workers that count together.  `room` is one verification's.  `run_job` makes the worker processes; without it
        they are copies of this process.  `until` is when somebody is answered (`policy_worker.in_time`).
        """
        self._until = until
        self._run_job = run_job
        self._seconds = seconds
        self._limiters = tuple(limiters) or tuple(map(CapacityLimiter, (AT_ONCE, LABOURS_AT_ONCE)))
        self._room = room or RoomOfOne(Rooms(divided(USUAL)), "")
        self._labouring = anyio.Lock()  # one image's readings wait for each other here, and not in the queue for a turn

    def within(self, seconds: float, room: RoomOfOne, until: float = math.inf) -> "ThreadedWorker":
        """The same for a verification that takes at most `seconds` in all and has this room; answered `until` then."""
        return ThreadedWorker(longest(seconds), self._limiters, room, self._run_job, until)

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """See `ports.PolicyRunner.run`.  Raises `Crowded` as well.

        Nearly all policies need little memory, so that several find room at once.  One that needs more is started again
        with more, in the time that is left.
        """
        left = [self._seconds]
        async with self._turn(self._limiters[0]):
            try:
                return await self._evaluated(evaluate, SMALL_MEMORY, left)
            except TooLittleMemory:
                return await self._evaluated(evaluate, MEMORY, left)

    async def _evaluated(self, evaluate: Callable[[], bool], memory: int, left: list[float]) -> bool:
        """Evaluate in `memory` bytes and in what is `left` of the time (s).  Raises `Crowded`, `PolicyFault`."""
        async with self._room.worker(memory + COPY_MEMORY) as given:
            begun = time.monotonic()
            seconds = max(round(left[0], 1), _SHORTEST)
            worker = ForkedWorker(seconds=seconds, memory=given - COPY_MEMORY, run_job=self._run_job, until=self._until)
            try:
                return await _in_a_thread(lambda: run(worker.run(evaluate)))
            finally:
                left[0] -= time.monotonic() - begun

    async def labour(self, work: Callable[[], bytes], left: list[float]) -> bytes:
        """See `ports.PolicyRunner.labour`.  Raises `Crowded` as well."""
        async with (
            self._labouring,
            self._turn(self._limiters[1]),
            self._room.worker(LABOUR_MEMORY + COPY_MEMORY) as given,
        ):
            if left[0] <= 0:
                raise LimitExceeded("reading the content: got no time, as its image's other content took it all")
            worker = ForkedWorker(labour_memory=given - COPY_MEMORY, run_job=self._run_job, until=self._until)
            return await _in_a_thread(lambda: run(worker.labour(work, left)))

    @asynccontextmanager
    async def _turn(self, limiter: CapacityLimiter) -> AsyncIterator[None]:
        """A place of the limiter.  Raises `Crowded` if none comes free in the time that the verification may wait."""
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
