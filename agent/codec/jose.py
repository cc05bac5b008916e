"""JSON Web Signatures in the flattened JSON serialisation (RFC 7515, section 7.2.2).

Splits an envelope into its parts and checks its form; whether the signature holds is for `agent.trust` to say.
"""

import binascii
from typing import Mapping, NamedTuple

from agent.codec import members, strictjson
from agent.errors import Malformed

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_FORBIDDEN = frozenset(b"+/=")
_ENVELOPE = "signature envelope"


class Jws(NamedTuple):
    """One flattened JWS.

    `protected` is covered by the signature, `unprotected` is not; `signing_input` is what was signed; `payload` and
    `signature` are decoded.
    """

    protected: Mapping[str, object]
    unprotected: Mapping[str, object]
    payload: bytes
    signature: bytes
    signing_input: bytes


def parse(data: bytes, *, limit: int) -> Jws:
    """Read an envelope of at most `limit` bytes.  Raises `Malformed` or `LimitExceeded`."""
    value = members.of(strictjson.decode(data, _ENVELOPE, limit=limit), _ENVELOPE, expected="a JWS object")
    if "signatures" in value:
        raise Malformed(f"{_ENVELOPE}: got the general JWS serialisation; expected the flattened one")
    protected_text, payload_text = (members.text(value, name, _ENVELOPE) for name in ("protected", "payload"))
    header = strictjson.decode(base64url(protected_text, "protected header"), "protected header", limit=limit)
    protected = members.of(header, "protected header")
    unprotected = members.of(value.get("header", {}), "unprotected header")
    twice = sorted(set(protected) & set(unprotected))
    if twice:  # RFC 7515, section 7.2.1: the names must be disjoint
        raise Malformed(f"{_ENVELOPE}: header {ascii(twice[0])[:60]} stands in both headers; expected it in one")
    return Jws(
        protected=protected,
        unprotected=unprotected,
        payload=base64url(payload_text, "payload"),
        signature=base64url(members.text(value, "signature", _ENVELOPE), "signature"),
        signing_input=f"{protected_text}.{payload_text}".encode("ascii"),
    )


def base64url(text: str, where: str) -> bytes:
    """Decode unpadded base64url (RFC 7515, section 2).  Raises `Malformed` for every other spelling."""
    raw = text.encode("ascii", "replace")
    if not _FORBIDDEN.isdisjoint(raw):
        raise Malformed(f"{where}: got padded or standard base64; expected unpadded base64url")
    standard = raw.translate(_TO_STANDARD)
    return _decode(standard + b"=" * (-len(standard) % 4), standard, where)


def base64_standard(text: str, where: str) -> bytes:
    """Decode padded standard base64 (RFC 4648, section 4).  Raises `Malformed` for every other spelling."""
    raw = text.encode("ascii", "replace")
    return _decode(raw, raw.rstrip(b"="), where)


def base64_either(text: str, where: str) -> bytes:
    """Decode standard or URL-safe base64, padded or not, as DSSE and proto3's JSON have it: one alphabet in one text.

    Raises `Malformed` for every other spelling.
    """
    raw = text.encode("ascii", "replace")
    if (b"-" in raw or b"_" in raw) and not _FORBIDDEN.isdisjoint(raw.rstrip(b"=")):
        raise Malformed(f"{where}: got base64 of two alphabets; expected one")
    standard = raw.translate(_TO_STANDARD)
    bare = standard.rstrip(b"=")
    if len(standard) != len(bare):  # padded, then rightly
        return _decode(standard, bare, where)
    return _decode(standard + b"=" * (-len(standard) % 4), standard, where)


def _decode(padded: bytes, bare: bytes, where: str) -> bytes:
    """Decode, and insist on the one spelling that encoding would give: no stray bits, no stray characters."""
    try:
        decoded = binascii.a2b_base64(padded, strict_mode=True)
    except binascii.Error as error:
        raise Malformed(f"{where}: got invalid base64 ({error})") from None
    if binascii.b2a_base64(decoded, newline=False).rstrip(b"=") != bare:
        raise Malformed(f"{where}: got base64 with stray bits; expected its one canonical spelling")
    return decoded
