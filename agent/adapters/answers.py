"""Answers that were given, for the fast path to give again (`agent.fastpath`).

::

    var/cache/nodeseal/answers/<number of the key>

A file holds the whole key (containerd's words, and all of the node's state that an answer depends on), the time from
which and until which it counts, exit code and line, and the spool's line but for its time.  The fast path reads it
without anything of ours, so the form is said twice; a test holds the two together.

Nothing here ever fails: what can't be written is not given again.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from agent.adapters import files
from agent.codec import strictjson
from agent.model.record import Record

FOLDER = "var/cache/nodeseal/answers"
"""Where they are kept, under the root."""

MAX_ENTRIES = 10_000
"""Most answers kept; the oldest go first."""

DOOR = "answer"
"""What the spool calls the fast path."""

_VERSION = b"nodeseal-answer 1"
_PRIME = 2**127 - 1
_STATE = "var/lib/nodeseal"
_SNAPSHOTS, _SNAPSHOT = "snapshots", "/snapshot.json"
_SETTINGS = (
    "etc/nodeseal/.",
    "etc/nodeseal/bootstrap.json",
    "etc/nodeseal/break-glass.json",
    "var/cache/nodeseal/doubts",
)
_BEGUN = "var/lib/nodeseal/break-glass-begun.json"
_MOST = 16 * 1024
_TIME = "@"


class Given(NamedTuple):
    """An answer as containerd got it: exit code and the line's bytes; `record` is what the spool was told."""

    exit: int
    line: bytes
    record: Record


class AnswerFolder:
    """The answers under one root, for one call of containerd's."""

    def __init__(self, root: str, argv: Sequence[str], stdin: bytes) -> None:
        """The node's state counts as it is now: what is kept later was an answer to this."""
        self._root = root
        self._words = _words(argv, stdin)
        self._key = self._seen()

    def keep(self, given: Given, begin: datetime, until: datetime) -> None:
        """Let `given` be the answer to the same words until a moment; not if the node's state changed meanwhile."""
        if self._key is not None and self._seen() == self._key:
            write(self._root, self._key, given, begin, until)

    def _seen(self) -> bytes | None:
        """The key: what `agent.fastpath.key` makes of the same."""
        found = state(self._root)
        return None if found is None else found + self._words


def state(root: str) -> bytes | None:
    """All of the node's state that an answer depends on; None if there is no configuration to depend on."""

    def stat_of(path: str) -> str:
        try:
            return _stat(os.lstat(os.path.join(root, path)))
        except FileNotFoundError:
            return "-"

    try:
        if files.foreign(os.stat(os.path.join(root, _STATE))):
            return None
        current = os.path.join(root, _STATE, "current")
        generation, program = os.readlink(current), os.readlink("/proc/self/exe")
        snapshot = (f"{_STATE}/{path}" for path in (_SNAPSHOTS, generation, generation + _SNAPSHOT))
        found = [_stat(os.lstat(current)), *map(stat_of, (_BEGUN, *snapshot, *_SETTINGS))]
        libraries = stat_of(f"{os.path.dirname(program)}/_internal")
        parts = [program, _stat(os.stat(program)), libraries, os.uname().nodename, generation, *found]
    except OSError:
        return None
    return os.fsencode("\0".join(parts))


def write(root: str, key: bytes, given: Given, begin: datetime, until: datetime) -> None:
    """Let `given` be the answer that is found by `key` from a moment until another."""
    if until <= begin:
        return
    parts = (
        key,
        repr(begin.timestamp()).encode(),
        repr(until.timestamp()).encode(),
        b"%d" % given.exit,
        given.line,
        *around_time(given.record._replace(door=DOOR)),
    )
    body = b" ".join(b"%d" % len(part) for part in parts) + b"\n" + b"".join(parts)
    content = _VERSION + b" " + number(body).encode() + b"\n" + body
    if len(content) > _MOST:
        return
    folder = os.path.join(root, FOLDER)
    try:
        files.make_private_folder(folder)
        files.replace(f"{folder}/{number(key)}", content, sync=False)
        if files.is_time_to_sweep(MAX_ENTRIES):
            files.keep_newest(folder, MAX_ENTRIES)
    except OSError:
        return


def around_time(record: Record) -> tuple[bytes, bytes]:
    """The spool's line, before and behind its time: whoever gives the answer puts his own there."""
    before, _, after = strictjson.canonical(record._replace(time=_TIME)._asdict()).partition(
        b'"time":"' + _TIME.encode() + b'"'
    )
    return before + b'"time":"', b'"' + after + b"\n"


def number(content: bytes) -> str:
    """What a file with an answer is called, and what shows that it is whole.  Not a hash: keys are compared whole."""
    return f"{int.from_bytes(content + b'.', 'little') % _PRIME:032x}"


def clear(root: str) -> int:
    """Let no answer be given again; how many there were.  Raises `OSError`."""
    folder = os.path.join(root, FOLDER)
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return 0
    for name in names:
        files.remove_tree(f"{folder}/{name}")
    return len(names)


def _words(argv: Sequence[str], stdin: bytes) -> bytes:
    return b"\0".join([str(len(argv)).encode(), *map(os.fsencode, argv[1:]), stdin])


def _stat(found: os.stat_result) -> str:
    return f"{found.st_dev},{found.st_ino},{found.st_size},{found.st_ctime_ns},{found.st_uid},{found.st_mode}"
