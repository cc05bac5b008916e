"""The policy of our own rules: how many of which verifiers."""

from datetime import datetime, timezone

import pytest

from agent.model.digest import Digest
from agent.model.outcome import Outcome, Status
from agent.model.report import Artifact, Report
from agent.policies import policy_class
from agent.policies.threshold import ThresholdPolicy

NOW = datetime.now(timezone.utc)
P, F, I, S = Status.PASSED, Status.FAILED, Status.INCONCLUSIVE, Status.SKIPPED  # noqa: E741 - a table reads better so


def report(*found: tuple[str, Status]) -> Report:
    """One artifact for each outcome of a verifier."""
    return Report("r/x@sha256:0", tuple(artifact(i, *each) for i, each in enumerate(found)))


def artifact(number: int, verifier: str, status: Status) -> Artifact:
    digest = Digest.of(str(number).encode())
    return Artifact("r/x@sha256:0", digest, "a/b", (Outcome(digest, "a/b", verifier, "notation", status, "m"),))


@pytest.mark.parametrize(
    ("threshold", "of", "found", "allowed"),
    [
        (1, "ab", [("a", P)], True),
        (1, "ab", [("b", P), ("a", F)], True),
        (1, "ab", [("c", P)], False),
        (1, "ab", [("a", F)], False),
        (1, "ab", [("a", I)], False),
        (1, "ab", [], False),
        (2, "ab", [("a", P), ("a", P)], False),
        (2, "ab", [("a", P), ("b", P)], True),
        (2, "ab", [("a", P), ("b", F), ("b", P)], True),
        (2, "abc", [("a", P), ("c", P), ("b", F)], True),
        (2, "abc", [("a", P), ("d", P)], False),
        (1, "ab", [("a", S)], True),
        (0, "ab", [("c", P)], False),
    ],
    ids=str,
)
def test_each_verifier_counts_once_and_failures_take_nothing_away(
    threshold: int, of: str, found: list[tuple[str, Status]], allowed: bool
) -> None:
    policy = ThresholdPolicy(threshold, list(of))
    assert policy.evaluate(report(*found), inconclusive_passes=False, now=NOW) is allowed


def test_inconclusive_outcomes_can_be_taken_as_passed() -> None:
    assert ThresholdPolicy(2, ["a", "b"]).evaluate(report(("a", P), ("b", I)), inconclusive_passes=True, now=NOW)


def test_yes_stands_whatever_else_there_is() -> None:
    assert ThresholdPolicy(1, ["a"]).allow_stands(["a/b", "*"], Report("r/x@sha256:0"))


def test_refusal_counts_what_was_verified_and_what_is_asked_for() -> None:
    policy = policy_class("nodeseal").load({"threshold": 2, "of": ["a", "b"]})
    assert policy.refusal(report(("a", P), ("b", F))) == "verified by 1 (by a); the rule asks for 2 of a, b"
    assert policy.refusal(report()) == "verified by 0; the rule asks for 2 of a, b"


def signed(*found: tuple[str, Status, tuple[str, ...]]) -> Report:
    """One artifact for each outcome of a verifier, with who signed it."""
    artifacts = []
    for i, (verifier, status, signers) in enumerate(found):
        made = artifact(i, verifier, status)
        artifacts.append(made._replace(outcomes=(made.outcomes[0]._replace(signers=signers),)))
    return Report("r/x@sha256:0", tuple(artifacts))


@pytest.mark.parametrize(
    ("found", "allowed", "perhaps"),
    [
        ([("a", P, ("x",))], False, False),
        ([("a", P, ("x",)), ("a", P, ("x",))], False, False),
        ([("a", P, ("x",)), ("a", P, ("y",))], True, True),
        ([("a", P, ("x", "y"))], True, True),
        ([("a", P, ("x",)), ("a", F, ("y",))], False, False),
        ([("a", P, ("x",)), ("a", I, ("y",))], False, True),
        ([("a", P, ("x",)), ("b", P, ("y",))], False, False),
        ([("a", P, ("x",)), ("b", I, ())], False, False),
        ([("a", I, ())], False, True),
        ([("a", P, ())], False, False),
        ([("a", S, ())], True, True),
        ([], False, False),
    ],
    ids=str,
)
def test_verifier_that_asks_for_two_signers_counts_with_two_different_ones(
    found: list[tuple[str, Status, tuple[str, ...]]], allowed: bool, perhaps: bool
) -> None:
    policy = ThresholdPolicy.load({"threshold": 1, "of": ["a"], "signers": {"a": 2}})
    assert policy.evaluate(signed(*found), inconclusive_passes=False, now=NOW) is allowed
    assert policy.evaluate(signed(*found), inconclusive_passes=True, now=NOW) is perhaps


def test_refusal_says_how_many_signers_there_were() -> None:
    policy = ThresholdPolicy(2, ["a", "b"], {"a": 3})
    said = policy.refusal(signed(("a", P, ("x",)), ("a", P, ("y",)), ("b", P, ("x",))))
    assert said == "verified by 1 (by b); the rule asks for 2 of a, b; a found 2 of 3 different signers"
