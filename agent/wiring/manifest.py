"""The record of all that an installation wrote on a node, as a value and as JSON.

`/var/lib/nodeseal/install/manifest.json`: with it a node can be put back byte for byte, and nothing else is ever
removed.  It lies under `/var/lib` because there are nodes whose `/etc` is made anew at every boot.  It is written
before each step, as an intent, and after it, so that whoever finds it knows what a killed process may have done.

An older version may find what a newer one wrote, and the other way round: each must be able to install over the other,
and to uninstall it.  So a record is read whatever version it states, as long as it says nothing that is unknown here:
whatever is taken away is compared with its hash or its target first.
"""

import json
import re
from enum import Enum
from typing import NamedTuple

from agent.codec import strictjson
from agent.errors import Malformed

SCHEMA_VERSION = "1"
MAX_SIZE = 4 * 1024 * 1024
"""A program has some 250 files, and a node a handful of programs."""

_VERSION = re.compile(r"[1-9][0-9]{0,3}")
_KEYS = frozenset(("schemaVersion", "undoing", "restartPending", "pendingSince", "entries"))


class Kind(Enum):
    """What stands at a path."""

    FOLDER = "folder"
    FILE = "file"
    EDITED = "edited file"
    """Somebody else's file, with one line of ours in it."""

    LINK = "link"
    TREE = "program"
    """A folder that was written whole, with every file in it recorded."""


class Role(Enum):
    """What an entry is for; it decides when it is taken away."""

    PROGRAM = "program"
    CURRENT = "current program"
    STATE = "state"
    CONFIGURATION = "containerd's configuration"
    VERIFIER = "verifier"
    UNIT = "systemd unit"


class Entry(NamedTuple):
    """Something that was written at a path of the host.

    `done` is whether that is certain; an intent may have been carried out or not.  `said` is the SHA-256 of a file's
    bytes, the target of a link, empty for folders.  `before` is the SHA-256 of what stood there, whose bytes are kept
    beside the manifest; empty if nothing did.  `pattern` is the import that an edited file got.  `was` is what an
    earlier installation said there; only intents have it.  `members` are the entries of a tree, each with its own
    `said` (`FOLDER_SAID` for a folder, `link:TARGET` for a link).
    """

    path: str
    kind: Kind
    role: Role
    mode: int
    said: str = ""
    before: str = ""
    pattern: str = ""
    was: str = ""
    done: bool = False
    members: tuple[tuple[str, str], ...] = ()


_ENTRY_KEYS = frozenset(Entry._fields)

FOLDER_SAID = "folder"
LINK_SAID = "link:"


class Manifest(NamedTuple):
    """`entries` in the order in which they were written.

    `undoing` is whether they are being taken away; `restart_pending` is why containerd has yet to be restarted, empty
    if it need not be, and `pending_since` since when, in seconds since 1970.
    """

    entries: tuple[Entry, ...] = ()
    undoing: bool = False
    restart_pending: str = ""
    pending_since: float = 0.0

    def entry(self, path: str) -> Entry | None:
        """What is recorded of a path, None if nothing is."""
        return next((entry for entry in self.entries if entry.path == path), None)

    def having(self, entry: Entry) -> "Manifest":
        """The same with an entry, in place of the one of its path, else behind the others."""
        if self.entry(entry.path) is None:
            return self._replace(entries=(*self.entries, entry))
        return self._replace(entries=tuple(entry if each.path == entry.path else each for each in self.entries))

    def without(self, path: str) -> "Manifest":
        """The same without the entry of a path."""
        return self._replace(entries=tuple(each for each in self.entries if each.path != path))

    def of(self, *roles: Role) -> tuple[Entry, ...]:
        """The entries of these roles."""
        return tuple(entry for entry in self.entries if entry.role in roles)

    @property
    def kept(self) -> frozenset[str]:
        """Names of the kept bytes that are still needed."""
        return frozenset(entry.before for entry in self.entries if entry.before)


def encode(manifest: Manifest) -> bytes:
    """As JSON."""
    value = {
        "schemaVersion": SCHEMA_VERSION,
        "undoing": manifest.undoing,
        "restartPending": manifest.restart_pending,
        "pendingSince": manifest.pending_since,
        "entries": [
            {
                "path": entry.path,
                "kind": entry.kind.value,
                "role": entry.role.value,
                "mode": f"{entry.mode:04o}",
                "said": entry.said,
                "before": entry.before,
                "pattern": entry.pattern,
                "was": entry.was,
                "done": entry.done,
                "members": dict(entry.members),
            }
            for entry in manifest.entries
        ],
    }
    return (json.dumps(value, indent=1) + "\n").encode()


def decode(content: bytes) -> Manifest:
    """From JSON.  Raises `Malformed`."""
    value = strictjson.decode(content, "manifest", limit=MAX_SIZE)
    try:
        if not isinstance(value, dict) or not _VERSION.fullmatch(_text(value["schemaVersion"])):
            raise ValueError("schemaVersion")
        if value.keys() != _KEYS:
            raise ValueError(f"the keys {sorted(value.keys() ^ _KEYS)}")
        entries = value["entries"]
        return Manifest(
            tuple(map(_entry, entries if isinstance(entries, list) else [None])),
            value["undoing"] is True,
            _text(value["restartPending"]),
            float(value["pendingSince"]),
        )
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        text = (
            f"manifest: got {ascii(error)[:120]}; expected an installation's record that says what this version knows"
        )
        raise Malformed(text) from None


def _entry(value: object) -> Entry:
    if not isinstance(value, dict):
        raise TypeError("no entry")
    if value.keys() != _ENTRY_KEYS:
        raise ValueError(f"the keys {sorted(value.keys() ^ _ENTRY_KEYS)}")
    members = value["members"]
    if not isinstance(members, dict):
        raise TypeError("members")
    entry = Entry(
        _path(value["path"]),
        Kind(value["kind"]),
        Role(value["role"]),
        int(_text(value["mode"]), 8),
        _text(value["said"]),
        _text(value["before"]),
        _text(value["pattern"]),
        _text(value["was"]),
        value["done"] is True,
        tuple((_relative(name), _text(said)) for name, said in members.items()),
    )
    if not 0 <= entry.mode <= 0o7777 or any(c not in "0123456789abcdef" for c in entry.before):
        raise ValueError(entry.path)
    return entry


def _path(value: object) -> str:
    path = _text(value)
    if not path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise ValueError("path")
    return path


def _relative(name: str) -> str:
    if name.startswith("/") or {"", ".", ".."} & set(name.split("/")) or "\0" in name:
        raise ValueError("member")
    return name


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
