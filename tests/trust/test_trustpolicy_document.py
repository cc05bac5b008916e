"""Trust policy documents: what hostile or careless ones contain, weak levels, and documents that no schema has seen."""

import copy
from typing import Any

import pytest

from agent.config import checking
from agent.config.verifierschema import NOTATION_VERIFIER_KEYS
from agent.errors import Problem
from agent.model.outcome import Action
from agent.model.reference import Repository
from agent.trust.trustpolicy import AFTER_CERT_EXPIRY, ALWAYS, TrustPolicy, select
from agent.trust.trustpolicy_document import check_form, parse
from tests.signing import trust_policy

SKIP: dict[str, Any] = {
    "name": "skipped",
    "registryScopes": ["*"],
    "signatureVerification": {"level": "skip"},
}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    """A document of good statements, each with changes."""
    return {"version": "1.0", "trustPolicies": [trust_policy(**each)["trustPolicies"][0] for each in statements]}


def fatal(value: Any) -> list[Problem]:
    """What is wrong with a document that no schema has seen."""
    found = check_form(value, "d")
    return found or [problem for problem in parse(value, "d")[1] if problem.fatal]


def test_scope_for_everything_stands_beside_single_repositories_in_other_statements() -> None:
    policies, problems = parse(document({"name": "rest"}, {"name": "a", "registryScopes": ["r.example/a"]}), "d")
    assert problems == []
    assert [select(policies, Repository("r.example", path)).name for path in ("a", "ab", "a/b")] == [  # type: ignore[union-attr]
        "a",
        "rest",
        "rest",
    ]


@pytest.mark.parametrize(
    ("statements", "path"),
    [
        ([{"registryScopes": ["*", "r.example/a"]}], "registryScopes"),
        ([{"name": "a"}, {"name": "b"}], "registryScopes"),
        ([{"registryScopes": ["r.example/a", "r.example/a"]}], "registryScopes"),
        ([{"registryScopes": ["r.example/a", "R.EXAMPLE/a"]}], "registryScopes"),
        ([{"registryScopes": ["r.example/a:1"]}], "registryScopes[0]"),
        ([{"registryScopes": ["r.example/A"]}], "registryScopes[0]"),
        ([{"registryScopes": ["r.example/a/"]}], "registryScopes[0]"),
        ([{"registryScopes": ["r.example/a*"]}], "registryScopes[0]"),
        ([{"registryScopes": ["r.example/a\n"]}], "registryScopes[0]"),
        ([{"name": "a", "registryScopes": ["r.example/a"]}, {"name": "a", "registryScopes": ["r.example/b"]}], "name"),
        ([], ""),
        ([{"signatureVerification": {"level": "stricct"}}], "signatureVerification.level"),
        ([{"trustStores": ["ca:a b"]}], "trustStores[0]"),
        ([{"trustStores": ["ca:"]}], "trustStores[0]"),
        ([{"trustStores": ["ca:a\n"]}], "trustStores[0]"),
    ],
)
def test_careless_document_is_refused_at_its_place(statements: list[dict[str, Any]], path: str) -> None:
    found = parse(document(*statements), "d")[1]
    assert [problem.path.rpartition("].")[2].removeprefix("d") for problem in found if problem.fatal] == [path]


def test_level_skip_skips_every_check_and_asks_for_nobody() -> None:
    (policy,), problems = parse({"version": "1.0", "trustPolicies": [SKIP | {"registryScopes": ["r.example/a"]}]}, "d")
    assert not any(problem.fatal for problem in problems)
    assert set(policy.actions.values()) == {Action.SKIP}
    assert (policy.stores, policy.identities) == ((), ())


@pytest.mark.parametrize(
    ("verification", "said"),
    [
        ({"level": "skip"}, "nothing is verified, every image passes"),
        ({"level": "audit"}, "any signature will do"),
        ({"level": "permissive"}, "does not enforce authenticTimestamp, expiry, revocation"),
        ({"level": "strict", "override": {"authenticity": "log"}}, "any signature will do"),
        ({"level": "strict", "override": {"revocation": "skip"}}, "does not enforce revocation"),
    ],
)
def test_weak_level_for_every_repository_is_told_loudly_and_taken(verification: dict[str, Any], said: str) -> None:
    statement = SKIP if verification["level"] == "skip" else trust_policy()["trustPolicies"][0]
    value = {"version": "1.0", "trustPolicies": [statement | {"signatureVerification": verification}]}
    (problem,) = parse(value, "d")[1]
    assert not problem.fatal
    assert said in problem.got
    assert problem.path == "d.trustPolicies[0].signatureVerification"


@pytest.mark.parametrize("scope", ["*", "r.example/a"])
def test_level_skip_is_told_with_what_ratify_makes_of_it(scope: str) -> None:
    (problem,) = parse({"version": "1.0", "trustPolicies": [SKIP | {"registryScopes": [scope]}]}, "d")[1]
    assert not problem.fatal
    assert problem.path == "d.trustPolicies[0].signatureVerification"
    assert "nothing is verified, every image" in problem.got
    assert problem.expected.startswith("'strict'")
    assert problem.expected.endswith("under 'skip' Ratify refuses unsigned images all the same")


@pytest.mark.parametrize("level", ["permissive", "audit"])
def test_other_weak_levels_for_single_repositories_are_taken_in_silence(level: str) -> None:
    statement = {"registryScopes": ["r.example/a"], "signatureVerification": {"level": level}}
    assert parse(document(statement), "d")[1] == []


def test_statement_with_stores_for_timestamps_alone_is_told_and_taken() -> None:
    (problem,) = parse(document({"trustStores": ["tsa:a", "tsa:b"]}), "d")[1]
    assert not problem.fatal
    assert "no signature is trusted" in problem.expected
    assert parse(document({"trustStores": ["tsa:a", "signingAuthority:b"]}), "d")[1] == []


@pytest.mark.parametrize(
    ("verification", "expected"),
    [
        ({"level": "strict"}, ALWAYS),
        ({"level": "strict", "verifyTimestamp": "always"}, ALWAYS),
        ({"level": "strict", "verifyTimestamp": "afterCertExpiry"}, AFTER_CERT_EXPIRY),
    ],
)
def test_when_timestamps_are_verified_survives_the_json_form(verification: dict[str, Any], expected: str) -> None:
    (policy,), _ = parse(document({"signatureVerification": verification}), "d")
    assert TrustPolicy.from_json(policy.to_json()).verify_timestamp == policy.verify_timestamp == expected


def changed(*path: str | int, to: Any) -> Any:
    """A good document with another value at `path`; `...` takes the key away."""
    value: Any = trust_policy()
    place = value
    for step in path[:-1]:
        place = place[step]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return value


_ST = ("trustPolicies", 0)
_SV = (*_ST, "signatureVerification")
_FORMS = [
    None, [], "1.0", 7, True, {},
    changed("version", to=...), changed("version", to="1.1"), changed("version", to=1.0), changed("version", to=None),
    changed("trustPolicies", to=...), changed("trustPolicies", to=[]), changed("trustPolicies", to={}),
    changed("trustPolicies", to=[trust_policy()["trustPolicies"][0]] * 1001), changed("trustPolicies", to=[None]),
    changed("trustpolicies", to=[]), changed(*_ST, "registryScope", to=["*"]), changed(*_ST, "comment", to=""),
    changed(*_ST, "name", to=...), changed(*_ST, "name", to=""), changed(*_ST, "name", to=7),
    changed(*_ST, "name", to="n" * 257), changed(*_ST, "name", to="n" * 256),
    changed(*_ST, "registryScopes", to=...), changed(*_ST, "registryScopes", to="*"),
    changed(*_ST, "registryScopes", to=[]), changed(*_ST, "registryScopes", to=[7]),
    changed(*_ST, "registryScopes", to=[""]), changed(*_ST, "registryScopes", to=[f"r/{i}" for i in range(2001)]),
    changed(*_ST, "registryScopes", to=[f"r/{i}" for i in range(2000)]),
    changed(*_ST, "trustStores", to=...), changed(*_ST, "trustStores", to=None),
    changed(*_ST, "trustStores", to=["ca:a"] * 101), changed(*_ST, "trustStores", to=["ca:a"] * 100),
    changed(*_ST, "trustedIdentities", to=...), changed(*_ST, "trustedIdentities", to={"*": True}),
    changed(*_ST, "trustedIdentities", to=[None]), changed(*_ST, "trustedIdentities", to=[""]),
    changed(*_ST, "signatureVerification", to=...), changed(*_ST, "signatureVerification", to="strict"),
    changed(*_SV, "level", to=...), changed(*_SV, "level", to="lax"), changed(*_SV, "level", to=7),
    changed(*_SV, "levels", to="strict"), changed(*_SV, "override", to=[]), changed(*_SV, "override", to=None),
    changed(*_SV, "override", to={"integrity": "log"}), changed(*_SV, "override", to={"expiry": ["log"]}),
    changed(*_SV, "override", to={"expiry": "log"}), changed(*_SV, "verifyTimestamp", to="never"),
    changed(*_SV, "verifyTimestamp", to=True), changed(*_SV, "verifyTimestamp", to="always"),
    trust_policy(), {"version": "1.0", "trustPolicies": [SKIP]},
]  # fmt: skip


@pytest.mark.parametrize("value", _FORMS, ids=lambda value: repr(value)[:80])
def test_form_without_a_schema_is_the_form_with_it(value: Any) -> None:
    schema = NOTATION_VERIFIER_KEYS["trustPolicyDoc"]
    assert isinstance(schema, dict)
    by_schema = [finding for finding in checking.check(copy.deepcopy(value), schema) if finding.fatal]
    refused = bool(by_schema) or bool([problem for problem in parse(value, "d")[1] if problem.fatal])
    assert bool(fatal(value)) == refused


def test_everything_wrong_with_the_form_is_told_and_no_value_is_shown() -> None:
    secret = "-----BEGIN PRIVATE KEY-----"
    value = {
        "version": "1.0",
        "trustPolicies": [{"name": [secret], "registryScopes": secret, "signatureVerification": secret, "more": 1}, 7],
    }
    found = check_form(value, "d")
    assert [problem.path for problem in found] == [
        "d.trustPolicies[0].more",
        "d.trustPolicies[0].name",
        "d.trustPolicies[0].signatureVerification",
        "d.trustPolicies[0].registryScopes",
        "d.trustPolicies[1]",
    ]
    assert secret not in str(found)
