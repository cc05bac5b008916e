"""The log of a process with an event loop: lines are written by a thread, so that nobody waits for who reads them.

What there is no room for is dropped and counted, as what can't be written is (`agent.adapters.telemetry`).
"""

import queue
import threading
from collections.abc import Callable

from agent.adapters.telemetry import Log
from agent.model.record import Record

MOST_WAITING = 4096
"""Lines that wait to be written."""

ENDING = 2.0
"""Seconds that the end of the process waits for the last lines."""


class QueuedLog:
    """`ports.Log` before another one, and its `answer`."""

    def __init__(self, log: Log) -> None:
        """Begin."""
        self._log = log
        self._lines: queue.Queue[Callable[[], None] | None] = queue.Queue(MOST_WAITING)
        self._overflow = self._unsaid = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that nobody will read."""
        return self._log.dropped + self._overflow

    def info(self, event: str, **fields: object) -> None:
        """See `ports.Log.info`."""
        self._put(lambda: self._log.info(event, **fields))

    def warning(self, event: str, **fields: object) -> None:
        """See `ports.Log.warning`."""
        self._put(lambda: self._log.warning(event, **fields))

    def error(self, event: str, **fields: object) -> None:
        """See `ports.Log.error`."""
        self._put(lambda: self._log.error(event, **fields))

    def answer(self, record: Record) -> None:
        """See `telemetry.Log.answer`."""
        self._put(lambda: self._log.answer(record))

    def close(self) -> None:
        """Write what waits, if that can be done soon; nothing is told any more."""
        try:
            self._lines.put(None, timeout=ENDING)
        except queue.Full:
            return
        self._thread.join(ENDING)

    def _put(self, line: Callable[[], None]) -> None:
        lost = self._unsaid
        try:
            if lost:
                self._lines.put_nowait(lambda: self._log.warning("linesDropped", lines=lost))
                self._unsaid = 0
            self._lines.put_nowait(line)
        except queue.Full:
            self._overflow += 1
            self._unsaid += 1

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            line()
