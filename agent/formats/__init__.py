"""Signature and evidence formats, one per file.

`FORMATS` is the only list of them: verifier type -> "module:class" of a `Format`.  A module is imported when a
configuration names its type.  To add one, see CONTRIBUTING.md, "Add a format".
"""

from datetime import datetime
from importlib import import_module
from typing import Mapping, NamedTuple, Protocol, Sequence, cast

from agent.errors import Problem
from agent.model.documents import Sources
from agent.model.evidence import Evidence
from agent.model.inquiry import Inquiry
from agent.model.manifest import Manifest
from agent.model.outcome import Outcome
from agent.model.request import PullRequest
from agent.model.signer import DeniedSigner

FORMATS: Mapping[str, str] = {
    "attestation": "agent.formats.attestation:AttestationFormat",
    "cosign": "agent.formats.cosign:CosignFormat",
    "notation": "agent.formats.notation:NotationFormat",
    "sbom": "agent.formats.sbom:SbomFormat",
    "schemavalidator": "agent.formats.schemavalidator:SchemaValidatorFormat",
    "vulnerabilityreport": "agent.formats.vulnerabilityreport:VulnerabilityReportFormat",
}

OURS_ALONE = ("attestation",)
"""Those that only a configuration of our own can name: Ratify has no such verifier, and would refuse it."""

SIGNATURES = ("cosign", "notation")
"""Those whose evidence is that somebody signed the image."""

EVIDENCE = tuple(kind for kind in FORMATS if kind not in SIGNATURES)
"""Those whose evidence says something of the image."""

REPORTS = ("sbom", "schemavalidator", "vulnerabilityreport")
"""Those whose evidence nobody has signed by itself: what they verify is a ground for nothing (`Outcome.unsigned`)."""


class ParsedOptions(NamedTuple):
    """What a format made of its options in a configuration.

    `settings` is a JSON value that goes into the snapshot and from there to `Format.load`; `certificates` maps the
    SHA-256 (hexadecimal) of each certificate or public key that it refers to, to its DER bytes; `problems` is
    everything found wrong.
    """

    settings: Mapping[str, object]
    certificates: Mapping[str, bytes]
    problems: tuple[Problem, ...]


class Format(Protocol):
    """Verifies one kind of evidence.  Pure: bytes and the time come in, an outcome goes out.

    `artifact_types` are those that it looks at where a configuration of our own doesn't say.  `tags` are ends of tags,
    behind `ALGORITHM-HEX` of the image's digest, that it wants to know of beside the referrers, each with the artifact
    type that counts for what such a tag names.  `each_blob_counts`: one blob may be enough, so that one that is wrong,
    or that nobody answers for, must not hide the others.  `tells` is how many bytes of its blobs, as JSON, become
    values that are held until it is through.
    """

    artifact_types: tuple[str, ...]
    tags: Mapping[str, str]
    each_blob_counts: bool
    tells: int

    @classmethod
    def parse(cls, options: Mapping[str, object], documents: Sources, where: str) -> ParsedOptions:
        """Check a verifier's options (schema-valid JSON) when a configuration is published; collect every problem."""
        ...

    @classmethod
    def load(
        cls,
        name: str,
        settings: Mapping[str, object],
        certificates: Mapping[str, bytes],
        denied: Sequence[DeniedSigner] = (),
    ) -> "Format":
        """Make a verifier called `name` from what `parse` returned.  Runs on the pull path: quick, no checks again.

        A signature of a signer who is `denied` is failed evidence, and another's beside it counts as ever.
        """
        ...

    def blob_limit(self, manifest: Manifest) -> int:
        """Most bytes that one of the manifest's blobs may have.  Raises `Malformed` for a wrong number of them."""
        ...

    def exemption(self, request: PullRequest) -> Outcome | None:
        """A skipped outcome if the configuration asks for no evidence of this image, else None.  Light."""
        ...

    def verify(self, request: PullRequest, evidence: Evidence, now: datetime) -> Inquiry[Outcome]:
        """What this evidence says of the subject; asks about revocation on the way.

        Never raises for anything that evidence, or an answer, can contain.
        """
        ...


def format_class(verifier_type: str) -> type[Format]:
    """The class behind a key of `FORMATS`.  Raises `KeyError` for a type that is not there."""
    return loaded(FORMATS[verifier_type])


def loaded(entry: str) -> type[Format]:
    """The class that an entry of such a table, "module:class", names."""
    module, _, name = entry.partition(":")
    return cast("type[Format]", getattr(import_module(module), name))
