"""Reports as tests attach them: bills of materials, and what verifies them."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from agent.config.config import VerifierSettings
from agent.formats import Format, format_class
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.documents import Document
from agent.model.evidence import Blob, Evidence
from agent.model.manifest import IMAGE_MANIFEST, Manifest
from agent.model.outcome import Outcome
from tests.formats.support import SUBJECT, GivenDocuments, decided, request

SPDX, SARIF = "application/spdx+json", "application/sarif+json"
NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)


def package(name: str, version: str = "", licensed: str = "", **more: Any) -> dict[str, Any]:
    """One package of a bill of materials."""
    said = {"versionInfo": version, "licenseConcluded": licensed}
    return {"SPDXID": f"SPDXRef-{name}", "name": name, **{key: each for key, each in said.items() if each}, **more}


PACKAGES = (
    package("musl", "1.2.4-r1", "MIT"),
    package("busybox", "1.36.1-r2", "GPL-2.0-only"),
    package("zlib", "1.3", "NOASSERTION", licenseDeclared="Zlib"),
)


def spdx(*packages: dict[str, Any], **changes: Any) -> bytes:
    """A bill of materials of some packages."""
    document: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "cart",
        "creationInfo": {"created": "2026-11-01T10:00:00Z", "creators": ["Tool: syft-1.0"]},
        "packages": list(packages or PACKAGES),
    }
    return json.dumps({name: each for name, each in (document | changes).items() if each is not None}).encode()


def rule(name: str, severity: str = "", **more: Any) -> dict[str, Any]:
    """A rule of a scanner, with its severity as Trivy and Grype write it."""
    told = f"Vulnerability {name}\nSeverity: {severity}\nPackage: a\nFixed Version: 2\nLink: none"
    return {"id": name, **({"help": {"text": told, "markdown": "x"}} if severity else {}), **more}


RULES = (rule("CVE-2026-0001", "LOW"), rule("CVE-2026-0002", "HIGH"))


def sarif(*rules: dict[str, Any], scanner: str = "Trivy", found: Sequence[Any] | None = None, **changes: Any) -> bytes:
    """A scan that found each of `rules` broken, or what `found` says."""
    rules = rules or RULES
    results = [{"ruleId": each["id"], "level": "error"} for each in rules] if found is None else found
    run = {"tool": {"driver": {"name": scanner, "rules": list(rules)}}, "results": results}
    document: dict[str, Any] = {"version": "2.1.0", "runs": [run]}
    return json.dumps({name: each for name, each in (document | changes).items() if each is not None}).encode()


SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "required": ["by"],
    "properties": {"by": {"$ref": "#/definitions/name"}, "tags": {"type": "array", "uniqueItems": True}},
    "definitions": {"name": {"type": "string", "pattern": "^(a+)+$"}},
}
"""A schema that lets a document take as long as it likes."""


def judged(made: Format, *contents: bytes, kind: str, media_type: str = "text/plain", notes: object = None) -> Outcome:
    """What a verifier finds in an artifact with these layers, at noon."""
    blobs = tuple(Descriptor(media_type, Digest.of(each), len(each)) for each in contents)
    manifest = Manifest(IMAGE_MANIFEST, kind, blobs, SUBJECT, tuple({} for _ in blobs), notes)
    evidence = Evidence(Digest.of(b"manifest"), manifest, tuple(map(Blob, blobs, contents)))
    made.blob_limit(manifest)
    return decided(made.verify(request(), evidence, NOON))


class NamedSchemas(GivenDocuments):
    """Documents of which one, `review.json`, is a schema."""

    def __init__(self, schema: object = SCHEMA) -> None:
        """`schema` is the document: bytes, or what is written as JSON."""
        super().__init__()
        self._schema = schema if isinstance(schema, bytes) else json.dumps(schema).encode()

    def file(self, path: str) -> Document | None:
        """The schema under its name."""
        return Document("review.json", self._schema, "review.json") if path.endswith("/review.json") else None

    def own(self, name: str) -> Document | None:
        """The schema under its name."""
        return self.file(f"/{name}")


def report_verifier(
    kind: str, name: str = "", types: Sequence[str] = (), *, nested: bool = False, **options: Any
) -> Any:
    """A verifier of reports as configurations name it, and its certificates: none."""
    made = format_class(kind)
    parsed = made.parse(options, NamedSchemas(), "v")
    assert not [each for each in parsed.problems if each.fatal], parsed.problems
    settings = json.loads(json.dumps(parsed.settings))
    return VerifierSettings(name or kind, kind, tuple(types) or made.artifact_types, settings, nested), {}
