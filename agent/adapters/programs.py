"""Folders of programs on a host: what is in one, placing it whole by one rename, and taking away what was placed.

A program is a frozen one-dir build.  The folder that it is copied from is this process's own; where it goes is the
host's.  Raises `HostError`.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress

from agent.adapters import files
from agent.adapters.hostfiles import HostFiles, Kind, unfinished
from agent.errors import HostError
from agent.wiring.manifest import FOLDER_SAID, LINK_SAID

EXECUTABLE = "nodeseal"
_ELF, _ELF_HEADER = b"\x7fELF", 20
MAX_MEMBERS = 5_000
"""Most entries of a program's folder."""

_FOLDER_MODE = 0o755
_MOST_FOLDERS = 10  # for programs of one version
_CHUNK = 1024 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def members(folder: str) -> dict[str, str]:
    """Every entry below a folder of ours with what it says, folders before what is in them."""
    found: dict[str, str] = {}
    try:
        for name, path, mode in _walked(folder, ""):
            if stat.S_ISDIR(mode):
                found[name] = FOLDER_SAID
            elif stat.S_ISLNK(mode):
                found[name] = LINK_SAID + os.readlink(path)
            elif stat.S_ISREG(mode):
                found[name] = _digest(path)
            else:
                raise HostError(f"{path}: got something that is no file; expected a program's folder")
            if len(found) > MAX_MEMBERS:
                raise HostError(f"{folder}: got more than {MAX_MEMBERS} entries; expected a program's folder")
    except OSError as error:
        raise HostError(f"{folder}: got {error.strerror or error}; expected a program's folder") from None
    return found


def identity(of: Mapping[str, str]) -> str:
    """What tells one build from another of the same version: eight hexadecimal digits."""
    told = "".join(f"{name}\0{said}\0" for name, said in sorted(of.items()))
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def machine(header: bytes | None) -> bytes:
    """What machine a program is for, by the beginning of its file: class, byte order and `e_machine` of elf(5).

    Empty for what is no program of that form.
    """
    if header is None or len(header) < _ELF_HEADER or not header.startswith(_ELF):
        return b""
    return header[4:6] + header[18:20]


def header(source: str) -> bytes:
    """The beginning of the executable in a folder of ours."""
    try:
        with open(f"{source}/{EXECUTABLE}", "rb") as file:
            return file.read(_ELF_HEADER)
    except OSError as error:
        raise HostError(f"{source}: got {error.strerror or error}; expected a program's folder") from None


def in_use(host: HostFiles, path: str) -> bool:
    """Whether a process that can be seen here runs a program of the host's."""
    try:
        with host.opened_folder(path) as folder:
            program = os.stat(f"{folder}/{EXECUTABLE}")
    except (OSError, HostError):
        return False
    for pid in os.listdir("/proc"):
        with suppress(OSError):
            if pid.isdigit() and os.path.samestat(program, os.stat(f"/proc/{pid}/exe")):
                return True
    return False


def is_placed(host: HostFiles, path: str, of: Mapping[str, str]) -> bool:
    """Whether exactly that program stands at a path of the host."""
    if host.stands(path).kind is not Kind.FOLDER:
        return False
    with host.opened_folder(path) as folder:
        return members(folder) == dict(of)


def folder_for(host: HostFiles, path: str, of: Mapping[str, str]) -> tuple[str, bool]:
    """The folder for a program whose version's own is `path`, and whether the program is there already.

    Where `path` holds another build of the version, or one that is damaged, the folder has another name.
    """
    build = f"{path}+{identity(of)}"
    names = (path, build, *(f"{build}.{number}" for number in range(2, _MOST_FOLDERS)))
    placed = next((name for name in names if is_placed(host, name, of)), "")
    free = (name for name in names if host.stands(name).kind is Kind.NOTHING)
    return placed or next(free, names[-1]), bool(placed)


def real(host: HostFiles, path: str) -> str:
    """A path with the links in all that is there of it followed: where a program will know itself to be."""
    missing = host.missing_folders(path)
    there = os.path.dirname(missing[0]) if missing else path
    return os.path.normpath(host.real(there) + path[len(there.rstrip("/")) :])


def place(
    host: HostFiles, source: str, of: Mapping[str, str], path: str, beside: Mapping[str, bytes] | None = None
) -> None:
    """Copy a program beside its place, down to the disk, and rename it there.  Nothing may be there.

    `beside` are files of it, by name, that are not in its source.
    """
    above, name = os.path.split(path)
    with host.opened_folder(above) as folder:
        staging = f"{folder}/{unfinished(name)}"
        try:
            files.remove_tree(staging)
            _copy(source, of, staging, beside or {})
            os.rename(staging, f"{folder}/{name}")
            _sync(folder)
        except OSError as error:
            with suppress(OSError):
                files.remove_tree(staging)
            raise HostError(f"{path}: got {error.strerror or error}; expected to place the program there") from None


def clean(host: HostFiles, path: str) -> None:
    """Remove what a killed process left of placing a program there."""
    above, name = os.path.split(path)
    if host.stands(above).kind is not Kind.FOLDER:
        return
    with host.opened_folder(above) as folder:
        try:
            files.remove_tree(f"{folder}/{unfinished(name)}")
        except OSError as error:
            raise HostError(f"{path}: got {error.strerror or error}; expected to remove it") from None


def remove(host: HostFiles, path: str, of: Mapping[str, str]) -> list[str]:
    """Take away what was placed, and what a killed process left of it.

    What was changed or added since stays; its paths are returned.
    """
    clean(host, path)
    if host.stands(path).kind is not Kind.FOLDER:
        return []
    with host.opened_folder(path) as folder:
        try:
            for member, said in sorted(of.items(), reverse=True):  # what is in a folder sorts behind it
                _remove(f"{folder}/{member}", said)
            left = [f"{path}/{name}" for name, _, mode in _walked(folder, "") if not stat.S_ISDIR(mode)]
        except OSError as error:
            raise HostError(f"{path}: got {error.strerror or error}; expected to remove it") from None
    if not left:
        host.remove_folder(path)
    return left


def foreign(host: HostFiles, path: str, of: Mapping[str, str]) -> list[str]:
    """What `remove` would leave: paths of what was changed or added since.  Nothing is written."""
    if host.stands(path).kind is not Kind.FOLDER:
        return []
    with host.opened_folder(path) as folder:
        try:
            return [
                f"{path}/{name}"
                for name, where, mode in _walked(folder, "")
                if not stat.S_ISDIR(mode) and not _is_as_placed(where, mode, of.get(name, ""))
            ]
        except OSError as error:
            raise HostError(f"{path}: got {error.strerror or error}; expected to read it") from None


def _remove(path: str, said: str) -> None:
    """Only what is as it was placed."""
    with suppress(FileNotFoundError, NotADirectoryError):
        mode = os.lstat(path).st_mode
        if stat.S_ISDIR(mode) and said == FOLDER_SAID:
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # what others put there keeps it
                    raise
        elif _is_as_placed(path, mode, said):
            os.unlink(path)


def _is_as_placed(path: str, mode: int, said: str) -> bool:
    """Whether a file or link is still what was recorded of it."""
    if stat.S_ISLNK(mode):
        return said == LINK_SAID + os.readlink(path)
    return stat.S_ISREG(mode) and said == _digest(path)


def _walked(folder: str, below: str) -> Iterator[tuple[str, str, int]]:
    """Relative name, path and mode of every entry."""
    for name in sorted(os.listdir(folder)):
        path, mode = f"{folder}/{name}", os.lstat(f"{folder}/{name}").st_mode
        yield below + name, path, mode
        if stat.S_ISDIR(mode):
            yield from _walked(path, f"{below}{name}/")


def _copy(source: str, of: Mapping[str, str], target: str, beside: Mapping[str, bytes]) -> None:
    _make(target)
    for name, said in of.items():
        here, there = f"{source}/{name}", f"{target}/{name}"
        if name in beside:
            _write_file(there, beside[name])
        elif said == FOLDER_SAID:
            _make(there)
        elif said.startswith(LINK_SAID):
            os.symlink(said.removeprefix(LINK_SAID), there)
        else:
            _copy_file(here, there)
    for name, said in of.items():
        if said == FOLDER_SAID:
            _sync(f"{target}/{name}")
    _sync(target)


def _make(folder: str) -> None:
    """A folder that everybody may enter, whatever the umask."""
    os.mkdir(folder)
    os.chmod(folder, _FOLDER_MODE)


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb") as read:
        mode = 0o755 if os.fstat(read.fileno()).st_mode & 0o100 else 0o644
        with open(os.open(target, _NEW, mode), "wb") as written:
            while chunk := read.read(_CHUNK):
                written.write(chunk)
            written.flush()
            os.fchmod(written.fileno(), mode)
            os.fsync(written.fileno())


def _write_file(target: str, content: bytes) -> None:
    with open(os.open(target, _NEW, 0o644), "wb") as written:
        written.write(content)
        written.flush()
        os.fchmod(written.fileno(), 0o644)
        os.fsync(written.fileno())


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
