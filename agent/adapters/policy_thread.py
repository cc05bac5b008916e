"""`ports.PolicyRunner` for an event loop: the worker process of `policy_worker`, waited for in a thread."""

from collections.abc import Callable, Sequence

import anyio
from anyio import to_thread

from agent.adapters.inline import run
from agent.adapters.policy_worker import SECONDS, ForkedWorker, longest

AT_ONCE = 4
"""Evaluations at once; each is a process."""

LABOURS_AT_ONCE = 1
"""Readings of content at once: each may take half of what memory the daemon has left (`policy_worker`)."""


class ThreadedWorker:
    """Evaluates each policy in a process of its own, and lets everything else go on meanwhile."""

    def __init__(self, seconds: float = SECONDS, limiters: Sequence[anyio.CapacityLimiter] = ()) -> None:
        """Made in the event loop.  `limiters` are shared by those that are to count together."""
        self._worker = ForkedWorker(seconds=seconds)
        self._limiters = tuple(limiters) or tuple(map(anyio.CapacityLimiter, (AT_ONCE, LABOURS_AT_ONCE)))

    def within(self, seconds: float) -> "ThreadedWorker":
        """The same for pulls that are answered within so many seconds."""
        return ThreadedWorker(longest(seconds), self._limiters)

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """See `ports.PolicyRunner.run`."""
        return await to_thread.run_sync(lambda: run(self._worker.run(evaluate)), limiter=self._limiters[0])

    async def labour(self, work: Callable[[], bytes], left: list[float]) -> bytes:
        """See `ports.PolicyRunner.labour`."""
        return await to_thread.run_sync(lambda: run(self._worker.labour(work, left)), limiter=self._limiters[1])
