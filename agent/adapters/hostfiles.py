"""Writes below a host's root: atomically, down to the disk, and never through a link that leads out of it.

Every path is resolved step by step by `HostRoot`, and what is written is written relative to the descriptor that it
came to.  A folder that others could write to is refused: containerd runs as root what lies there.

What is unfinished has a name that its path gives (`unfinished`): whoever comes after a killed process finds it, and it
is the only thing that is ever in the way.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import NamedTuple

from agent.adapters import files
from agent.adapters.hostroot import HostRoot
from agent.errors import HostError

_LABEL = "security.selinux"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT = (FileNotFoundError, NotADirectoryError)


class Kind(Enum):
    """What stands at a path, links not followed."""

    NOTHING = "nothing"
    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


class Stands(NamedTuple):
    """What stands at a path; `target` is a link's."""

    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    target: str = ""


NOTHING = Stands(Kind.NOTHING)


class HostFiles(HostRoot):
    """A host's files, to be changed.  Paths are the host's own.  Everything raises `HostError`."""

    def stands(self, path: str) -> Stands:
        """What stands there."""
        folder, name = os.path.split(path)
        try:
            with self.reached(folder or "/") as reached:
                found = os.stat(name, dir_fd=reached.descriptor, follow_symlinks=False)
                target = os.readlink(name, dir_fd=reached.descriptor) if stat.S_ISLNK(found.st_mode) else ""
        except _ABSENT:
            return NOTHING
        except (OSError, ValueError) as error:
            raise _host_error(path, error, "to look at it") from None
        return Stands(_kind(found.st_mode), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, target)

    def real(self, path: str) -> str:
        """A path with all links followed; itself if nothing is there."""
        try:
            with self.reached(path) as reached:
                return reached.path
        except _ABSENT:
            return path
        except (OSError, ValueError) as error:
            raise _host_error(path, error, "to find it") from None

    def read_bounded(self, path: str, limit: int) -> bytes | None:
        """A regular file's first `limit` bytes and one more, None if nothing is there; a link is none."""
        try:
            with self._folder(path, safe=False) as (folder, name):
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
                with open(descriptor, "rb") as file:
                    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                        raise HostError(f"{path}: got something that is no regular file; expected a file")
                    return file.read(limit + 1)
        except _ABSENT:
            return None
        except (OSError, ValueError) as error:
            raise _host_error(path, error, "to read it") from None

    def missing_folders(self, path: str) -> tuple[str, ...]:
        """Which folders have to be made for `path` to be one, the outermost first."""
        missing: list[str] = []
        while path not in ("", "/") and self.stands(path).kind is Kind.NOTHING:
            missing.append(path)
            path = os.path.dirname(path)
        return tuple(reversed(missing))

    def make_folder(self, path: str, mode: int) -> bool:
        """Make one folder in one that is there; whether it was not there already, which is fine."""
        made = False
        try:
            with self._folder(path) as (folder, name):
                with suppress(FileExistsError):
                    os.mkdir(name, mode, dir_fd=folder)
                    made = True
                    os.chmod(name, mode, dir_fd=folder)
                _sync(folder)
        except (OSError, ValueError) as error:
            raise _host_error(path, error, "to make a folder") from None
        if self.stands(path).kind is Kind.LINK:
            path = self.real(path)
        if self.stands(path).kind is not Kind.FOLDER:
            raise HostError(f"{path}: got something that is no folder; expected a folder")
        return made

    def write(self, path: str, content: bytes, mode: int, *, like: Stands | None = None) -> None:
        """Put a file in place of whatever file is there.  `like` gives mode and owner; the label stays.

        A link is not followed: it is replaced.
        """
        try:
            with self._folder(path) as (folder, name):
                temporary = unfinished(name)
                _unlink(temporary, folder)
                label = _label(name, folder) if like else None
                descriptor = os.open(temporary, _NEW, 0o600, dir_fd=folder)
                with open(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    if like:
                        os.fchown(descriptor, like.uid, like.gid)
                    os.fchmod(descriptor, like.mode if like else mode)
                    if label:
                        with suppress(OSError):
                            os.setxattr(descriptor, _LABEL, label)
                    os.fsync(descriptor)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                _sync(folder)
        except (OSError, ValueError) as error:
            raise _host_error(path, error, "to write it") from None

    def link(self, path: str, target: str, *, by_way_of: str = "") -> None:
        """Put a symbolic link in place of whatever link is there, by one rename.

        It is made in the folder `by_way_of`, if there is one, so that nothing else is ever seen where it goes.
        """
        try:
            with (
                self._folder(path) as (folder, name),
                self._folder(f"{by_way_of}/{name}" if by_way_of else path) as (
                    beside,
                    _,
                ),
            ):
                temporary = unfinished(name)
                _unlink(temporary, beside)
                os.symlink(target, temporary, dir_fd=beside)
                try:
                    os.rename(temporary, name, src_dir_fd=beside, dst_dir_fd=folder)
                except OSError as error:
                    _unlink(temporary, beside)
                    if error.errno != errno.EXDEV:
                        raise
                    os.symlink(target, name, dir_fd=folder)  # a file system of its own: made in one step all the same
                _sync(folder)
        except (OSError, ValueError) as error:
            raise _host_error(path, error, "to put a link there") from None

    def rename(self, path: str, to: str) -> None:
        """Give something another name, where nothing is, on the same file system."""
        try:
            with self._folder(path) as (folder, name), self._folder(to) as (other, new):
                os.rename(name, new, src_dir_fd=folder, dst_dir_fd=other)
                _sync(other)
        except (OSError, ValueError) as error:
            raise _host_error(path, error, f"to rename it to {to}") from None

    def remove(self, path: str) -> None:
        """Remove a file or a link, and what a killed process left of it; what is gone is fine."""
        try:
            with self._folder(path, safe=False) as (folder, name):
                _unlink(name, folder)
                _unlink(unfinished(name), folder)
                _sync(folder)
        except _ABSENT:
            return
        except (OSError, ValueError) as error:
            raise _host_error(path, error, "to remove it") from None

    def remove_folder(self, path: str) -> bool:
        """Remove an empty folder; whether it is gone."""
        try:
            with self._folder(path, safe=False) as (folder, name):
                os.rmdir(name, dir_fd=folder)
                _sync(folder)
        except _ABSENT:
            return True
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                return False
            raise _host_error(path, error, "to remove it") from None
        return True

    @contextmanager
    def opened_folder(self, path: str) -> Iterator[str]:
        """A folder as a path that leads to it whatever happens above it meanwhile."""
        try:
            with self.reached(path) as reached:
                if not stat.S_ISDIR(reached.found.st_mode):
                    raise HostError(f"{path}: got no folder; expected a folder")
                _refuse(path, reached.unsafe)
                yield f"/proc/self/fd/{reached.descriptor}"
        except OSError as error:
            raise _host_error(path, error, "to use it") from None

    @contextmanager
    def _folder(self, path: str, *, safe: bool = True) -> Iterator[tuple[int, str]]:
        """The folder of a path, as a descriptor, and the name in it.  Raises `OSError` too."""
        folder, name = os.path.split(path)
        if not name or name in (".", ".."):
            raise HostError(f"{path}: got no name; expected a path of a file")
        with self.reached(folder or "/") as reached:
            if safe:
                _refuse(folder, reached.unsafe)
            yield reached.descriptor, name


def unfinished(name: str) -> str:
    """The name under which something is made before it is renamed; the same each time.

    No pattern of containerd's takes it: that would import what is half written.
    """
    return f"{files.TEMPORARY}nodeseal-{name}.part"


def _refuse(path: str, unsafe: str) -> None:
    if unsafe:
        raise HostError(f"{path}: got a folder that others can change ({unsafe}); expected one of root's alone")


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.FOLDER
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.OTHER


def _unlink(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _sync(folder: int) -> None:
    """Bring a folder's entries down to the disk."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _label(name: str, folder: int) -> bytes | None:
    with suppress(OSError):
        return os.getxattr(f"/proc/self/fd/{folder}/{name}", _LABEL, follow_symlinks=False)
    return None


def _host_error(path: str, error: Exception, expected: str) -> HostError:
    reason = (error.strerror if isinstance(error, OSError) else None) or ascii(str(error))
    hint = "run as root" if isinstance(error, PermissionError) else ""
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        hint = "this file system can't be written to: see docs/install.md for the declarative way"
    return HostError(f"{path}: got {reason}; expected {expected}", hint=hint)
