"""Reports that the real `oras` attaches and the real `notation` signs, through containerd, under Ratify's keys."""

import json
import pathlib
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent.formats.sbom import TAGGED_TYPE
from tests.frozen.test_reports import PLUGINS, REVIEW
from tests.real.conftest import Sealed
from tests.real.test_pulls_policies import in_force
from tests.reports import SARIF, SCHEMA, SPDX, package, rule, sarif, spdx
from tests.signing import rfc3339, write_config
from tests.testbed.node import REGISTRY

pytestmark = pytest.mark.real

BAD = spdx(package("left-pad", "1.0", "GPL-3.0-only"))
SIGNED_SBOM = f"""package ratify.policy
default valid := false
valid {{
    sbom := input.verifierReports[_]
    sbom.artifactType == "{SPDX}"
    sbom.verifierReports[_].isSuccess
    sbom.nestedReports[_].verifierReports[_].isSuccess
}}
"""


class Court:
    """The node's images with what is attached to them."""

    def __init__(self, sealed: Sealed) -> None:
        """Over the session's node."""
        self._sealed = sealed
        self.node = sealed.node

    def image(self, name: str, *, signed: bool) -> str:
        """Push an image; returns its digest."""
        digest = self.node.push_image(f"reports/{name}")
        if signed:
            self._sealed.trusted.sign(f"reports/{name}", digest)
        return digest

    def attach(self, name: str, kind: str, content: bytes, *, hours: int = 1, signed: bool = True) -> str:
        """Attach a report to an image; returns its digest."""
        path = self.node.work / f"report-{name}.json"
        path.write_bytes(content)
        at = rfc3339(datetime.now(timezone.utc) - timedelta(hours=hours))
        told = self.node.must(
            ["oras", "attach", "--plain-http", "--disable-path-validation", "--format", "json", "--artifact-type", kind,
             "--annotation", f"org.opencontainers.image.created={at}", f"{REGISTRY}/reports/{name}:1", f"{path}:{kind}"]
        )  # fmt: skip
        digest = str(json.loads(told)["digest"])
        if signed:
            self._sealed.trusted.sign(f"reports/{name}", digest)
        return digest

    def tag(self, name: str, digest: str, content: bytes) -> None:
        """Make a bill of materials what cosign's tag names, as cosign itself does."""
        path = self.node.work / f"tagged-{name}.json"
        path.write_bytes(content)
        self.node.must(
            ["cosign", "attach", "sbom", "--allow-http-registry", "--sbom", str(path), "--type", "spdx",
             "--input-format", "json", f"{REGISTRY}/reports/{name}@{digest}"]
        )  # fmt: skip

    def pulled(self, name: str) -> str:
        """What containerd says of a pull; empty if it went well."""
        return self.node.cri_pull(f"{REGISTRY}/reports/{name}:1").error


def configuration(sealed: Sealed, folder: pathlib.Path, **policy: Any) -> pathlib.Path:
    """Ratify's configuration with its three verifiers of reports, under its config policy unless told otherwise."""
    usual = {"name": "configPolicy", "artifactVerificationPolicies": {"default": "any"}}
    write_config(folder, sealed.trusted.certificate, policy=policy or usual)
    value: dict[str, Any] = json.loads((folder / "config.json").read_text())
    value["verifier"]["plugins"] += PLUGINS
    (folder / "config.json").write_text(json.dumps(value))
    (folder / "review.json").write_text(json.dumps(SCHEMA))
    (folder / "sarif.json").write_text(json.dumps({"type": "object"}))
    return folder


def tagging(folder: pathlib.Path) -> pathlib.Path:
    """The same configuration, with cosign's tag looked at, and nobody asked for a signature of what it names."""
    value: dict[str, Any] = json.loads((folder / "config.json").read_text())
    value["verifier"]["plugins"][1] |= {"artifactTypes": f"{SPDX},{TAGGED_TYPE}", "nestedReferences": ""}
    (folder / "config.json").write_text(json.dumps(value))
    return folder


def test_reports_decide_beside_signatures_and_never_in_their_place(sealed: Sealed, tmp_path: pathlib.Path) -> None:
    court = Court(sealed)
    court.image("good", signed=True)
    for kind, content in ((SPDX, spdx()), (SARIF, sarif()), (REVIEW, b'{"by": "a"}')):
        court.attach("good", kind, content)
    court.image("signed-report", signed=False)
    court.attach("signed-report", SPDX, spdx())
    court.image("unsigned-report", signed=False)
    court.attach("unsigned-report", SPDX, spdx(), signed=False)
    refused = {
        "license": (SPDX, BAD, 1, "NS-2119"),
        "vulnerability": (SARIF, sarif(rule("CVE-2026-0666", "HIGH")), 1, "NS-2119"),
        "old": (SARIF, sarif(), 25, "NS-2116"),
        "form": (REVIEW, b'{"by": 5}', 1, "NS-2119"),
    }
    for name, (kind, content, hours, _) in refused.items():
        court.image(name, signed=True)
        court.attach(name, kind, content, hours=hours)
    with in_force(sealed, configuration(sealed, tmp_path / "ratifys")):
        assert court.pulled("good") == ""
        assert court.pulled("signed-report") == "", "as in Ratify: the report's signature is a ground"
        told = court.pulled("unsigned-report")
        assert "deny NS-2001 rule=default: nested verification failed: no signature found" in told
        for name, (*_, code) in refused.items():
            assert f"exit code 10): deny {code} rule=default: " in court.pulled(name), name
    for name, content in (("tagged-good", spdx()), ("tagged-bad", BAD), ("tagged-unsigned", spdx())):
        court.tag(name, court.image(name, signed=name != "tagged-unsigned"), content)
    with in_force(sealed, tagging(configuration(sealed, tmp_path / "tags"))):
        assert court.pulled("tagged-good") == ""
        assert "deny NS-2119 rule=default: the SBOM has 1 packages" in court.pulled("tagged-bad")
        assert "deny NS-2118 rule=default: nobody who is trusted signed" in court.pulled("tagged-unsigned")
    with in_force(sealed, configuration(sealed, tmp_path / "rego", name="regoPolicy", policy=SIGNED_SBOM)):
        assert court.pulled("good") == ""
        assert "deny " in court.pulled("unsigned-report")
