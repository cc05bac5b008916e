"""Where this program stands, and which root its files are under."""

import os
import stat

_PROGRAM_FOLDERS = ("opt", "nodeseal")


def root_of(executable: str) -> str:
    """The root above an executable's real path: `ROOT` of `ROOT/opt/nodeseal/VERSION/nodeseal`, else "/"."""
    parts = os.path.realpath(executable).split("/")
    if tuple(parts[-4:-2]) == _PROGRAM_FOLDERS:
        return "/".join(parts[:-4]) or "/"
    return "/"


def unsafe(executable: str) -> str:
    """Why the program's files can't be trusted: others may write them.  Empty if they can be.

    Looks at the executable, its folder and the folder of its libraries; what lies in these only their owner can change.
    """
    real = os.path.realpath(executable)
    folder = os.path.dirname(real)
    for path in (real, folder, os.path.join(folder, "_internal")):
        found = os.stat(path)
        if found.st_uid not in (0, os.geteuid()):
            return f"{path} belongs to user {found.st_uid}; expected root or the user that runs it"
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{path} may be written by others (mode {stat.S_IMODE(found.st_mode):o}); expected its owner alone"
    return ""
