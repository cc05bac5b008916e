"""Work on a disk that may be slow or hang, done beside an event loop (anyio): in threads, few at once, in bounded time.

What is read for a pull is read in the loop, where it is in the kernel's memory as a rule (docs/architecture.md, "The
daemon").  What is written, and what is large, goes through here.
"""

import threading
from collections.abc import Callable
from datetime import datetime

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from agent.adapters.inline import run
from agent.adapters.verdicts import VerdictFolder
from agent.model.verdict import Memory

MOST = 32
"""Works at once; what comes while a disk holds so many is not done, and counted."""

PATIENCE = 1.0
"""Seconds for which whoever has work done waits for its end; a disk that is slower than that holds nobody up."""


class Beside:
    """Has work done in threads, for one event loop.

    `group` owns what nobody waits for; `bug` is told the exceptions that nobody foresaw.
    """

    def __init__(self, group: TaskGroup, bug: Callable[[Exception], None]) -> None:
        """No thread yet."""
        self._group = group
        self._bug = bug
        self._limiter = anyio.CapacityLimiter(2 * MOST)
        self._lock = threading.Lock()
        self.under_way = 0
        """Works that have begun, or wait to, and have not ended."""
        self.dropped = 0
        """Works that were not done."""

    async def do(self, work: Callable[[], object], patience: float = PATIENCE) -> bool:
        """Do `work`, which raises what it likes; False if it is not done, or was not within `patience` seconds."""
        with self._lock:
            if self.under_way >= MOST:
                self.dropped += 1
                return False
            self.under_way += 1
        is_whose = threading.Lock()  # the thread's, if it comes to begin, or of whoever gave up before that

        def counted() -> None:
            """Do it, and count it as done, however it ends."""
            if is_whose.acquire(blocking=False):
                try:
                    work()
                finally:
                    self._ended()

        try:
            with anyio.move_on_after(patience):
                await to_thread.run_sync(counted, abandon_on_cancel=True, limiter=self._limiter)
                return True
            return False
        finally:
            if is_whose.acquire(blocking=False):
                self._ended()

    def _ended(self) -> None:
        with self._lock:
            self.under_way -= 1

    def later(self, work: Callable[[], object]) -> None:
        """Do it, and nobody waits."""
        self._group.start_soon(self._done, work)

    async def _done(self, work: Callable[[], object]) -> None:
        try:
            await self.do(work)
        except Exception as error:  # noqa: BLE001 - it belongs to nobody who could be told
            self._bug(error)


class VerdictsBeside:
    """`doubtful.Shared` over a folder: what is small is read here and now, what is written is written beside."""

    def __init__(self, folder: VerdictFolder, beside: Beside) -> None:
        """Nothing is read yet."""
        self._folder = folder
        self._beside = beside

    async def recall(self, ground: str, image: str) -> Memory:
        """See `ports.VerdictStore.recall`."""
        return await self._folder.recall(ground, image)

    def undoubted(self, ground: str, memory: Memory) -> Memory:
        """See `doubtful.Shared.undoubted`."""
        return self._folder.undoubted(ground, memory)

    async def remember(self, ground: str, image: str, memory: Memory) -> None:
        """See `ports.VerdictStore.remember`: what takes too long may be remembered later, or not at all."""
        await self._beside.do(lambda: run(self._folder.remember(ground, image, memory)))

    async def doubt(self, ground: str, certificate: str, now: datetime) -> None:
        """See `ports.VerdictStore.doubt`: the disk is waited for, however long it takes."""
        await to_thread.run_sync(lambda: run(self._folder.doubt(ground, certificate, now)))
