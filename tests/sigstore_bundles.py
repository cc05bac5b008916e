"""Bundles by identity that bear on an image: what was signed in them, and the rules of their versions.

A case says what Nodeseal must answer; whether evidence holds is in `tests.sigstore_cases`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from agent.errors import Code
from tests import signing_sigstore as sigstore
from tests.formats.support import SUBJECT
from tests.signing_sigstore import Instance, b64

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
    "older statement, unknown member": BundleCase(
        saying(sigstore.statement(IMAGE, _type="https://in-toto.io/Statement/v0.1", more=1))
    ),
    "second of two subjects": BundleCase(
        saying(sigstore.statement(IMAGE, subject=[{"digest": {}}, {"digest": {"sha256": IMAGE[7:], "sha512": "x"}}]))
    ),
}
"""Who signed is trusted, and what was signed decides."""
