"""What policies of Ratify's read of reports, and for how long that counts."""

import json
from datetime import datetime, timedelta, timezone

from agent.asking import MAX_TOLD
from agent.errors import Code
from agent.model.outcome import Status
from agent.model.verdict import Decision
from tests.reports import SARIF, rule, sarif, spdx
from tests.signing import ARTIFACT_TYPE
from tests.test_engine import TRUSTED
from tests.test_engine_nested import decided, ratifys, rego, verdict
from tests.test_engine_reports import ALLOWED, BAD, SBOM_POLICY, Reported, registry, sboms, scanned, scans, signatures

__all__ = ["registry"]

VIOLATIONS = """package ratify.policy
default valid := false
valid {
    found := input.verifierReports[_].verifierReports[_]
    found.verifierType == "sbom"
    not found.isSuccess
    found.extensions.licenseViolations[_] == {"Name": "a", "Version": "1", "License": "GPL-3.0-only"}
}
"""


def test_program_reads_what_an_sbom_says(registry: Reported) -> None:
    registry.sign(TRUSTED)
    assert verdict(registry, rego(SBOM_POLICY), sboms(), signatures()).decision is Decision.DENY
    registry.report(spdx())
    assert decided(registry, rego(SBOM_POLICY), sboms(), signatures()) == ALLOWED
    registry.report(BAD)
    assert decided(registry, rego(VIOLATIONS), sboms(), signatures()) == ALLOWED


def test_program_can_ask_for_a_signature_of_the_sbom(registry: Reported) -> None:
    signed = f"""package ratify.policy
default valid := false
valid {{
    sbom := input.verifierReports[_]
    sbom.verifierReports[_].type == "sbom"
    sbom.verifierReports[_].isSuccess
    signature := sbom.nestedReports[_]
    signature.artifactType == "{ARTIFACT_TYPE}"
    signature.verifierReports[_].isSuccess
}}
"""
    sbom = registry.report(spdx())
    registry.sign(TRUSTED)
    assert decided(registry, rego(signed), sboms(), signatures()) == (Decision.DENY, Code.POLICY_NOT_SATISFIED)
    registry.sign(TRUSTED, sbom)
    assert decided(registry, rego(signed), sboms(), signatures()) == ALLOWED


def test_what_is_left_of_the_report_is_json(registry: Reported) -> None:
    registry.report(BAD)
    found = verdict(registry, ratifys(default="any"), sboms(), signatures())
    assert found.report is not None
    assert json.loads(json.dumps(dict(found.report.outcomes[0].extensions)))


SCAN_POLICY = """package ratify.policy
import future.keywords.if
import future.keywords.in
default valid := false
valid if { newest.isSuccess == true }
scans := [found | found := input.verifierReports[_].verifierReports[_]; found.type == "vulnerabilityreport"]
ages := {age: i | age := time.now_ns() - time.parse_rfc3339_ns(scans[i].extensions["createdAt"])}
newest := scans[ages[min([age | ages[age]])]]
"""
"""Asks for the newest report, as the policy of Ratify's library does."""


def test_program_asks_for_the_newest_vulnerability_report(registry: Reported) -> None:
    registry.sign(TRUSTED)
    assert verdict(registry, rego(SCAN_POLICY), scans(), signatures()).decision is Decision.DENY
    scanned(registry, sarif(rule("CVE-2026-0666", "HIGH")), 5)
    assert verdict(registry, rego(SCAN_POLICY), scans(), signatures()).decision is Decision.DENY
    scanned(registry, sarif(), 1)
    found = verdict(registry, rego(SCAN_POLICY), scans(), signatures())
    assert (found.decision, found.code, found.fresh_for) == (*ALLOWED, 60)
    scanned(registry, sarif(rule("CVE-2026-0666", "HIGH")), 0)
    assert verdict(registry, rego(SCAN_POLICY), scans(), signatures()).decision is Decision.DENY


def test_program_reads_what_is_passed_on(registry: Reported) -> None:
    reading = """package ratify.policy
default valid := false
valid {
    found := input.verifierReports[_].verifierReports[_]
    found.extensions.passthrough
    report := json.unmarshal(found.extensions.report)
    count(report.runs[0].results) == 2
}
"""
    registry.sign(TRUSTED)
    scanned(registry, sarif(), 1)
    assert decided(registry, rego(reading), scans(passthrough=True), signatures()) == ALLOWED


def test_what_is_passed_on_is_bounded_for_all_reports_of_an_image(registry: Reported) -> None:
    """Whoever may push chooses how many there are, and all of them are kept until the policy decides."""
    registry.sign(TRUSTED)
    for hours in range(1, 13):
        scanned(registry, sarif() + b" " * (500_000 - len(sarif())), hours)
    found = verdict(registry, rego("package ratify.policy\nvalid := false\n"), scans(passthrough=True), signatures())
    assert found.report is not None
    reports = [each for each in found.report.everything() if each.verifier == "vulnerabilityreport"]
    told = [each for each in reports if each.status is Status.PASSED]
    assert len(told) == MAX_TOLD // 500_500
    assert {each.code for each in reports if each not in told} == {Code.EVIDENCE_LIMIT}
    assert not any(each.extensions for each in reports if each not in told)


def test_verdict_ends_when_the_report_grows_too_old(registry: Reported) -> None:
    registry.sign(TRUSTED)
    scanned(registry, sarif(), 1)
    found = verdict(registry, ratifys(default="all"), scans(maximumAge="3h"), signatures())
    assert (found.decision, found.code) == ALLOWED
    assert found.usable_until is not None
    left = found.usable_until - datetime.now(timezone.utc)
    assert timedelta(minutes=119) < left <= timedelta(hours=2)
    assert decided(registry, ratifys(default="all"), scans(maximumAge="30m"), signatures()) == (
        Decision.DENY,
        Code.ATTESTATION_TOO_OLD,
    )


def test_time_of_a_report_is_its_manifests_and_not_the_listings(registry: Reported) -> None:
    """The digest covers it there, and so does whoever signed the report; the list is the registry's word."""
    registry.sign(TRUSTED)
    registry.report(sarif(), SARIF)
    assert decided(registry, ratifys(default="any"), scans(), signatures()) == (
        Decision.DENY,
        Code.EVIDENCE_MALFORMED,
    )
