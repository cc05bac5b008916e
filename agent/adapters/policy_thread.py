"""`ports.PolicyRunner` for an event loop: the worker process of `policy_worker`, waited for in a thread."""

from collections.abc import Callable

import anyio
from anyio import to_thread

from agent.adapters.inline import run
from agent.adapters.policy_worker import SECONDS, ForkedWorker, longest

AT_ONCE = 4
"""Evaluations at once; each is a process."""


class ThreadedWorker:
    """Evaluates each policy in a process of its own, and lets everything else go on meanwhile."""

    def __init__(self, seconds: float = SECONDS, limiter: anyio.CapacityLimiter | None = None) -> None:
        """Made in the event loop.  `limiter` is shared by those that are to count together."""
        self._worker = ForkedWorker(seconds=seconds)
        self._limiter = limiter or anyio.CapacityLimiter(AT_ONCE)

    def within(self, seconds: float) -> "ThreadedWorker":
        """The same for pulls that are answered within so many seconds."""
        return ThreadedWorker(longest(seconds), self._limiter)

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """See `ports.PolicyRunner.run`."""
        return await to_thread.run_sync(lambda: run(self._worker.run(evaluate)), limiter=self._limiter)
