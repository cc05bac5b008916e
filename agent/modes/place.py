"""Where this program stands, which root its files are under, and whether others could have changed them."""

import os
import stat

_PROGRAM_FOLDERS = ("opt", "nodeseal")


def running_program() -> str:
    """The path of the executable that this process runs, as the kernel knows it.  Raises `OSError`.

    `sys.executable` is no witness: Python takes it from the environment if that has a word to say.
    """
    return os.readlink("/proc/self/exe")


def root_of(executable: str) -> str:
    """The root above an executable's real path: `ROOT` of `ROOT/opt/nodeseal/VERSION/nodeseal`, else "/"."""
    parts = os.path.realpath(executable).split("/")
    if tuple(parts[-4:-2]) == _PROGRAM_FOLDERS:
        return "/".join(parts[:-4]) or "/"
    return "/"


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
