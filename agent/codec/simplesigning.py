"""Simple-signing payloads: what a signature by cosign until version 2 is made over.

The "atomic container signature" format of containers/image, as cosign's signature specification has it.  JSON whose
names count exactly: Go's reader, which cosign has, takes them in any case, so a second spelling of one that is read
here is refused, as one that stands twice is.  `docker-reference` is not read: a signature says nothing of where an
image lies, and cosign does not look at it either.
"""

from typing import Mapping, NamedTuple

from agent.codec import members, strictjson
from agent.errors import Malformed

MAX_SIZE = 64 * 1024
"""Largest payload taken, in bytes; real ones have about 250, and what `-a` adds."""

_DIGEST = "docker-manifest-digest"


class SimpleSigning(NamedTuple):
    """What a payload says.

    `type` says which tool's signature it is; `digest` is the image's, in no checked spelling; `optional` may hold any
    JSON.
    """

    type: str
    digest: str
    optional: Mapping[str, object]


def parse(payload: bytes) -> SimpleSigning:
    """Read a payload.  Raises `Malformed` or `LimitExceeded`."""
    value = members.of(strictjson.decode(payload, "signed payload", limit=MAX_SIZE), "signed payload")
    critical = members.of(_member(value, "critical", "signed payload"), "critical")
    image = members.of(_member(critical, "image", "critical"), "critical.image")
    optional = _member(value, "optional", "signed payload")
    return SimpleSigning(
        type=members.string(_member(critical, "type", "critical"), "critical.type"),
        digest=members.string(_member(image, _DIGEST, "critical.image"), f"critical.image.{_DIGEST}"),
        optional={} if optional is None else members.of(optional, "optional"),
    )


def _member(value: Mapping[str, object], name: str, where: str) -> object:
    """A member, None if it is not there.  Raises `Malformed` if another spelling of its name is."""
    for other in value:
        if other != name and other.casefold() == name:
            raise Malformed(f"{where}: got the member {ascii(other)[:60]}; expected {name}")
    return value.get(name)
