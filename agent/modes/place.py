"""Where this program stands, and which root its files are under."""

import os

_PROGRAM_FOLDERS = ("opt", "nodeseal")


def root_of(executable: str) -> str:
    """The root above an executable's real path: `ROOT` of `ROOT/opt/nodeseal/VERSION/nodeseal`, else "/"."""
    parts = os.path.realpath(executable).split("/")
    if tuple(parts[-4:-2]) == _PROGRAM_FOLDERS:
        return "/".join(parts[:-4]) or "/"
    return "/"
