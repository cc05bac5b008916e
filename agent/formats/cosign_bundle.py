"""The layout of cosign 3: a Sigstore bundle with a signed in-toto statement, in any version of the specification's.

A statement is a signature if its predicate type says so, and nothing else is: whoever may attest something of an image
(a scanner, a builder) has not released it.  cosign itself takes any predicate type here.  Where an attestation is
wanted it is the other way round: one predicate type counts, and that of signatures is never wanted.
"""

from agent.codec import dsse, sigstorebundle, statement
from agent.errors import Code, Malformed
from agent.formats.cosign_signature import Claim, NoSignature, Said, Signature, Unsupported, Vouchers
from agent.model.evidence import Blob

PREDICATE_TYPE = "https://sigstore.dev/cosign/sign/v1"
"""What cosign calls the statement that an image is signed."""


class AnotherPredicate(Malformed):
    """A statement, which says something else than what is wanted."""

    code = Code.PREDICATE_TYPE_DIFFERS


def read(blob: Blob, wanted: str = PREDICATE_TYPE) -> Signature:
    """The signature in a bundle, over a statement of the predicate type `wanted`.  Raises `Malformed`."""
    bundle = sigstorebundle.parse(blob.content)
    envelope = bundle.content
    if not isinstance(envelope, dsse.Envelope):
        raise Unsupported("bundle: got a message signature; expected a signed statement (dsseEnvelope)")
    if envelope.payload_type != statement.PAYLOAD_TYPE:
        got = ascii(envelope.payload_type)[:80]
        raise Unsupported(f"bundle: payloadType: got {got}; expected {statement.PAYLOAD_TYPE}")
    return Signature(
        signature=envelope.signatures[0],
        signed=dsse.pae(envelope.payload_type, envelope.payload),
        read=lambda: said(envelope.payload, wanted),
        vouchers=lambda: Vouchers(bundle.material.certificates, bundle.entries, bundle.timestamps),
        payload=envelope.payload,
        hint=bundle.material.hint or "",
        has_certificate=bundle.material.hint is None,
    )


def said(payload: bytes, wanted: str) -> Said:
    """What a statement says, if it is of the predicate type `wanted`, to the letter.  Raises `Malformed`."""
    read = statement.parse(payload)
    if read.predicate_type != wanted:
        got = ascii(read.predicate_type)[1:-1][:80]
        if wanted == PREDICATE_TYPE:
            raise NoSignature(f"an attestation of the type {got}, which is no signature ({PREDICATE_TYPE})")
        what = "a signature" if read.predicate_type == PREDICATE_TYPE else f"an attestation of the type {got}"
        raise AnotherPredicate(f"{what}; expected an attestation of the type {wanted}")
    return Said(tuple(Claim(each.digests, each.annotations) for each in read.subjects), read.predicate, len(payload))
