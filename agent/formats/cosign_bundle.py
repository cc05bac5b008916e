"""The layout of cosign 3: a Sigstore bundle with a signed in-toto statement, in any version of the specification's.

A statement is a signature if its predicate type says so, and nothing else is: whoever may attest something of an image
(a scanner, a builder) has not released it.  cosign itself takes any predicate type here.
"""

from agent.codec import dsse, sigstorebundle, statement
from agent.formats.cosign_signature import Claim, NoSignature, Signature, Unsupported, Vouchers
from agent.model.evidence import Blob

PREDICATE_TYPE = "https://sigstore.dev/cosign/sign/v1"
"""What cosign calls the statement that an image is signed."""


def read(blob: Blob) -> Signature:
    """The signature in a bundle.  Raises `Malformed`."""
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
        read=lambda: _claims(envelope.payload),
        vouchers=lambda: Vouchers(bundle.material.certificates, bundle.entries, bundle.timestamps),
        payload=envelope.payload,
        hint=bundle.material.hint or "",
        has_certificate=bundle.material.hint is None,
    )


def _claims(payload: bytes) -> tuple[Claim, ...]:
    said = statement.parse(payload)
    if said.predicate_type != PREDICATE_TYPE:
        got = ascii(said.predicate_type)[1:-1][:80]
        raise NoSignature(f"an attestation of the type {got}, which is no signature ({PREDICATE_TYPE})")
    return tuple(Claim(each.digests, each.annotations) for each in said.subjects)
