"""Ratify's config policy, case by case."""

from datetime import datetime, timezone

import pytest

from agent.model.digest import Digest
from agent.model.outcome import Outcome, Status
from agent.model.report import Artifact, Report
from agent.policies import normalised, policy_class
from agent.policies.configpolicy import ConfigPolicy

NOW = datetime.now(timezone.utc)
P, F, I = Status.PASSED, Status.FAILED, Status.INCONCLUSIVE  # noqa: E741 - a table reads better so


def report(found: dict[str, list[Status]]) -> Report:
    """One artifact for each status, of the type that it stands under."""
    return Report("r/x@sha256:0", tuple(artifact(kind, status) for kind, each in found.items() for status in each))


def artifact(kind: str, status: Status) -> Artifact:
    digest = Digest.of(kind.encode())
    return Artifact("r/x@sha256:0", digest, kind, (Outcome(digest, kind, "v", "notation", status, "m"),))


@pytest.mark.parametrize(
    ("requirements", "found", "allowed"),
    [
        ({}, {}, False),
        ({}, {"a": [P]}, True),
        ({}, {"a": [P, F]}, False),
        ({"default": "any"}, {"a": [P, F]}, True),
        ({"default": "any"}, {"a": [F, F]}, False),
        ({"default": "any"}, {"a": [P], "b": [F]}, False),
        ({"a": "any"}, {"a": [P, F]}, True),
        ({"a": "any"}, {"a": [P], "b": [P, F]}, False),
        ({"a": "any"}, {"b": [P]}, False),
        ({"a": "any", "b": "all"}, {"a": [P, F], "b": [P, P]}, True),
        ({"a": "any", "b": "all"}, {"a": [P, F], "b": [P, F]}, False),
        ({"a": "any", "b": "all"}, {"a": [P]}, False),
        ({"a": "all"}, {"b": [P]}, False),
        ({"a": "all"}, {"a": [P, P]}, True),
        ({"a": "all"}, {"a": [P, I]}, False),
        ({"a": "any"}, {"a": [I, F]}, False),
    ],
    ids=str,
)
def test_listed_types_must_be_there_and_all_that_is_there_must_be_satisfied(
    requirements: dict[str, str], found: dict[str, list[Status]], allowed: bool
) -> None:
    assert ConfigPolicy(requirements).evaluate(report(found), inconclusive_passes=False, now=NOW) is allowed


@pytest.mark.parametrize(
    ("requirement", "statuses", "allowed"),
    [("any", [I], True), ("any", [I, F], True), ("all", [I, P], True), ("all", [I, F], False), ("any", [F], False)],
    ids=str,
)
def test_inconclusive_outcomes_can_be_taken_as_passed(requirement: str, statuses: list[Status], allowed: bool) -> None:
    policy = ConfigPolicy({"a": requirement})
    assert policy.evaluate(report({"a": statuses}), inconclusive_passes=True, now=NOW) is allowed


@pytest.mark.parametrize(
    ("requirements", "found", "types", "stands"),
    [
        ({"a": "any"}, {"a": [P]}, [], True),
        ({"a": "any"}, {"a": [F, P]}, ["a"], True),
        ({"a": "any"}, {"a": [Status.SKIPPED]}, ["a"], True),
        ({"a": "all"}, {"a": [P]}, ["a"], False),
        ({"a": "any"}, {"a": [P], "b": [P]}, ["a", "b"], False),
        ({"a": "any", "default": "any"}, {"a": [P], "b": [P]}, ["a", "b"], True),
        ({"a": "any", "default": "any"}, {"a": [P]}, ["a", "b"], False),
        ({"a": "any", "default": "any"}, {"a": [P], "b": [I]}, ["a", "b"], False),
        ({"default": "any"}, {"a": [P]}, ["*"], False),
    ],
    ids=str,
)
def test_yes_stands_beside_unknown_outcomes_of_types_under_any_of_which_one_passed(
    requirements: dict[str, str], found: dict[str, list[Status]], types: list[str], stands: bool
) -> None:
    assert ConfigPolicy(requirements).allow_stands(types, report(found)) is stands


@pytest.mark.parametrize("name", ["configPolicy", "config-policy", "ConfigPolicy", "CONFIGPOLICY"])
def test_policy_is_found_by_its_name_as_ratify_compares_it(name: str) -> None:
    assert normalised(name) == "configpolicy"
    assert policy_class(name).__name__ == "ConfigPolicy"


def test_settings_without_requirements_mean_all() -> None:
    assert not ConfigPolicy.load({}).evaluate(report({"a": [P, F]}), inconclusive_passes=False, now=NOW)
