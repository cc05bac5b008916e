"""The spool: what every answer said, one line each, for whoever counts.

::

    var/log/nodeseal/spool.jsonl      one JSON object per line, each one write
    var/log/nodeseal/spool.1.jsonl    the lines before these
    var/log/nodeseal/folded.json      up to where they were told already (`agent.adapters.folding`)

Many processes append at once.  Nothing here fails on a pull: what can't be written is not told.  A line that is torn,
or none of ours, is a gap that is counted when the spool is read.

The folder is opened first, and everything in it through that: who may rename things above it chooses nothing.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timezone
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

LARGEST = 2 * MAX_SIZE
"""Nothing is added to a file of that size: no new one could be begun, and the node's disk is not ours to fill."""

CURRENT, BEFORE = "spool.jsonl", "spool.1.jsonl"
"""The files, in the folder: `CURRENT` becomes `BEFORE` when it is turned."""

TRIES = 3
"""How often whoever reads both files begins again, because one was turned in between."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Told(NamedTuple):
    """What the spool holds, oldest first, and how many of its lines can't be read.

    `begins` is the time of the oldest record, if there were others before it that are gone; empty otherwise.
    `problems` say which file can't be read, and why.
    """

    records: tuple[Record, ...] = ()
    gaps: int = 0
    begins: str = ""
    problems: tuple[str, ...] = ()


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
            with opened(self._folder, make=True) as folder, _to_append(folder) as descriptor:
                size = os.fstat(descriptor).st_size
                if len(line) <= MAX_LINE and size <= LARGEST:
                    # What was torn before (a full disk, a power cut) must not tear this line too.
                    torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
                    os.write(descriptor, b"\n" + line if torn else line)
                if os.fstat(descriptor).st_size > MAX_SIZE:
                    _turn(descriptor, folder)
        except OSError:
            return

    def read(self) -> Told:
        """Everything that is still there."""
        try:
            with opened(self._folder) as folder:
                for _ in range(TRIES):
                    before = _number(folder)
                    told = self._read(folder)
                    if _number(folder) == before:
                        break  # otherwise a file was turned in between: what was in the current one was not read
                return told
        except FileNotFoundError:
            return Told()
        except OSError as error:
            return Told(problems=(unreadable_folder(self._folder, error),))

    def _read(self, folder: int) -> Told:
        records: list[Record] = []
        problems: list[str] = []
        gaps, turned = 0, False
        for name in (BEFORE, CURRENT):
            try:
                content = files.read_own(name, LARGEST + MAX_LINE, folder=folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                problems.append(unreadable(self._folder, name, error))
                continue
            turned = turned or name == BEFORE
            for line in content.split(b"\n"):
                record = record_of(line) if line else None
                if record is not None:
                    records.append(record)
                elif line:
                    gaps += 1
        return Told(tuple(records), gaps, records[0].time if turned and records else "", tuple(problems))


@contextmanager
def opened(path: str, *, make: bool = False) -> Iterator[int]:
    """The spool's folder; `make` makes it if it is missing.  Raises `OSError`, also if it is not ours alone."""
    try:
        descriptor = os.open(path, _FOLDER)
    except FileNotFoundError:
        if not make:
            raise
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        files.make_private_folder(path)
        descriptor = os.open(path, _FOLDER)
    try:
        complaint = files.foreign(os.fstat(descriptor))
        if complaint:
            raise PermissionError(f"a folder that {complaint}")
        yield descriptor
    finally:
        os.close(descriptor)


def unreadable_folder(path: str, error: OSError) -> str:
    """What to say of the spool's folder that `opened` refused."""
    return f"{path}: got {error.strerror or error}; expected the spool's folder"


def unreadable(folder: str, name: str, error: OSError) -> str:
    """What to say of a file of it that can't be read."""
    if error.strerror is None:
        return f"{folder}/{error}"  # `files` refused it and says why
    return f"{folder}/{name}: got {error.strerror}; expected lines of the spool"


@contextmanager
def _to_append(folder: int) -> Iterator[int]:
    """The current file.  Raises `OSError`."""
    descriptor = os.open(CURRENT, _APPEND, files.PRIVATE_FILE, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        if files.foreign(found) or not stat.S_ISREG(found.st_mode):
            raise PermissionError(CURRENT)
        yield descriptor
    finally:
        os.close(descriptor)


def _number(folder: int) -> int:
    """Which file holds the lines before the current one's; 0 if none does."""
    try:
        return os.stat(BEFORE, dir_fd=folder, follow_symlinks=False).st_ino
    except OSError:
        return 0


def _turn(descriptor: int, folder: int) -> None:
    """Begin a new file.  Whoever holds the lock does it, once: the others see that the name is another file's."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if os.path.samestat(os.fstat(descriptor), os.stat(CURRENT, dir_fd=folder, follow_symlinks=False)):
        os.rename(CURRENT, BEFORE, src_dir_fd=folder, dst_dir_fd=folder)


def record_of(line: bytes) -> Record | None:
    """The record that a line is, None if it is none."""
    try:
        value = strictjson.decode(line, "spool", limit=MAX_LINE)
        record = Record(**value)  # type: ignore[arg-type]
        kinds = all(isinstance(field, kind) for field, kind in zip(record, _KINDS, strict=True))
        if not kinds or record.at.tzinfo is None:
            return None
        record.at.astimezone(timezone.utc)  # what is out of its range could not be shown
        return record
    except (Malformed, TypeError, ValueError, OverflowError):
        return None


_KINDS = (str, str, str, str, int, str, str, int, str, int | None, str, str)
"""Of what kind a record's fields are, in their order."""
