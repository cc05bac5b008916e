"""The tests' own cosign: signatures with keys in every layout, right ones and wrong ones, part by part overridable.

Acceptance is proved with the real `cosign` (tests/real); what is made here proves rejection.
"""

import base64
import json
from typing import Any, Mapping, NamedTuple, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.codec import dsse
from agent.formats.cosign import BUNDLE_TYPE, LEGACY_TYPE
from agent.formats.cosign_attested import MEDIA_TYPE as ENVELOPE_TYPE
from agent.formats.cosign_bundle import PREDICATE_TYPE
from agent.formats.cosign_layer import MEDIA_TYPE, PAYLOAD_KIND, SIGNATURE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import EMPTY_CONFIG, IMAGE_MANIFEST
from tests.signing import EMPTY_DIGEST, descriptor_json, key

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PROVENANCE = "https://slsa.dev/provenance/v1"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_SHA = {"SHA-256": hashes.SHA256(), "SHA-384": hashes.SHA384(), "SHA-512": hashes.SHA512()}

Json = dict[str, Any]


class Layer(NamedTuple):
    """One layer of a signature's manifest: its bytes, and what stands beside it."""

    content: bytes
    annotations: object = None
    media_type: str = MEDIA_TYPE


def public_pem(
    kind: str = "P-256", number: int = 0, *, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo
) -> bytes:
    """A public key, as `cosign` writes it."""
    return key(kind, number).public_key().public_bytes(Encoding.PEM, form)


def public_der(kind: str = "P-256", number: int = 0) -> bytes:
    """The same as DER."""
    return key(kind, number).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def hint(kind: str = "P-256", number: int = 0) -> str:
    """What a bundle calls a key."""
    return base64.b64encode(bytes.fromhex(Digest.of(public_der(kind, number)).encoded)).decode()


def raw_signature(signed: bytes, kind: str = "P-256", number: int = 0, how: str = "SHA-256") -> bytes:
    """A signature as cosign makes it; `how` is the digest, with " PSS" behind it for the other padding of RSA."""
    private = key(kind, number)
    digest = _SHA[how.split()[0]]
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(signed, ec.ECDSA(digest))
    if isinstance(private, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
        return private.sign(signed, pss if "PSS" in how else padding.PKCS1v15(), digest)
    return private.sign(signed)  # type: ignore[call-arg]


def payload(subject: Descriptor | str, **changes: Any) -> bytes:
    """A simple-signing payload; `changes` replace members of it or, by the same names, of what is in it."""
    value: Json = {
        "critical": {
            "identity": changes.pop("identity", {"docker-reference": "registry.example.com/shop/cart"}),
            "image": changes.pop("image", {"docker-manifest-digest": _digest(subject)}),
            "type": changes.pop("type", PAYLOAD_KIND),
        },
        "optional": changes.pop("optional", None),
    }
    value["critical"] |= changes.pop("critical", {})
    return json.dumps(value | changes).encode()


def layer(
    content: bytes,
    kind: str = "P-256",
    number: int = 0,
    *,
    how: str = "SHA-256",
    beside: Mapping[str, object] | None = None,
) -> Layer:
    """A signed layer; `beside` are further annotations."""
    text = base64.b64encode(raw_signature(content, kind, number, how)).decode()
    return Layer(content, {SIGNATURE: text, **(beside or {})})


def statement(subject: Descriptor | str, /, **changes: Any) -> bytes:
    """A statement that an image is signed; `changes` replace members."""
    algorithm, _, encoded = _digest(subject).partition(":")
    value = {
        "_type": STATEMENT_TYPE,
        "subject": [{"digest": {algorithm: encoded}, "annotations": changes.pop("annotations", {})}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {},
    }
    return json.dumps(value | changes).encode()


def bundle(
    said: bytes, kind: str = "P-256", number: int = 0, *, how: str = "SHA-256", payload_type: str = PAYLOAD_TYPE,
    media_type: str = BUNDLE_TYPE, signature: bytes | None = None, material: Mapping[str, object] | None = None,
    **changes: Any,
) -> Layer:  # fmt: skip
    """A bundle with a signed statement; `changes` replace its members."""
    made = raw_signature(dsse.pae(payload_type, said), kind, number, how) if signature is None else signature
    value = {
        "mediaType": media_type,
        "verificationMaterial": material or {"publicKey": {"hint": hint(kind, number)}},
        "dsseEnvelope": {
            "payload": base64.b64encode(said).decode(),
            "payloadType": payload_type,
            "signatures": [{"sig": base64.b64encode(made).decode()}],
        },
    }
    content = json.dumps({name: each for name, each in (value | changes).items() if each is not None}).encode()
    return Layer(content, None, media_type)


def attestation(subject: Descriptor | str, /, **changes: Any) -> bytes:
    """A statement of how an image was built; `changes` replace members."""
    return statement(
        subject, **{"predicateType": PROVENANCE, "predicate": {"runDetails": {"builder": {"id": "b"}}}} | changes
    )


def envelope(
    said: bytes,
    *signers: tuple[str, int],
    payload_type: str = PAYLOAD_TYPE,
    beside: object = None,
    media_type: str = ENVELOPE_TYPE,
) -> Layer:
    """An attestation as cosign until version 2 stores it, by one signer or several; `beside` are annotations."""
    made = [raw_signature(dsse.pae(payload_type, said), kind, number) for kind, number in signers or (("P-256", 0),)]
    value = {
        "payloadType": payload_type,
        "payload": base64.b64encode(said).decode(),
        "signatures": [{"keyid": "", "sig": base64.b64encode(each).decode()} for each in made],
    }
    usual = {SIGNATURE: "", "predicateType": json.loads(said)["predicateType"] if said[:1] == b"{" else ""}
    return Layer(json.dumps(value).encode(), usual if beside is None else beside, media_type)


def descriptor_of(one: Layer) -> Descriptor:
    """A layer's descriptor."""
    return Descriptor(one.media_type, Digest.of(one.content), len(one.content))


def manifest(layers: Sequence[Layer], subject: Descriptor | None = None, *, artifact_type: str = "") -> bytes:
    """A manifest of signatures: what cosign's tag names or, with `subject`, a referrer of it.

    `artifact_type` is a bundle's, in the manifest, or the older layout's, which cosign writes as the config's type.
    """
    is_bundle = artifact_type.startswith("application/vnd.dev.sigstore.bundle")
    config = {"mediaType": EMPTY_CONFIG if is_bundle else artifact_type or _CONFIG, "digest": EMPTY_DIGEST, "size": 2}
    value: Json = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": config,
        "layers": [
            descriptor_json(descriptor_of(each))
            | ({} if each.annotations is None else {"annotations": each.annotations})
            for each in layers
        ],
    }
    if is_bundle:
        value["artifactType"] = artifact_type
    if subject is not None:
        value["subject"] = descriptor_json(subject)
    return json.dumps(value).encode()


def bundle_manifest(one: Layer, subject: Descriptor) -> bytes:
    """A bundle's manifest."""
    return manifest([one], subject, artifact_type=BUNDLE_TYPE)


def referrer_manifest(layers: Sequence[Layer], subject: Descriptor) -> bytes:
    """The older layout as a referrer."""
    return manifest(layers, subject, artifact_type=LEGACY_TYPE)


def _digest(subject: Descriptor | str) -> str:
    return subject if isinstance(subject, str) else str(subject.digest)
