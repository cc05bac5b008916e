"""Reports as tests attach them: bills of materials, and what verifies them."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from agent.config.config import VerifierSettings
from agent.formats import format_class
from tests.formats.support import GivenDocuments

SPDX = "application/spdx+json"
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


def report_verifier(
    kind: str, name: str = "", types: Sequence[str] = (), *, nested: bool = False, **options: Any
) -> Any:
    """A verifier of reports as configurations name it, and its certificates: none."""
    made = format_class(kind)
    parsed = made.parse(options, GivenDocuments(), "v")
    assert not [each for each in parsed.problems if each.fatal], parsed.problems
    settings = json.loads(json.dumps(parsed.settings))
    return VerifierSettings(name or kind, kind, tuple(types) or made.artifact_types, settings, nested), {}
