"""Files of a host that is mounted somewhere: symbolic links count within its root, and never lead out of it.

Each step of a path is opened by itself, below the one before, and no link is followed by the kernel: what is checked
is what is read, whoever changes it meanwhile.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from agent.adapters import files
from agent.errors import HostError
from agent.wiring import tables
from agent.wiring.bindir import Entry, Folder, Kind
from agent.wiring.loading import matches

MAX_ENTRIES = 1000
"""Most entries of a folder that are looked at."""

_MAX_LINKS = 40
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT = (FileNotFoundError, NotADirectoryError)


class Reached(NamedTuple):
    """What a path leads to: a descriptor of it (`O_PATH`), its path within the root, and who could have changed it.

    `unsafe` is about everything on the way, links included; empty if only root or this user could.
    """

    descriptor: int
    path: str
    found: os.stat_result
    unsafe: str


class HostRoot:
    """A host's files.  Paths are the host's own, and absolute.  It is a `loading.Source`."""

    def __init__(self, root: str = "/") -> None:
        """`root` is where the host is mounted."""
        self.root = root

    @contextmanager
    def reached(self, path: str) -> Iterator[Reached]:
        """What a path leads to within the root.  Raises `OSError`."""
        stack = [(os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), "")]
        try:
            yield self._walk(stack, path)
        finally:
            for descriptor, _ in stack:
                os.close(descriptor)

    def _walk(self, stack: list[tuple[int, str]], path: str) -> Reached:
        parts, links, unsafe = deque(path.split("/")), 0, ""
        found = os.fstat(stack[0][0])
        unsafe = _open_to_others("/", found, sticky_is_safe=True)
        while parts:
            part = parts.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                if len(stack) > 1:
                    os.close(stack.pop()[0])
                continue
            parent = os.fstat(stack[-1][0])
            descriptor = os.open(part, _STEP, dir_fd=stack[-1][0])
            here = f"{stack[-1][1]}/{part}"
            found = os.fstat(descriptor)
            if stat.S_ISLNK(found.st_mode):
                try:
                    target = os.readlink("", dir_fd=descriptor)
                finally:
                    os.close(descriptor)
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                if parent.st_mode & stat.S_ISVTX and found.st_uid not in (0, os.geteuid()):
                    unsafe = unsafe or f"{here} belongs to uid {found.st_uid}"
                if target.startswith("/"):
                    while len(stack) > 1:
                        os.close(stack.pop()[0])
                parts.extendleft(reversed(target.split("/")))
                continue
            stack.append((descriptor, here))
            unsafe = unsafe or _open_to_others(here, found, sticky_is_safe=bool(parts))
        descriptor, here = stack[-1]
        return Reached(descriptor, here or "/", os.fstat(descriptor), unsafe)

    def read(self, path: str) -> bytes | None:
        """See `loading.Source.read`.  Raises `HostError` for what is there and can't be read."""
        try:
            with self.reached(path) as reached:
                if not stat.S_ISREG(reached.found.st_mode):
                    raise HostError(f"{path}: got something that is no regular file; expected a file")
                with open(f"/proc/self/fd/{reached.descriptor}", "rb") as file:
                    return file.read(tables.MAX_SIZE + 1)
        except _ABSENT:
            return None
        except (OSError, ValueError) as error:
            raise HostError(f"{path}: got {_reason(error)}; expected to read it") from None

    def glob(self, pattern: str) -> Sequence[str]:
        """See `loading.Source.glob`."""
        found = [""]
        for part in pattern.strip("/").split("/"):
            if any(c in part for c in "*?["):
                found = [f"{folder}/{name}" for folder in found for name in self.names(folder or "/", part)]
            else:
                found = [f"{folder}/{part}" for folder in found]
            found = found[:MAX_ENTRIES]
        return sorted(path for path in found if self.exists(path))

    def names(self, path: str, pattern: str = "*") -> list[str]:
        """The names in a folder that match, in order; none if it is no folder.  Raises `HostError`."""
        try:
            with self.reached(path) as reached:
                listed = os.listdir(f"/proc/self/fd/{reached.descriptor}")
        except _ABSENT:
            return []
        except (OSError, ValueError) as error:
            raise HostError(f"{path}: got {_reason(error)}; expected to list it") from None
        return sorted((name for name in listed if matches(pattern, name)), key=os.fsencode)[:MAX_ENTRIES]

    def exists(self, path: str) -> bool:
        """Whether a path leads to something."""
        with suppress(OSError, ValueError), self.reached(path):
            return True
        return False

    def folder(self, path: str) -> Folder:
        """The verifier folder and what lies in it.  Raises `HostError`."""
        try:
            with self.reached(path) as reached:
                if not stat.S_ISDIR(reached.found.st_mode):
                    return Folder(path, _kind(reached.found))
                unsafe = reached.unsafe
        except _ABSENT:
            return Folder(path, Kind.NOTHING)
        except (OSError, ValueError) as error:
            raise HostError(f"{path}: got {_reason(error)}; expected containerd's verifier folder") from None
        names = self.names(path)
        return Folder(path, Kind.FOLDER, tuple(self._entry(path, name) for name in names), unsafe=unsafe)

    def _entry(self, folder: str, name: str) -> Entry:
        path = f"{folder.rstrip('/')}/{name}"
        link = self._is_link(folder, name)
        try:
            with self.reached(path) as reached:
                mode = reached.found.st_mode
                executable = bool(mode & 0o111)
                return Entry(name, _kind(reached.found), reached.path, link, executable, reached.unsafe)
        except (OSError, ValueError):
            return Entry(name, Kind.NOTHING, self._target(folder, name) or path, link)

    def _is_link(self, folder: str, name: str) -> bool:
        return self._target(folder, name) != ""

    def _target(self, folder: str, name: str) -> str:
        """What a link says, empty for what is none."""
        with suppress(OSError, ValueError), self.reached(folder) as reached:
            return os.readlink(name, dir_fd=reached.descriptor)
        return ""


def _kind(found: os.stat_result) -> Kind:
    if stat.S_ISREG(found.st_mode):
        return Kind.FILE
    return Kind.FOLDER if stat.S_ISDIR(found.st_mode) else Kind.OTHER


def _open_to_others(path: str, found: os.stat_result, *, sticky_is_safe: bool) -> str:
    """Where the sticky bit is set, nobody can replace what is somebody else's on the way."""
    if sticky_is_safe and found.st_uid == 0 and found.st_mode & stat.S_ISVTX:
        return ""
    complaint = files.foreign(found)
    return f"{path} {complaint}" if complaint else ""


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or ascii(str(error))
