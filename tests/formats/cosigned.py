"""cosign's evidence as the engine fetches it, and what the format says of that."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from agent.formats.cosign import BUNDLE_TYPE, LEGACY_TYPE, CosignFormat
from agent.model.digest import Digest
from agent.model.documents import Document
from agent.model.evidence import Blob, Evidence
from agent.model.manifest import IMAGE_MANIFEST, Manifest
from agent.model.outcome import Outcome
from tests.formats.support import GivenDocuments, decided, request
from tests.signing_cosign import Layer, descriptor_of, manifest, public_pem


class KeyDocuments(GivenDocuments):
    """`model.documents.Sources` with public keys: documents and key providers by name."""

    def __init__(self, documents: Mapping[str, bytes], providers: Mapping[str, bytes] | None = None) -> None:
        """Keep them."""
        super().__init__()
        self._documents, self._providers = documents, providers or {}

    def file(self, path: str) -> Document | None:
        """By the last component of its path."""
        name = path.rpartition("/")[2]
        return Document(name, self._documents[name], name) if name in self._documents else None

    def provided(self, provider: str) -> Document | None:
        """By its name."""
        content = self._providers.get(provider)
        return None if content is None else Document(provider, content, f"provider {provider}")


def verifier(*keys: bytes, **options: Any) -> CosignFormat:
    """A verifier of our own that trusts these keys (PEM); the usual one if there are none."""
    documents = {f"{i}.pub": each for i, each in enumerate(keys or (public_pem(),))}
    parsed = CosignFormat.parse({"keys": list(documents), **options}, KeyDocuments(documents), "verifier")
    if parsed.problems:
        raise AssertionError(parsed.problems)
    return CosignFormat.load("cosign", json.loads(json.dumps(parsed.settings)), parsed.certificates)


def evidence_of(layers: Sequence[Layer], artifact_type: str) -> Evidence:
    """Evidence with these layers."""
    read = Manifest.from_json(json.loads(manifest(layers, artifact_type=artifact_type)), IMAGE_MANIFEST)
    blobs = tuple(Blob(descriptor_of(each), each.content) for each in layers)
    return Evidence(Digest.of(b"manifest"), read, blobs)


def outcome_of(*layers: Layer, form: CosignFormat | None = None, name: str = "", **options: Any) -> Outcome:
    """What a verifier finds: of bundles if the first layer is one, else of signature layers."""
    artifact_type = BUNDLE_TYPE if "bundle" in layers[0].media_type else LEGACY_TYPE
    pulled = request(name) if name else request()
    chosen = form or verifier(**options)
    return decided(chosen.verify(pulled, evidence_of(layers, artifact_type), datetime.now(timezone.utc)))
