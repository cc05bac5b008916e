"""Notices that a folder with a configuration has changed, without reading what is in it.

By what the kernel knows of each file: whoever changes one changes that.  A mounted ConfigMap is changed by one symbolic
link, `..data`; other folders file by file, so whoever looks waits until two looks are alike.
"""

import os

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
    return (path, *map(str, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)))
