"""The spool: what every answer said, one line each, for whoever counts.

::

    var/log/nodeseal/spool.jsonl      one JSON object per line, each one write
    var/log/nodeseal/spool.1.jsonl    the lines before these

Many processes append at once.  Nothing here fails on a pull: what can't be written is not told.  A line that is torn,
or none of ours, is a gap that is counted when the spool is read.
"""

import fcntl
import os
from typing import NamedTuple

from agent.adapters import files
from agent.codec import strictjson
from agent.errors import Malformed
from agent.model.record import Record

FOLDER = "var/log/nodeseal"
"""Where it is, under the root."""

MAX_LINE = 4096
"""Most bytes of a line: as much as one write puts there whole."""

MAX_SIZE = 4 * 1024 * 1024
"""Bytes after which a new file is begun; two are kept."""

_CURRENT, _BEFORE = "spool.jsonl", "spool.1.jsonl"
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Told(NamedTuple):
    """What the spool holds, oldest first, and how many of its lines can't be read."""

    records: tuple[Record, ...]
    gaps: int


class Spool:
    """The spool under one root."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/log/nodeseal` is under, "/" on a node."""
        self._folder = os.path.join(root, FOLDER)

    def append(self, record: Record) -> None:
        """Tell of one answer."""
        line = strictjson.canonical(record._asdict()) + b"\n"
        if len(line) > MAX_LINE:
            line = strictjson.canonical(record._replace(message="", name="")._asdict()) + b"\n"
        try:
            descriptor = self._opened()
            try:
                if len(line) <= MAX_LINE:
                    os.write(descriptor, line)
                if os.fstat(descriptor).st_size > MAX_SIZE:
                    self._turn(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            return

    def read(self) -> Told:
        """Everything that is still there."""
        records: list[Record] = []
        gaps = 0
        for name in (_BEFORE, _CURRENT):
            try:
                content = files.read_own(f"{self._folder}/{name}", 2 * MAX_SIZE)
            except OSError:
                continue
            for line in content.splitlines():
                record = _record(line)
                if record is None:
                    gaps += 1
                else:
                    records.append(record)
        return Told(tuple(records), gaps)

    def _opened(self) -> int:
        """Raises `OSError`."""
        path = f"{self._folder}/{_CURRENT}"
        try:
            descriptor = os.open(path, _APPEND, files.PRIVATE_FILE)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._folder), 0o755, exist_ok=True)
            files.make_private_folder(self._folder)
            descriptor = os.open(path, _APPEND, files.PRIVATE_FILE)
        if files.foreign(os.fstat(descriptor)):
            os.close(descriptor)
            raise PermissionError(path)
        return descriptor

    def _turn(self, descriptor: int) -> None:
        """Begin a new file.  Whoever holds the lock does it, once: the others see that the name is another file's."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path = f"{self._folder}/{_CURRENT}"
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            os.rename(path, f"{self._folder}/{_BEFORE}")


def _record(line: bytes) -> Record | None:
    try:
        value = strictjson.decode(line, "spool", limit=MAX_LINE)
        record = Record(**value)  # type: ignore[arg-type]
    except (Malformed, TypeError):
        return None
    kinds = all(
        isinstance(field, type(usual)) for field, usual in zip(record, _USUAL, strict=True) if usual is not None
    )
    return record if kinds and isinstance(record.would, int | None) else None


_USUAL = Record("", "", "", "", 0, "", "", 0, "", None, "")
