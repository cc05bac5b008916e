"""Rego policies in a configuration: where they are found, what is refused, what is told because it will surprise."""

import json
import time
from datetime import datetime, timezone
from typing import Any

import pytest

from agent.adapters import policy_worker
from agent.adapters.policy_worker import TRIAL_SECONDS, Trials
from agent.config import ratify
from agent.config.dialect import Node
from agent.config.programs import Trial
from agent.errors import ConfigurationError, PolicyFault, Problem
from agent.model.documents import Document
from agent.rules.rule import Rule
from tests.config.support import FORMATS, GOOD, NoDocuments

GOOD_POLICY = """package ratify.policy
default valid := false
valid { count(input.verifierReports) > 0; not failed }
failed { input.verifierReports[_].verifierReports[_].isSuccess == false }
"""
QUICK_START = """package ratify.policy
default valid := false
valid { not failed_verify(input) }
failed_verify(reports) { [path, value] := walk(reports); value == false; path[count(path) - 1] == "isSuccess" }
"""
PLUGIN = "config.json: policy.plugin"


TRIED = Trials(60.0)


class Beside(NoDocuments):
    """Documents beside the configuration."""

    def __init__(self, **documents: bytes) -> None:
        """`policy_rego` is `policy.rego`."""
        self._documents = {name.replace("_", "."): content for name, content in documents.items()}

    def file(self, path: str) -> Document | None:
        """By the last component."""
        name = path.rpartition("/")[2]
        return Document(name, self._documents[name], name) if name in self._documents else None


def read(plugin: dict[str, Any], trial: Trial | None = TRIED, **documents: bytes) -> tuple[Rule | None, list[Problem]]:
    """The rule that Ratify's policy becomes, and what is told."""
    value = GOOD | {"policy": {"plugin": {"name": "regoPolicy"} | plugin}}
    try:
        config, told = ratify.read(
            Document("config.json", json.dumps(value).encode(), "t"),
            Beside(**documents),
            formats=FORMATS,
            node=Node(None, datetime.now(timezone.utc), trial=trial),
        )
    except ConfigurationError as error:
        return None, list(error.problems)
    return config.rules[0], list(told)


def surprises(policy: str) -> list[str]:
    """What is told of a policy that can be used."""
    rule, told = read({"policy": policy})
    assert rule is not None, told
    return [each.got for each in told]


def refused(policy: str) -> Problem:
    """What is told of one that can't."""
    rule, told = read({"policy": policy})
    assert rule is None
    (problem,) = told
    return problem


@pytest.mark.parametrize("name", ["regoPolicy", "rego-policy", "REGO-Policy", "regopolicy"])
def test_policy_is_the_text_in_the_configuration(name: str) -> None:
    rule, told = read({"name": name, "policy": GOOD_POLICY})
    assert told == []
    assert rule is not None
    assert rule.policy.name == "regopolicy"
    assert rule.policy.settings["compiled"]


@pytest.mark.parametrize("path", ["/root/.ratify/policy.rego", "policy.rego", "~/p/policy.rego"])
def test_policy_path_names_a_document_by_its_last_component(path: str) -> None:
    rule, told = read({"policyPath": path}, policy_rego=GOOD_POLICY.encode())
    assert told == []
    assert rule is not None
    assert rule.policy.settings["name"] == "policy.rego"


def test_text_goes_before_a_path() -> None:
    rule, told = read({"policy": GOOD_POLICY, "policyPath": "nowhere.rego"})
    assert rule is not None
    assert told == []


def test_policy_that_is_nowhere_is_refused() -> None:
    assert [(each.path, each.got) for each in read({})[1]] == [(f"{PLUGIN}.policyPath", "no policy")]
    (problem,) = read({"policyPath": "/a/nowhere.rego"})[1]
    assert problem.path == f"{PLUGIN}.policyPath"
    assert "which is no document here" in problem.got


def test_pass_through_is_told_and_needs_no_policy() -> None:
    rule, told = read({"passthroughEnabled": True})
    assert rule is not None
    assert rule.policy.settings["compiled"] is None
    assert [(each.path, each.fatal) for each in told] == [(f"{PLUGIN}.passthroughEnabled", False)]


@pytest.mark.parametrize(
    ("policy", "place", "got"),
    [
        ("package ratify.policy\nvalid {", ":2:", ""),
        ("package ratify.policy\nvalid := http.send({})\n", ":2:", "http.send"),
        ("package ratify.policy\nvalid := opa.runtime().env\n", ":2:", "opa.runtime"),
        ("package ratify.policy\nvalid := nonsense(1)\n", ":2:", "nonsense"),
        ("package ratify.policy\nvalid { x }\n", ":2:9", "x"),
        ("package other\nvalid := true\n", "", "package other without data.ratify.policy.valid"),
        ("package ratify.policy\nallowed := true\n", "", "package ratify.policy without data.ratify.policy.valid"),
    ],
    ids=str,
)
def test_policy_that_can_not_be_meant_is_refused_at_its_line(policy: str, place: str, got: str) -> None:
    problem = refused(policy)
    assert problem.path.startswith(f"{PLUGIN}.policy{place}")
    assert got in problem.got


def test_each_rule_that_can_not_be_compiled_is_told_at_its_line() -> None:
    rule, told = read({"policy": GOOD_POLICY + "a := nonsense(1)\nb := 1\nc { lower(5) }\n"})
    assert rule is None
    assert [(each.path, each.got) for each in told] == [
        (f"{PLUGIN}.policy:5:14", "a call of nonsense, which is no function"),
        (f"{PLUGIN}.policy:7:10", "lower with a number"),
    ]


def test_policy_that_is_no_text_is_refused() -> None:
    assert read({"policyPath": "policy.rego"}, policy_rego=b"\xff")[1][0].got == "bytes that are no UTF-8"


@pytest.mark.parametrize(
    "policy", ["package ratify.policy\nvalid := " + "[" * 100_000, "package ratify.policy\n#" * 30_000]
)
def test_policy_that_is_too_much_is_refused_and_not_a_bug(policy: str) -> None:
    assert read({"policy": policy})[0] is None


def test_what_stands_in_a_document_that_is_no_policy_is_not_shown() -> None:
    (problem,) = read({"policyPath": "policy.rego"}, policy_rego=b"s3cret-token\n")[1]
    assert problem.got == "something else than a policy"


def test_policy_that_is_true_for_nothing_at_all_is_told() -> None:
    assert surprises(QUICK_START) == ["a policy that is true for an image to which nothing refers"]


def test_policy_that_is_true_for_failed_evidence_is_told() -> None:
    one = "a policy that is true for an image with one signature, which failed"
    assert surprises("package ratify.policy\nvalid { input.verifierReports[_].verifierReports[_].name }\n") == [one]
    assert one in surprises("package ratify.policy\nvalid := true\n")


def test_policy_that_says_yes_to_anything_is_told_what_happens_here() -> None:
    told = read({"policy": "package ratify.policy\nvalid := true\n"})[1]
    assert len(told) == 2
    for each in told:
        assert "denied all the same, unlike in Ratify, but where allowWithoutEvidence stands" in each.expected
        assert not each.fatal


def test_policy_that_reads_the_time_is_told() -> None:
    assert surprises(GOOD_POLICY + "valid { count(input.verifierReports) > 0; time.now_ns() < 0 }\n") == [
        "a policy that reads the time"
    ]


def test_field_that_reports_for_policies_do_not_have_is_told() -> None:
    assert surprises(GOOD_POLICY + "failed { input.verifierReports[_].nestedResults }\n") == [
        "nestedResults, which reports for policies don't have"
    ]


def test_policy_whose_answer_is_a_fault_is_not_said_to_be_true() -> None:
    assert surprises("package ratify.policy\nvalid { to_number(input.verifierReports) > 0 }\n") == []


DOUBLING = "package ratify.policy\na0 := [1]\n"
ENDLESS = {
    "time": DOUBLING + "\n".join(f"a{i} := [a{i - 1}, a{i - 1}]" for i in range(1, 60)) + "\nvalid { a59 == [1] }\n",
    "memory": DOUBLING
    + "\n".join(f"a{i} := array.concat(a{i - 1}, a{i - 1})" for i in range(1, 40))
    + "\nvalid { count(a39) > 5 }\n",
}


@pytest.mark.parametrize("policy", ENDLESS.values(), ids=ENDLESS)
def test_policy_that_never_ends_within_few_steps_holds_up_nobody(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_worker, "TRIAL_SECONDS", TRIAL_SECONDS)
    begun = time.monotonic()
    assert surprises(policy) == []
    assert read({"policy": policy}, trial=None)[0] is not None
    assert time.monotonic() - begun < 60


def test_trials_of_many_policies_end_together() -> None:
    trials = Trials(0.2)

    def endless() -> bool:
        while True:
            pass

    with pytest.raises(PolicyFault, match="took more than 0.2 s"):
        trials(endless)
    with pytest.raises(PolicyFault, match="no time is left"):
        trials(lambda: True)
