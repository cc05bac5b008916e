"""The log of a process that lives long: one line for each event, as JSON or for people.

The only place that knows structlog, which brings asyncio: never imported behind containerd's door.  Nothing is
configured for the whole process: each log has its own chain, its stream and its clock.

What comes from outside (names of images, of rules, messages) is printable and of bounded length: an event is one line,
whatever is in it, and nothing in it moves a terminal.  A log stops nobody: who reads it may be gone, or slow, or the
disk full.  What can't be written is counted, and the count is the first line that can be written again.  Only a
terminal that a person stopped is waited for.
"""

import io
import math
import os
import select
import threading
import time
from collections.abc import Callable, MutableMapping
from datetime import datetime, timezone
from enum import Enum
from typing import Any, TextIO

import structlog

from agent.errors import Exit
from agent.model.answer import Ground, printable, shortened
from agent.model.counters import decision
from agent.model.record import Record

FORMS = ("json", "console")
"""`json` for programs, `console` for people."""

MAX_TEXT = 600
"""Most characters of a value: as much as a record has."""

MAX_FIELDS = 32
"""Most fields of an event, and most members of a list."""

PATIENCE = 0.1
"""Seconds for which a line waits for who reads; after one that waited in vain none does, until one gets through."""

_AT_ONCE = select.PIPE_BUF  # a pipe that says it takes something takes as much without waiting
_LARGEST = 2**63  # larger integers are no numbers to many readers of JSON
_MATTER_OF_COURSE = frozenset(
    each.value for each in (Ground.VERIFIED, Ground.EXEMPT, Ground.ALLOWED_BY_DIGEST, Ground.DISABLED)
)
_RESERVED = frozenset({"timestamp", "level", "event", "exc_info", "exception", "stack", "logger", "logger_name"})


class Log:
    """What happens, told line by line.  Never raises for what its stream does; threads may share it."""

    def __init__(self, stream: TextIO, form: str, now: Callable[[], datetime]) -> None:
        """See `open_log`."""
        self.dropped = 0
        self._unsaid = 0
        self._lock = threading.Lock()
        console = structlog.dev.ConsoleRenderer(colors=False, repr_native_str=True)
        renderer = structlog.processors.JSONRenderer() if form == "json" else console
        self._chain = _Chain(_Lines(stream), [_safe, structlog.processors.add_log_level, _Head(now), renderer], {})

    def info(self, event: str, **fields: object) -> None:
        """Tell of something that is as it should be."""
        self._say("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Tell of something that somebody should know."""
        self._say("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Tell of something that somebody has to do something about."""
        self._say("error", event, fields)

    def answer(self, record: Record) -> None:
        """Tell of one answer; `at` is when it was given."""
        fields = {name: value for name, value in record._asdict().items() if value not in ("", None)}
        at = fields.pop("time", "")
        self._say(level_of(record), "answer", {"at": at, "decision": decision(record), **fields})

    def _say(self, level: str, event: str, fields: dict[str, object]) -> None:
        with self._lock:
            said = not self._unsaid or self._chain.say("warning", "linesDropped", {"lines": self._unsaid})
            if said:
                self._unsaid = 0
                said = self._chain.say(level, event, fields)
            if not said:
                self.dropped += 1
                self._unsaid += 1


def open_log(stream: TextIO, form: str, *, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> Log:
    """A log on `stream`, in one of `FORMS`.  `now` is the present, with time zone UTC.

    If the stream is a file of the system's it is written to past its buffer, which would keep a torn line and tell it
    later.
    """
    return Log(stream, form, now)


def level_of(record: Record) -> str:
    """`info` for what passed as a matter of course, `error` for a bug of ours, `warning` for all else."""
    if record.exit == Exit.ALLOW and record.ground in _MATTER_OF_COURSE:
        return "info"
    return "error" if record.exit == Exit.BUG else "warning"


class _Chain(structlog.BoundLoggerBase):
    """structlog's chain of processors, with a stream at its end that says whether it took the line."""

    def say(self, level: str, event: str, fields: dict[str, object]) -> bool:
        arguments, _ = self._process_event(level, event, fields)
        return bool(self._logger.write(*arguments))


class _Head:
    """Puts time, level and event in front."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        time_of_it = self._now().isoformat(timespec="milliseconds")
        return {"timestamp": time_of_it, "level": event.pop("level"), "event": event.pop("event"), **event}


def _safe(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make every value printable and bounded."""
    safe: dict[str, Any] = {"event": _text(event.pop("event"))}
    for name, value in list(event.items())[:MAX_FIELDS]:
        safe[f"{name}_" if name in _RESERVED else _text(name)] = _value(value)
    return safe


def _value(value: object) -> object:
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_scalar(each) for each in list(value)[:MAX_FIELDS]]
    return _scalar(value)


def _scalar(value: object) -> object:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < _LARGEST:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return _text(value)


def _text(value: object) -> str:
    return shortened(printable(str(value)[: MAX_TEXT + 1]), MAX_TEXT)


class _Lines:
    """A stream that takes lines; one that it took only a part of tears no other."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._patience = PATIENCE
        self._torn = False
        self._has_file = True
        try:
            stream.flush()
            stream.fileno()
        except io.UnsupportedOperation:
            self._has_file = False
        except (OSError, ValueError):
            return  # closed, or as good as: each line will say so

    def write(self, line: str) -> bool:
        """Whether it was taken."""
        try:
            if self._has_file:
                taken = self._put(f"{line}\n".encode("ascii", "backslashreplace"))
            else:
                self._stream.write(f"{line}\n")
                taken = True
        except (OSError, ValueError):  # ValueError: it was closed
            taken = False
        self._patience = PATIENCE if taken else 0.0
        return taken

    def _put(self, content: bytes) -> bool:
        """Raises `OSError`, `ValueError`."""
        descriptor = self._stream.fileno()  # asked each time: a closed number may be another file's by now
        rest = memoryview(b"\n" + content if self._torn else content)
        whole, deadline = len(rest), time.monotonic() + self._patience
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        try:
            while rest and poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                rest = rest[os.write(descriptor, rest[:_AT_ONCE]) :]
        finally:
            self._torn = bool(rest) if len(rest) < whole else self._torn
        return not rest
