"""Artifacts of any type that refer to an image, each layer of which must have the form that a JSON Schema asks for.

Ratify's verifier `schemavalidator`.  Nothing of them is signed: see `agent.formats.contents`.  Light: what checks the
content is in `agent.codec.instances`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import cast

from agent.errors import LimitExceeded, Malformed, Problem
from agent.formats import ParsedOptions
from agent.formats.contents import Appraisal, ReportFormat, Unsupported, judged
from agent.model.documents import Sources
from agent.model.evidence import Blob, Evidence
from agent.model.inquiry import Inquiry
from agent.model.manifest import Manifest
from agent.model.outcome import Outcome
from agent.model.request import PullRequest

MAX_SIZE = 4 * 1024 * 1024
"""Largest layer taken, in bytes (`agent.codec.instances.MAX_SIZE`)."""

MAX_TOTAL = 8 * 1024 * 1024
"""Most bytes of all layers of one manifest: they are in memory together."""

Schemas = Mapping[str, Mapping[str, object]]


class SchemaValidatorFormat(ReportFormat):
    """Checks the form of documents."""

    type = "schemavalidator"
    artifact_types: tuple[str, ...] = ()

    @classmethod
    def parse(cls, options: Mapping[str, object], documents: Sources, where: str) -> ParsedOptions:
        """See `Format.parse`."""
        from agent.formats import schema_documents  # never on a pull

        problems: list[Problem] = []
        given = cast("Mapping[str, str]", options.get("schemas", {}))
        read = {
            kind: schema_documents.read(location, documents, f"{where}.schemas[{ascii(kind)[1:-1]}]", problems)
            for kind, location in given.items()
        }
        return ParsedOptions({"schemas": read}, {}, tuple(problems))

    def blob_limit(self, manifest: Manifest) -> int:
        """See `Format.blob_limit`.  A layer without a schema, and no layer at all, has not the form of any."""
        if not manifest.blobs:
            raise Malformed("artifact: got a manifest without layers; expected at least one, to be checked")
        for blob in manifest.blobs:
            if blob.media_type not in self._schemas():
                kinds = ", ".join(sorted(self._schemas()))[:200]
                raise Unsupported(
                    f"layer: got media type {ascii(blob.media_type)[:80]}; expected one with a schema: {kinds}"
                )
        total = sum(blob.size for blob in manifest.blobs)
        if total > MAX_TOTAL:
            raise LimitExceeded(f"artifact: got layers of {total} bytes; expected at most {MAX_TOTAL}")
        return MAX_SIZE

    def verify(self, request: PullRequest, evidence: Evidence, now: datetime) -> Inquiry[Outcome]:
        """See `Format.verify`."""
        from agent.codec import instances  # here, so that a process that is copied has it

        del request, now
        found = yield from judged(partial(has_form, instances.check, evidence.blobs, self._schemas()))
        return self._outcome(evidence, found)

    def _schemas(self) -> Schemas:
        """Those that it has, by the media type of the layers that they are for."""
        return cast("Schemas", self._settings["schemas"])


def has_form(check: Callable[[bytes, object, str], None], blobs: tuple[Blob, ...], schemas: Schemas) -> Appraisal:
    """Whether each layer has its form.  Raises `Malformed`."""
    for i, blob in enumerate(blobs):
        check(blob.content, schemas[blob.descriptor.media_type], f"layer {i + 1}")
    return Appraisal(f"{len(blobs)} layers have the form that the schemas ask for")
