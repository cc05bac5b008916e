"""Names under which Ratify does not verify TLS are told where a configuration speaks of them."""

import copy
from typing import Any

import pytest

from agent.config import loopback
from agent.config.dialectschema import API_VERSION
from tests.config.support import GOOD, STATEMENT, errors, put, warnings

SCOPES = f"{STATEMENT}.registryScopes"
LOOPBACK = ["localhost:5000/a", "LOCALHOST:5000/a", "127.0.0.1:5000/a", "127.0.0.1/a"]
OTHERS = [
    "registry.example.com/a",
    "localhost.example.com/a",
    "localhost/a",
    "127.0.0.2:5000/a",
    "r.example/localhost/a",
]


def with_rule(*patterns: str) -> dict[str, Any]:
    """A configuration with one rule of our own."""
    rule = {"name": "r", "match": [*patterns], "verifiers": ["notation"], "policy": {"any": ["notation"]}}
    value = copy.deepcopy(GOOD)
    del value["policy"]
    return value | {
        "nodeseal": {
            "apiVersion": API_VERSION,
            "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
            "rules": [rule],
        }
    }


@pytest.mark.parametrize("scope", LOOPBACK)
def test_scope_of_a_trust_policy_on_loopback_is_told(scope: str) -> None:
    found = warnings(put(SCOPES, ["registry.example.com/a", scope]))
    assert list(found) == [f"{SCOPES}[1]"]
    assert "TLS is verified there too, unlike in Ratify: useHttp" in found[f"{SCOPES}[1]"]


@pytest.mark.parametrize("pattern", [*LOOPBACK, "localhost:5000/**", "[::1]:5000/a"])
def test_pattern_of_a_rule_on_loopback_is_told(pattern: str) -> None:
    value = with_rule("**", pattern)
    assert errors(value) == {}
    assert list(warnings(value)) == ["nodeseal.rules[0].match[1]"]


@pytest.mark.parametrize("name", OTHERS)
def test_name_whose_tls_ratify_verifies_too_is_none(name: str) -> None:
    assert warnings(put(SCOPES, [name])) == {}
    assert warnings(with_rule(name)) == {}


def test_who_said_how_registries_on_loopback_are_spoken_to_is_told_nothing() -> None:
    value = put("store.plugins", [{"name": "oras"}, {"name": "oras", "useHttp": True}], put(SCOPES, [LOOPBACK[0]]))
    assert list(warnings(value)) == ["store.plugins[1].useHttp"]


def test_scope_in_a_verifier_of_our_own_section_is_told() -> None:
    policy = put(SCOPES, [LOOPBACK[0]])["verifier"]["plugins"][0]["trustPolicyDoc"]  # type: ignore[index]
    (found,) = loopback.names({"nodeseal": {"verifiers": [{"name": "n"}, {"trustPolicyDoc": policy}]}})
    assert found.path == ("nodeseal", "verifiers", 1, "trustPolicyDoc", "trustPolicies", 0, "registryScopes", 0)


@pytest.mark.parametrize(
    "root",
    [
        {
            "verifier": {
                "plugins": [{"trustPolicyDoc": {"trustPolicies": [{"registryScopes": [7, "localhost:x y"]}, 7]}}]
            }
        },
        {"nodeseal": {"rules": [{"match": "localhost:5000/a"}, {"match": [None]}]}},
    ],
)
def test_what_has_not_the_form_is_passed_over(root: dict[str, Any]) -> None:
    assert list(loopback.names(root)) == []
