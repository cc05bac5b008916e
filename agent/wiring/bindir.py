"""What lies in containerd's verifier folder, in the order in which containerd runs it.

containerd runs every entry, by name, until one refuses; what can't be run refuses every pull of the node: a text file,
an editor's backup, a folder, a dangling link.  An empty or missing folder lets everything pass.  Entries beyond
`max_verifiers` are skipped, and pulls go on.
"""

import re
from enum import Enum
from typing import NamedTuple

LINK = "00-nodeseal"
"""Our entry: a symbolic link that sorts before others."""

PROGRAM = "/opt/nodeseal/current/nodeseal"
"""What it leads to."""

_OWN_TARGET = re.compile(r"(?:/[^/]+)+/nodeseal/[^/]+/nodeseal")
_TEMPORARY = re.compile(r"\.tmp-.*|.*~|#.*#|\.#.*|\..*\.sw[a-p]|.*\.(?:tmp|temp|swp|bak|orig|rej|part|dpkg-\w+|rpm\w+)")


class Kind(Enum):
    """What an entry leads to."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "other"
    NOTHING = "nothing"


class Entry(NamedTuple):
    """A name in the folder and what it leads to, links followed.

    `target` is the path at their end, the entry's own if it is no link; `executable` is whether its owner's execute bit
    is set; `unsafe` says how others could change it, empty if they can't.
    """

    name: str
    kind: Kind
    target: str
    link: bool = False
    executable: bool = True
    unsafe: str = ""


class Folder(NamedTuple):
    """The folder itself.  `entries` are all of them, by name, or the first ones if `more`.

    `kind` NOTHING is a folder that is not there; `unsafe` says how others could change what is in it.
    """

    path: str
    kind: Kind
    entries: tuple[Entry, ...] = ()
    more: bool = False
    unsafe: str = ""


class Role(Enum):
    """What an entry is to us."""

    OURS = "ours"
    FOREIGN = "foreign verifier"
    STRAY = "stray"


class Judged(NamedTuple):
    """An entry, what it is to us, and if it is stray why containerd can't run it; `position` counts from 1."""

    entry: Entry
    role: Role
    why: str
    position: int
    skipped: bool


def in_order(name: str) -> bytes:
    """What names are sorted by: their bytes, whatever these are."""
    return name.encode("utf-8", "surrogateescape")


def judge(folder: Folder, max_verifiers: int) -> tuple[Judged, ...]:
    """Every entry in containerd's order; `max_verifiers` less than 0 is no limit."""
    judged = []
    for position, entry in enumerate(sorted(folder.entries, key=lambda entry: in_order(entry.name)), 1):
        why = _stray(entry)
        role = Role.STRAY if why else Role.OURS if _OWN_TARGET.fullmatch(entry.target) else Role.FOREIGN
        judged.append(Judged(entry, role, why, position, 0 <= max_verifiers < position))
    return tuple(judged)


def ours(judged: tuple[Judged, ...]) -> Judged | None:
    """Our own entry, the first if there are several; None if there is none."""
    return next((each for each in judged if each.role is Role.OURS), None)


def _stray(entry: Entry) -> str:
    if entry.kind is Kind.NOTHING:
        return f"a link to {entry.target}, where nothing is"
    if entry.kind is Kind.FOLDER:
        return "a folder"
    if entry.kind is Kind.OTHER:
        return "no regular file"
    if not entry.executable:
        return "a file that is not executable"
    if _TEMPORARY.fullmatch(entry.name):
        return "a temporary file or a backup, and containerd runs it"
    return ""
