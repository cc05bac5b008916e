"""The one-shot process's way to run the engine: one thing after another, without an event loop.

Nothing here waits: the blocking transport does its waiting inside a call, so a coroutine runs to its end in one go.
"""

import time
from datetime import datetime, timezone
from typing import Any, Awaitable, Callable, Coroutine, Sequence, TypeVar

from agent.errors import NodesealError
from agent.ports import Item, Result

Value = TypeVar("Value")


def run(coroutine: Coroutine[Any, Any, Value]) -> Value:
    """Run a coroutine that never suspends, and return its value.  Raises `NodesealError` if it does suspend."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return finished.value  # type: ignore[no-any-return]
    coroutine.close()
    raise NodesealError("the engine suspended where no event loop runs; a port behind it is not blocking")


class OneByOne:
    """`ports.Concurrent` as a plain loop."""

    async def map(
        self,
        function: Callable[[Item], Awaitable[Result]],
        items: Sequence[Item],
        *,
        enough: Callable[[Sequence[Result]], bool],
    ) -> list[Result]:
        """See `ports.Concurrent.map`."""
        results: list[Result] = []
        for item in items:
            results.append(await function(item))
            if enough(results):
                break
        return results

    async def pause(self) -> None:
        """See `ports.Concurrent.pause`.  Nobody else runs."""


class SystemClock:
    """`ports.Clock` over the system's clock."""

    def now(self) -> datetime:
        """See `ports.Clock.now`."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """See `ports.Clock.monotonic`."""
        return time.monotonic()


class NoTrace:
    """`ports.Trace` for whoever does not want to see the steps."""

    def step(self, name: str, looked_for: str, found: str) -> None:
        """Forget it."""
