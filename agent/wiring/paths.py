"""`paths.json`, beside the executable: which root a program's files are under, where its own place does not tell.

It holds one root, `{"schemaVersion": "1", "root": "/"}`, since one root moves all folders together.  Who may have
written it is `agent.modes.place`'s to know.  The fast path takes the form that `encode` gives alone, and leaves every
other to the program behind it.
"""

import json
import posixpath

from agent.codec import strictjson
from agent.errors import Malformed

NAME = "paths.json"
SCHEMA_VERSION = "1"
MAX_SIZE = 4096
"""Most bytes of it: what PATH_MAX leaves a path is less."""


def encode(root: str) -> bytes:
    """As JSON.  `root` is an absolute path."""
    return (json.dumps({"schemaVersion": SCHEMA_VERSION, "root": root}) + "\n").encode()


def decode(content: bytes) -> str:
    """The root.  Raises `Malformed`, `LimitExceeded`."""
    value = strictjson.decode(content, NAME, limit=MAX_SIZE)
    if not isinstance(value, dict) or set(value) != {"schemaVersion", "root"}:
        raise Malformed(f'{NAME}: got something else; expected {{"schemaVersion": "1", "root": "/..."}} and no more')
    if value["schemaVersion"] != SCHEMA_VERSION:
        raise Malformed(f"{NAME}: schemaVersion: got {ascii(value['schemaVersion'])[:40]}; expected {SCHEMA_VERSION}")
    root = value["root"]
    if not isinstance(root, str) or not is_plain(root):
        raise Malformed(f"{NAME}: root: got {ascii(root)[:80]}; expected an absolute path without . and ..")
    return root


def is_plain(root: str) -> bool:
    """Whether a path is absolute, printable, and says in no other way what it says."""
    return root.startswith("/") and root.isprintable() and "//" not in root and posixpath.normpath(root) == root
