"""What the process says that keeps a node wired up (`install --reconcile`), for people's commands.

::

    run/nodeseal/reconcile.json               gone once that process was ended, or the node was uninstalled
"""

import json
import os
import time
from contextlib import suppress
from typing import NamedTuple

from agent.adapters import files
from agent.adapters.hostfiles import HostFiles
from agent.errors import HostError

PATH = "/run/nodeseal/reconcile.json"

GAVE_UP = "gaveUp"
"""The state in which nothing is tried any more."""

BELIEVED = 7200.0
"""Seconds after which what was said is out of date: at the least once an hour something is."""

_MAX_SIZE = 64 * 1024
_MAX_TEXT = 1000
_MOST_PATHS = 32
_LATEST = 2.0**36  # seconds: what has a date


class Reconciled(NamedTuple):
    """How the wiring stands.

    `state` is a word of `agent.modes.reconciling.State`, `message` one line.  `since` is when the state became what it
    is, `looked` when it was looked at last: seconds since 1970.  `contested` are paths that somebody else writes again
    and again; `failures` is how many attempts in a row were in vain.
    """

    state: str
    message: str
    since: float
    looked: float
    contested: tuple[str, ...] = ()
    failures: int = 0

    @property
    def trouble(self) -> str:
        """What somebody has to do something about, empty if nothing."""
        if self.contested:
            return (
                f"somebody else writes {', '.join(self.contested)} again and again, and it is mended ever more slowly"
            )
        return f"mending was given up: {self.message}" if self.state == GAVE_UP else ""


def write(host: HostFiles, what: Reconciled) -> None:
    """Say it.  Raises `HostError`."""
    folder = os.path.dirname(PATH)
    for path in host.missing_folders(folder):
        host.make_folder(path, 0o700 if path == folder else 0o755)
    host.write(PATH, json.dumps(what._asdict()).encode(), 0o600)


def remove(host: HostFiles) -> None:
    """Say nothing any more.  What can't be removed tells how old it is."""
    with suppress(HostError):
        if not host.missing_folders(os.path.dirname(PATH)):
            host.remove(PATH)


def read(root: str) -> Reconciled | None:
    """What is said under a root, None if nothing is, or nothing that can be believed or understood."""
    try:
        value = json.loads(files.read_own(os.path.join(root, PATH.lstrip("/")), _MAX_SIZE))
        times = float(value["since"]), float(value["looked"])
        if not all(0 <= each < _LATEST for each in times):
            return None
        texts = str(value["state"])[:_MAX_TEXT], str(value["message"])[:_MAX_TEXT]
        contested = tuple(str(each)[:_MAX_TEXT] for each in list(value["contested"])[:_MOST_PATHS])
        return Reconciled(*texts, *times, contested, int(value["failures"]))
    except (HostError, OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def trouble(root: str) -> str:
    """What somebody has to do something about under a root, empty if nothing, or if nobody has said so lately."""
    said = read(root)
    return said.trouble if said is not None and time.time() - said.looked < BELIEVED else ""
