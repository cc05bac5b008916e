"""What a merge of several documents put in force, as a file beside the snapshot: what a last good version is kept of.

It says which version of each document was accepted, whose word counts where only one may speak, and what was trusted.
Written and read by one program version after another; a file of another form version is none.  Pure.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from agent.codec import strictjson
from agent.errors import Malformed

FORMAT_VERSION = 1
MAX_SIZE = 32 * 1024 * 1024
"""Most bytes of the file: `MAX_STORED` of documents in base64, what was trusted, and room."""

MAX_STORED = 16 * 1024 * 1024
"""Most bytes of all documents together."""

MAX_ACCEPTED = 256
"""Most documents."""

MAX_TRUSTED = 50_000
"""Most things that were trusted of which is known that they were: what is beyond is new each time."""

_MAX_VALUES = 400_000
_HASH = re.compile(r"[0-9a-f]{32}\Z")


class Accepted(NamedTuple):
    """A document in the version that was accepted: `name` is `NAMESPACE/NAME`, `documents` are its keys."""

    name: str
    uid: str
    resource_version: str
    documents: Mapping[str, bytes]


class InForce(NamedTuple):
    """What is in force.  `holders` names the document whose word counts for each key that only one may say.

    `trusted` are hashes of what was trusted (`agent.config.trusted`).
    """

    documents: tuple[Accepted, ...] = ()
    holders: Mapping[str, str] = MappingProxyType({})
    trusted: frozenset[str] = frozenset()


def encode(in_force: InForce) -> bytes:
    """`in_force` as a file."""
    documents = [
        [
            each.name,
            each.uid,
            each.resource_version,
            {key: b64encode(content).decode() for key, content in each.documents.items()},
        ]
        for each in in_force.documents
    ]
    value = {
        "formatVersion": FORMAT_VERSION,
        "documents": documents,
        "holders": dict(in_force.holders),
        "trusted": sorted(in_force.trusted)[:MAX_TRUSTED],
    }
    return strictjson.canonical(value)


def decode(content: bytes) -> InForce:
    """Read back what `encode` wrote.  Raises `Malformed`."""
    value = strictjson.decode(content, "configuration in force", limit=MAX_SIZE, most=_MAX_VALUES)
    try:
        top = cast("dict[str, Any]", value)
        if isinstance(top["formatVersion"], bool) or top["formatVersion"] != FORMAT_VERSION:
            raise ValueError("another version")
        if top.keys() != {"formatVersion", "documents", "holders", "trusted"}:
            raise ValueError("other keys")
        found = InForce(
            tuple(_accepted(*each) for each in _list(top["documents"], MAX_ACCEPTED)),
            {_text(key): _text(name) for key, name in top["holders"].items()},
            frozenset(_hash(each) for each in _list(top["trusted"], MAX_TRUSTED)),
        )
        if len({each.name for each in found.documents}) < len(found.documents):
            raise ValueError("a name twice")
        if sum(len(content) for each in found.documents for content in each.documents.values()) > MAX_STORED:
            raise ValueError("too much")
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        shown = ascii(error)[:120]
        raise Malformed(f"configuration in force: got {shown}; expected what nodeseal writes") from None
    return found


def _accepted(name: object, uid: object, resource_version: object, documents: object) -> Accepted:
    if not isinstance(documents, dict):
        raise TypeError("no documents")
    contents = {key: b64decode(_text(text), validate=True) for key, text in documents.items()}
    return Accepted(_text(name), _text(uid), _text(resource_version), contents)


def _list(value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise TypeError("no list, or too long")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _hash(value: object) -> str:
    if not _HASH.match(_text(value)):
        raise ValueError("no hash")
    return cast("str", value)
