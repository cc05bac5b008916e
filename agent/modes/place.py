"""Where this program stands, which root its files are under, and whether others could have changed them."""

import os
import stat
import sys

from agent.errors import HostError, NodesealError

PATHS = "paths.json"
"""What says beside the executable which root is its own: `agent.wiring.paths`."""

_PROGRAM_FOLDERS = ("opt", "nodeseal")
_MOST = 4096  # bytes of it, and one is read beyond
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEXT_STEP = "mend it as root, or install again"


class Usual(str):
    """The root that is taken where nobody says one: "/", unless `paths.json` says another."""

    __slots__ = ()


USUAL = Usual("/")


def running_program() -> str:
    """The path of the executable that this process runs, as the kernel knows it.  Raises `OSError`.

    `sys.executable` is no witness: Python takes it from the environment if that has a word to say.
    """
    return os.readlink("/proc/self/exe")


def root_of(executable: str) -> str:
    """The root that is an executable's own: what `paths.json` beside it says, else what is above its real path.

    That is `ROOT` of `ROOT/opt/nodeseal/VERSION/nodeseal`, and "/" of every other.  Raises `HostError` if `paths.json`
    is there and can't be believed: never another root instead.
    """
    real = os.path.realpath(executable)
    return told_root(os.path.dirname(real)) or above(real)


def above(real: str) -> str:
    """The root that a program's place alone tells."""
    parts = real.split("/")
    if tuple(parts[-4:-2]) == _PROGRAM_FOLDERS:
        return "/".join(parts[:-4]) or "/"
    return "/"


def usual_root() -> str:
    """The root that people mean who name none.  Raises `HostError` as `root_of` does."""
    if not getattr(sys, "frozen", False):
        return "/"
    return told_root(os.path.dirname(running_program())) or "/"


def told_root(folder: str) -> str:
    """The root that `paths.json` in a program's folder says, empty if there is none.

    Raises `HostError` if it can't be read, others could have written it, it is no regular file, or says something else;
    and if others could put something else in the place of that root.
    """
    path = os.path.join(folder, PATHS)
    try:
        content = _own_content(path)
        if content is None:
            return ""

        from agent.wiring import paths  # and JSON's encoder: nearly no node has the file

        root = paths.decode(content)
        if reason := _exposed(root):
            raise HostError(f"{path}: root {root}: {reason}", hint=_NEXT_STEP)
    except HostError:
        raise
    except OSError as error:
        raise HostError(f"{path}: got {error.strerror or error}; expected to read it", hint=_NEXT_STEP) from None
    except NodesealError as error:
        raise HostError(f"{folder}/{error.message}", hint=_NEXT_STEP) from None
    return root


def _own_content(path: str) -> bytes | None:
    """What a file of ours says, None if there is none.  Raises `HostError`, `OSError`."""
    try:
        descriptor = os.open(path, _FILE)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise HostError(f"{path}: got no regular file; expected one, or none", hint=_NEXT_STEP)
        if reason := _open_to_others(path, found):
            raise HostError(reason, hint=_NEXT_STEP)
        return os.read(descriptor, _MOST + 1)
    finally:
        os.close(descriptor)


def _exposed(root: str) -> str:
    """Why others could put something else in the place of a root, empty if they can't.  Raises `OSError`."""
    parts = root.rstrip("/").split("/")
    for i in range(1, len(parts) + 1):
        path = "/".join(parts[:i]) or "/"
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode):
            return f"{path} is no folder, or a link; expected folders all the way"
        is_on_the_way = i < len(parts) and found.st_mode & stat.S_ISVTX
        if not is_on_the_way and (reason := _open_to_others(path, found)):
            return reason
    return ""


def unsafe(executable: str) -> str:
    """Why the program's files can't be trusted: others may write them.  Empty if they can be.

    Looks at the executable, at everything in its libraries' folder, and at every folder above.  Raises `OSError`.
    """
    real = os.path.realpath(executable)
    folder = os.path.dirname(real)
    above = folder
    while above != "/":
        above = os.path.dirname(above)
        found = os.stat(above)
        # Where the sticky bit is set, as in /tmp, nobody can replace what is somebody else's.
        if not found.st_mode & stat.S_ISVTX and (reason := _open_to_others(above, found)):
            return reason
    for path in (folder, real):
        if reason := _open_to_others(path, os.stat(path)):
            return reason
    return _unsafe_below(os.path.join(folder, "_internal"))


def _unsafe_below(folder: str) -> str:
    if reason := _open_to_others(folder, os.stat(folder)):
        return reason
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                reason = _unsafe_below(entry.path)
            else:
                reason = _open_to_others(entry.path, entry.stat())
            if reason:
                return reason
    return ""


def _open_to_others(path: str, found: os.stat_result) -> str:
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to user {found.st_uid}; expected root or the user that runs it"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{path} may be written by others (mode {stat.S_IMODE(found.st_mode):o}); expected its owner alone"
    return ""
