"""The layout of cosign until version 2: one layer for each signature, which is an annotation beside its payload.

The signature specification of cosign.  Further annotations are read where they are asked for
(`agent.formats.cosign_vouchers`), so that they spoil nothing that a public key is enough for.
"""

from collections.abc import Mapping

from agent.codec import simplesigning
from agent.codec.jose import base64_standard
from agent.errors import Malformed
from agent.formats.cosign_signature import Claim, NoSignature, Said, Signature, Unsupported, Vouchers
from agent.model.evidence import Blob

MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
PAYLOAD_KIND = "cosign container image signature"
"""What tells cosign's signatures from those that other tools make over the same kind of payload."""

_MAX_SIGNATURE_LENGTH = 4096


def read(blob: Blob, annotations: object) -> Signature:
    """The signature in a layer and the annotations beside it.  Raises `Malformed`."""
    media_type = blob.descriptor.media_type
    if media_type != MEDIA_TYPE:
        raise Unsupported(f"layer: got media type {ascii(media_type)[:80]}; expected {MEDIA_TYPE}")
    if not isinstance(annotations, dict) or not all(isinstance(each, str) for each in annotations.values()):
        raise Malformed(f"layer: annotations: got none, or such that are no texts; expected {SIGNATURE}")
    text = annotations.get(SIGNATURE, "")
    if not 0 < len(text) <= _MAX_SIGNATURE_LENGTH:
        raise Malformed(f"layer: {SIGNATURE}: got {len(text)} characters; expected 1 to {_MAX_SIGNATURE_LENGTH}")
    payload = blob.content
    signature = base64_standard(text, f"layer: {SIGNATURE}")
    return Signature(signature, payload, lambda: _said(payload), lambda: _vouchers(annotations))


def _said(payload: bytes) -> Said:
    said = simplesigning.parse(payload)
    if said.type != PAYLOAD_KIND:
        raise NoSignature(f"signed payload: type: got {ascii(said.type)[:60]}; expected {PAYLOAD_KIND!r}")
    algorithm, _, encoded = said.digest.partition(":")
    return Said((Claim({algorithm: encoded}, said.optional),))


def _vouchers(annotations: Mapping[str, str]) -> Vouchers:
    from agent.formats import cosign_vouchers

    return cosign_vouchers.read(annotations)
