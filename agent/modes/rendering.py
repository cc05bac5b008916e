"""A judgement as people and programs read it.

The JSON form is Ratify's verification report, field by field:  `isSuccess`, and `verifierReports` with the flat items
of a config policy or, under a Rego policy, the nested ones that it saw.  `isSuccess: false` is spelled out, and what
Ratify has no word for stands under `nodeseal`.
"""

from typing import Iterator, NamedTuple, Sequence

from agent.errors import Code
from agent.judgement import Judgement
from agent.model.answer import Ground, printable
from agent.model.outcome import Outcome, Status
from agent.model.report import Artifact, Report
from agent.model.verdict import Decision
from agent.policies.ratifyreport import nested_reports, reason

SCHEMA_VERSION = "1"

_MARKS = {Status.PASSED: "ok", Status.FAILED: "FAILED", Status.INCONCLUSIVE: "unknown", Status.SKIPPED: "skipped"}

_READ = 700
"""Most bytes of the last line: people read all of it, where containerd's has to fit into an event."""

_UNSIGNED = "unsigned"
"""The mark of what passed and is no ground for anything: whoever may push could have attached it."""

_OTHER = "other"
"""The mark of what is something else than its verifier looks for: most often beside what it does look for."""

REMEDIES: dict[Code, str] = {
    Code.VERIFIED: "nothing to do",
    Code.BAD_REQUEST: "call it as containerd does (docs/contract.md)",
    Code.BUG: "report it, with the image's name and the output of nodeseal version",
    Code.CANARY: "nothing to do: this name exists to prove that the verifier is called",
    Code.NO_EVIDENCE: "sign the image by its digest, with notation or cosign; a copy needs its signatures copied too",
    Code.EVIDENCE_MALFORMED: "sign the image again and delete the broken signature from the registry",
    Code.EVIDENCE_DIGEST: "the registry or something before it alters content: compare with another client",
    Code.EVIDENCE_LIMIT: "delete superfluous signatures of this image from the registry",
    Code.EVIDENCE_UNSUPPORTED: "sign or attach it in a supported form (docs/notation.md, cosign.md, reports.md)",
    Code.POLICY_NOT_SATISFIED: "compare the policy with what was found, listed above",
    Code.NOT_VERIFIED: "nothing to do, if that is meant; to have it verified, change what the line names",
    Code.EXEMPT: "nothing to do; nodeseal config check lists the exemptions, built-in ones too",
    Code.ALLOWED_BY_DIGEST: "sign the image before the entry ends",
    Code.BREAK_GLASS: "end it as soon as it is not needed: nodeseal break-glass off",
    Code.ON_DENY_LIST: "take another image; if this one is meant, remove its entry from deny",
    Code.NO_RULE: "write a rule that matches this repository, or one for everything: match: ['**']",
    Code.POLICY_FAILED: "correct the policy at the line that is named; nodeseal config check tells more",
    Code.SIGNATURE_INVALID: "the signature was altered after signing: sign again, and find out who changed it",
    Code.SIGNATURE_OF_ANOTHER_IMAGE: "sign this image itself; find out who attached another image's signature",
    Code.SIGNER_NOT_TRUSTED: "add the signer's root certificate or key to the verifier, or sign with a trusted key",
    Code.IDENTITY_NOT_TRUSTED: "add the signer to trustedIdentities (cosign: identities), or sign with one of these",
    Code.SIGNATURE_EXPIRED: "sign the image again",
    Code.CERTIFICATE_NOT_VALID_NOW: "sign again while the certificate is valid; check this host's clock",
    Code.CERTIFICATE_CHAIN_INVALID: "have the signing certificate issued under the Notary Project's certificate rules",
    Code.NO_TRUST_POLICY: "add a statement for this repository, or one with the scope '*', to the trust policies",
    Code.PLUGIN_DEMANDED: "sign without a verification plugin",
    Code.TIMESTAMP_INVALID: "sign again with a timestamp of a service whose root is in a tsa trust store",
    Code.CERTIFICATE_REVOKED: "sign again with a certificate that is not revoked; find out why this one was",
    Code.NO_SIGNATURE: "sign the image: cosign sign; an attestation says something of it, and releases nothing",
    Code.NOT_LOGGED: "sign the image so that a trusted log keeps the signature, or name the right trusted root",
    Code.PREDICATE_TYPE_DIFFERS: "attest what the verifier asks for: cosign attest --type TYPE",
    Code.ATTESTATION_TOO_OLD: "attest the image again, so that a log or a timestamp authority says when",
    Code.SIGNER_DENIED: "have the image signed by a signer who is not on denySigners",
    Code.EVIDENCE_UNSIGNED: "sign the image or its report (notation sign, cosign sign): a report alone proves nothing",
    Code.CONTENT_REFUSED: "take out of the image what the report names, or correct the verifier's lists",
    Code.ANNOTATIONS_DIFFER: "sign the image with the annotations that the verifier wants: cosign sign -a NAME=VALUE",
    Code.REGISTRY_UNAVAILABLE: "check name, network, proxy and certificates between this host and the registry",
    Code.UNAUTHORIZED: "write credentials that may pull into /etc/nodeseal/docker-config.json, see docs/credentials.md",
    Code.THROTTLED: "wait, or ask the registry for a higher limit",
    Code.REVOCATION_UNKNOWN: "make the responders that the certificates name reachable from this host",
    Code.DEADLINE: "find out what is slow: run this command again with --explain",
    Code.CONFIGURATION_MISSING: "publish a configuration: nodeseal config apply DIR",
    Code.CONFIGURATION_INVALID: "publish the configuration again: nodeseal config apply DIR",
    Code.CLOCK_IMPLAUSIBLE: "set this host's clock",
    Code.CONFIGURATION_STALE: "let this node's daemon reach its API server again, see nodeseal status",
    Code.KEY_PROVIDER: "make the key provider's address reachable from this host, see nodeseal status",
    Code.TRUST_ROOT_STALE: "publish a configuration with the present trusted root of the Sigstore instance",
    Code.CREDENTIALS_UNAVAILABLE: "correct the registry's entry in /etc/nodeseal/docker-config.json",
}


class Step(NamedTuple):
    """One step of a verification as it was observed; `milliseconds` is how long it took."""

    name: str
    looked_for: str
    found: str
    milliseconds: float


def as_json(subject: str, judgement: Judgement, generation: str, steps: Sequence[Step]) -> dict[str, object]:
    """The report on `subject` (`repository@digest`) as a JSON value."""
    answer, verdict = judgement.answer, judgement.verdict
    report = verdict.report if verdict else None
    outcomes = report.everything() if report else ()
    shown = _shown(report) if report else []
    items = _items(report) if report else []
    if not items and answer.ground is None:
        items = [_error_item(subject, answer.message, answer.code)]
    return {
        "schemaVersion": SCHEMA_VERSION,
        "isSuccess": answer.ground is not None,
        "verifierReports": items,
        "nodeseal": {
            "subject": subject,
            "decision": _decision(judgement),
            "exitCode": int(answer.exit),
            "wouldExitCode": None if answer.would is None else int(answer.would),
            "code": answer.code.value,
            "rule": answer.rule,
            "precedence": answer.precedence,
            "ground": answer.ground.value if answer.ground else None,
            "reason": answer.line(),
            "causes": [cause.value for cause in verdict.causes] if verdict else [],
            "freshForSeconds": verdict.fresh_for if verdict else None,
            "generation": generation,
            "unsigned": [f"{each.verifier} {each.digest}" for each, mark, _ in shown if mark == _UNSIGNED],
            "checks": {f"{o.verifier} {o.digest}": [_check(c) for c in o.checks] for o in outcomes},
            "steps": [step._asdict() for step in steps],
        },
    }


def as_text(
    subject: str, judgement: Judgement, generation: str, steps: Sequence[Step], *, explain: bool, hint: str = ""
) -> str:
    """The report on `subject` for people; with `explain`, every step and check.  Printable ASCII alone.

    `hint` is the next step where it is known better than the code knows it.
    """
    answer, verdict = judgement.answer, judgement.verdict
    lines = [printable(subject)]
    report = verdict.report if verdict else None
    shown = _shown(report) if report else []
    if explain:
        lines += ["", f"configuration {printable(generation[:12])}, rule {printable(answer.rule)}", "", "steps"]
        for step in steps:
            lines.append(f"  {step.milliseconds:8.1f} ms  {printable(step.name)}")
            lines.append(f"               looked for: {printable(step.looked_for)}")
            lines.append(f"               found:      {printable(step.found)}")
        lines += ["", "checks"] if shown else []
    for outcome, mark, depth in shown:
        indent = "  " * depth
        lines.append(f"  {indent}{mark:8} {printable(outcome.verifier)}  {outcome.digest}")
        if explain:
            lines += (f"{indent}{line}" for line in _explained(outcome))
        elif outcome.status is not Status.PASSED:
            lines.append(f"           {indent}{printable(outcome.message)}")
    lines += [""] if explain else []
    lines.append(printable(answer._replace(image="").line(_READ)))
    remedy = hint or REMEDIES.get(answer.code)
    if remedy and answer.ground in (None, Ground.AUDIT, Ground.FAILURE_POLICY, Ground.STALE):
        lines.append(f"next step: {remedy}")
    return "\n".join(lines) + "\n"


def _decision(judgement: Judgement) -> str:
    """What verification found; what a list said, if nothing was verified."""
    answer, verdict = judgement.answer, judgement.verdict
    if verdict is not None:
        return str(verdict.decision.value)
    return str((Decision.ALLOW if answer.ground else Decision.DENY).value)


def _shown(report: Report) -> list[tuple[Outcome, str, int]]:
    """Every outcome, each with its mark and with how deep it is nested."""

    def below(artifacts: Sequence[Artifact], depth: int) -> Iterator[tuple[Outcome, str, int]]:
        for artifact in artifacts:
            vouched = artifact.refers and any(
                each.status is Status.PASSED for inner in artifact.nested for each in inner.grounds()
            )
            for outcome in artifact.outcomes:
                is_worthless = outcome.unsigned and outcome.status is Status.PASSED and not vouched
                usual = _OTHER if outcome.is_of_another_kind else _MARKS[outcome.status]
                yield outcome, _UNSIGNED if is_worthless else usual, depth
            yield from below(artifact.nested, depth + 1)

    return [*below(report.artifacts, 0), *((defect, _MARKS[defect.status], 0) for defect in report.defects)]


def _items(report: Report) -> list[dict[str, object]]:
    """The items of `verifierReports`."""
    flat = [_item(defect, report.subject, ()) for defect in report.defects]
    if report.seen_whole:
        return nested_reports(report) + flat
    return _flat(report.artifacts) + flat


def _flat(artifacts: Sequence[Artifact]) -> list[dict[str, object]]:
    return [_item(outcome, each.subject, each.nested) for each in artifacts for outcome in each.outcomes]


def _explained(outcome: Outcome) -> list[str]:
    lines = [
        f"           {_MARKS[check.status]:8} {check.check.value} ({check.action.value}): {printable(check.message)}"
        for check in outcome.checks
    ]
    if not any(check.status is Status.FAILED and check.message == outcome.message for check in outcome.checks):
        lines.append(f"           {_MARKS[outcome.status]:8} {printable(outcome.message)}")
    return lines


def _item(outcome: Outcome, subject: str, nested: Sequence[Artifact]) -> dict[str, object]:
    """One item of `verifierReports`, in the flat form that Ratify uses under a config policy."""
    item: dict[str, object] = {
        "subject": subject,
        "isSuccess": outcome.status in (Status.PASSED, Status.SKIPPED),
        "name": outcome.verifier,
        "verifierName": outcome.verifier,
        "type": outcome.verifier_type,
        "verifierType": outcome.verifier_type,
        "referenceDigest": str(outcome.digest),
        "artifactType": outcome.artifact_type,
        "message": outcome.message,
    }
    if not item["isSuccess"]:
        code = reason(outcome)
        item |= {"errorReason": f"{code.value}: {outcome.message}", "remediation": REMEDIES[code]}
    if outcome.extensions:
        item["extensions"] = dict(outcome.extensions)
    if nested:
        item["nestedResults"] = _flat(nested)
    return item


def _error_item(subject: str, message: str, code: Code) -> dict[str, object]:
    """What Ratify puts into `verifierReports` if there is nothing that a verifier could report on."""
    return {
        "subject": subject,
        "isSuccess": False,
        "message": f"failed to verify artifact: {subject}",
        "errorReason": f"{code.value}: {message}",
        "remediation": REMEDIES.get(code, ""),
    }


def _check(check: object) -> dict[str, object]:
    fields = check._asdict()  # type: ignore[attr-defined]
    del fields["certificate"]  # for telling certificates apart; the message names it
    return {name: getattr(value, "value", value) for name, value in fields.items() if value is not None}
