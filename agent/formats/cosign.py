"""cosign's signatures of images, in every layout that cosign gives them.

Three layouts, one verification (`agent.formats.cosign_steps`):

- a Sigstore bundle that refers to the image (cosign 3): artifact type and layer `...sigstore.bundle.v0.3+json`,
  or an older one
- layers of a manifest that the tag `ALGORITHM-HEX.sig` names (cosign until version 2), one signature in each
- the same layers in a manifest that refers to the image (cosign's experimental OCI 1.1 mode)

Light: what reads a signature, and `cryptography` with it, is loaded when there is one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import cast

from agent.errors import Code, Malformed
from agent.formats import ParsedOptions
from agent.model.documents import Sources
from agent.model.evidence import Evidence
from agent.model.inquiry import Inquiry
from agent.model.manifest import COSIGN_SIGNATURE, COSIGN_TAG, Manifest
from agent.model.outcome import Outcome, Status
from agent.model.request import PullRequest
from agent.model.signer import DeniedSigner
from agent.trust import signingpolicy
from agent.trust.signingpolicy import SigningPolicy

TYPE = "cosign"
LEGACY_TYPE = COSIGN_SIGNATURE
"""The artifact type of layers with one signature each."""

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_TYPES = (
    BUNDLE_TYPE,
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
)
TAGS: Mapping[str, str] = MappingProxyType({COSIGN_TAG: LEGACY_TYPE})

MAX_BUNDLE_SIZE = 1024 * 1024
"""Largest bundle taken, in bytes: with certificate, log entry and timestamp a signature has about 10 KiB."""

MAX_PAYLOAD_SIZE = 64 * 1024
"""Largest simple-signing payload taken, in bytes: `agent.codec.simplesigning.MAX_SIZE`."""


class CosignFormat:
    """Verifies cosign's signatures under statements that say which keys or identities count for which images."""

    artifact_types = (BUNDLE_TYPE, LEGACY_TYPE, *BUNDLE_TYPES[1:])
    each_blob_counts = True
    tells = 0

    def __init__(
        self,
        name: str,
        policies: Sequence[SigningPolicy],
        material: Mapping[str, bytes],
        denied: Sequence[DeniedSigner] = (),
        *,
        tags: bool = True,
    ) -> None:
        """`name` is the verifier's; `material` is the DER of keys and certificates by their SHA-256.

        Signatures of whom is `denied` never count.  `tags`: it looks at cosign's tags by itself.
        """
        self._name = name
        self._policies = policies
        self._material = material
        self._denied = denied
        self.tags: Mapping[str, str] = TAGS if tags else {}

    @classmethod
    def parse(cls, options: Mapping[str, object], documents: Sources, where: str) -> ParsedOptions:
        """See `Format.parse`."""
        from agent.formats import cosign_options  # never on a pull

        return cosign_options.parse(options, documents, where)

    @classmethod
    def load(
        cls,
        name: str,
        settings: Mapping[str, object],
        certificates: Mapping[str, bytes],
        denied: Sequence[DeniedSigner] = (),
    ) -> "CosignFormat":
        """See `Format.load`."""
        statements = cast("list[Mapping[str, object]]", settings["policies"])
        policies = [SigningPolicy.from_json(each) for each in statements]
        return cls(name, policies, certificates, denied, tags=settings["tags"] is True)

    def exemption(self, request: PullRequest) -> Outcome | None:
        """See `Format.exemption`.  There is none."""
        del request
        return None

    def blob_limit(self, manifest: Manifest) -> int:
        """See `Format.blob_limit`.  A bundle is alone in its manifest; a tag's has one layer for each signature."""
        if not manifest.blobs:
            raise Malformed("signature manifest: got no layers; expected at least one, a signature")
        if manifest.artifact_type not in BUNDLE_TYPES:
            return MAX_PAYLOAD_SIZE
        if len(manifest.blobs) != 1:
            raise Malformed(f"signature manifest: got {len(manifest.blobs)} layers; expected exactly one, the bundle")
        return MAX_BUNDLE_SIZE

    def verify(self, request: PullRequest, evidence: Evidence, now: datetime) -> Inquiry[Outcome]:
        """See `Format.verify`."""
        policy = signingpolicy.select(self._policies, request)
        if policy is None:
            text = f"no trust policy is for {request.repository}"
            return self._outcome(evidence, Status.FAILED, text)._replace(code=Code.NO_TRUST_POLICY)

        from agent.formats import cosign_steps

        digest = request.subject.digest
        found = yield from cosign_steps.verify(policy, self._denied, self._material, digest, evidence, now)
        return self._outcome(evidence, found.status, found.message)._replace(
            code=found.code,
            cause=found.cause,
            checks=found.checks,
            extensions=found.said,
            valid_until=found.valid_until,
            signers=found.names,
        )

    def _outcome(self, evidence: Evidence, status: Status, message: str) -> Outcome:
        return Outcome(evidence.digest, evidence.manifest.artifact_type, self._name, TYPE, status, message)
