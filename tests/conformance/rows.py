"""Bundles for files, right and wrong: what a client of the conformance suite must say of each.

Statements are in `tests.sigstore_cases`; here are signatures over a message, keys, and bundles of older versions.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from tests import signing_sigstore as sigstore
from tests.signing import key
from tests.signing_sigstore import Instance, Leaf, b64
from tests.sigstore_cases import changed, flipped

ARTIFACT = b"what somebody signed\n"
_V01, _V02 = (f"application/vnd.dev.sigstore.bundle+json;version=0.{number}" for number in (1, 2))


DIFFERENCES = {"form": "a bundle below version 0.3 has its certificate in a chain"}
"""Where cosign answers otherwise: the words of docs/keyless.md under "Deviations on purpose"."""


class Row(NamedTuple):
    """One bundle; `by_key`: a key is asked for instead of an identity; `difference`: cosign answers otherwise."""

    make: Callable[[Instance], dict[str, Any]]
    counts: bool
    by_key: bool = False
    difference: str = ""  # a key of `DIFFERENCES`


def by_identity(
    i: Instance, *, leaf: Leaf | None = None, message: bytes = ARTIFACT, logged: bytes = ARTIFACT, second: bool = False,
    **changes: Any,
) -> dict[str, Any]:  # fmt: skip
    """A certificate's signature over a message; `logged` is what the log has an entry about."""
    leaf = leaf or i.leaf()
    signature = sigstore.sign(leaf.private, message)
    if second:
        entry = i.second_entry(sigstore.second_body(logged, signature, sigstore.certificate_verifier(leaf)))
    else:
        entry = i.first_entry(sigstore.hashedrekord(logged, signature, leaf.pem))
    material: dict[str, Any] = {"certificate": {"rawBytes": b64(leaf.der)}, "tlogEntries": [entry]}
    if second:
        stamps = [{"signedTimestamp": b64(i.timestamp(signature))}]
        material["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
    return _bundle(material, message, signature) | changes


def by_key(i: Instance, *, number: int = 0, logged: bytes | None = None) -> dict[str, Any]:
    """A key's signature over a message, in a log if `logged` says about what."""
    private = key("P-256", number)
    signature = sigstore.sign(private, ARTIFACT)
    material: dict[str, Any] = {"publicKey": {"hint": b64(sigstore.sha256(sigstore.spki(private)))}}
    if logged is not None:
        body = sigstore.hashedrekord(logged, signature, sigstore.pem_of(private))
        material["tlogEntries"] = [i.first_entry(body)]
    return _bundle(material, ARTIFACT, signature)


def _bundle(material: dict[str, Any], message: bytes, signature: bytes) -> dict[str, Any]:
    digest = {"algorithm": "SHA2_256", "digest": b64(sigstore.sha256(message))}
    content = {"messageDigest": digest, "signature": b64(signature)}
    return {"mediaType": sigstore.V03, "verificationMaterial": material, "messageSignature": content}


def _but(path: str, change: Any, **usual: Any) -> Callable[[Instance], dict[str, Any]]:
    """The usual bundle with a member changed."""

    def make(i: Instance) -> dict[str, Any]:
        made = by_identity(i, **usual)
        at: Any = made
        for part in path.split("."):
            at = at[part]
        return changed(made, path, change(at) if callable(change) else change)

    return make


def older(i: Instance, media_type: str, *without: str, form: str = "x509CertificateChain") -> dict[str, Any]:
    """The usual bundle as an older version has it; `without` are members of the log entry."""
    made = by_identity(i, mediaType=media_type)
    material = made["verificationMaterial"]
    if form == "x509CertificateChain":
        issuer = {"rawBytes": b64(i.issuer.public_bytes(Encoding.DER))}
        material[form] = {"certificates": [material.pop("certificate"), issuer]}
    for name in without:
        del material["tlogEntries"][0][name]
    return made


def _statement_logged(i: Instance) -> dict[str, Any]:
    """An envelope's entry beside a signature over a message."""
    made = by_identity(i)
    leaf = i.leaf()
    body = sigstore.dsse_body(ARTIFACT, sigstore.sign(leaf.private, ARTIFACT), leaf.pem)
    made["verificationMaterial"]["tlogEntries"] = [i.first_entry(body)]
    return made


_SIGNATURE, _DIGEST = "messageSignature.signature", "messageSignature.messageDigest"

ROWS: Mapping[str, Row] = {
    "first Rekor": Row(by_identity, True),
    "second Rekor": Row(lambda i: by_identity(i, second=True), True),
    "second Rekor without a timestamp": Row(
        _but("verificationMaterial.timestampVerificationData", None, second=True), False
    ),
    "another message": Row(lambda i: by_identity(i, message=b"another", logged=b"another"), False),
    "signature flipped": Row(_but(_SIGNATURE, flipped), False),
    "digest flipped": Row(_but(f"{_DIGEST}.digest", flipped), False),
    "digest of another algorithm": Row(_but(f"{_DIGEST}.algorithm", "SHA2_512"), False),
    "entry about another message": Row(lambda i: by_identity(i, logged=b"another"), False),
    "entry about an envelope": Row(_statement_logged, False),
    "entry of another signature": Row(
        lambda i: by_identity(i) | {"messageSignature": by_identity(i)["messageSignature"]}, False
    ),
    "another instance": Row(lambda i: by_identity(sigstore.instance(4)), False),
    "another subject": Row(lambda i: by_identity(i, leaf=i.leaf(names=[])), False),
    "another issuer": Row(lambda i: by_identity(i, leaf=i.leaf(issuer="https://evil.example")), False),
    "no entries": Row(_but("verificationMaterial.tlogEntries", None), False),
    "version 0.1": Row(lambda i: older(i, _V01), True),
    "version 0.1, a promise alone": Row(lambda i: older(i, _V01, "inclusionProof"), True),
    "version 0.1, a proof alone": Row(lambda i: older(i, _V01, "inclusionPromise"), False),
    "version 0.2": Row(lambda i: older(i, _V02), True),
    "version 0.2, a promise alone": Row(lambda i: older(i, _V02, "inclusionProof"), False),
    "version 0.2, one certificate": Row(lambda i: older(i, _V02, form="certificate"), False, difference="form"),
    "version 0.3, a chain": Row(lambda i: older(i, sigstore.V03), False),
    "unknown version": Row(
        lambda i: by_identity(i, mediaType="application/vnd.dev.sigstore.bundle.v0.4+json"), False
    ),
    "unknown member": Row(lambda i: by_identity(i, more=1), False),
    "key instead of an identity": Row(by_key, False),
    "key": Row(by_key, True, by_key=True),
    "key, logged": Row(lambda i: by_key(i, logged=ARTIFACT), True, by_key=True),
    "key, another message logged": Row(lambda i: by_key(i, logged=b"another"), False, by_key=True),
    "another key": Row(lambda i: by_key(i, number=1), False, by_key=True),
    "identity instead of a key": Row(by_identity, False, by_key=True),
}  # fmt: skip


def written(value: dict[str, Any]) -> bytes:
    """A bundle as a file."""
    return json.dumps(value).encode()
