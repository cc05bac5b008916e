"""Tells, in the daemon's log and counters, what every child answered: the spool, folded line by line.

What break-glass let in is handed on, to be verified afterwards.
"""

from collections.abc import Callable

import anyio
from anyio import to_thread

from agent.adapters.folding import Folded, SpoolReader
from agent.adapters.queued_log import QueuedLog
from agent.adapters.telemetry import Log
from agent.model.answer import Ground
from agent.model.counters import Counters

INTERVAL = 1.0
"""Seconds between two looks at the spool."""


class Telling:
    """Folds the spool under `root`; `let_in` is given each image that break-glass let in."""

    def __init__(self, root: str, log: Log | QueuedLog, let_in: Callable[[str], object]) -> None:
        """Nothing is read yet."""
        self.counters = Counters()
        self._reader = SpoolReader(root)
        self._log = log
        self._let_in = let_in

    async def run(self) -> None:
        """Fold until cancelled."""
        while True:
            more = await self.fold()
            await anyio.sleep(0 if more else INTERVAL)

    async def fold(self) -> bool:
        """Deal with what was told since the last time; whether there is more.

        Files of a disk that may hang are read in a thread: pulls go on meanwhile.
        """
        batch = await to_thread.run_sync(self._reader.new)
        self._tell(batch)
        await to_thread.run_sync(self._reader.done)
        return batch.more

    def _tell(self, batch: Folded) -> None:
        for record in batch.records:
            self.counters.add(record)
            self._log.answer(record)
            if record.ground == Ground.BREAK_GLASS.value:
                self._let_in(record.image)
        if batch.gaps:
            self.counters.gap(batch.gaps)
            self._log.warning("spool lines unreadable", lines=batch.gaps)
        if batch.lost is not None:
            self.counters.lose()
            self._log.warning("spool lines missing", since=batch.lost.since, until=batch.lost.until)
        for problem in batch.problems:
            self._log.error("spool unusable", problem=problem)
