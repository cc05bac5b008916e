"""How two documents merge, key by key: the table in docs/configuration.md, each row tried."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.config.config import Config
from agent.config.schema import SCHEMA
from agent.model.signer import DeniedSigner
from agent.rules.ruleset import Denied
from tests.config.documents import DIGEST, UNTIL, candidate, merge, names, says, told

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "docs" / "configuration.md").read_text("utf-8").partition("## Several documents")[2]
ROWS = {
    key: kind
    for keys, kind in re.findall(r"^\| (`[^|]+`) \| (own|alone|union|disjoint|one) \|", SECTION, re.MULTILINE)
    for key in re.findall(r"`([^`]+)`", keys)
}
FAIL = {"enforcement": "Enforce", "failurePolicy": "Fail"}

ONE: dict[str, tuple[object, object]] = {
    "default": (FAIL, {"enforcement": "Audit", "failurePolicy": "Fail"}),
    "cache.allow": ("1h", "2h"),
    "cache.deny.first": ("1s", "2s"),
    "cache.deny.max": ("1m", "2m"),
    "cache.cannotTell": ("1s", "2s"),
    "cache.staleIfError.registry": ("1h", "2h"),
    "cache.staleIfError.revocation": ("1h", "2h"),
    "whenMissing": ("KeepLast", "FailurePolicy"),
    "maxSnapshotAge": ("7d", "8d"),
    "serial": (1, 2),
}
"""Two values that contradict each other."""

KEYS = {"name": "certs", "type": "inline", "contentType": "certificate", "value": "x"}
OWN: dict[str, dict[str, Any]] = {
    "store": {"store": {"plugins": [{"name": "oras", "useHttp": True, "cosignEnabled": True}]}},
    "policy": {
        "policy": {"plugin": {"name": "configPolicy", "artifactVerificationPolicies": {"default": "any"}}},
    },
    "verifier": {"verifier": {"plugins": [{"name": "key", "type": "other", "artifactTypes": "c/d"}]}},
    "keyManagementProvider": {"keyManagementProvider": {"plugins": [KEYS]}},
    "verifiers": {"nodeseal": {"verifiers": [{"name": "mine", "type": "other", "artifactTypes": "c/d"}]}},
    "trustRoots": {"nodeseal": {"trustRoots": [{"name": "fetched.json"}]}},
    "allow": {"nodeseal": {"allow": [{"image": f"r.example/a/x@{DIGEST}", "until": UNTIL, "reason": "why"}]}},
    "exempt": {"nodeseal": {"exempt": [{"match": "**", "insecure": True}]}},
    "breakGlass": {"nodeseal": {"breakGlass": [{"match": "r.example/a/**", "until": UNTIL, "reason": "why"}]}},
}
"""What a second document says of its own, beside its rule."""

ALONE: dict[str, dict[str, Any]] = {
    "executor": {"executor": {"verificationRequestTimeout": "soon"}},
    "crl": {"crl": 7},
    "logger": {"logger": 7},
    "$schema": {"$schema": 7},
    "apiVersion": {"nodeseal": {"apiVersion": "nodeseal.dev/v9"}},
    "requires": {"nodeseal": {"requires": ">=999"}},
    "allowLockout": {"nodeseal": {"allowLockout": "yes"}},
}
"""What spoils a document, and that one alone."""


def with_key(name: str, key: str, value: object) -> Any:
    """A document with a rule for `r.example/NAME/**` and one value at a dotted key of the section."""
    *steps, last = key.split(".")
    section: dict[str, Any] = {last: value}
    for step in reversed(steps):
        section = {step: section}
    return candidate(name, says(f"r.example/{name}/**", **section))


def with_keys(name: str, keys: dict[str, Any]) -> Any:
    """A document with a rule for `r.example/NAME/**` and other sections."""
    usual = says(f"r.example/{name}/**")
    section = {**usual["nodeseal"], **keys.get("nodeseal", {})}
    return candidate(name, {**usual, **keys, "nodeseal": section})


def rows(kind: str) -> list[str]:
    """The keys of which the table says that."""
    return sorted(key for key, said in ROWS.items() if said == kind)


def test_every_key_of_the_schema_has_a_row_and_every_row_is_tried() -> None:
    top: Any = SCHEMA["properties"]
    keys = {*top, *top["nodeseal"]["properties"]} - {"nodeseal"}
    assert {key.partition(".")[0] for key in ROWS} == keys
    cache = top["nodeseal"]["properties"]["cache"]["properties"]
    leaves = {
        f"cache.{key}{below and '.'}{below}" for key, value in cache.items() for below in value.get("properties", [""])
    }
    assert {key for key in ROWS if key.startswith("cache")} == leaves
    tried = {"one": set(ONE), "own": set(OWN), "alone": set(ALONE), "union": set(UNION), "disjoint": {"rules"}}
    assert {kind: set(rows(kind)) for kind in tried} == tried


@pytest.mark.parametrize("key", rows("one"))
def test_only_one_may_say_it(key: str) -> None:
    mine, other = ONE[key]
    silent = with_keys("c", {})
    apart = merge([with_key("a", key, mine), with_key("b", key, other), silent])
    assert names(apart) == ["a", "c"]
    assert f"another {key} than nodeseal/a" in told(apart)
    assert "nodeseal/b" in told(apart)
    assert apart.in_force.holders == {key: "nodeseal/a"}
    alike = merge([with_key("a", key, other), with_key("b", key, other), silent])
    assert names(alike) == (["a", "c"] if key == "serial" else ["a", "b", "c"])
    alone = merge([with_key("b", key, other), silent])
    assert alone.config is not None
    assert alike.config is not None
    said = [
        (each.lifetimes, each.stale, each.when_missing, each.greatest_age, each.serial, each.default._replace(owner=""))
        for each in (alone.config.ruleset, alike.config.ruleset)
    ]
    assert said[0] == said[1]
    unsaid = merge([silent]).config
    assert unsaid is not None
    assert apart.config is not None
    later = merge([with_key("a", key, mine), with_key("b", key, other), silent], alone)
    assert names(later) == ["b", "c"]


@pytest.mark.parametrize("key", rows("own"))
def test_it_serves_the_documents_own_rules(key: str) -> None:
    other = with_keys("b", {})
    before, after = merge([other]).config, merge([other, with_keys("a", OWN[key])])
    assert before is not None
    assert after.config is not None
    assert names(after) == ["a", "b"]
    for config in (before, after.config):
        ruleset = config.ruleset
        lists = (ruleset.allow, ruleset.exempt, ruleset.break_glass)
        assert [entry for each in lists for entry in each if entry.owner != "nodeseal/a"] == []
    mine, its = ([rule for rule in each.rules if rule.owner == "nodeseal/b"] for each in (before, after.config))
    assert mine == its
    assert before.seen_by("nodeseal/b").stores == after.config.seen_by("nodeseal/b").stores
    of_b = [[each for each in config.verifiers if each.owner == "nodeseal/b"] for config in (before, after.config)]
    assert of_b[0] == of_b[1]
    assert of_b[0]


@pytest.mark.parametrize("key", rows("alone"))
def test_it_concerns_the_document_alone(key: str) -> None:
    after = merge([with_keys("a", ALONE[key]), with_keys("b", {})])
    assert names(after) == ["b"]
    assert key in told(after)


UNION: dict[str, tuple[object, object, Callable[[Config], object], object]] = {
    "deny": (
        "x.example/**",
        "x.example/y",
        lambda it: it.ruleset.deny,
        (Denied("x.example/**"), Denied("x.example/y")),
    ),
    "denySigners": (
        {"issuer": "https://i.example"},
        {"key": f"sha256:{'0' * 64}"},
        lambda it: it.denied_signers,
        (DeniedSigner(issuer="exact https://i.example"), DeniedSigner(key="0" * 64)),
    ),
}
"""Two entries, where they are found in the configuration, and what is there of both."""


@pytest.mark.parametrize("key", rows("union"))
def test_all_of_them_count(key: str) -> None:
    one, other, found, both = UNION[key]
    after = merge([with_key("a", key, [one]), with_key("b", key, [other, one])])
    assert after.config is not None
    assert found(after.config) == both
    spoilt = with_keys("b", {"nodeseal": {key: [other, 7, {"unheardOf": "x"}], "unheardOf": 1}})
    after = merge([with_key("a", key, [one]), spoilt])
    assert names(after) == ["a"]
    assert after.config is not None
    assert found(after.config) == both


@pytest.mark.parametrize("key", rows("disjoint"))
def test_what_overlaps_is_a_conflict(key: str) -> None:
    ratifys = says("x")
    del ratifys["nodeseal"]
    for pattern in ("r.example/a/**", "r.example/a/x", "r.example/*/x", "**"):
        after = merge([with_keys("a", {}), candidate("b", says(pattern))])
        assert names(after) == ["a"]
        assert key[:-1] in told(after)
    policy = {"policy": OWN["policy"]["policy"]}
    assert names(merge([with_keys("a", {}), candidate("b", {**ratifys, **policy})])) == ["a"]
    assert names(merge([candidate("b", {**ratifys, **policy})])) == ["b"]
