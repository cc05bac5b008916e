"""Writes events on ConfigMaps, behind whoever tells them: nothing waits for it, and a failure is counted, never more.

What is written, and how often, is decided in `agent.cluster.notices`.  It needs create and patch on events in the
ConfigMap's namespace, and nothing else: nothing is read.
"""

import random as chance
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import NamedTuple

import anyio

from agent.adapters.kube import ApiServer
from agent.cluster.notices import Diary, Notice, again
from agent.cluster.troubles import ApiError, Trouble

MOST_WAITING = 64
"""Events that wait to be written; what comes then is dropped, and counted."""

SPREAD = 5.0
"""Seconds over which nodes write what they all have to say: the first one's is enough."""


class _Task(NamedTuple):
    notice: Notice
    times: int


class Events:
    """The events of one process."""

    def __init__(
        self,
        server: ApiServer,
        node: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        random: Callable[[], float] = chance.random,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """`node` is whose agent says it; the rest is the world's."""
        self._server = server
        self._node = node
        self._clock = clock
        self._now = now
        self._random = random
        self._sleep = sleep
        self._diary = Diary()
        self._tasks: deque[_Task] = deque()
        self._filled = anyio.Event()
        self._overflow = 0
        self.written = 0
        self.shared = 0
        """Events that another node had written already."""
        self.failures: Counter[Trouble] = Counter()

    @property
    def dropped(self) -> int:
        """Events that were too many."""
        return self._diary.dropped + self._overflow

    def tell(self, notice: Notice) -> bool:
        """Have it written, unless it was a while ago or there is too much to say; False for the second."""
        if len(self._tasks) >= MOST_WAITING:
            self._overflow += 1
            return False
        dropped = self._diary.dropped
        count = self._diary.count(notice, self._clock())
        if count:
            self._tasks.append(_Task(notice, count))
            self._filled.set()
        return self._diary.dropped == dropped

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._filled.wait()
            await self._sleep(self._random() * SPREAD)
            self._filled = anyio.Event()
            while self._tasks:
                try:
                    await self._write(self._tasks.popleft())
                except ApiError as error:
                    self.failures[error.trouble] += 1

    async def _write(self, task: _Task) -> None:
        """Raises `ApiError`."""
        notice, name = task.notice, task.notice.event
        if self._diary.is_ours(name):
            try:
                await self._server.change_event(notice.namespace, name, again(task.times, self._now()))
            except ApiError as error:
                if error.trouble is not Trouble.NOT_FOUND:
                    raise
                self._diary.wrote(name, ours=False)  # the API server forgets events after an hour
            else:
                self.written += 1
                return
        try:
            await self._server.create_event(notice.namespace, notice.body(self._node, task.times, self._now()))
        except ApiError as error:
            if error.trouble is not Trouble.CONFLICT:
                raise
            self.shared += 1
        else:
            self._diary.wrote(name, ours=True)
            self.written += 1
