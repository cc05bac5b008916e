"""What could not be looked at, and by whose doing: content that hides behind content never lets an image in."""

from typing import Any

import pytest

from agent.adapters.inline import NoTrace, OneByOne, SystemClock, run
from agent.config.config import VerifierSettings
from agent.engine import Engine
from agent.errors import Cause, Code, LimitExceeded, Malformed, Unavailable
from agent.formats.notation import NotationFormat
from agent.gathering import LOOKED_AT_LEAST, MAX_EVIDENCE, MAX_MANIFEST_SIZE, PATIENCE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_MANIFEST
from agent.model.verdict import Decision, Verdict
from agent.rules.rule import PolicySettings
from tests.engines import OnTheSpot, Unhurried, one_rule, verdict_of
from tests.formats.support import Answers, GivenDocuments, request
from tests.signing import ARTIFACT_TYPE, EMPTY_DIGEST, trust_policy
from tests.test_engine import STRANGER, TRUSTED, MemoryRegistry

APPROVAL = "application/vnd.example.approval"
MIXED = {ARTIFACT_TYPE: "any", APPROVAL: "all"}


def verdict_on(registry: MemoryRegistry, requirements: dict[str, str], *types: str, clock: Any = None) -> Verdict:
    """Verify under one verifier for each of `types`, which all trust the same signer."""
    options = {"verificationCerts": ["x"], "trustPolicyDoc": trust_policy()}
    parsed = NotationFormat.parse(options, GivenDocuments(TRUSTED.root_pem), "v")
    verifiers = tuple(VerifierSettings(f"v{i}", "notation", (kind,), parsed.settings) for i, kind in enumerate(types))
    policy = PolicySettings("configpolicy", {"artifactVerificationPolicies": requirements})
    config = one_rule(policy, verifiers, parsed.certificates)
    engine = Engine(
        config,
        registry=registry,
        revocation=Answers(),
        concurrent=OneByOne(),
        policies=OnTheSpot(),
        clock=clock or Unhurried(),
        trace=NoTrace(),
    )
    return run(verdict_of(engine, request()))


def approval() -> dict[str, Any]:
    """What makes a signature's manifest an approval's."""
    return {"config": {"mediaType": APPROVAL, "digest": EMPTY_DIGEST, "size": 2}}


def signed_and_approved() -> MemoryRegistry:
    """A registry with a good signature and a good approval."""
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    registry.sign(TRUSTED, **approval())
    registry.listed[1] = registry.listed[1]._replace(artifact_type=APPROVAL)
    return registry


def test_signed_and_approved_is_allowed_and_a_bad_approval_denies() -> None:
    registry = signed_and_approved()
    assert verdict_on(registry, MIXED, ARTIFACT_TYPE, APPROVAL).decision is Decision.ALLOW
    registry.sign(STRANGER, **approval())
    registry.listed[2] = registry.listed[2]._replace(artifact_type=APPROVAL)
    assert verdict_on(registry, MIXED, ARTIFACT_TYPE, APPROVAL).decision is Decision.DENY


def crowded(registry: MemoryRegistry) -> None:
    """A bad approval behind more junk than is looked at."""
    junk = [registry.sign(STRANGER) for _ in range(MAX_EVIDENCE)]
    assert junk
    registry.sign(STRANGER, **approval())


def list_broken(registry: MemoryRegistry) -> None:
    """A list with an entry that is none, or an end that is rubbish."""
    registry.defect = Malformed("referrers API: an entry is no descriptor")


def list_endless(registry: MemoryRegistry) -> None:
    """More entries than are listed."""
    registry.defect = LimitExceeded("referrers API: more than 1000")


def of_unknown_type(registry: MemoryRegistry) -> None:
    """Something that the list gives no type for, and whose content is rubbish."""
    registry.listed.append(Descriptor(IMAGE_MANIFEST, Digest.of(b"rubbish"), 7))
    registry.content[str(Digest.of(b"rubbish"))] = b"rubbish"


def of_unknown_type_and_enormous(registry: MemoryRegistry) -> None:
    """Something that the list gives no type for, and that is too large to be looked at."""
    registry.listed.append(Descriptor(IMAGE_MANIFEST, Digest.of(b"large"), MAX_MANIFEST_SIZE + 1))


HIDING = [crowded, list_broken, list_endless, of_unknown_type, of_unknown_type_and_enormous]


@pytest.mark.parametrize("hide", HIDING)
@pytest.mark.parametrize(
    ("requirements", "decision"),
    [
        (MIXED, Decision.DENY),
        ({ARTIFACT_TYPE: "all", APPROVAL: "any"}, Decision.DENY),
        ({ARTIFACT_TYPE: "any", "default": "all"}, Decision.DENY),
        ({ARTIFACT_TYPE: "any"}, Decision.DENY),
        ({ARTIFACT_TYPE: "any", APPROVAL: "any"}, Decision.ALLOW),
        ({"default": "any"}, Decision.ALLOW),
    ],
    ids=str,
)
def test_content_that_cannot_be_looked_at_counts_as_failed_evidence_of_any_type(
    hide: Any, requirements: dict[str, str], decision: Decision
) -> None:
    registry = signed_and_approved()
    hide(registry)
    assert verdict_on(registry, requirements, ARTIFACT_TYPE, APPROVAL).decision is decision


@pytest.mark.parametrize("hide", HIDING)
def test_content_that_cannot_be_looked_at_alone_is_a_denial(hide: Any) -> None:
    registry = MemoryRegistry()
    hide(registry)
    for requirement in ("any", "all"):
        assert verdict_on(registry, {ARTIFACT_TYPE: requirement}, ARTIFACT_TYPE).decision is Decision.DENY


def test_verifier_of_everything_under_all_for_one_type_lets_nothing_hide() -> None:
    registry = signed_and_approved()
    registry.defect = Malformed("rubbish")
    requirements = {APPROVAL: "all", "default": "any"}
    registry.listed = [each._replace(artifact_type=None) for each in registry.listed]
    assert verdict_on(registry, requirements, ARTIFACT_TYPE, "*").decision is Decision.DENY


def test_defect_beside_something_that_nobody_served_is_still_cannot_tell() -> None:
    registry = signed_and_approved()
    registry.broken[str(registry.listed[0].digest)] = Unavailable("gone", cause=Cause.REGISTRY_UNAVAILABLE)
    registry.defect = Malformed("rubbish")
    assert verdict_on(registry, MIXED, ARTIFACT_TYPE, APPROVAL).decision is Decision.CANNOT_TELL


class SlowClock(SystemClock):
    """A clock by which each look at it takes a while."""

    def __init__(self, seconds: float) -> None:
        """`seconds` a look."""
        self._step = seconds
        self._elapsed = 0.0

    def monotonic(self) -> float:
        """Later than the last time."""
        self._elapsed += self._step
        return self._elapsed


def test_more_than_can_be_looked_at_in_our_time_is_its_authors_choice_and_denied() -> None:
    registry = MemoryRegistry()
    for _ in range(20):
        registry.sign(STRANGER)
    verdict = verdict_on(registry, {ARTIFACT_TYPE: "all"}, ARTIFACT_TYPE, clock=SlowClock(PATIENCE + 1))
    assert verdict.decision is Decision.DENY
    assert len(registry.asked) == 1 + 2 * LOOKED_AT_LEAST
    assert f"looked at {LOOKED_AT_LEAST} referrers in 5 s" in str(verdict.report)
    assert Code.EVIDENCE_LIMIT in {outcome.code for outcome in verdict.report.outcomes} if verdict.report else False


def test_few_signatures_are_looked_at_however_long_it_takes() -> None:
    registry = MemoryRegistry()
    for _ in range(LOOKED_AT_LEAST - 1):
        registry.sign(STRANGER)
    registry.sign(TRUSTED)
    clock = SlowClock(PATIENCE + 1)
    assert verdict_on(registry, {ARTIFACT_TYPE: "any"}, ARTIFACT_TYPE, clock=clock).decision is Decision.ALLOW


def test_nothing_more_is_asked_once_the_answer_stands() -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    for _ in range(20):
        registry.sign(STRANGER)
    assert verdict_on(registry, {ARTIFACT_TYPE: "any"}, ARTIFACT_TYPE).decision is Decision.ALLOW
    assert len(registry.asked) == 3
    registry.asked.clear()
    assert verdict_on(registry, {ARTIFACT_TYPE: "all"}, ARTIFACT_TYPE).decision is Decision.DENY
    assert len(registry.asked) == 1 + 2 * 21
