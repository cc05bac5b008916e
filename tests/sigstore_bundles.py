"""Bundles by identity that bear on an image: what was signed in them, and the rules of their versions.

A case says what Nodeseal must answer; whether evidence holds is in `tests.sigstore_cases`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from agent.codec import dsse
from agent.errors import Code
from tests import signing_sigstore as sigstore
from tests.formats.support import SUBJECT
from tests.signing import key
from tests.signing_sigstore import Instance, b64
from tests.sigstore_cases import flipped

IMAGE = str(SUBJECT.digest)
ANOTHER = "sha256:" + "6" * 64
OLD_TYPE = "application/vnd.dev.sigstore.bundle+json;version=0."

CHAIN, SINGLE = "x509CertificateChain", "certificate"
"""The two forms in which certificates are in a bundle."""


class BundleCase(NamedTuple):
    """One bundle, and why it does not count; `code` is None if it does."""

    make: Callable[[Instance], dict[str, Any]]
    code: Code | None = None


def saying(said: bytes) -> Callable[[Instance], dict[str, Any]]:
    """A bundle with these bytes signed."""

    def make(i: Instance) -> dict[str, Any]:
        made = sigstore.signed_envelope(i.leaf(), said)
        return sigstore.bundle(made, [i.first_entry(made.first_body())])

    return make


def older(version: int, *without: str, beside: bool = False, form: str = CHAIN) -> Callable[[Instance], dict[str, Any]]:
    """A bundle as an older version has it.

    `without` are members of its log entry; `beside` is whether the issuers' certificates come along.
    """

    def make(i: Instance) -> dict[str, Any]:
        made = sigstore.signed_envelope(i.leaf(), sigstore.statement(IMAGE))
        entry = {name: each for name, each in i.first_entry(made.first_body()).items() if name not in without}
        issuers = [each.public_bytes(Encoding.DER) for each in (i.issuer, i.root)] if beside else []
        chain = {"certificates": [{"rawBytes": b64(each)} for each in (made.leaf.der, *issuers)]}
        certificates = {form: chain if form == CHAIN else {"rawBytes": b64(made.leaf.der)}}
        return sigstore.bundle(
            made, mediaType=f"{OLD_TYPE}{version}", verificationMaterial={**certificates, "tlogEntries": [entry]}
        )

    return make


def but(change: Callable[[dict[str, Any]], object]) -> Callable[[Instance], dict[str, Any]]:
    """The usual bundle, changed in place after it was signed."""

    def make(i: Instance) -> dict[str, Any]:
        made = saying(sigstore.statement(IMAGE))(i)
        change(made)
        return made

    return make


def _of_type(media_type: str) -> Callable[[Instance], dict[str, Any]]:
    return but(lambda made: made.update(mediaType=media_type))


def _envelope(**members: Any) -> Callable[[Instance], dict[str, Any]]:
    return but(lambda made: made["dsseEnvelope"].update(members))


def _signature_flipped(made: dict[str, Any]) -> None:
    (signature,) = made["dsseEnvelope"]["signatures"]
    signature["sig"] = flipped(signature["sig"])


def _signed_as(payload_type: str) -> Callable[[Instance], dict[str, Any]]:
    """A right signature of an envelope of another type."""

    def make(i: Instance) -> dict[str, Any]:
        leaf, said = i.leaf(), sigstore.statement(IMAGE)
        message = dsse.pae(payload_type, said)
        made = sigstore.Signed(said, sigstore.sign(leaf.private, message), message, leaf)
        value = sigstore.bundle(made, [i.first_entry(made.first_body())])
        value["dsseEnvelope"]["payloadType"] = payload_type
        return value

    return make


def _forged(i: Instance) -> dict[str, Any]:
    """Everything fits but the key."""
    made = sigstore.signed_envelope(i.leaf(), sigstore.statement(IMAGE))
    made = made._replace(signature=sigstore.sign(key("P-256", 9001), made.message))
    return sigstore.bundle(made, [i.first_entry(made.first_body())])


def _by_key(made: dict[str, Any]) -> None:
    made["verificationMaterial"].pop("certificate")
    made["verificationMaterial"]["publicKey"] = {"hint": ""}


ENVELOPES: Mapping[str, BundleCase] = {
    "usual": BundleCase(but(lambda made: None)),
    "two signatures": BundleCase(
        but(lambda made: made["dsseEnvelope"]["signatures"].append({"sig": "AAAA"})), Code.EVIDENCE_MALFORMED
    ),
    "the same signature twice": BundleCase(
        but(lambda made: made["dsseEnvelope"]["signatures"].extend(made["dsseEnvelope"]["signatures"])),
        Code.EVIDENCE_MALFORMED,
    ),
    "no signature": BundleCase(_envelope(signatures=[]), Code.EVIDENCE_MALFORMED),
    "signature flipped": BundleCase(but(_signature_flipped), Code.NOT_LOGGED),
    "payload swapped": BundleCase(
        _envelope(payload=b64(sigstore.statement(IMAGE, predicate={"n": 1}))), Code.NOT_LOGGED
    ),
    "signature by another key, logged so": BundleCase(_forged, Code.SIGNATURE_INVALID),
    "another payload type": BundleCase(_envelope(payloadType="text/plain"), Code.EVIDENCE_UNSUPPORTED),
    "another payload type, signed": BundleCase(_signed_as("text/plain"), Code.EVIDENCE_UNSUPPORTED),
    "version 0.4": BundleCase(_of_type(sigstore.V03.replace("0.3", "0.4")), Code.EVIDENCE_MALFORMED),
    "version 0.3.1": BundleCase(_of_type(sigstore.V03.replace("0.3", "0.3.1")), Code.EVIDENCE_MALFORMED),
    "no version": BundleCase(_of_type(""), Code.EVIDENCE_MALFORMED),
    "unknown member": BundleCase(but(lambda made: made.update(more=1)), Code.EVIDENCE_MALFORMED),
    "a key's hint": BundleCase(but(_by_key), Code.SIGNER_NOT_TRUSTED),
}
"""What is wrong with what holds the signature."""

OLDER: Mapping[str, BundleCase] = {
    "0.1": BundleCase(older(1)),
    "0.1, issuers beside it": BundleCase(older(1, beside=True)),
    "0.1, no proof": BundleCase(older(1, "inclusionProof")),
    "0.1, no promise": BundleCase(older(1, "inclusionPromise"), Code.EVIDENCE_MALFORMED),
    "0.1, one certificate": BundleCase(older(1, form=SINGLE), Code.EVIDENCE_MALFORMED),
    "0.2": BundleCase(older(2)),
    "0.2, issuers beside it": BundleCase(older(2, beside=True)),
    "0.2, no proof": BundleCase(older(2, "inclusionProof"), Code.EVIDENCE_MALFORMED),
    "0.2, no promise": BundleCase(older(2, "inclusionPromise"), Code.TIMESTAMP_INVALID),
    "0.2, one certificate": BundleCase(older(2, form=SINGLE), Code.EVIDENCE_MALFORMED),
    "0.3, a chain": BundleCase(older(3), Code.EVIDENCE_MALFORMED),
    "0.3, one certificate": BundleCase(older(3, form=SINGLE)),
}
"""Which form each version has its certificates in, and what each needs of a log."""

SAID: Mapping[str, BundleCase] = {
    "another image": BundleCase(saying(sigstore.statement(ANOTHER)), Code.SIGNATURE_OF_ANOTHER_IMAGE),
    "digest in capitals": BundleCase(saying(sigstore.statement(IMAGE.upper())), Code.SIGNATURE_OF_ANOTHER_IMAGE),
    "digest of another algorithm": BundleCase(
        saying(sigstore.statement(IMAGE, subject=[{"digest": {"sha512": IMAGE[7:]}}])), Code.SIGNATURE_OF_ANOTHER_IMAGE
    ),
    "attestation": BundleCase(saying(sigstore.statement(IMAGE, "https://slsa.dev/provenance/v1")), Code.NO_SIGNATURE),
    "no subject": BundleCase(saying(sigstore.statement(IMAGE, subject=None)), Code.EVIDENCE_MALFORMED),
    "no subjects": BundleCase(saying(sigstore.statement(IMAGE, subject=[])), Code.EVIDENCE_MALFORMED),
    "subjects twice": BundleCase(
        saying(sigstore.statement(IMAGE).replace(b'"subject"', b'"subject": [], "subject"')), Code.EVIDENCE_MALFORMED
    ),
    "unknown type": BundleCase(
        saying(sigstore.statement(IMAGE, _type="https://in-toto.io/Statement/v9")), Code.EVIDENCE_MALFORMED
    ),
    "not JSON": BundleCase(saying(b"not JSON"), Code.EVIDENCE_MALFORMED),
    "older statement": BundleCase(saying(sigstore.statement(IMAGE, _type="https://in-toto.io/Statement/v0.1"))),
    "unknown member": BundleCase(saying(sigstore.statement(IMAGE, more=1))),
    "second of two subjects": BundleCase(
        saying(sigstore.statement(IMAGE, subject=[{"digest": {}}, {"digest": {"sha256": IMAGE[7:]}}]))
    ),
    "further digest that is another's": BundleCase(
        saying(sigstore.statement(IMAGE, subject=[{"digest": {"sha256": IMAGE[7:], "sha512": "0" * 128}}]))
    ),
    "further digest that is none": BundleCase(
        saying(sigstore.statement(IMAGE, subject=[{"digest": {"sha256": IMAGE[7:], "sha512": "x"}}]))
    ),
}
"""Who signed is trusted, and what was signed decides."""
