"""Why what was remembered was not believed, counted over all processes of a node.

::

    var/cache/nodeseal/misses       one line each: store and reason
    var/cache/nodeseal/misses.1     the lines before these

What is simply not there is no miss of this kind.  Imported where there is one; nothing here fails, and what can't be
counted is not counted.
"""

import fcntl
import os
import stat
from collections import Counter

from agent.adapters import files
from agent.adapters.entries import FUTURE, VERSION

FOLDER = "var/cache/nodeseal/."
"""Where they are, under the root; the folder may be a link to another disk's."""

CURRENT, BEFORE = "misses", "misses.1"

REASONS = (files.CORRUPT, files.FOREIGN, files.SYMLINK, FUTURE, VERSION)
"""Torn, spoilt or of another kind; others could have written it; a link; dated ahead of now; of another version."""

MAX_SIZE = 64 * 1024
"""Bytes after which a new file is begun; two are kept."""

_MAX_WORD = 20
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def note(root: str, store: str, reason: str) -> None:
    """Count a miss.  `store` is its name, one word."""
    try:
        with files.own_folder(os.path.join(root, FOLDER)) as folder:
            descriptor = os.open(CURRENT, _APPEND, files.PRIVATE_FILE, dir_fd=folder)
            try:
                found = os.fstat(descriptor)
                if files.foreign(found) or not stat.S_ISREG(found.st_mode):
                    return
                if found.st_size >= MAX_SIZE:
                    _turn(descriptor, found, folder)
                os.write(descriptor, f"{store} {reason}\n".encode("ascii"))
            finally:
                os.close(descriptor)
    except OSError:
        return


def _turn(descriptor: int, found: os.stat_result, folder: int) -> None:
    """Begin a new file, unless somebody else does or just did.  Raises `OSError`.

    Whoever holds the full file's lock looks and renames: between the two nobody else begins one.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if os.path.samestat(found, os.stat(CURRENT, dir_fd=folder, follow_symlinks=False)):
        os.rename(CURRENT, BEFORE, src_dir_fd=folder, dst_dir_fd=folder)


def counted(root: str) -> dict[str, dict[str, int]]:
    """How many misses there were, by store and reason, as far back as the lines go.  Raises `OSError`."""
    found: Counter[tuple[str, str]] = Counter()
    try:
        with files.own_folder(os.path.join(root, FOLDER)) as folder:
            for name in (BEFORE, CURRENT):
                try:
                    content = files.read_own(name, 2 * MAX_SIZE, folder=folder)
                except FileNotFoundError:
                    continue
                found.update(_misses(content))
    except FileNotFoundError:
        return {}
    counts: dict[str, dict[str, int]] = {}
    for (store, reason), number in sorted(found.items()):
        counts.setdefault(store, {})[reason] = number
    return counts


def clear(root: str) -> int:
    """Begin to count anew; how many files that were.  Raises `OSError`."""
    removed = 0
    for name in (BEFORE, CURRENT):
        try:
            os.unlink(os.path.join(root, FOLDER, name))
            removed += 1
        except FileNotFoundError:
            continue
    return removed


def _misses(content: bytes) -> list[tuple[str, str]]:
    """Each line that is one of ours; a torn one is none."""
    found = []
    for line in content.split(b"\n"):
        store, _, reason = line.decode("ascii", "replace").partition(" ")
        if reason in REASONS and store.isascii() and store.isalpha() and len(store) <= _MAX_WORD:
            found.append((store, reason))
    return found
