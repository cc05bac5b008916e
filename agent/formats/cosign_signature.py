"""One signature by cosign, whatever layout it came in: the border between reading layouts and verifying.

A layout (`cosign_bundle`, `cosign_layer`) reads its own encoding into `Signature`s; what is checked of them is the same
for all, in `agent.formats.cosign_steps`, so that no layout forgets a check (the class of CVE-2026-22703).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

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


class Signature(NamedTuple):
    """Nothing in it is believed before `signature` was checked over `signed`.

    `read` gives what was signed, from the very bytes that `signed` covers, and raises `Malformed`.  `certificates`
    (DER) came with it, the signer's first; `hint` is what it says its key is called, which proves nothing; both may be
    empty.
    """

    signature: bytes
    signed: bytes
    read: Callable[[], tuple[Claim, ...]]
    hint: str = ""
    certificates: tuple[bytes, ...] = ()
