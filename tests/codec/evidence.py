"""Sigstore's JSON with made-up bytes in it: well-formed, and signed by nobody."""

import base64
import json
from typing import Any

DIGEST = "0" * 64
V03 = "application/vnd.dev.sigstore.bundle.v0.3+json"


def b64(data: bytes) -> str:
    """Padded standard base64, as Go writes it."""
    return base64.b64encode(data).decode()


def statement(**subject: Any) -> bytes:
    """A statement about one subject; `subject` adds to its members."""
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": DIGEST}} | subject],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
    return json.dumps(value).encode()


def dsse_json(**changes: Any) -> dict[str, Any]:
    """An envelope with a statement."""
    envelope = {
        "payload": b64(statement()),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": b64(b"signature"), "keyid": "hint"}],
    }
    return envelope | changes


def entry(**changes: Any) -> dict[str, Any]:
    """A log entry."""
    proof = {
        "logIndex": "3",
        "treeSize": "9",
        "rootHash": b64(b"root"),
        "hashes": [b64(b"h" * 32)],
        "checkpoint": {"envelope": "log\n9\ncm9vdA==\n\n\u2014 log AAAAAA==\n"},
    }
    value = {
        "logIndex": "7",
        "logId": {"keyId": b64(b"log")},
        "kindVersion": {"kind": "dsse", "version": "0.0.1"},
        "integratedTime": 1700000000,
        "canonicalizedBody": b64(b"{}"),
        "inclusionPromise": {"signedEntryTimestamp": b64(b"set")},
        "inclusionProof": proof,
    }
    return value | changes


def material(**changes: Any) -> dict[str, Any]:
    """Verification material: a certificate, an entry, a timestamp; None takes a member out."""
    value = {
        "certificate": {"rawBytes": b64(b"leaf")},
        "tlogEntries": [entry()],
        "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": b64(b"token")}]},
    }
    return {name: each for name, each in (value | changes).items() if each is not None}


def bundle(**changes: Any) -> dict[str, Any]:
    """A bundle as cosign writes it; None takes a member out."""
    value = {"mediaType": V03, "verificationMaterial": material(), "dsseEnvelope": dsse_json()}
    return {name: each for name, each in (value | changes).items() if each is not None}


def bundle_of_version_01() -> dict[str, Any]:
    """A bundle of the first version: a chain, a promise without a proof, a signature of a message."""
    chain = {"certificates": [{"rawBytes": b64(b"leaf")}, {"rawBytes": b64(b"root")}]}
    without_proof = {name: each for name, each in entry().items() if name != "inclusionProof"}
    digest = {"algorithm": "SHA2_256", "digest": b64(b"d" * 32)}
    return bundle(
        mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1",
        verificationMaterial=material(certificate=None, x509CertificateChain=chain, tlogEntries=[without_proof]),
        dsseEnvelope=None,
        messageSignature={"messageDigest": digest, "signature": b64(b"signature")},
    )
