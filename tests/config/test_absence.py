"""Policies that let images in although evidence is gone that their rule looks at: which are told, and which are not."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import pytest

from agent.adapters import policy_worker
from agent.adapters.policy_worker import TRIAL_SECONDS, Trials
from agent.config import absence, ratify
from agent.config.dialect import Node
from agent.config.programs import Trial
from agent.errors import PolicyFault, Problem
from agent.model.documents import Document
from agent.rules.floor import Floor
from tests.config.test_dialect import WithPolicy
from tests.signing_cosign import public_pem

TRIED = Trials(60.0)
HEAD = "package ratify.policy\nimport rego.v1\ndefault valid := false\n"
PASSED = """
passed(name) if {
  some artifact in input.verifierReports
  some found in artifact.verifierReports
  found.verifierName == name
  found.isSuccess
}
"""
BAD_SCAN = """
bad if {
  some artifact in input.verifierReports
  some found in artifact.verifierReports
  found.verifierName == "scan"
  some each in found.extensions.attestations
  each.predicate.result == "FAILED"
}
"""


class Documents(WithPolicy):
    """A policy and a key."""

    def file(self, path: str) -> Document | None:
        """By the last component."""
        if path.rpartition("/")[2] == "k.pub":
            return Document("k.pub", public_pem(), "k.pub")
        return super().file(path)


def told(
    policy: object, verifiers: Mapping[str, str], *, text: str = "", trial: Trial | None = TRIED, **rule: Any
) -> list[Problem]:
    """What is told of the policy of a rule with these verifiers: name -> predicate type, empty for signatures."""
    listed = [
        {
            "name": name,
            "keys": ["k.pub"],
            **({"type": "attestation", "predicateType": kind} if kind else {"type": "cosign"}),
        }
        for name, kind in verifiers.items()
    ]
    section = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "verifiers": listed,
        "rules": [{"name": "r", "match": ["**"], "verifiers": list(verifiers), "policy": policy, **rule}],
    }
    content = json.dumps({"nodeseal": section}).encode()
    node = Node(Floor(), datetime.now(timezone.utc), trial=trial)
    found = ratify.read(Document("nodeseal.json", content, "nodeseal.json"), Documents(text), node=node)
    return [each for each in found.warnings if each.path.endswith(".policy")]


def lacking(policy: object, verifiers: Mapping[str, str], **options: Any) -> str:
    """Whose evidence may be gone, as the warning says it; empty if nothing is told."""
    problems = told(policy, verifiers, **options)
    assert all(not each.fatal and each.path == "nodeseal.json: nodeseal.rules[0].policy" for each in problems)
    return ", ".join(each.got.removeprefix("a policy that lets an image in that has no ") for each in problems)


BOTH = {"key": "", "scan": "vuln"}
THREE = {"key": "", "provenance": "slsaprovenance1", "scan": "vuln"}


@pytest.mark.parametrize(
    ("policy", "verifiers", "expected"),
    [
        ({"all": ["key", "scan"]}, BOTH, ""),
        ({"any": ["key", "scan"]}, BOTH, "scan"),
        ({"any": ["key"]}, BOTH, "scan"),
        ({"threshold": 2, "of": ["key", "provenance", "scan"]}, THREE, "provenance, scan"),
        ({"threshold": 3, "of": ["key", "provenance", "scan"]}, THREE, ""),
        ({"any": ["provenance", "scan"]}, {"provenance": "slsaprovenance1", "scan": "vuln"}, "provenance, scan"),
        ({"all": ["scan"]}, {"scan": "vuln"}, ""),
        ({"any": ["key"]}, {"key": ""}, ""),
    ],
)
def test_of_a_policy_that_counts_it_is_known(policy: object, verifiers: Mapping[str, str], expected: str) -> None:
    assert lacking(policy, verifiers) == expected


RULES = {
    "denies because of a scan": ('valid if { passed("key"); not bad }', BOTH, "scan"),
    "denies because of a scan that must be there": ('valid if { passed("key"); passed("scan"); not bad }', BOTH, ""),
    "asks for one and denies because of the other": (
        'valid if { passed("key"); passed("provenance"); not bad }', THREE, "scan",
    ),
    "asks for both": ('valid if { passed("key"); passed("provenance"); passed("scan"); not bad }', THREE, ""),
    "looks at nothing but failures": ("valid if { not failed }", BOTH, "scan"),
    "asks for evidence alone": ('valid if { passed("scan"); not bad }', {"scan": "vuln"}, ""),
    "says yes to everything": ("valid if true", BOTH, "scan"),
    "says no to everything": ("valid if false", BOTH, ""),
    "asks for a bundle": (
        'valid if { some a in input.verifierReports; contains(a.artifactType, "bundle"); not bad }',
        BOTH, "scan",
    ),
    "asks for a signer by its key": (
        'valid if { some a in input.verifierReports; startswith(a.verifierReports[0].extensions.Key, "sha256:") }',
        BOTH, "scan",
    ),
}  # fmt: skip
FAILED = "failed if { some a in input.verifierReports; some f in a.verifierReports; not f.isSuccess }\n"


@pytest.mark.parametrize(("rule", "verifiers", "expected"), RULES.values(), ids=RULES)
def test_program_is_tried(rule: str, verifiers: Mapping[str, str], expected: str) -> None:
    assert lacking("policy.rego", verifiers, text=HEAD + PASSED + BAD_SCAN + FAILED + rule) == expected


def test_what_the_trial_cannot_see_is_not_told() -> None:
    """Stated in docs/attestations.md: the images of the trial say nothing of what a policy may ask for besides."""
    asks_for_more = 'valid if { passed("key"); not bad; startswith(input.verifierReports[0].subject, "r.example/") }'
    assert lacking("policy.rego", BOTH, text=HEAD + PASSED + BAD_SCAN + asks_for_more) == ""


def test_message_says_what_to_do() -> None:
    (problem,) = told({"any": ["key"]}, BOTH)
    assert str(problem) == (
        "nodeseal.json: nodeseal.rules[0].policy: got a policy that lets an image in that has no scan; expected one "
        "that asks for it: what it denies because of such evidence, whoever may push can take away"
    )


def test_nobody_tries_where_nobody_is_given_to_do_it() -> None:
    assert told({"any": ["key"]}, BOTH, trial=None) == []


ENDLESS = """package ratify.policy
valid { xs := numbers.range(1, 100000); ys := [(x * y) | x := xs[_]; y := xs[_]]; count(ys) > 0 }
"""


def test_policy_that_does_not_end_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_worker, "TRIAL_SECONDS", TRIAL_SECONDS)
    assert lacking("policy.rego", BOTH, text=ENDLESS) == ""


def test_trials_are_bounded_and_it_is_told_where_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def faulty(evaluate: Callable[[], bool]) -> bool:
        asked.append(1)
        raise PolicyFault("took too long")

    (problem,) = told("policy.rego", THREE, text=HEAD + "valid if true", trial=faulty)
    assert "come to no answer" in problem.got
    assert len(asked) == 2 + 3  # the program alone, and what can be missing
    monkeypatch.setattr(absence, "MAX_TRIED", 1)
    (problem,) = told("policy.rego", THREE, text=HEAD + "valid if false")
    assert "more policies than are tried" in problem.got


def test_ratifys_policy_is_tried_too() -> None:
    ratifys = {"name": "cosign", "artifactTypes": "a/b,c/d", "key": "k.pub"}
    own = {"name": "scan", "type": "attestation", "predicateType": "vuln", "keys": ["k.pub"]}
    for requirements, count in (
        ({"default": "any"}, 1),
        ({"application/vnd.in-toto+json": "any", "default": "any"}, 0),
    ):
        value = {
            "store": {"plugins": [{"name": "oras"}]},
            "policy": {"plugin": {"name": "configPolicy", "artifactVerificationPolicies": requirements}},
            "verifier": {"plugins": [ratifys]},
            "nodeseal": {"apiVersion": "nodeseal.dev/v1alpha1", "verifiers": [own]},
        }
        node = Node(Floor(), datetime.now(timezone.utc), trial=TRIED)
        document = Document("config.json", json.dumps(value).encode(), "config.json")
        found = ratify.read(document, Documents(), node=node)
        lines = [str(each) for each in found.warnings if "that has no scan" in each.got]
        assert len(lines) == count
        assert all(line.startswith("config.json: policy.plugin: ") for line in lines)
