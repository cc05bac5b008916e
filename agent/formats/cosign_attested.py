"""The layout of attestations of cosign until version 2: an envelope in each layer, with one signature or several.

What vouches for the signatures stands in the layer's annotations, as in `agent.formats.cosign_layer`; the annotation
that would be the signature is empty, and the one with the predicate type proves nothing.  Timestamps are over the whole
envelope as it was written.
"""

from agent.codec import dsse, statement
from agent.errors import Malformed
from agent.formats import cosign_bundle
from agent.formats.cosign_signature import Signature, Unsupported, Vouchers
from agent.model.evidence import Blob

MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"


def read(blob: Blob, annotations: object, wanted: str) -> tuple[Signature, ...]:
    """The signatures in a layer, over a statement of the predicate type `wanted`.  Raises `Malformed`."""
    media_type = blob.descriptor.media_type
    if media_type != MEDIA_TYPE:
        raise Unsupported(f"layer: got media type {ascii(media_type)[:80]}; expected {MEDIA_TYPE}")
    envelope = dsse.parse(blob.content, "layer")
    if envelope.payload_type != statement.PAYLOAD_TYPE:
        got = ascii(envelope.payload_type)[:80]
        raise Unsupported(f"layer: payloadType: got {got}; expected {statement.PAYLOAD_TYPE}")
    payload = envelope.payload
    signed = dsse.pae(envelope.payload_type, payload)
    return tuple(
        Signature(
            signature=each,
            signed=signed,
            read=lambda: cosign_bundle.said(payload, wanted),
            vouchers=lambda: _vouchers(annotations),
            payload=payload,
            stamped=blob.content,
        )
        for each in envelope.signatures
    )


def _vouchers(annotations: object) -> Vouchers:
    if annotations is None:
        return Vouchers()
    if not isinstance(annotations, dict) or not all(isinstance(each, str) for each in annotations.values()):
        raise Malformed("layer: annotations: got such that are no texts; expected texts by name")

    from agent.formats import cosign_vouchers

    return cosign_vouchers.read(annotations)
