"""Trust policies: which documents are refused, which statement stands for a repository."""

from typing import Any

import pytest

from agent.model.outcome import Action, Check
from agent.model.reference import Repository
from agent.trust.trustpolicy import LEVELS, TrustPolicy, select
from agent.trust.trustpolicy_document import parse
from tests.signing import trust_policy


def policies(*statements: dict[str, Any]) -> tuple[TrustPolicy, ...]:
    """Parse good statements."""
    document = {"version": "1.0", "trustPolicies": [trust_policy(**each)["trustPolicies"][0] for each in statements]}
    parsed, problems = parse(document, "doc")
    assert [problem for problem in problems if problem.fatal] == []
    return parsed


def problems_of(*statements: dict[str, Any]) -> list[str]:
    """The fatal problems of statements."""
    document = {"version": "1.0", "trustPolicies": [trust_policy(**each)["trustPolicies"][0] for each in statements]}
    return [str(problem) for problem in parse(document, "doc")[1] if problem.fatal]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"registryScopes": []}, "registryScopes"),
        ({"registryScopes": ["*", "a.example/b"]}, "registryScopes"),
        ({"registryScopes": ["a.example/*"]}, "registryScopes[0]"),
        ({"registryScopes": ["a.example/b:tag"]}, "registryScopes[0]"),
        ({"registryScopes": ["a.example/b@sha256:0"]}, "registryScopes[0]"),
        ({"registryScopes": ["https://a.example/b"]}, "registryScopes[0]"),
        ({"registryScopes": ["a.example/B"]}, "registryScopes[0]"),
        ({"registryScopes": ["a.example/b/"]}, "registryScopes[0]"),
        ({"registryScopes": ["a.example"]}, "registryScopes[0]"),
        ({"registryScopes": ["a.example/" + "b" * 600]}, "registryScopes[0]"),
        ({"trustStores": []}, "trustStores"),
        ({"trustStores": ["certs"]}, "trustStores[0]"),
        ({"trustStores": ["ca:../x"]}, "trustStores[0]"),
        ({"trustStores": ["ca:certs", "CA:certs"]}, "trustStores[1]"),
        ({"trustStores": ["x509:certs"]}, "trustStores[0]"),
        ({"trustedIdentities": []}, "trustedIdentities"),
        ({"trustedIdentities": ["*", "x509.subject: C=US, ST=WA, O=a"]}, "trustedIdentities"),
        ({"trustedIdentities": ["CN=a"]}, "trustedIdentities[0]"),
        ({"trustedIdentities": ["x509.subject: CN=a"]}, "trustedIdentities[0]"),
        (
            {"trustedIdentities": ["x509.subject: C=US, ST=WA, O=a", "x509.subject: C=US, ST=WA, O=a, CN=b"]},
            "trustedIdentities[1]",
        ),
        ({"signatureVerification": {"level": "stric"}}, "signatureVerification.level"),
        ({"signatureVerification": {"level": "STRICT"}}, "signatureVerification.level"),
        ({"signatureVerification": {"level": "strict", "verifyTimestamp": "never"}}, "verifyTimestamp"),
        ({"signatureVerification": {"level": "skip"}, "trustStores": []}, "trustedIdentities"),
        ({"signatureVerification": {"level": "skip"}, "trustedIdentities": []}, "trustStores"),
        (
            {
                "signatureVerification": {"level": "skip", "override": {"expiry": "log"}},
                "trustStores": [],
                "trustedIdentities": [],
            },
            "signatureVerification.override",
        ),
        ({"signatureVerification": {"level": "strict", "override": {"integrity": "log"}}}, "override.integrity"),
        ({"signatureVerification": {"level": "strict", "override": {"revokation": "log"}}}, "override.revokation"),
        ({"signatureVerification": {"level": "strict", "override": {"expiry": "skip"}}}, "override.expiry"),
        ({"signatureVerification": {"level": "strict", "override": {"expiry": "ignore"}}}, "override.expiry"),
    ],
    ids=str,
)
def test_statement_that_is_wrong_is_a_problem_with_its_path(changes: dict[str, Any], where: str) -> None:
    found = problems_of(changes)
    assert len(found) == 1
    assert found[0].startswith(f"doc.trustPolicies[0].{where}") or f".{where}" in found[0].split(":")[0]


def test_every_problem_is_told_not_only_the_first() -> None:
    wrong = {"registryScopes": ["a.example/B"], "trustStores": ["x"], "trustedIdentities": ["x509.subject: CN=a"]}
    assert len(problems_of(wrong)) == 3


def test_names_and_scopes_stand_in_one_statement_only() -> None:
    one = {"name": "a", "registryScopes": ["r.example/x"]}
    assert len(problems_of(one, one)) == 2
    assert len(problems_of({"name": "a"}, {"name": "b"})) == 1


@pytest.mark.parametrize("level", ["permissive", "audit"])
def test_weak_level_for_everything_is_a_warning(level: str) -> None:
    document = trust_policy(signatureVerification={"level": level})
    assert [problem.fatal for problem in parse(document, "d")[1]] == [False]
    document = trust_policy(signatureVerification={"level": level}, registryScopes=["r.example/x"])
    assert parse(document, "d")[1] == []


@pytest.mark.parametrize(
    ("repository", "chosen"),
    [
        ("example.com/a", "exact"),
        ("example.com/ab", "rest"),
        ("example.com/a/b", "rest"),
        ("example.com:443/a", "exact"),
        ("example.com:5000/a", "port"),
        ("example.com.evil.net/a", "rest"),
        ("evil.net/example.com/a", "rest"),
    ],
)
def test_the_statement_that_names_the_repository_stands_for_it_alone(repository: str, chosen: str) -> None:
    parsed = policies(
        {"name": "rest"},
        {"name": "exact", "registryScopes": ["example.com/a"]},
        {"name": "port", "registryScopes": ["example.com:5000/a"]},
    )
    host, _, path = repository.partition("/")
    found = select(parsed, Repository(host, path))
    assert found is not None
    assert found.name == chosen


@pytest.mark.parametrize(
    "scope", ["docker.io/library/x", "index.docker.io/library/x", "registry-1.docker.io/library/x"]
)
@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io", "docker.io:443"])
def test_no_name_of_docker_hub_gets_round_a_statement(scope: str, host: str) -> None:
    parsed = policies({"name": "hub", "registryScopes": [scope]}, {"name": "rest", "registryScopes": ["*"]})
    found = select(parsed, Repository(host, "library/x"))
    assert found is not None
    assert found.name == "hub"


def test_two_spellings_of_one_registry_stand_in_one_statement_only() -> None:
    one, two = {"name": "a", "registryScopes": ["r.example/x"]}, {"name": "b", "registryScopes": ["R.example:443/x"]}
    assert len(problems_of(one, two)) == 1


def test_repository_that_no_statement_names_has_none() -> None:
    assert select(policies({"registryScopes": ["r.example/x"]}), Repository("r.example", "y")) is None


def test_overrides_change_one_check_alone() -> None:
    (policy,) = policies({"signatureVerification": {"level": "strict", "override": {"revocation": "skip"}}})
    assert policy.actions == {**LEVELS["strict"], Check.REVOCATION: Action.SKIP}


def test_policy_survives_its_json_form() -> None:
    (policy,) = policies({"trustedIdentities": ["x509.subject: C=US, ST=WA, O=a"]})
    read = TrustPolicy.from_json(policy.to_json())
    assert (read.name, read.actions, list(read.scopes)) == (policy.name, policy.actions, list(policy.scopes))
    assert list(read.identities or ()) == list(policy.identities or ())


def test_levels_are_those_of_the_specification() -> None:
    table = {name: "".join(action.value[0] for action in actions.values()) for name, actions in LEVELS.items()}
    assert table == {"strict": "eeeee", "permissive": "eelll", "audit": "ellll", "skip": "sssss"}
