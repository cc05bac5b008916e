"""Envelopes that `tests.signing` does not make: COSE messages, and JWS messages with a timestamp."""

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any, Callable

import cbor2
from cbor2 import CBORTag
from cryptography.hazmat.primitives.serialization import Encoding

from agent.model.descriptor import Descriptor
from tests.signing import PAYLOAD_TYPE, PREFIX, Signer, descriptor_json, envelope, raw_signature

COSE_TYPE = "application/cose"
_ES256 = -7


def cose(
    signed_by: Signer,
    image: Descriptor,
    *,
    protected: dict[Any, Any] | None = None,
    unprotected: dict[Any, Any] | None = None,
    encode: Callable[[dict[Any, Any]], bytes] = cbor2.dumps,
    payload: bytes | None = None,
    finish: Callable[[list[Any]], bytes] = lambda parts: cbor2.dumps(CBORTag(18, parts)),
) -> bytes:
    """A COSE envelope as `notation` makes it; `encode` writes the protected header, `finish` the whole."""
    seconds = int((datetime.now(timezone.utc) - timedelta(minutes=5)).timestamp())
    attributes = {
        1: _ES256,
        2: [PREFIX + "signingScheme"],
        3: PAYLOAD_TYPE,
        PREFIX + "signingScheme": "notary.x509",
        PREFIX + "signingTime": CBORTag(1, seconds),
    }
    header = encode(attributes | (protected or {}))
    body = payload if payload is not None else json.dumps({"targetArtifact": descriptor_json(image)}).encode()
    signed = cbor2.dumps(["Signature1", header, b"", body])
    chain = [each.public_bytes(Encoding.DER) for each in signed_by.chain]
    signature = raw_signature(signed_by.kind, signed_by.key_number, signed)
    return finish([header, {33: chain, **(unprotected or {})}, body, signature])


def stamped(signed_by: Signer, image: Descriptor, token: Callable[[bytes], bytes], **changes: Any) -> bytes:
    """A JWS envelope; `token` makes a timestamp of its signature."""
    value = json.loads(envelope(signed_by, image, **changes))
    signature = base64.urlsafe_b64decode(value["signature"] + "==")
    value["header"][PREFIX + "timestampSignature"] = base64.b64encode(token(signature)).decode()
    return json.dumps(value).encode()
