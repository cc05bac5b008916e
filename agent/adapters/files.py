"""Files that are there whole or not at all, and folders that are ours alone.

Everything is in place on disk (fsync) before it is visible (rename): killed at any moment, or after a power cut, the
old or the new stands there, never a part.  Raises `OSError`; the adapter that knows what the file is translates it.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
LEFT_AFTER = 3600.0
"""Seconds after which an unfinished file is one that a killed process left."""

_LOCK_RETRY = 0.05
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SWEEPS = 40  # while a cache of many entries fills up; few of them pass its limit in between


def write_new(
    path: str, content: bytes, mode: int = PRIVATE_FILE, *, sync: bool = True, folder: int | None = None
) -> None:
    """Write a file that must not exist yet, down to the disk.  Its folder's entry is not, see `sync_folder`.

    `folder` is that folder's descriptor; `path` is then a name in it.
    """
    descriptor = os.open(path, _NEW, mode, dir_fd=folder)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: str, content: bytes, mode: int = PRIVATE_FILE, *, sync: bool = True) -> None:
    """Write a file in place of whatever file is there, atomically.

    Without `sync` it doesn't wait for the disk: for what may be missing or torn after a power cut.
    """
    temporary = temporary_name(path)
    try:
        write_new(temporary, content, mode, sync=sync)
        os.rename(temporary, path)
    except BaseException:
        _unlink_if_there(temporary)
        raise
    if sync:
        sync_folder(os.path.dirname(path))


def replace_in(folder: int, name: str, content: bytes) -> None:
    """`replace` for a name in a folder that was opened and checked; it doesn't wait for the disk."""
    temporary = temporary_name(name)
    try:
        write_new(temporary, content, sync=False, folder=folder)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _unlink_if_there(temporary, folder)
        raise


def replace_symlink(path: str, target: str) -> None:
    """Point the symbolic link `path` to `target`, atomically."""
    temporary = temporary_name(path)
    try:
        os.symlink(target, temporary)
        os.rename(temporary, path)
    except BaseException:
        _unlink_if_there(temporary)
        raise
    sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
    """Bring a folder's entries down to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(path: str) -> None:
    """Make sure that `path` is a folder which nobody else can write to.

    Missing folders are made, this one with mode 0700, those above it 0755.  Raises `PermissionError` for a folder that
    belongs to someone else or is writable by others; `OSError` for anything that is no folder.
    """
    try:
        os.mkdir(path, PRIVATE_FOLDER)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        with suppress(FileExistsError):  # another process was faster
            os.mkdir(path, PRIVATE_FOLDER)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path}: got no folder; expected a folder")
    complaint = foreign(found)
    if complaint:
        raise PermissionError(f"{path}: got a folder that {complaint}; expected one that root or this user owns alone")


class Untrusted(PermissionError):
    """What is there is nobody's whom we believe.  `reason` is one of `FOREIGN`, `SYMLINK` and `CORRUPT`."""

    def __init__(self, message: str, reason: str) -> None:
        """Keep the reason."""
        super().__init__(message)
        self.reason = reason


AS_OWNER = "run as the user that owns the folder, usually root, or name another --root"
"""The next step where a folder of ours can't be read or written to for want of rights."""


def next_step(error: OSError) -> str:
    """What to do about a folder of ours that can't be written to."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room there"
    return "have it mounted so that it can be written to" if error.errno == errno.EROFS else AS_OWNER


FOREIGN, SYMLINK, CORRUPT = "foreign", "symlink", "corrupt"
"""Others could have put it there; it is a link, or its folder is one; it is of another kind or can't be read."""


def read_own(path: str, limit: int, *, folder: int | None = None) -> bytes:
    """A regular file that only root or this user could have put there; its first `limit` bytes and one more.

    So its folder must be theirs as well.  `folder` is a descriptor of that, checked already; `path` is then a name in
    it.  Raises `OSError`, `Untrusted` for what is somebody else's or of another kind.
    """
    if folder is not None:
        return read_in(folder, path, limit)[0]
    descriptor = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check_folder(descriptor, path)
        return read_in(descriptor, os.path.basename(path), limit)[0]
    finally:
        os.close(descriptor)


@contextmanager
def own_folder(path: str) -> Iterator[int]:
    """A descriptor of a folder, no link, that only root or this user can write to.  Raises as `read_own` does."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            raise Untrusted(f"{path}: got a link; expected a folder", SYMLINK) from None
        raise
    try:
        _check_folder(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def read_in(folder: int, name: str, limit: int) -> tuple[bytes, float]:
    """As `read_own`, from a folder that was checked; also when the file was written, in seconds since 1970."""
    descriptor = open_own(name, folder)
    with open(descriptor, "rb") as file:
        return file.read(limit + 1), os.fstat(descriptor).st_mtime


def open_own(name: str, folder: int) -> int:
    """Open what `read_own` would read; the descriptor is the caller's to close.  Raises what it raises."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        complaint, reason = foreign(found), FOREIGN
        if not stat.S_ISREG(found.st_mode):
            complaint, reason = "is no regular file", CORRUPT
        if complaint:
            text = f"{name}: got something that {complaint}; expected a file of root's or this user's"
            raise Untrusted(text, reason)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def reason_of(error: OSError) -> str:
    """Why something that was there is not believed; empty if nothing is there."""
    if isinstance(error, Untrusted):
        return error.reason
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ""
    if error.errno == errno.ELOOP:
        return SYMLINK
    return FOREIGN if isinstance(error, PermissionError) else CORRUPT


def _check_folder(descriptor: int, path: str) -> None:
    complaint = foreign(os.fstat(descriptor))
    if complaint:
        text = f"{path}: got a folder that {complaint}; expected one of root's or this user's"
        raise Untrusted(text, FOREIGN)


def foreign(found: os.stat_result) -> str:
    """Why others could have put something there, as the end of a sentence; empty if they couldn't."""
    if found.st_uid not in (0, os.geteuid()):
        return f"belongs to uid {found.st_uid}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""


def keep_newest(folder: str, most: int, most_bytes: int | None = None) -> None:
    """Remove all but the `most` newest files of a cache, and of these what is beyond `most_bytes`.

    And what killed processes left.  A file of a time to come counts as the oldest.  `is_time_to_sweep` says when;
    others may do the same at once.  Raises `OSError`.
    """
    now, kept = time.time(), 0
    entries = [(modified if modified <= now else 0.0, size, name) for modified, size, name in _files_in(folder)]
    for i, (modified, size, name) in enumerate(sorted(entries, reverse=True)):
        kept += size
        too_much = i >= most or (most_bytes is not None and kept > most_bytes)
        if too_much or (name.startswith(TEMPORARY) and now - modified > LEFT_AFTER):
            _unlink_if_there(f"{folder}/{name}")


def _files_in(folder: str) -> Iterator[tuple[float, int, str]]:
    """Time, size and name of each entry that is still there.  Raises `OSError`."""
    for name in os.listdir(folder):
        try:
            found = os.lstat(f"{folder}/{name}")
        except FileNotFoundError:
            continue
        yield found.st_mtime, found.st_size, name


def is_time_to_sweep(most: int) -> bool:
    """True one time in a fortieth of `most`: looking through a folder is not for every pull, the less the fuller it is.

    By chance, which no name chooses.
    """
    return int.from_bytes(os.urandom(4), "big") % max(most // _SWEEPS, 1) == 0


def remove_tree(path: str) -> None:
    """Remove a folder of ours with everything in it, or a file; what is gone already is fine.  Follows no link."""
    try:
        names = os.listdir(path) if stat.S_ISDIR(os.lstat(path).st_mode) else None
        for name in names or ():
            remove_tree(f"{path}/{name}")
        if names is None:
            os.unlink(path)
        else:
            os.rmdir(path)
    except FileNotFoundError:
        return


@contextmanager
def locked(path: str, *, wait: float, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file `path`; whoever dies lets go of it.

    `waiting` is called once if another process has it.  Raises `TimeoutError` after `wait` seconds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        most = attempts = int(wait / _LOCK_RETRY)
        while not _try_lock(descriptor):
            if attempts == most:
                waiting()
            if attempts <= 0:
                raise TimeoutError(f"{path}: another process has held the lock for {wait:g} s")
            attempts -= 1
            time.sleep(_LOCK_RETRY)
        yield
    finally:
        os.close(descriptor)


def temporary_name(path: str) -> str:
    """A name beside `path` that nobody uses; it begins with `TEMPORARY`."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{TEMPORARY}{name}.{os.urandom(8).hex()}"


TEMPORARY = ".tmp-"
"""How names of unfinished files begin: whoever finds an old one may remove it."""


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlink_if_there(path: str, folder: int | None = None) -> None:
    try:
        os.unlink(path, dir_fd=folder)
    except FileNotFoundError:
        return
