"""DSSE envelopes (secure-systems-lab/dsse, envelope.md and protocol.md, version 1).

Splits an envelope into its parts and says what its signatures are made over; whether one holds is for `agent.trust` to
say.  What is verified and what is read further are the same decoded bytes.
"""

from typing import NamedTuple

from agent.codec import members, strictjson
from agent.codec.jose import base64_either
from agent.errors import LimitExceeded

MAX_SIZE = 4 * 1024 * 1024
"""Largest envelope taken, in bytes: it may hold a whole bill of materials."""

MAX_SIGNATURES = 16
"""Most signatures of one envelope; nearly all have one."""

MAX_SIGNATURE_SIZE = 4096
"""Largest signature taken, in bytes: RSA with 8192 bits has 1024."""

MAX_TYPE_LENGTH = 256
"""Longest payload type taken, in characters; it is a media type."""

_OBJECT = "a DSSE object"


class Envelope(NamedTuple):
    """One DSSE envelope, decoded.

    `signatures` are of no known key: the `keyid` beside each is a hint that nobody signed, and is dropped.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[bytes, ...]


def parse(data: bytes, where: str) -> Envelope:
    """Read an envelope.  Raises `Malformed` or `LimitExceeded`, naming `where`."""
    return from_json(strictjson.decode(data, where, limit=MAX_SIZE), where)


def from_json(value: object, where: str) -> Envelope:
    """Read an envelope that stands in other JSON.  Unknown members are ignored, as DSSE demands."""
    envelope = members.of(value, where, expected=_OBJECT)
    payload_type = members.text(envelope, "payloadType", where)
    if len(payload_type) > MAX_TYPE_LENGTH:
        raise LimitExceeded(f"{where}: payloadType: got {len(payload_type)} characters; at most {MAX_TYPE_LENGTH}")
    signatures = members.array(envelope, "signatures", where, most=MAX_SIGNATURES, of_what="signatures")
    return Envelope(
        payload_type=payload_type,
        payload=base64_either(members.text(envelope, "payload", where), f"{where}: payload"),
        signatures=tuple(_signature(each, f"{where}: signatures[{i}]") for i, each in enumerate(signatures)),
    )


def pae(payload_type: str, payload: bytes) -> bytes:
    """What a signature is made over: type and payload, each behind its length in bytes (protocol.md, PAE)."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _signature(value: object, where: str) -> bytes:
    text = members.text(members.of(value, where, expected=_OBJECT), "sig", where)
    signature = base64_either(text, f"{where}: sig")
    if not 0 < len(signature) <= MAX_SIGNATURE_SIZE:
        raise LimitExceeded(f"{where}: got a signature of {len(signature)} bytes; expected 1 to {MAX_SIGNATURE_SIZE}")
    return signature
