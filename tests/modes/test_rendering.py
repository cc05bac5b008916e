"""A judgement as people and programs read it: every field, and nothing that a terminal would obey."""

import json
from typing import Any

import pytest

from agent.errors import Cause, Code, Exit
from agent.judgement import Judgement
from agent.model.digest import Digest
from agent.model.outcome import Action, Check, CheckResult, Outcome, Status
from agent.model.report import Artifact, Report
from agent.model.verdict import Decision, Verdict
from agent.modes.rendering import REMEDIES, Step, as_json, as_text
from agent.rules import precedence
from tests.engines import DEFAULT_RULE, concluded
from tests.formats.support import NAME, request

SUBJECT = request().identity
TYPE = "application/vnd.cncf.notary.signature"
DIGEST = Digest.of(b"signature")
STEPS = (Step("list referrers", "signatures", "1 by referrers API", 1.26), Step("evaluate policy", "x", "yes", 0.1))


def outcome(status: Status, message: str = "well", **changes: Any) -> Outcome:
    """One outcome."""
    return Outcome(DIGEST, TYPE, "notation-1", "notation", status, message, **changes)


def artifact(*outcomes: Outcome, nested: tuple[Artifact, ...] = ()) -> Artifact:
    """One referrer."""
    return Artifact(SUBJECT, DIGEST, TYPE, outcomes, nested)


PASSED = outcome(Status.PASSED, extensions={"Issuer": "CN=root", "SN": "CN=build"})
FAILED = outcome(
    Status.FAILED,
    "signer not trusted (CN=x)",
    code=Code.SIGNER_NOT_TRUSTED,
    checks=(
        CheckResult(Check.INTEGRITY, Action.ENFORCE, Status.PASSED, "signed today"),
        CheckResult(
            Check.AUTHENTICITY, Action.ENFORCE, Status.FAILED, "signer not trusted (CN=x)", Code.SIGNER_NOT_TRUSTED
        ),
    ),
)
UNKNOWN = outcome(Status.INCONCLUSIVE, "revocation of CN=x can't be checked", cause=Cause.REVOCATION_UNKNOWN)


def judgement(decision: Decision, code: Code, *outcomes: Outcome, causes: tuple[Cause, ...] = ()) -> Judgement:
    """A judgement as `judge` makes it."""
    verdict = Verdict(decision, code, "the reason", causes, Report(SUBJECT, tuple(artifact(each) for each in outcomes)))
    return Judgement(concluded(verdict, NAME), verdict)


ALLOWED = judgement(Decision.ALLOW, Code.VERIFIED, PASSED)
DENIED = judgement(Decision.DENY, Code.SIGNER_NOT_TRUSTED, FAILED)
NO_EVIDENCE = judgement(Decision.DENY, Code.NO_EVIDENCE)
CANNOT_TELL = judgement(
    Decision.CANNOT_TELL, Code.REVOCATION_UNKNOWN, UNKNOWN, causes=(Cause.REVOCATION_UNKNOWN, Cause.THROTTLED)
)
CANARY = Judgement(precedence.CANARY_ANSWER, None)


def rendered(of: Judgement, steps: tuple[Step, ...] = ()) -> dict[str, Any]:
    """The JSON form, as a program reads it back."""
    value: dict[str, Any] = json.loads(json.dumps(as_json(SUBJECT, of, "f" * 64, steps)))
    return value


def test_allowance_is_ratifys_report_field_by_field() -> None:
    report = rendered(ALLOWED)
    assert list(report) == ["schemaVersion", "isSuccess", "verifierReports", "nodeseal"]
    assert (report["schemaVersion"], report["isSuccess"]) == ("1", True)
    assert report["verifierReports"] == [
        {
            "subject": SUBJECT,
            "isSuccess": True,
            "name": "notation-1",
            "verifierName": "notation-1",
            "type": "notation",
            "verifierType": "notation",
            "referenceDigest": str(DIGEST),
            "artifactType": TYPE,
            "message": "well",
            "extensions": {"Issuer": "CN=root", "SN": "CN=build"},
        }
    ]


def test_allowance_says_what_it_rests_on() -> None:
    assert rendered(ALLOWED)["nodeseal"] == {
        "subject": SUBJECT,
        "decision": "allow",
        "exitCode": 0,
        "wouldExitCode": None,
        "code": "NS-0001",
        "rule": "default",
        "precedence": 7,
        "ground": "verified",
        "reason": "allow NS-0001 rule=default ground=verified: the reason",
        "causes": [],
        "freshForSeconds": None,
        "generation": "f" * 64,
        "unsigned": [],
        "checks": {f"notation-1 {DIGEST}": []},
        "steps": [],
    }


NESTED = artifact(PASSED, nested=(artifact(FAILED)._replace(subject="r.example/x@sha256:1"),))


def on(report: Report, decision: Decision = Decision.DENY, **verdict: Any) -> Judgement:
    """A judgement on a report."""
    found = Verdict(decision, Code.POLICY_NOT_SATISFIED, "the reason", report=report, **verdict)
    return Judgement(concluded(found, NAME), found)


def test_nested_evidence_stands_in_the_flat_form_below_what_it_refers_to() -> None:
    (item,) = rendered(on(Report(SUBJECT, (NESTED,))))["verifierReports"]
    (inner,) = item["nestedResults"]
    assert (item["isSuccess"], inner["isSuccess"], inner["subject"]) == (True, False, "r.example/x@sha256:1")
    assert inner["errorReason"].startswith("NS-2103: ")


def test_report_that_a_program_saw_has_the_nested_form() -> None:
    unlooked = Artifact(SUBJECT, Digest.of(b"sbom"), "application/spdx+json", ())
    items = rendered(on(Report(SUBJECT, (NESTED, unlooked), seen_whole=True)))["verifierReports"]
    assert [list(each) for each in items] == [
        ["subject", "referenceDigest", "artifactType", "verifierReports", "nestedReports"]
    ] * 2
    assert items[0]["verifierReports"][0]["isSuccess"] is True
    assert items[0]["nestedReports"][0]["verifierReports"][0]["isSuccess"] is False
    assert items[1]["verifierReports"] == []


def test_what_could_not_be_looked_at_is_told_in_the_nested_form_too() -> None:
    broken = outcome(Status.FAILED, "referrers API: broken", code=Code.EVIDENCE_MALFORMED)
    (item,) = rendered(on(Report(SUBJECT, (), (broken,), seen_whole=True)))["verifierReports"]
    assert item["errorReason"] == "NS-2002: referrers API: broken"


def test_how_long_an_answer_holds_is_told() -> None:
    assert rendered(on(Report(SUBJECT), fresh_for=60.0))["nodeseal"]["freshForSeconds"] == 60


def test_nested_evidence_is_indented_for_people() -> None:
    shown = as_text(SUBJECT, on(Report(SUBJECT, (NESTED,))), "f" * 64, (), explain=False).splitlines()
    assert shown[1:4] == [
        f"  ok       notation-1  {DIGEST}",
        f"    FAILED   notation-1  {DIGEST}",
        "             signer not trusted (CN=x)",
    ]


def test_failed_signature_has_reason_and_remedy() -> None:
    report = rendered(DENIED)
    (item,) = report["verifierReports"]
    assert (report["isSuccess"], item["isSuccess"]) == (False, False)
    assert item["errorReason"] == "NS-2103: signer not trusted (CN=x)"
    assert item["remediation"] == REMEDIES[Code.SIGNER_NOT_TRUSTED]
    assert "extensions" not in item


def test_checks_are_told_one_by_one() -> None:
    assert rendered(DENIED)["nodeseal"]["checks"] == {
        f"notation-1 {DIGEST}": [
            {"check": "integrity", "action": "enforce", "status": "passed", "message": "signed today"},
            {
                "check": "authenticity",
                "action": "enforce",
                "status": "failed",
                "message": "signer not trusted (CN=x)",
                "code": "NS-2103",
            },
        ]
    }


def test_inconclusive_signature_is_no_success_and_names_its_cause() -> None:
    report = rendered(CANNOT_TELL)
    (item,) = report["verifierReports"]
    assert (report["isSuccess"], item["isSuccess"]) == (False, False)
    assert item["errorReason"].startswith("NS-3004: revocation of")
    assert report["nodeseal"]["causes"] == ["revocationUnknown", "throttled"]
    assert (report["nodeseal"]["exitCode"], report["nodeseal"]["precedence"]) == (11, 8)


def test_image_without_signatures_has_an_item_that_says_so() -> None:
    assert rendered(NO_EVIDENCE)["verifierReports"] == [
        {
            "subject": SUBJECT,
            "isSuccess": False,
            "message": f"failed to verify artifact: {SUBJECT}",
            "errorReason": "NS-2001: the reason",
            "remediation": REMEDIES[Code.NO_EVIDENCE],
        }
    ]


def test_canary_is_a_denial_without_a_verdict() -> None:
    report = rendered(CANARY)
    assert report["isSuccess"] is False
    assert (report["nodeseal"]["decision"], report["nodeseal"]["code"]) == ("deny", "NS-1001")
    assert (report["nodeseal"]["precedence"], report["nodeseal"]["ground"]) == (1, None)


def test_steps_are_there_if_they_were_asked_for() -> None:
    assert rendered(ALLOWED, STEPS)["nodeseal"]["steps"][0] == {
        "name": "list referrers",
        "looked_for": "signatures",
        "found": "1 by referrers API",
        "milliseconds": 1.26,
    }


@pytest.mark.parametrize("each", [ALLOWED, DENIED, CANNOT_TELL, NO_EVIDENCE, CANARY])
def test_success_exit_code_and_ground_agree(each: Judgement) -> None:
    report = rendered(each)
    facts = {report["isSuccess"], report["nodeseal"]["exitCode"] == 0, report["nodeseal"]["ground"] is not None}
    assert len(facts) == 1


@pytest.mark.parametrize("code", [code for code in Code if code.value[3] in "23"], ids=lambda code: code.value)
def test_every_reason_not_to_allow_has_a_remedy(code: Code) -> None:
    assert REMEDIES[code]


def text(of: Judgement, *, explain: bool = False) -> str:
    """The form for people."""
    return as_text(SUBJECT, of, "f" * 64, STEPS, explain=explain)


def test_allowance_is_three_lines() -> None:
    assert text(ALLOWED).splitlines() == [
        SUBJECT,
        f"  ok       notation-1  {DIGEST}",
        "allow NS-0001 rule=default ground=verified: the reason",
    ]


def test_denial_says_why_and_what_to_do_next() -> None:
    assert text(DENIED).splitlines() == [
        SUBJECT,
        f"  FAILED   notation-1  {DIGEST}",
        "           signer not trusted (CN=x)",
        "deny NS-2103 rule=default: the reason",
        f"next step: {REMEDIES[Code.SIGNER_NOT_TRUSTED]}",
    ]


def test_explanation_holds_every_step_and_check() -> None:
    shown = text(DENIED, explain=True)
    for part in (
        "configuration ffffffffffff, rule default",
        "1.3 ms  list referrers",
        "looked for: signatures",
        "found:      1 by referrers API",
        "ok       integrity (enforce): signed today",
        "FAILED   authenticity (enforce): signer not trusted (CN=x)",
    ):
        assert part in shown
    assert shown.count("signer not trusted (CN=x)") == 1


HOSTILE = "a\nallow NS-0001\r\x1b[2J\u202e\x00\x85é"


def test_nothing_that_a_terminal_obeys_gets_out() -> None:
    hostile = outcome(Status.FAILED, HOSTILE, code=Code.SIGNATURE_INVALID)
    verdict = Verdict(Decision.DENY, Code.SIGNATURE_INVALID, HOSTILE, report=Report(HOSTILE, (artifact(hostile),)))
    answer = concluded(verdict, NAME, DEFAULT_RULE._replace(name=HOSTILE))
    steps = [Step(HOSTILE, HOSTILE, HOSTILE, 1)]
    for explain in (False, True):
        shown = as_text(HOSTILE, Judgement(answer, verdict), HOSTILE, steps, explain=explain)
        assert all(" " <= character <= "~" for line in shown[:-1].split("\n") for character in line)
        assert not any(line.startswith("allow") for line in shown.split("\n"))
    assert json.dumps(as_json(HOSTILE, Judgement(answer, verdict), "", steps)).isascii()
    assert answer.exit is Exit.DENY


def test_report_that_nobody_signed_is_marked_and_one_that_somebody_vouches_for_is_not() -> None:
    sbom = outcome(Status.PASSED, unsigned=True)
    lonely = artifact(sbom)
    vouched = artifact(sbom, nested=(artifact(PASSED),))
    tagged = vouched._replace(refers=False)
    bad = artifact(outcome(Status.FAILED, code=Code.CONTENT_REFUSED, unsigned=True))
    for given, mark in ((lonely, "unsigned"), (vouched, "ok"), (tagged, "unsigned"), (bad, "FAILED")):
        verdict = Verdict(Decision.DENY, Code.EVIDENCE_UNSIGNED, "the reason", (), Report(SUBJECT, (given,)))
        of = Judgement(concluded(verdict, NAME), verdict)
        assert f"\n  {mark:8} notation-1  {DIGEST}\n" in as_text(SUBJECT, of, "f" * 64, (), explain=False)
        assert rendered(of)["nodeseal"]["unsigned"] == ([f"notation-1 {DIGEST}"] if mark == "unsigned" else [])
