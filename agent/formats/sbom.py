"""Bills of materials (artifact type `application/spdx+json`) that refer to an image: what must not be in it.

Ratify's verifier `sbom`: licenses and packages that are not allowed.  Nothing of it is signed: see
`agent.formats.contents`.  Where its verifier names the type for it, what cosign's tag `ALGORITHM-HEX.sbom` names is
read too; that names no image, so nothing makes it a ground for anything.  Light, as other formats are: what reads the
content is in `agent.formats.sbom_steps`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import cast

from agent.formats import ParsedOptions
from agent.formats.contents import judged, only_blob, outcome
from agent.model.documents import Sources
from agent.model.evidence import Evidence
from agent.model.inquiry import Inquiry
from agent.model.manifest import Manifest
from agent.model.outcome import Outcome
from agent.model.request import PullRequest
from agent.model.signer import DeniedSigner

TYPE = "sbom"
ARTIFACT_TYPE = "application/spdx+json"
TAGGED_TYPE = "application/vnd.dev.cosign.artifact.sbom.v1+json"
"""The artifact type that counts for what cosign's tag names, whatever its manifest says."""

MAX_SIZE = 8 * 1024 * 1024
"""Largest document taken, in bytes (`agent.codec.spdx.MAX_SIZE`)."""


class SbomFormat:
    """Looks for disallowed licenses and packages in bills of materials."""

    artifact_types: tuple[str, ...] = (ARTIFACT_TYPE,)
    tags: Mapping[str, str] = MappingProxyType({".sbom": TAGGED_TYPE})
    each_blob_counts = False
    tells = 0

    def __init__(self, name: str, settings: Mapping[str, object]) -> None:
        """`name` is the verifier's; `settings` are what `parse` made."""
        self._name = name
        self._settings = settings

    @classmethod
    def parse(cls, options: Mapping[str, object], documents: Sources, where: str) -> ParsedOptions:
        """See `Format.parse`.  The schema has checked all there is to check."""
        del documents, where
        packages = cast("Sequence[Mapping[str, str]]", options.get("disallowedPackages", ()))
        settings = {
            "disallowedLicenses": options.get("disallowedLicenses", ()),
            "disallowedPackages": [{key: each[key] for key in ("name", "version") if key in each} for each in packages],
        }
        return ParsedOptions(settings, {}, ())

    @classmethod
    def load(
        cls,
        name: str,
        settings: Mapping[str, object],
        certificates: Mapping[str, bytes],
        denied: Sequence[DeniedSigner] = (),
    ) -> "SbomFormat":
        """See `Format.load`.  Nobody has signed what it reads."""
        del certificates, denied
        return cls(name, settings)

    def exemption(self, request: PullRequest) -> Outcome | None:
        """See `Format.exemption`.  There is none."""
        del request
        return None

    def blob_limit(self, manifest: Manifest) -> int:
        """See `Format.blob_limit`."""
        only_blob(manifest, (ARTIFACT_TYPE, TAGGED_TYPE), "SBOM")
        return MAX_SIZE

    def verify(self, request: PullRequest, evidence: Evidence, now: datetime) -> Inquiry[Outcome]:
        """See `Format.verify`."""
        from agent.formats import sbom_steps

        del request, now
        found = yield from judged(partial(sbom_steps.check, evidence.blobs[0].content, self._settings))
        return outcome(self._name, TYPE, evidence, found)
