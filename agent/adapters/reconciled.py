"""What the process says that keeps a node wired up (`install --reconcile`), for people's commands and the daemon.

::

    run/nodeseal/reconcile.json               gone once that process was ended, or the node was uninstalled
"""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import NamedTuple

from agent.adapters import files
from agent.adapters.hostfiles import HostFiles
from agent.errors import HostError

PATH = "/run/nodeseal/reconcile.json"

BELIEVED = 7200.0
"""Seconds after which what was said is out of date: at the least once an hour something is."""

_MAX_SIZE = 64 * 1024
_MAX_TEXT = 1000
_MOST_PATHS = 32
_LATEST = 2.0**36  # seconds: what has a date
_MOST_ATTEMPTS = 2**53


class State(Enum):
    """How the wiring stands."""

    SETTLED = "settled"
    """Nothing is to be done, and pulls are verified, if there is a containerd that can be asked."""
    LEFT = "left"
    """Pulls are not verified, and what was allowed can't mend it: a person has to."""
    PENDING = "restartPending"
    """containerd has yet to be restarted."""
    WAITING = "waiting"
    """Something is to be mended, and it is not time yet, or not this node's turn."""
    FAILED = "failed"
    GAVE_UP = "gaveUp"
    """Nothing is tried until the node is otherwise."""
    UNSUPPORTED = "unsupported"
    UNINSTALLED = "uninstalled"


class Attempt(Enum):
    """What an attempt to mend came to."""

    MENDED = "mended"
    FAILED = "failed"
    """It was taken back."""
    NO_TURN = "noTurn"
    """This node's turn to restart containerd did not come, so nothing was written."""


class Reconciled(NamedTuple):
    """How the wiring stands.

    `state` is a word of `State`, `message` one line.  `since` is when the state became what it is, `looked` when it was
    looked at last: seconds since 1970.  `contested` are paths that somebody else writes again and again; `failures` is
    how many attempts in a row were in vain, `attempts` how many there were since the process began, by a word of
    `Attempt`.
    """

    state: str
    message: str
    since: float
    looked: float
    contested: tuple[str, ...] = ()
    failures: int = 0
    attempts: Mapping[str, int] = {}

    def is_recent(self, now: float) -> bool:
        """Whether it still counts: who says it speaks at least once an hour."""
        return now - self.looked < BELIEVED

    @property
    def trouble(self) -> str:
        """What somebody has to do something about, empty if nothing."""
        if self.contested:
            return (
                f"somebody else writes {', '.join(self.contested)} again and again, and it is mended ever more slowly"
            )
        return f"mending was given up: {self.message}" if self.state == State.GAVE_UP.value else ""


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
        attempts = dict(value.get("attempts", {}))
        counts = {each.value: int(attempts[each.value]) for each in Attempt if each.value in attempts}
        if not all(0 <= each < _MOST_ATTEMPTS for each in counts.values()):
            return None
        return Reconciled(*texts, *times, contested, int(value["failures"]), counts)
    except (HostError, OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def trouble(root: str) -> str:
    """What somebody has to do something about under a root, empty if nothing, or if nobody has said so lately."""
    said = read(root)
    return said.trouble if said is not None and said.is_recent(time.time()) else ""
