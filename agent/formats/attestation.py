"""in-toto attestations of images, as cosign makes them: statements of one predicate type, signed by who is trusted.

Three layouts, verified as cosign's signatures are (`agent.formats.cosign_steps`):

- a Sigstore bundle that refers to the image (cosign 3), of the artifact type that signatures have too
- layers of a manifest that the tag `ALGORITHM-HEX.att` names (cosign until version 2), an envelope in each
- the same layers in a manifest that refers to the image (cosign's experimental OCI 1.1 mode)

What it is decides the signed statement alone: annotations are not looked at.  A signature of an image is no
attestation, and an attestation is no signature.  Light, as `agent.formats.cosign` is.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import cast

from agent.errors import LimitExceeded, Malformed
from agent.formats import ParsedOptions
from agent.formats.cosign import BUNDLE_TYPES
from agent.model.documents import Sources
from agent.model.evidence import Evidence
from agent.model.inquiry import Inquiry
from agent.model.manifest import Manifest
from agent.model.outcome import Outcome
from agent.model.request import PullRequest
from agent.model.signer import DeniedSigner
from agent.trust.signingpolicy import SigningPolicy

TYPE = "attestation"
LAYERS_TYPE = "application/vnd.in-toto+json"
"""The artifact type of layers with an envelope each: cosign's experimental mode says it, and for its tag it counts."""

TAGS: Mapping[str, str] = MappingProxyType({".att": LAYERS_TYPE})

MAX_SIZE = 4 * 1024 * 1024
"""Largest bundle or envelope taken, in bytes: a bill of materials may have some MiB (`agent.codec.dsse.MAX_SIZE`)."""

MAX_TOTAL = 16 * 1024 * 1024
"""Most bytes of all layers of one manifest: they are in memory together."""


class AttestationFormat:
    """Verifies attestations of one predicate type."""

    artifact_types = (*BUNDLE_TYPES[:1], LAYERS_TYPE, *BUNDLE_TYPES[1:])
    tags = TAGS
    each_blob_counts = True
    tells = 512 * 1024  # `agent.formats.cosign_steps.MAX_PREDICATES_SIZE`

    def __init__(
        self,
        name: str,
        policy: SigningPolicy,
        material: Mapping[str, bytes],
        denied: Sequence[DeniedSigner],
        predicate_type: str,
        maximum_age: timedelta | None,
    ) -> None:
        """`name` is the verifier's; `policy` says who must have signed; the next two are as for `CosignFormat`."""
        self._name = name
        self._policy = policy
        self._material = material
        self._denied = denied
        self._predicate_type = predicate_type
        self._maximum_age = maximum_age

    @classmethod
    def parse(cls, options: Mapping[str, object], documents: Sources, where: str) -> ParsedOptions:
        """See `Format.parse`."""
        from agent.formats import attestation_options  # never on a pull

        return attestation_options.parse(options, documents, where)

    @classmethod
    def load(
        cls,
        name: str,
        settings: Mapping[str, object],
        certificates: Mapping[str, bytes],
        denied: Sequence[DeniedSigner] = (),
    ) -> "AttestationFormat":
        """See `Format.load`."""
        (statement,) = cast("Sequence[Mapping[str, object]]", settings["policies"])
        seconds = cast("float | None", settings["maximumAge"])
        age = None if seconds is None else timedelta(seconds=seconds)
        policy = SigningPolicy.from_json(statement)
        return cls(name, policy, certificates, denied, str(settings["predicateType"]), age)

    def exemption(self, request: PullRequest) -> Outcome | None:
        """See `Format.exemption`.  There is none."""
        del request
        return None

    def blob_limit(self, manifest: Manifest) -> int:
        """See `Format.blob_limit`.  A bundle is alone in its manifest; a tag's has a layer for each attestation."""
        count = len(manifest.blobs)
        if not count:
            raise Malformed("attestation manifest: got no layers; expected at least one, an attestation")
        if manifest.artifact_type in BUNDLE_TYPES and count != 1:
            raise Malformed(f"attestation manifest: got {count} layers; expected exactly one, the bundle")
        total = sum(blob.size for blob in manifest.blobs)
        if total > MAX_TOTAL:
            raise LimitExceeded(f"attestation manifest: got layers of {total} bytes; expected at most {MAX_TOTAL}")
        return MAX_SIZE

    def verify(self, request: PullRequest, evidence: Evidence, now: datetime) -> Inquiry[Outcome]:
        """See `Format.verify`."""
        from agent.formats import cosign_steps

        wanted = cosign_steps.Attestation(self._predicate_type, self._maximum_age)
        digest = request.subject.digest
        found = yield from cosign_steps.verify(
            self._policy, self._denied, self._material, digest, evidence, now, wanted
        )
        return Outcome(
            digest=evidence.digest,
            artifact_type=evidence.manifest.artifact_type,
            verifier=self._name,
            verifier_type=TYPE,
            status=found.status,
            message=found.message,
            code=found.code,
            cause=found.cause,
            checks=found.checks,
            extensions=found.said,
            valid_until=found.valid_until,
            signers=found.names,
        )
