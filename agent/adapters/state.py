"""What the program itself keeps on a host: which folders, and which names in them are its own.

So that an uninstallation removes what the program wrote there, and nothing that others did.  And what was tried on the
host since it booted: it outlives an installation that was taken back.
"""

import json
import math
import os
from collections.abc import Iterable
from typing import NamedTuple

from agent.adapters import files, hostfiles
from agent.adapters.hostfiles import HostFiles
from agent.errors import HostError

NOTHING = hostfiles.Kind.NOTHING

OWN = {
    "/etc/nodeseal": ("break-glass.json",),
    "/run/nodeseal": ("agent.lock", "agent.sock", "bypass.json", "install.json", "reconcile.json", "secrets"),
    "/var/cache/nodeseal": (
        "answers", "content", "doubts", "flights", "listings", "misses", "misses.1", "revocation", "throttled",
        "verdicts",
    ),
    "/var/lib/nodeseal": (
        "break-glass-begun.json", "break-glass.lock", "complete.json", "current", "fetched.json", "in-force.json",
        "keys", "keys.lock", "publish.lock", "rules.json", "serial.json", "snapshots",
    ),
    "/var/log/nodeseal": ("folded.json", "spool.1.jsonl", "spool.jsonl"),
}  # fmt: skip
"""Names that are ours, by folder."""

TRIED = "/run/nodeseal/install.json"
_RECORD = "/var/lib/nodeseal/install"  # goes last, see agent.adapters.manifests
_MAX_TRIED = 64 * 1024


class Tried(NamedTuple):
    """`restarted` is when containerd was restarted last for us, in seconds since 1970, 0 for not since the host booted.

    `failed` tells an installation apart that was taken back after a restart, empty if there was none; `why` is why.
    """

    restarted: float = 0.0
    failed: str = ""
    why: str = ""


def tried(host: HostFiles) -> Tried:
    """What was tried since the host booted; nothing if that can't be read.  Raises `HostError`."""
    content = host.read_bounded(TRIED, _MAX_TRIED)
    try:
        value = json.loads(content or b"{}")
        known = Tried(float(value["restarted"]), str(value["failed"]), str(value["why"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return Tried()
    return known if math.isfinite(known.restarted) else Tried()


def note_tried(host: HostFiles, what: Tried) -> None:
    """Note what was tried.  Raises `HostError`."""
    for path in host.missing_folders(os.path.dirname(TRIED)):
        host.make_folder(path, 0o700 if path == os.path.dirname(TRIED) else 0o755)
    host.write(TRIED, json.dumps(what._asdict()).encode(), 0o600)


def folders(host: HostFiles) -> frozenset[str]:
    """Which of the folders are there, and which of the names in them."""
    found = {path for path in OWN if host.stands(path).kind is not NOTHING}
    return frozenset(found | {f"{path}/{name}" for path in found for name in host.names(path)})


class Foreseen(NamedTuple):
    """Paths in our folders: what `remove` would remove, and what it would leave."""

    ours: tuple[str, ...]
    others: tuple[str, ...]


def foreseen(host: HostFiles) -> Foreseen:
    """What `remove` would do; nothing is written.  Raises `HostError`."""
    ours: list[str] = []
    others: list[str] = []
    for path, names in OWN.items():
        if host.stands(path).kind is hostfiles.Kind.FOLDER:
            for name in sorted(host.names(path)):
                if f"{path}/{name}" != _RECORD:
                    is_ours = name in names or name.startswith(files.TEMPORARY)
                    (ours if is_ours else others).append(f"{path}/{name}")
    return Foreseen(tuple(ours), tuple(others))


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
            left += [f"{path}/{name}" for name in host.names(path) if f"{path}/{name}" != _RECORD]
    return left
