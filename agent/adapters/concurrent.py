"""The long-lived process's way to run the engine: several things at once, in tasks of anyio.

The results, and the error if there is one, are those of `inline.OneByOne`: they are taken in the items' order, and what
lies behind the shortest run that is enough counts for nothing.  What it costs: of the items behind it, as many as run
at once less one may have been asked for in vain.

Work on an item may have items of its own.  They all count together: else a few levels of them would be hundreds at
once, each with its connection and its memory.
"""

from typing import Awaitable, Callable, Generic, Sequence

import anyio

from agent.ports import Item, Result

AT_ONCE = 4
"""Items of one verification at once: each is a request or two to one registry, and many verifications may run."""


class SideBySide:
    """`ports.Concurrent` as a window of tasks that moves along the items."""

    def __init__(self, at_once: int = AT_ONCE, step: Callable[[], Awaitable[None]] | None = None) -> None:
        """At most `at_once` items are worked on in all, of each `map` the first that has no result yet among them.

        `step` waits for one's turn in the midst of long work (`room.Rooms.step`).
        """
        if at_once < 1:
            raise ValueError(f"got {at_once} at once; expected at least 1")
        self._more = at_once - 1  # beside the one that each `map` works on in place of whoever waits for it
        self._step = step or _checkpoint

    async def map(
        self,
        function: Callable[[Item], Awaitable[Result]],
        items: Sequence[Item],
        *,
        enough: Callable[[Sequence[Result]], bool],
    ) -> list[Result]:
        """See `ports.Concurrent.map`."""
        results: list[Result] = []
        works = [_Work(function, item) for item in items]
        failure: Exception | None = None
        ahead = 0  # items that are worked on behind the first that has no result
        try:
            async with anyio.create_task_group() as group:
                try:
                    for i, work in enumerate(works):
                        if ahead:
                            ahead -= 1
                            self._more += 1
                        else:
                            group.start_soon(work.run)
                        for each in works[i + 1 + ahead :]:
                            if not self._more:
                                break
                            ahead += 1
                            self._more -= 1
                            group.start_soon(each.run)
                        results.append(await work.result())
                        if enough(results):
                            break
                except Exception as error:  # noqa: BLE001 - raised below: a group would wrap it
                    failure = error
                group.cancel_scope.cancel()
        finally:
            self._more += ahead
        if failure is not None:
            raise failure
        return results

    async def pause(self) -> None:
        """See `ports.Concurrent.pause`."""
        await self._step()


async def _checkpoint() -> None:
    await anyio.sleep(0)


class _Work(Generic[Item, Result]):
    """One item, and what became of it."""

    def __init__(self, function: Callable[[Item], Awaitable[Result]], item: Item) -> None:
        self._function = function
        self._item = item
        self._over = anyio.Event()
        self._results: list[Result] = []
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Raises nothing: an error counts only if its turn comes."""
        try:
            self._results.append(await self._function(self._item))
        except Exception as error:  # noqa: BLE001 - see above
            self._failure = error
        self._over.set()

    async def result(self) -> Result:
        """Wait for it.  Raises what the function raised."""
        await self._over.wait()
        if self._failure is not None:
            raise self._failure
        return self._results[0]
