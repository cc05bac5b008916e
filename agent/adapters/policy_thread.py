"""`ports.PolicyRunner` for an event loop: the worker process of `policy_worker`, waited for in a thread."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
from anyio import CapacityLimiter, to_thread

from agent.adapters.inline import run
from agent.adapters.policy_worker import SECONDS, ForkedWorker, longest
from agent.errors import LimitExceeded, PolicyFault

AT_ONCE = 4
"""Evaluations at once; each is a process."""

LABOURS_AT_ONCE = 1
"""Readings of content at once: each may take half of what memory the daemon has left (`policy_worker`)."""


_SHORTEST = 0.1
"""Seconds that an evaluation has at least once it is its turn."""


class _NoTurn(Exception):
    """Others had theirs for all the time that there was."""


class ThreadedWorker:
    """Evaluates each policy in a process of its own, and lets everything else go on meanwhile.

    Waiting for one's turn counts as time that the work itself takes.  Else whoever may push could have many images
    looked at whose reading takes long, and bring another's verification to the deadline: to "cannot tell".
    """

    def __init__(self, seconds: float = SECONDS, limiters: Sequence[CapacityLimiter] = ()) -> None:
        """Made in the event loop.  `limiters` are shared by those that are to count together."""
        self._seconds = seconds
        self._limiters = tuple(limiters) or tuple(map(CapacityLimiter, (AT_ONCE, LABOURS_AT_ONCE)))
        self._pending: dict[int, tuple[int, float]] = {}

    def within(self, seconds: float) -> "ThreadedWorker":
        """The same for pulls that are answered within so many seconds."""
        return ThreadedWorker(longest(seconds), self._limiters)

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """See `ports.PolicyRunner.run`."""
        try:
            async with _turn(self._limiters[0], self._seconds) as waited:
                worker = ForkedWorker(seconds=max(round(self._seconds - waited, 1), _SHORTEST))
                return await to_thread.run_sync(lambda: run(worker.run(evaluate)), limiter=CapacityLimiter(1))
        except _NoTurn:
            raise PolicyFault(
                f"the policy's evaluation: got no turn in {self._seconds:g} s, as others took theirs; expected fewer"
            ) from None

    async def labour(self, work: Callable[[], bytes], left: list[float]) -> bytes:
        """See `ports.PolicyRunner.labour`."""
        self._settle(left, 1)
        try:
            async with _turn(self._limiters[1], left[0]):
                self._settle(left, 0)
                mine = [left[0]]
                return await to_thread.run_sync(
                    lambda: run(ForkedWorker().labour(work, mine)), limiter=CapacityLimiter(1)
                )
        except _NoTurn:
            raise LimitExceeded("reading the content: got no turn, as others took theirs; expected fewer") from None
        finally:
            self._settle(left, -1)

    def _settle(self, left: list[float], change: int) -> None:
        """Take off what passed while anything of an image's was waiting or read: once, however much that was."""
        now = time.monotonic()
        count, since = self._pending.pop(id(left), (0, now))
        left[0] -= now - since
        if count + change:
            self._pending[id(left)] = (count + change, now)


@asynccontextmanager
async def _turn(limiter: CapacityLimiter, seconds: float) -> AsyncIterator[float]:
    """One's turn, and the seconds that one waited for it.  Raises `_NoTurn` if it does not come within `seconds`."""
    token, begun = object(), time.monotonic()
    with anyio.move_on_after(seconds) as scope:
        await limiter.acquire_on_behalf_of(token)
    if scope.cancelled_caught:
        raise _NoTurn
    try:
        yield time.monotonic() - begun
    finally:
        limiter.release_on_behalf_of(token)
