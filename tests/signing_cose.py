"""The tests' own signer, in COSE: Notary Project envelopes as COSE_Sign1, right ones and wrong ones.

The counterpart of `tests.signing.envelope`; every part can be overridden.
"""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import cbor2
from cbor2 import CBORTag
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agent.model.descriptor import Descriptor
from tests.signing import PAYLOAD_TYPE, PREFIX, Signer, descriptor_json, raw_signature

ENVELOPE_TYPE = "application/cose"
ALG, CRIT, CONTENT_TYPE, X5CHAIN = 1, 2, 3, 33
_ALGORITHMS = {"RSA-2048": -37, "RSA-3072": -38, "RSA-4096": -39, "P-256": -7, "P-384": -35, "P-521": -36}
_SCHEME, _SIGNING_TIME, _EXPIRY = PREFIX + "signingScheme", PREFIX + "signingTime", PREFIX + "expiry"


def time(moment: datetime) -> CBORTag:
    """A time as envelopes have it."""
    return CBORTag(1, int(moment.timestamp()))


def envelope(
    signed_by: Signer,
    subject: Descriptor,
    *,
    expiry: datetime | None = None,
    protected: dict[int | str, Any] | None = None,
    dropped: tuple[int | str, ...] = (),
    unprotected: dict[int | str, Any] | None = None,
    payload: bytes | None = None,
    chain: tuple[x509.Certificate, ...] | None = None,
    protected_bytes: bytes | None = None,
    signature: bytes | None = None,
    detached: bool = False,
    tag: bytes = b"\xd2",
) -> bytes:
    """A COSE envelope as `notation` makes it.

    `protected` and `unprotected` are added to (or replace) what is in the two headers, `dropped` names protected labels
    to leave out; `protected_bytes` replaces the whole protected header, and is signed as it is.
    """
    critical: list[Any] = [_SCHEME]
    attributes: dict[int | str, Any] = {
        ALG: _ALGORITHMS.get(signed_by.kind, -7),
        CRIT: critical,
        CONTENT_TYPE: PAYLOAD_TYPE,
        _SCHEME: "notary.x509",
        _SIGNING_TIME: time(datetime.now(timezone.utc) - timedelta(minutes=5)),
    }
    if expiry is not None:
        attributes[_EXPIRY] = time(expiry)
        critical.append(_EXPIRY)
    attributes |= protected or {}
    for label in dropped:
        attributes.pop(label, None)
    header = protected_bytes if protected_bytes is not None else cbor2.dumps(attributes)
    body = payload if payload is not None else json.dumps({"targetArtifact": descriptor_json(subject)}).encode()
    signed = cbor2.dumps(["Signature1", header, b"", body])
    made = signature if signature is not None else raw_signature(signed_by.kind, signed_by.key_number, signed)
    certificates = chain if chain is not None else signed_by.chain
    ders = [each.public_bytes(serialization.Encoding.DER) for each in certificates]
    others = {X5CHAIN: ders, PREFIX + "signingAgent": "tests/1"} | (unprotected or {})
    return tag + cbor2.dumps([header, others, None if detached else body, made])
