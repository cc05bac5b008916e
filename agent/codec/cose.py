"""COSE_Sign1 messages, tagged (RFC 9052, section 4.2), in one spelling.

Splits an envelope into its parts and checks its form; whether the signature holds is for `agent.trust` to say.  `cbor2`
reads the CBOR.  What it read must encode to the very bytes that were read: so there is no longer form of a length or an
integer, no trailing byte, and nothing that two readers see differently.  No key stands twice, and nothing is of
indefinite length.
"""

from typing import Mapping, NamedTuple

import cbor2

from agent.errors import LimitExceeded, Malformed

MAX_DEPTH = 8
"""Deepest nesting taken; envelopes have three levels."""

TIME = 1
"""The tag of a time in seconds since 1970 (RFC 8949, section 3.4.2); left as `cbor2.CBORTag`."""

_SIGN1_TAG = 0xD2  # tag 18, in the one byte that it takes
_STANDARD_TAGS = (
    0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799,
)  # fmt: skip

Label = int | str
Header = Mapping[Label, object]


class Sign1(NamedTuple):
    """One COSE_Sign1 message.

    `protected` is covered by the signature, `unprotected` is not; `signing_input` is what was signed, the encoded
    Sig_structure with no external data.
    """

    protected: Header
    unprotected: Header
    payload: bytes
    signature: bytes
    signing_input: bytes


def parse(data: bytes, *, limit: int) -> Sign1:
    """Read an envelope of at most `limit` bytes.  Raises `Malformed` or `LimitExceeded`."""
    where = "signature envelope"
    if len(data) > limit:
        raise LimitExceeded(f"{where}: got {len(data)} bytes; expected at most {limit}")
    if data[:1] != bytes([_SIGN1_TAG]):
        raise Malformed(f"{where}: got CBOR without tag 18; expected a tagged COSE_Sign1")
    parts = _decode(data[1:], where)
    if not isinstance(parts, list) or len(parts) != 4:
        raise Malformed(f"{where}: got {type(parts).__name__}; expected the four parts of a COSE_Sign1")
    protected_bytes, unprotected, payload, signature = parts
    for name, part in (("protected header", protected_bytes), ("payload", payload), ("signature", signature)):
        if not isinstance(part, bytes) or not part:
            raise Malformed(f"{name}: got {type(part).__name__}; expected a byte string that is not empty")
    protected = _header(_decode(protected_bytes, "protected header"), "protected header")
    unprotected = _header(unprotected, "unprotected header")
    twice = sorted(map(ascii, set(protected) & set(unprotected)))
    if twice:  # RFC 9052, section 3: the labels must be disjoint
        raise Malformed(f"{where}: label {twice[0][:60]} stands in both headers; expected it in one")
    signing_input = cbor2.dumps(["Signature1", protected_bytes, b"", payload])  # RFC 9052, section 4.4
    return Sign1(protected, unprotected, payload, signature, signing_input)


def _header(value: object, where: str) -> Header:
    if not isinstance(value, dict):
        raise Malformed(f"{where}: got {type(value).__name__}; expected a map")
    for label in value:
        if not isinstance(label, (int, str)) or isinstance(label, bool):
            raise Malformed(f"{where}: got a label of type {type(label).__name__}; expected integers and texts")
    return value


def _decode(data: bytes, where: str) -> object:
    try:
        value = cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_TAGS_LEFT_ALONE,
        )
        again = cbor2.dumps(value)
    except Exception as error:  # CBORDecodeError, and whatever hashing or encoding an odd value raises
        raise Malformed(
            f"{where}: got no valid CBOR ({type(error).__name__}, {ascii(str(error))[1:-1][:80]})"
        ) from error
    if again != data:
        raise Malformed(
            f"{where}: got CBOR in a longer form than needed, or bytes behind it; expected its shortest form"
        )
    return value


def _left_alone(tag: int) -> cbor2.SemanticDecoderCallback:
    return lambda value, immutable: cbor2.CBORTag(tag, value)


_TAGS_LEFT_ALONE = {tag: _left_alone(tag) for tag in _STANDARD_TAGS}
