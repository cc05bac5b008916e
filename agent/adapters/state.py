"""What the program itself keeps on a host: which folders, and which names in them are its own.

So that an uninstallation removes what the program wrote there, and nothing that others did.
"""

import os
from collections.abc import Iterable

from agent.adapters import files, hostfiles
from agent.adapters.hostfiles import HostFiles
from agent.errors import HostError

NOTHING = hostfiles.Kind.NOTHING

OWN = {
    "/etc/nodeseal": ("break-glass.json",),
    "/run/nodeseal": ("agent.lock", "agent.sock", "secrets"),
    "/var/cache/nodeseal": (
        "answers", "content", "doubts", "flights", "listings", "misses", "misses.1", "revocation", "throttled",
        "verdicts",
    ),
    "/var/lib/nodeseal": (
        "break-glass-begun.json", "break-glass.lock", "current", "in-force.json", "publish.lock", "rules.json",
        "serial.json", "snapshots",
    ),
    "/var/log/nodeseal": ("folded.json", "spool.1.jsonl", "spool.jsonl"),
}  # fmt: skip
"""Names that are ours, by folder."""


def folders(host: HostFiles) -> frozenset[str]:
    """Which of the folders are there, and which of the names in them."""
    found = {path for path in OWN if host.stands(path).kind is not NOTHING}
    return frozenset(found | {f"{path}/{name}" for path in found for name in host.names(path)})


def remove(host: HostFiles, *, keep: Iterable[str] = ()) -> list[str]:
    """Remove what is ours, and the folders if nothing else is in them; names of what stays.  Raises `HostError`.

    `keep` are paths that stay in any case.
    """
    left, kept = [], frozenset(keep)
    for path, names in OWN.items():
        if host.stands(path).kind is not hostfiles.Kind.FOLDER:
            continue
        unfinished = [name for name in host.names(path) if name.startswith(files.TEMPORARY)]
        with host.opened_folder(path) as folder:
            for name in (*names, *unfinished):
                if f"{path}/{name}" in kept:
                    continue
                try:
                    files.remove_tree(os.path.join(folder, name))
                except OSError as error:
                    raise HostError(f"{path}/{name}: got {error.strerror or error}; expected to remove it") from None
        if path not in kept and not host.remove_folder(path):
            left += [f"{path}/{name}" for name in host.names(path)]
    return left
