"""How the fetching of trusted roots goes, noted by whoever fetches, for people's commands and metrics.

::

    var/lib/nodeseal/trust-roots.json         one entry for each that the configuration has fetched
    var/lib/nodeseal/tuf/<source>/            what was seen of its mirror: `agent.adapters.tufrepository`

No answer rests on it.  A file that is missing, damaged, or that others could have written says nothing.
"""

import json
import os
from collections.abc import Sequence
from typing import NamedTuple

from agent.adapters import files
from agent.adapters.snapshots import STATE
from agent.errors import HostError

MIRRORS = f"{STATE}/tuf"
"""Where what was seen of mirrors is kept, under a root."""

_PATH = f"{STATE}/trust-roots.json"
_MAX_SIZE = 8 * 1024 * 1024  # of as many as there may be, each character of which is escaped
_MAX_TEXT = 1000
_MOST = 256
_LATEST = 2.0**36  # seconds: what has a date


class RootNote(NamedTuple):
    """One trusted root.  Times are seconds since 1970, `interval` is in seconds.

    `fetched` is when it was last found to be the newest, None for never; `sha256` is the file's.  `trouble` is why it
    was not since `since`, empty if it was.
    """

    name: str
    mirror: str
    interval: float
    fetched: float | None = None
    sha256: str = ""
    trouble: str = ""
    since: float | None = None


def write(root: str, notes: Sequence[RootNote]) -> None:
    """Note this in place of what was noted, unless it is the same.  Raises `HostError`."""
    if tuple(notes) == read(root):
        return
    path = os.path.join(root, _PATH)
    listed = [_bounded(each)._asdict() for each in notes[:_MOST]]
    try:
        files.make_private_folder(os.path.dirname(path))
        files.replace(path, json.dumps({"formatVersion": 1, "trustRoots": listed}).encode(), sync=False)
    except OSError as error:
        raise HostError(f"{path}: got {error.strerror or error}; expected to write there") from error


def read(root: str) -> tuple[RootNote, ...]:
    """What is noted under a root."""
    try:
        value = json.loads(files.read_own(os.path.join(root, _PATH), _MAX_SIZE))
        if value["formatVersion"] != 1:
            return ()
        return tuple(_note(each) for each in list(value["trustRoots"])[:_MOST])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return ()


def _bounded(note: RootNote) -> RootNote:
    """A note whose texts others chose, maybe in a configuration that can't be used."""
    name, mirror, trouble = (each[:_MAX_TEXT] for each in (note.name, note.mirror, note.trouble))
    return note._replace(name=name, mirror=mirror, trouble=trouble)


def _note(value: dict[str, object]) -> RootNote:
    """Raises `ValueError`, `TypeError`, `KeyError`."""
    name, mirror, digest, trouble = (str(value[each])[:_MAX_TEXT] for each in ("name", "mirror", "sha256", "trouble"))
    interval = _time(value["interval"]) or 0.0
    return RootNote(name, mirror, interval, _time(value["fetched"]), digest, trouble, _time(value["since"]))


def _time(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise ValueError("no time")
    return float(value)
