"""What the engine asks on the way: revocation, and nothing at all where the configuration exempts an image."""

from typing import Any

import pytest

from agent.adapters.inline import OneByOne, run
from agent.config.config import VerifierSettings
from agent.engine import Engine
from agent.errors import Cause, Code
from agent.formats.notation import NotationFormat
from agent.model.answer import Ground
from agent.model.outcome import Status
from agent.model.verdict import Decision, Verdict
from agent.rules.rule import PolicySettings
from tests.engines import OnTheSpot, Unhurried, judged, one_rule, verdict_of
from tests.formats.support import Answers, GivenDocuments, request
from tests.signing import ARTIFACT_TYPE, trust_policy
from tests.test_engine import MemoryRegistry
from tests.test_engine_unseen import APPROVAL, approval
from tests.trust.answers import OCSP_URL, asked_at, chain_with, ocsp_answer

LEAF = OCSP_URL.format("leaf")
SIGNER = chain_with(asked_at(LEAF))
PLAIN = chain_with()
GOOD = ocsp_answer(SIGNER.chain[0], SIGNER.chain[1], 32)
SKIP: dict[str, Any] = {"signatureVerification": {"level": "skip"}, "trustStores": [], "trustedIdentities": []}


class Steps:
    """`ports.Trace` that keeps the steps' names and what was found."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.steps: list[tuple[str, str, str]] = []

    def step(self, name: str, looked_for: str, found: str) -> None:
        """Keep it."""
        self.steps.append((name, looked_for, found))


def verifier(kind: str, **statement: Any) -> tuple[VerifierSettings, dict[str, bytes]]:
    """A verifier's settings for one type, with its certificates."""
    options: dict[str, Any] = {"trustPolicyDoc": trust_policy(**statement)}
    if not statement:
        options["verificationCerts"] = ["x"]
    parsed = NotationFormat.parse(options, GivenDocuments(SIGNER.root_pem, PLAIN.root_pem), "v")
    assert not [str(problem) for problem in parsed.problems if problem.fatal]
    return VerifierSettings(f"for {kind}", "notation", (kind,), parsed.settings), dict(parsed.certificates)


def engine(
    registry: MemoryRegistry,
    requirements: dict[str, str],
    *verifiers: tuple[VerifierSettings, dict[str, bytes]],
    answers: Answers | None = None,
    trace: Steps | None = None,
) -> Engine:
    """An engine with these verifiers."""
    policy = PolicySettings("configpolicy", {"artifactVerificationPolicies": requirements})
    certificates = {name: der for _, each in verifiers for name, der in each.items()}
    settings = tuple(each for each, _ in verifiers)
    config = one_rule(policy, settings, certificates)
    return Engine(
        config,
        registry=registry,
        revocation=answers or Answers(),
        concurrent=OneByOne(),
        policies=OnTheSpot(),
        clock=Unhurried(),
        trace=trace or Steps(),
    )


def verdict(*arguments: Any, **options: Any) -> Verdict:
    """What an engine makes of the image."""
    return run(verdict_of(engine(*arguments, **options), request()))


ANY = {ARTIFACT_TYPE: "any"}
STRICT = verifier(ARTIFACT_TYPE)
SKIPPING = verifier(ARTIFACT_TYPE, **SKIP)
APPROVING = verifier(APPROVAL)


@pytest.fixture
def registry() -> MemoryRegistry:
    """A registry with one signature."""
    registry = MemoryRegistry()
    registry.sign(SIGNER)
    return registry


def test_revocation_is_asked_through_the_port_and_the_answer_kept(registry: MemoryRegistry) -> None:
    answers, trace = Answers({LEAF: GOOD}), Steps()
    assert verdict(registry, ANY, STRICT, answers=answers, trace=trace).decision is Decision.ALLOW
    assert answers.asked == answers.kept == [LEAF]
    assert ("ask about revocation", LEAF, f"{len(GOOD)} bytes") in trace.steps


def test_nobody_answering_is_cannot_tell_and_told(registry: MemoryRegistry) -> None:
    trace = Steps()
    found = verdict(registry, ANY, STRICT, trace=trace)
    assert (found.decision, found.causes) == (Decision.CANNOT_TELL, (Cause.REVOCATION_UNKNOWN,))
    assert ("ask about revocation", LEAF, f"{LEAF}: nobody there") in trace.steps


def test_good_signature_beside_one_nobody_can_tell_of_is_enough_under_any_and_not_under_all(
    registry: MemoryRegistry,
) -> None:
    registry.sign(PLAIN)
    assert verdict(registry, ANY, STRICT).decision is Decision.ALLOW
    assert verdict(registry, {ARTIFACT_TYPE: "all"}, STRICT).decision is Decision.CANNOT_TELL


def test_exempted_image_costs_no_request_and_says_that_it_was_not_verified(registry: MemoryRegistry) -> None:
    answer, found = run(judged(request(), engine(registry, ANY, SKIPPING)))[:2]
    assert registry.asked == []
    assert (answer.ground, answer.code) == (Ground.DISABLED, Code.NOT_VERIFIED)
    assert "not verified: trust policy 'default' skips verification" in answer.line()
    assert found is not None
    assert found.report is not None
    assert [each.status for each in found.report.outcomes] == [Status.SKIPPED]


@pytest.mark.parametrize("requirement", ["any", "all"])
def test_exemption_from_one_type_leaves_what_else_is_demanded(requirement: str) -> None:
    demanded = {ARTIFACT_TYPE: requirement, APPROVAL: requirement}
    answers = Answers({LEAF: GOOD})
    registry = MemoryRegistry()
    registry.reliable = False  # it lists everything under the type of signatures
    assert verdict(registry, demanded, SKIPPING, APPROVING, answers=answers).decision is Decision.DENY
    registry.sign(SIGNER, **approval())
    found = verdict(registry, demanded, SKIPPING, APPROVING, answers=answers)
    assert (found.decision, found.code) == (Decision.ALLOW, Code.VERIFIED)


def test_evidence_of_an_exempted_type_is_not_looked_at() -> None:
    registry = MemoryRegistry()
    registry.reliable = False
    registry.sign(PLAIN, **approval())
    bad = registry.add(b"no envelope")
    registry.listed.remove(bad)
    registry.listed.append(bad._replace(artifact_type=None))
    demanded = {ARTIFACT_TYPE: "all", APPROVAL: "all"}
    assert verdict(registry, demanded, SKIPPING, APPROVING).decision is Decision.ALLOW


def test_verifier_for_everything_exempts_signatures(registry: MemoryRegistry) -> None:
    assert verdict(registry, ANY, verifier("*", **SKIP)).code is Code.NOT_VERIFIED
    assert registry.asked == []
