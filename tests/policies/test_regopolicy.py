"""Ratify's Rego policy: what it sees, what counts as yes, how long its word holds."""

import json
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from agent.errors import Cause, Code, PolicyFault
from agent.model.digest import Digest
from agent.model.outcome import Outcome, Status
from agent.model.report import Artifact, Report
from agent.policies import policy_class, regopolicy
from agent.policies.ratifyreport import nested_reports, policy_input
from agent.policies.regopolicy import READING_TIME, RegoPolicy
from agent.rego.compiler import compile_policy
from agent.rego.evaluator import Program

NOW = datetime(2026, 11, 24, 12, 0, 0, 250_000, tzinfo=timezone.utc)
SUBJECT = "r.example/x@sha256:0"
SIGNATURE, SBOM = "application/vnd.cncf.notary.signature", "application/spdx+json"
DIGESTS = [Digest.of(bytes([number])) for number in range(3)]


def policy(body: str, package: str = "ratify.policy") -> RegoPolicy:
    """A policy, compiled and read back as from a snapshot."""
    compiled = json.loads(json.dumps(compile_policy(f"package {package}\n{body}\n")))
    loaded = policy_class("rego-policy").load({"compiled": compiled, "name": "p.rego"})
    assert isinstance(loaded, RegoPolicy)
    return loaded


def outcome(status: Status, **changes: Any) -> Outcome:
    """One verifier's outcome."""
    return Outcome(DIGESTS[0], SIGNATURE, "notation-1", "notation", status, "well", **changes)


def report(*outcomes: Outcome, nested: tuple[Artifact, ...] = ()) -> Report:
    """One artifact."""
    return Report(SUBJECT, (Artifact(SUBJECT, DIGESTS[0], SIGNATURE, outcomes, nested),))


PASSED = outcome(Status.PASSED, extensions={"Issuer": "CN=root"})


def says(body: str, about: Report = report(PASSED), *, unknown_passes: bool = False) -> bool:  # noqa: B008 - immutable
    """What a policy says of a report."""
    return policy(body).evaluate(about, inconclusive_passes=unknown_passes, now=NOW)


@pytest.mark.parametrize(
    ("body", "yes"),
    [
        ("valid := true", True),
        ("valid := false", False),
        ('valid := "true"', False),
        ("valid := 1", False),
        ("valid := {true}", False),
        ("valid := null", False),
        ("valid { false }", False),
        ("other := true", False),
        ("default valid := true", True),
    ],
)
def test_only_true_is_yes(body: str, yes: bool) -> None:
    assert says(body) is yes


def test_package_of_another_name_says_nothing() -> None:
    assert policy("valid := true", "ratify.other").evaluate(report(PASSED), inconclusive_passes=False, now=NOW) is False


def test_input_has_ratifys_nested_form() -> None:
    failed = outcome(Status.FAILED, code=Code.SIGNER_NOT_TRUSTED)
    inner = Artifact(f"r.example/x@{DIGESTS[0]}", DIGESTS[1], SIGNATURE, (failed,))
    unlooked = Artifact(SUBJECT, DIGESTS[2], SBOM, ())
    value = policy_input(
        report(PASSED, nested=(inner,))._replace(artifacts=(*report(PASSED, nested=(inner,)).artifacts, unlooked))
    )
    names = {"name": "notation-1", "verifierName": "notation-1", "type": "notation", "verifierType": "notation"}
    assert value == {
        "verifierReports": [
            {
                "subject": SUBJECT,
                "referenceDigest": str(DIGESTS[0]),
                "artifactType": SIGNATURE,
                "verifierReports": [
                    {"isSuccess": True, "message": "well", "extensions": {"Issuer": "CN=root"}, **names}
                ],
                "nestedReports": [
                    {
                        "subject": f"r.example/x@{DIGESTS[0]}",
                        "referenceDigest": str(DIGESTS[1]),
                        "artifactType": SIGNATURE,
                        "verifierReports": [
                            {
                                "isSuccess": False,
                                "message": "well",
                                "errorReason": "NS-2103: well",
                                "extensions": None,
                                **names,
                            }
                        ],
                        "nestedReports": [],
                    }
                ],
            },
            {
                "subject": SUBJECT,
                "referenceDigest": str(DIGESTS[2]),
                "artifactType": SBOM,
                "verifierReports": [],
                "nestedReports": [],
            },
        ]
    }


@pytest.mark.parametrize(
    ("status", "success"),
    [(Status.PASSED, True), (Status.SKIPPED, True), (Status.FAILED, False), (Status.INCONCLUSIVE, False)],
)
def test_success_is_what_passed_or_was_to_be_skipped(status: Status, success: bool) -> None:
    (item,) = nested_reports(report(outcome(status, cause=Cause.THROTTLED)))
    assert item["verifierReports"][0]["isSuccess"] is success  # type: ignore[index]


def test_inconclusive_outcomes_can_be_taken_as_passed() -> None:
    unknown = report(outcome(Status.INCONCLUSIVE, cause=Cause.THROTTLED))
    body = "valid { input.verifierReports[_].verifierReports[_].isSuccess }"
    assert says(body, unknown) is False
    assert says(body, unknown, unknown_passes=True) is True


def test_time_is_the_verifications_to_the_microsecond() -> None:
    nanoseconds = int(NOW.timestamp()) * 10**9 + 250_000_000
    assert says(f"valid {{ time.now_ns() == {nanoseconds} }}")


def test_word_of_a_policy_that_reads_the_time_holds_a_minute() -> None:
    assert policy("valid { time.now_ns() > 0 }").fresh_for == READING_TIME == timedelta(minutes=1).total_seconds()
    assert policy("valid := true").fresh_for is None


def test_runaway_policy_is_a_fault_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regopolicy, "Program", partial(Program, max_steps=10_000))
    body = "valid { numbers.range(1, 3000)[a]; numbers.range(1, 3000)[b]; numbers.range(1, 3000)[c]; a + b + c < 0 }"
    with pytest.raises(PolicyFault, match=r"p\.rego: "):
        says(body)


def test_mistake_of_a_built_in_is_a_fault() -> None:
    with pytest.raises(PolicyFault, match=r"p\.rego: line 2: to_number"):
        says('valid { to_number("x") == 1 }')


def test_pass_through_never_allows() -> None:
    passing = policy_class("regopolicy").load({"compiled": None, "name": "passthroughEnabled"})
    assert passing.evaluate(report(PASSED), inconclusive_passes=True, now=NOW) is False
    assert "decides nothing" in passing.refusal(report(PASSED))


def test_yes_never_stands_beside_the_unknown() -> None:
    assert policy("valid := true").allow_stands(Report(""), [])
    assert not policy("valid := true").allow_stands(Report(""), [SIGNATURE])
    assert "p.rego does not allow" in policy("valid := false").refusal(report(PASSED))
