"""The frozen program and reports: all that their verifiers take is within, also what is run in a copy of it."""

import json
import pathlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest

from agent.model.descriptor import Descriptor
from tests.commands import Done
from tests.frozen.daemon import Daemon
from tests.frozen.program import Program
from tests.reports import SARIF, SCHEMA, SPDX, package, rule, sarif, spdx
from tests.signing import EMPTY_DIGEST, Signer, attach_signature, envelope, rfc3339, usual_signer, write_config
from tests.simulators.registry import RegistrySimulator
from tests.starvation import Pressure

pytestmark = pytest.mark.frozen

REVIEW = "application/vnd.example.review+json"
NESTED = {"nestedReferences": "application/vnd.cncf.notary.signature"}
PLUGINS = (
    {"name": "sbom", "artifactTypes": SPDX, "disallowedLicenses": ["GPL-3.0-only"], **NESTED},
    {
        "name": "vulnerabilityreport", "artifactTypes": SARIF, "maximumAge": "24h", "denylistCVEs": ["CVE-2026-0666"],
        "schemaURL": "file:///sarif.json", **NESTED,
    },
    {"name": "schemavalidator", "artifactTypes": REVIEW, "schemas": {REVIEW: "file:///review.json"}, **NESTED},
)  # fmt: skip


class Reports(NamedTuple):
    """A registry, who is trusted, and the program under a configuration with all three verifiers."""

    registry: RegistrySimulator
    trusted: Signer
    program: Program

    def image(self, name: str, *, signed: bool = True) -> Descriptor:
        """An image."""
        image = self.registry.push_image(f"team/{name}", "1", salt=name)
        if signed:
            attach_signature(self.registry, f"team/{name}", image, envelope(self.trusted, image))
        return image

    def attach(
        self, name: str, image: Descriptor, kind: str, content: bytes, *, signed: bool = True, hours: float = 1
    ) -> None:
        """A report, as `oras attach` stores it."""
        repository, at = f"team/{name}", datetime.now(timezone.utc) - timedelta(hours=hours)
        blob = self.registry.push_blob(repository, content, kind)
        subject = {"mediaType": image.media_type, "digest": str(image.digest), "size": image.size}
        manifest = {
            "schemaVersion": 2,
            "mediaType": image.media_type,
            "artifactType": kind,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY_DIGEST, "size": 2},
            "layers": [{"mediaType": blob.media_type, "digest": str(blob.digest), "size": blob.size}],
            "subject": subject,
            "annotations": {"org.opencontainers.image.created": rfc3339(at)},
        }
        self.registry.push_blob(repository, b"{}")
        pushed = self.registry.push_manifest(repository, json.dumps(manifest).encode())
        if signed:
            attach_signature(self.registry, repository, pushed, envelope(self.trusted, pushed))

    def pull(self, name: str, image: Descriptor) -> Done:
        """Ask for it."""
        return self.program.pull(f"{self.registry.host}/team/{name}:1", str(image.digest), image.size)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reports]:
    """In this process; the program has all three verifiers, under a requirement for all types."""
    folder: pathlib.Path = tmp_path_factory.mktemp("reports")
    trusted = usual_signer()
    policy = {"name": "configPolicy", "artifactVerificationPolicies": {"default": "any"}}
    configuration = write_config(folder / "config", trusted.root_pem, policy=policy)
    value: dict[str, Any] = json.loads((configuration / "config.json").read_text())
    value["verifier"]["plugins"] += PLUGINS
    (configuration / "config.json").write_text(json.dumps(value))
    (configuration / "review.json").write_text(json.dumps(SCHEMA))
    (configuration / "sarif.json").write_text(json.dumps({"type": "object", "required": ["runs"]}))
    with RegistrySimulator() as registry:
        program = Program(folder / "host")
        program.apply(configuration)
        yield Reports(registry, trusted, program)


def test_signed_reports_with_nothing_bad_in_them_let_an_image_in(reports: Reports) -> None:
    image = good(reports)
    answer = reports.pull("good", image)
    assert (answer.code, answer.out[:44]) == (0, "allow NS-0001 rule=default ground=verified: "), answer


BAD = {
    "license": (SPDX, spdx(package("a", "1", "GPL-3.0-only")), 1, "NS-2119"),
    "vulnerability": (SARIF, sarif(rule("CVE-2026-0666", "HIGH")), 1, "NS-2119"),
    "old": (SARIF, sarif(), 25, "NS-2116"),
    "form": (REVIEW, b'{"by": 5}', 1, "NS-2119"),
    "hanging": (REVIEW, b'{"by": "' + b"a" * 60 + b'b"}', 1, "NS-2004"),
}
"""What is attached, how many hours old it is, and what comes of it."""


def good(reports: Reports) -> Descriptor:
    """A signed image with a good report of each kind."""
    image = reports.image("good")
    for kind, content in ((SPDX, spdx()), (SARIF, sarif()), (REVIEW, b'{"by": "a"}')):
        reports.attach("good", image, kind, content)
    return image


def bad(reports: Reports, name: str) -> Descriptor:
    """A signed image with a bad report."""
    kind, content, hours, _ = BAD[name]
    image = reports.image(name)
    reports.attach(name, image, kind, content, hours=hours)
    return image


@pytest.mark.parametrize("name", BAD)
def test_signed_image_with_a_bad_report_is_denied_in_time(reports: Reports, name: str) -> None:
    image, pressure = bad(reports, name), Pressure()
    answer = reports.pull(name, image)
    assert (answer.code, answer.out[:25]) == (10, f"deny {BAD[name][-1]} rule=default"), answer
    assert answer.seconds < 7 + pressure.slack()


def test_daemon_says_the_same_and_goes_on(reports: Reports) -> None:
    reports.program.forget()
    images = {"good": good(reports), **{name: bad(reports, name) for name in BAD}}

    def afresh(name: str) -> Done:
        reports.program.forget()
        return reports.pull(name, images[name])

    with Daemon(reports.program) as daemon:
        answers = {name: daemon.unhindered(lambda name=name: afresh(name)) for name in images}  # type: ignore[misc]
        assert daemon.is_alive()
    assert answers["good"].out.startswith("allow NS-0001 "), answers
    assert {name: each.out[5:12] for name, each in answers.items() if name != "good"} == {
        name: code for name, (*_, code) in BAD.items()
    }
    spool = "".join(
        each.read_text() for each in (reports.program.root / "var/log/nodeseal").rglob("*") if each.is_file()
    )
    assert spool.count('"daemon"') >= len(images), spool


def test_report_that_nobody_signed_is_no_ground(reports: Reports) -> None:
    image = reports.image("unsigned", signed=False)
    reports.attach("unsigned", image, SPDX, spdx(), signed=False)
    answer = reports.pull("unsigned", image)
    assert answer.code == 10
    assert "nested verification failed: no signature found" in answer.out
