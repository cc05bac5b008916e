"""Policies that let an image in although evidence is missing that its rule has a verifier for.  Never on a pull.

What is attached to an image can be taken away by whoever may push to its repository: a policy that denies because of
what an attestation says denies nothing once the attestation is gone.  That can't be read off a program, so each policy
is tried: on an image with good signatures and no such evidence, and on one that lacks one kind of it alone.  A yes is
told.  A no proves nothing: it may be for something else that these images lack.  Pure: programs run where the caller
says.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import cast

from agent.config import checking, programs
from agent.config.checking import Finding
from agent.config.config import VerifierSettings
from agent.config.programs import Trial
from agent.errors import PolicyFault
from agent.formats import EVIDENCE
from agent.model.digest import Digest
from agent.model.outcome import Outcome, Status
from agent.model.report import Artifact, Report
from agent.policies import policy_class
from agent.rules.rule import Rule

MAX_TRIED = 60
"""Most evaluations of programs for one configuration, each of which may take a second."""

_STEPS = 20_000
_MAX_FAULTS = 3
_MANY = 64
_NOON = datetime(2023, 11, 14, 12, tzinfo=timezone.utc)
_SUBJECT = f"registry.example.com/image@sha256:{'0' * 64}"
_ANY_TYPE, _SOME_TYPE = "*", "application/vnd.example.signature"

_EXPECTED = "one that asks for it: what it denies because of such evidence, whoever may push can take away"


def findings(
    rules: Sequence[Rule], verifiers: Sequence[VerifierSettings], paths: Sequence[checking.Path], trial: Trial
) -> Iterator[Finding]:
    """One for each rule that looks at evidence and does not need it; `paths` are where the rules' policies are.

    `rules` are one document's, all of whose verifiers are known.  What is alike is tried once.
    """
    known = {verifier.name: verifier for verifier in verifiers}
    trials = _Trials(trial)
    told: dict[tuple[object, ...], list[str]] = {}
    for rule, path in zip(rules, paths, strict=True):
        mine = [known[name] for name in rule.verifiers]
        key = (id(rule.policy), rule.verifiers, rule.allow_without_evidence)
        if key not in told:
            told[key] = [each.name for each in mine if each.type in EVIDENCE and trials.can_lack(each, rule, mine)]
        if trials.are_over:
            got = "more policies than are tried, or such that come to no answer"
            yield Finding(path, got, "to know that nobody tried here whether it asks for evidence", fatal=False)
            return
        if told[key]:
            got = f"a policy that lets an image in that has no {', '.join(told[key])}"
            yield Finding(path, got, _EXPECTED, fatal=False)


class _Trials:
    """Tries policies out, as often as may be."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._left = MAX_TRIED
        self._faults = 0

    @property
    def are_over(self) -> bool:
        """Whether no more programs are tried."""
        return self._left < 0 or self._faults >= _MAX_FAULTS

    def can_lack(self, evidence: VerifierSettings, rule: Rule, verifiers: Sequence[VerifierSettings]) -> bool:
        """Whether the policy allows an image that has all but this, or signatures alone."""
        signatures = [each for each in verifiers if each.type not in EVIDENCE]
        others = [each for each in verifiers if each is not evidence]
        return any(self._allows(rule, given) for given in (signatures, others))

    def _allows(self, rule: Rule, given: Sequence[VerifierSettings]) -> bool:
        """What the policy says if these verifiers found what they look for, in artifacts of their own."""
        if not given and not rule.allow_without_evidence:
            return False  # no policy is asked
        artifacts = [artifact for each in given for artifact in _artifacts(each)]
        report = Report(_SUBJECT, tuple(artifacts), seen_whole=True)
        if not policy_class(rule.policy.name).is_program:
            policy = policy_class(rule.policy.name).load(rule.policy.settings)
            return policy.evaluate(report, inconclusive_passes=False, now=_NOON)
        self._left -= 1
        if self.are_over:
            return False
        try:
            return self._trial(lambda: programs.allows(rule.policy.settings["compiled"], report, _STEPS))
        except PolicyFault:
            self._faults += 1
            return False


def _artifacts(verifier: VerifierSettings) -> Iterator[Artifact]:
    """One of each type that it looks at, in which it found what it looks for."""
    for kind in verifier.artifact_types:
        shown = _SOME_TYPE if kind == _ANY_TYPE else kind
        digest = Digest.of(f"{verifier.name}\n{shown}".encode())
        signers = tuple(map(str, range(_MANY)))
        outcome = Outcome(
            digest, shown, verifier.name, verifier.type, Status.PASSED, "verified",
            extensions=_said(verifier), signers=signers,
        )  # fmt: skip
        yield Artifact(_SUBJECT, digest, shown, (outcome,))


def _said(verifier: VerifierSettings) -> Mapping[str, object]:
    """What an outcome may tell of who signed and what, as far as the settings say it."""
    policies = cast("Sequence[Mapping[str, object]]", verifier.settings.get("policies") or ({},))
    first = policies[0]
    keys = cast("Sequence[str]", first.get("keys", ()))
    told: dict[str, object] = {"Key": f"sha256:{keys[0]}"} if keys else {}
    identities = cast("Mapping[str, Sequence[Mapping[str, str]]]", first.get("sigstore", {})).get("identities", [])
    for name in ("issuer", "subject"):
        told |= {name.capitalize(): each[name].partition(" ")[2] for each in identities[:1]}
    if "predicateType" in verifier.settings:
        predicate_type = verifier.settings["predicateType"]
        told |= {"predicateType": predicate_type, "attestations": [{**told, "predicate": {}}]}
    return told
