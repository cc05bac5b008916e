"""Notices that a folder with a configuration has changed, or a host's files, without reading what is in them.

By what the kernel knows of each file: whoever changes one changes that.  A mounted ConfigMap is changed by one symbolic
link, `..data`; other folders file by file, so whoever looks waits until two looks are alike.
"""

import os
from collections.abc import Iterable

from agent.adapters.hostroot import HostRoot

MAX_FILES = 1024
"""Most files that are looked at: a configuration has fewer documents than that."""

Stamp = tuple[tuple[str, ...], ...]
"""What two looks are compared by."""

_LINK = "..data"


def stamp(path: str) -> Stamp:
    """What is at `path` now, a folder or a file; nothing at all is a stamp too."""
    try:
        names = sorted(os.listdir(path))[:MAX_FILES]
    except NotADirectoryError:
        return (_seen(path),)
    except OSError as error:
        return ((type(error).__name__,),)
    return tuple(_seen(f"{path}/{name}") for name in names if name == _LINK or not name.startswith("."))


def _seen(path: str) -> tuple[str, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        return (path, type(error).__name__)
    return _told(path, found)


def _told(path: str, found: os.stat_result) -> tuple[str, ...]:
    return (path, *map(str, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)))


def below(host: HostRoot, paths: Iterable[str]) -> Stamp:
    """What is at each of a host's paths now, its links followed within it."""
    return tuple(_reached(host, path) for path in paths)


def _reached(host: HostRoot, path: str) -> tuple[str, ...]:
    try:
        with host.reached(path) as reached:
            return _told(path, reached.found)
    except (OSError, ValueError) as error:
        return (path, type(error).__name__)
