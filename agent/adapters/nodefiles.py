"""What lies in this program's folders on a node, by name, and the end of its logs; nothing is followed or changed.

For people who look for what is wrong: who may read and write what, how large it is, since when.  Contents are read of
logs alone.  Bounded: entries of one folder, entries in all, depth, bytes.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from itertools import islice

from agent.adapters import files
from agent.errors import HostError

FOLDERS = ("opt/nodeseal", "etc/nodeseal", "var/lib/nodeseal", "var/cache/nodeseal", "var/log/nodeseal", "run/nodeseal")
"""This program's folders, below the root."""

LOGS = "var/log/nodeseal"

_MOST = 10_000
_MOST_OF_A_FOLDER = 1_000
_DEEPEST = 8
_TAIL = 256 * 1024


def listing(root: str) -> list[str]:
    """A line for each entry: mode, owner, size, time, path, where a link leads to."""
    found = list(islice((line for folder in FOLDERS for line in _below(root, folder, 0)), _MOST + 1))
    return [*found[:_MOST], *([f"(more than {_MOST} entries; the rest is left out)"] if len(found) > _MOST else [])]


def _below(root: str, path: str, depth: int) -> Iterator[str]:
    full = os.path.join(root, path)
    try:
        seen = os.lstat(full)
        yield _line(full, path, seen)
        if not stat.S_ISDIR(seen.st_mode):
            return
        if depth >= _DEEPEST:
            yield f"  {path}/: (what is below is left out)"
            return
        with os.scandir(full) as entries:
            names = [entry.name for entry in islice(entries, _MOST_OF_A_FOLDER + 1)]
    except OSError as error:
        yield f"  {path}: {error.strerror}"
        return
    for name in sorted(names[:_MOST_OF_A_FOLDER]):
        yield from _below(root, f"{path}/{name}", depth + 1)
    if len(names) > _MOST_OF_A_FOLDER:
        yield f"  {path}/: (more than {_MOST_OF_A_FOLDER} entries; the rest is left out)"


def _line(full: str, path: str, seen: os.stat_result) -> str:
    target = ""
    if stat.S_ISLNK(seen.st_mode):
        with suppress(OSError):
            target = f" -> {os.readlink(full)}"
    when = datetime.fromtimestamp(seen.st_mtime, timezone.utc)
    owner = f"{seen.st_uid}:{seen.st_gid}"
    return f"{stat.filemode(seen.st_mode)} {owner:>11} {seen.st_size:>10} {when:%Y-%m-%dT%H:%M:%SZ} {path}{target}"


def log_tails(root: str) -> list[str]:
    """The last lines of each log file, a quarter of a MiB at most; none if no log is kept in files.

    Raises `HostError` if the folder can't be read, or others could have written it.
    """
    folder, lines = os.path.join(root, LOGS), []
    try:
        with files.own_folder(folder) as descriptor:
            for name in sorted(each for each in os.listdir(folder) if each.endswith(".log")):
                lines += [f"== {name}", *_tail(name, descriptor)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HostError(f"{folder}: {error}") from error
    return lines


def _tail(name: str, folder: int) -> list[str]:
    try:
        with open(files.open_own(name, folder), "rb") as file:
            begin = max(0, file.seek(0, os.SEEK_END) - _TAIL)
            file.seek(begin)
            content = file.read(_TAIL)
    except OSError as error:
        return [f"({error})"]
    lines = content.decode("utf-8", "replace").splitlines()
    return lines[1:] if begin else lines
