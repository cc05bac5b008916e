"""What images of the scenarios have of cosign's, and the documents that a configuration needs to verify it."""

import json
from collections.abc import Mapping
from datetime import timedelta

from cryptography import x509

from agent.model.descriptor import Descriptor
from tests import signing_sigstore as sigstore
from tests.signing_cosign import Layer, bundle, bundle_manifest, layer, manifest, payload, public_pem, statement
from tests.simulators.registry import RegistrySimulator

COSIGNED, COSIGNED_TAG, COSIGNED_BY_STRANGER, ATTESTED = "bundle", "layer", "strange bundle", "attestation"
COSIGNED_BY_TWO = "two bundles"
BY_IDENTITY, BY_ANOTHER, LONG_AGO, IN_A_NEWER_LOG = "identity", "another identity", "old identity", "newer log"
"""By key or by identity; long ago, or in a log that no trusted root here knows."""

_INSTANCE, _NEWER = 11, 12
_WANTED = {"identities": [{"issuer": sigstore.ISSUER, "subject": sigstore.SUBJECT}]}
VERIFIERS: list[dict[str, object]] = [
    {"name": "shop-key", "type": "cosign", "keys": ["shop.pub"]},
    {"name": "two-keys", "type": "cosign", "keys": ["shop.pub", "other.pub"], "threshold": 2},
    {"name": "release", "type": "cosign", **_WANTED},
    {"name": "aged-release", "type": "cosign", **_WANTED, "trustRoot": "aged.json"},
]
RULES: Mapping[str, Mapping[str, object]] = {
    "cosign": {"verifiers": ["shop-key"], "policy": {"any": ["shop-key"]}},
    "both": {"verifiers": ["shop-key", "notation"], "policy": {"all": ["shop-key", "notation"]}},
    "two": {"verifiers": ["two-keys"], "policy": {"any": ["two-keys"]}},
    "release": {"verifiers": ["release"], "policy": {"any": ["release"]}},
    "aged": {"verifiers": ["aged-release"], "policy": {"any": ["aged-release"]}},
    "aged-ignore": {
        "verifiers": ["aged-release"],
        "policy": {"any": ["aged-release"]},
        "failurePolicy": {"default": "Ignore"},
    },
}


def documents() -> dict[str, bytes]:
    """By name: keys, and a trusted root of an instance, now and as it will have ended."""
    instance = sigstore.instance(_INSTANCE)
    ended = {"start": sigstore.rfc3339(instance.start), "end": sigstore.rfc3339(sigstore.now() - timedelta(days=1))}
    return {
        "shop.pub": public_pem(),
        "other.pub": public_pem(number=1),
        "trusted_root.json": json.dumps(instance.trusted_root()).encode(),
        "aged.json": json.dumps(instance.trusted_root(rekor1=ended, rekor2=ended)).encode(),
    }


def sign(registry: RegistrySimulator, repository: str, image: Descriptor, kind: str) -> None:
    """Store what `kind` is, if it is something of cosign's."""
    if kind == COSIGNED_TAG:
        one = layer(payload(image))
        registry.push_blob(repository, one.content)
        registry.push_manifest(repository, manifest([one]), tag=f"sha256-{image.digest.encoded}.sig")
        return
    for one in _bundles(image, kind):
        registry.push_blob(repository, one.content)
        registry.push_manifest(repository, bundle_manifest(one, image))


def _bundles(image: Descriptor, kind: str) -> list[Layer]:
    said = statement(image)
    by_key = {
        COSIGNED: lambda: [bundle(said)],
        COSIGNED_BY_STRANGER: lambda: [bundle(said, number=1)],
        COSIGNED_BY_TWO: lambda: [bundle(said), bundle(said, number=1)],
        ATTESTED: lambda: [bundle(statement(image, predicateType="https://slsa.dev/provenance/v1"))],
    }
    if kind in by_key:
        return by_key[kind]()
    if kind not in (BY_IDENTITY, BY_ANOTHER, LONG_AGO, IN_A_NEWER_LOG):
        return []
    instance, at = sigstore.instance(_INSTANCE), sigstore.now() - timedelta(days=3 * (kind == LONG_AGO), minutes=1)
    names = [x509.UniformResourceIdentifier(sigstore.SUBJECT + "x" * (kind == BY_ANOTHER))]
    made = sigstore.signed_envelope(instance.leaf(at=at, names=names), said)
    log = sigstore.instance(_NEWER) if kind == IN_A_NEWER_LOG else instance
    value = sigstore.bundle(made, [log.first_entry(made.first_body(), at)])
    return [Layer(json.dumps(value).encode(), None, sigstore.V03)]
