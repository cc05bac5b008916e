"""One signature by cosign, whatever layout it came in: the border between reading layouts and verifying.

A layout (`cosign_bundle`, `cosign_layer`) reads its own encoding into `Signature`s; what is checked of them is the same
for all, in `agent.formats.cosign_steps`, so that no layout forgets a check (the class of CVE-2026-22703).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.codec.sigstorebundle import LogEntry
from agent.errors import Code, Malformed


class Unsupported(Malformed):
    """Evidence of a kind that is not read here."""

    code = Code.EVIDENCE_UNSUPPORTED


class NoSignature(Malformed):
    """Something was signed, and it does not say that an image is signed: an attestation, another tool's statement."""

    code = Code.NO_SIGNATURE


class Claim(NamedTuple):
    """What was said of one thing: its digests by algorithm, lower-case hexadecimal, and notes beside them."""

    digests: Mapping[str, str]
    annotations: Mapping[str, object]


class Said(NamedTuple):
    """What was signed: what is claimed of which things and, if it is a statement, its predicate (any JSON).

    `size` is that of the statement, in bytes.
    """

    claims: tuple[Claim, ...]
    predicate: object = None
    size: int = 0


class Vouchers(NamedTuple):
    """What came with a signature: certificates (DER, the signer's first), log entries, RFC 3161 responses (DER)."""

    certificates: tuple[bytes, ...] = ()
    entries: tuple[LogEntry, ...] = ()
    timestamps: tuple[bytes, ...] = ()


class Signature(NamedTuple):
    """Nothing in it is believed before `signature` was checked over `signed`.

    `read` gives what was signed, from the very bytes that `signed` covers, and `vouchers` what came with it; both raise
    `Malformed`.  `payload` is an envelope's, None where there is no envelope.  `hint` is what the signature calls its
    key, which proves nothing, and may be empty; `has_certificate`: it names no key, but comes with a certificate.
    `stamped` is what its timestamps are over, if not the signature itself.
    """

    signature: bytes
    signed: bytes
    read: Callable[[], Said]
    vouchers: Callable[[], Vouchers]
    payload: bytes | None = None
    hint: str = ""
    has_certificate: bool = False
    stamped: bytes | None = None
