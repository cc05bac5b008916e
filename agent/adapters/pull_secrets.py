"""Credentials of Secrets, for every process of the node.

::

    run/nodeseal/secrets/pull/<name of the Secret>/config.json

They are secrets.  So they lie in memory (on a node /run is), in folders that nobody else may even read, and nowhere
else.  The daemon alone writes them; it reads them as containerd's child does, so that both say the same.
"""

import os
from collections.abc import Collection, Sequence
from contextlib import suppress

from agent.adapters import files
from agent.adapters.credentials import CredentialFile

FOLDER = "run/nodeseal/secrets/pull"

READY = "ready"
"""What the daemon says of a Secret whose credentials are there."""

_NAME = "config.json"
_MOUNTS = "/proc/self/mountinfo"
_IN_MEMORY = ("tmpfs", "ramfs")


def credential_files(root: str, names: Sequence[str]) -> list[CredentialFile]:
    """Where the credentials of Secrets are, in this order."""
    return [CredentialFile(_path(root, name), missing=_missing(name)) for name in names]


class PullSecretFiles:
    """The files under one root, for the one process that writes them."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `run/nodeseal` is under, "/" on a node."""
        self._root = root
        self._folder = os.path.join(root, FOLDER)

    def keep_only(self, names: Collection[str]) -> None:
        """Remove the files of all other Secrets.  Raises `OSError`."""
        with suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                if name not in names:
                    self.drop(name)

    def drop(self, name: str) -> None:
        """Have no credentials of a Secret.  Raises `OSError`."""
        files.remove_tree(os.path.join(self._folder, name))

    def write(self, name: str, content: bytes) -> None:
        """Keep what a Secret holds.  Raises `OSError`."""
        above = os.path.dirname(self._folder)
        for folder in (os.path.dirname(above), above, self._folder, os.path.join(self._folder, name)):
            files.make_private_folder(folder)
        files.replace(_path(self._root, name), content, sync=False)

    def in_memory(self) -> bool:
        """Whether what is written reaches no disk, as far as one can tell."""
        try:
            device = os.stat(self._folder).st_dev
            with open(_MOUNTS, encoding="utf-8", errors="replace") as mounts:
                # ID, parent, MAJOR:MINOR, ..., "-", type, source: https://man7.org/linux/man-pages/man5/proc.5.html
                kinds = {
                    line.partition(" - ")[2].split(" ")[0]
                    for line in mounts
                    if line.split(" ")[2] == f"{os.major(device)}:{os.minor(device)}"
                }
        except (OSError, IndexError):
            return False
        return bool(kinds) and kinds.issubset(_IN_MEMORY)


def _path(root: str, name: str) -> str:
    return os.path.join(root, FOLDER, name, _NAME)


def _missing(name: str) -> str:
    return f"Secret {name}: has no credentials on this node; nodeseal status says why, if the daemon follows ConfigMaps"
