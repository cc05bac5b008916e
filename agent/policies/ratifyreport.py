"""Reports in Ratify's nested form: what its Rego policies get as their input, field by field.

Ratify's `NestedVerifierReport` (version 1.x of its reports): an artifact that no verifier looks at has an empty list of
`verifierReports`; `nestedReports` are about what refers to the artifact.  `subject` is always `repository@digest`: a
tag is a label that whoever pulls can choose.  Order is by digest, where Ratify's is by chance.
"""

from agent.errors import Code
from agent.model.outcome import Outcome, Status
from agent.model.report import Artifact, Report


def policy_input(report: Report, *, inconclusive_passes: bool = False) -> dict[str, object]:
    """The document that a policy sees as `input`."""
    return {"verifierReports": nested_reports(report, inconclusive_passes=inconclusive_passes)}


def nested_reports(report: Report, *, inconclusive_passes: bool = False) -> list[dict[str, object]]:
    """Every artifact's report, with those of what is nested in it."""
    return [_artifact(artifact, inconclusive_passes) for artifact in report.artifacts]


def _artifact(artifact: Artifact, inconclusive_passes: bool) -> dict[str, object]:
    return {
        "subject": artifact.subject,
        "referenceDigest": str(artifact.digest),
        "artifactType": artifact.artifact_type,
        "verifierReports": [_outcome(outcome, inconclusive_passes) for outcome in artifact.outcomes],
        "nestedReports": [_artifact(each, inconclusive_passes) for each in artifact.nested],
    }


def _outcome(outcome: Outcome, inconclusive_passes: bool) -> dict[str, object]:
    passing = (Status.PASSED, Status.SKIPPED, *([Status.INCONCLUSIVE] if inconclusive_passes else []))
    item: dict[str, object] = {
        "isSuccess": outcome.status in passing,
        "message": outcome.message,
        "name": outcome.verifier,
        "verifierName": outcome.verifier,
        "type": outcome.verifier_type,
        "verifierType": outcome.verifier_type,
        "extensions": dict(outcome.extensions) or None,
    }
    if not item["isSuccess"]:
        item["errorReason"] = f"{reason(outcome).value}: {outcome.message}"
    return item


def reason(outcome: Outcome) -> Code:
    """The code under which an outcome that did not pass is told."""
    return outcome.code or (Code.of(outcome.cause) if outcome.cause else Code.POLICY_NOT_SATISFIED)
