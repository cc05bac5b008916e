"""What a denial and "cannot tell" mean, lists of images, and what of them is below a node's floor."""

import copy
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent.config import ratify
from agent.config.dialect import Node
from agent.errors import Cause, ConfigurationError, Problem
from agent.model.documents import Document
from agent.rules.floor import STRICTEST, Floor
from agent.rules.rule import Default, Enforcement, FailureAction, FailurePolicy
from agent.rules.ruleset import Allowed, ConfiguredBreakGlass, Denied, Exemption, Lifetimes, RuleSet, Staleness
from tests.config.support import FORMATS, GOOD
from tests.config.test_dialect import OWN, WithPolicy, changed, rule

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
DIGEST = "sha256:" + "5" * 64
ANY_NODE = Node(Floor(), NOW)
FAIL, IGNORE, IF_BEFORE = FailureAction.FAIL, FailureAction.IGNORE, FailureAction.IGNORE_IF_VERIFIED_BEFORE


def checked(value: object, node: Node = ANY_NODE, name: str = "nodeseal.yaml") -> ratify.Checked:
    """Read a configuration for a node."""
    return ratify.read(Document(name, json.dumps(value).encode(), "test"), WithPolicy(), node=node, formats=FORMATS)


def ruleset(value: object, node: Node = ANY_NODE) -> RuleSet:
    """The rule set of a configuration that can be used."""
    return checked(value, node).config.ruleset


def told(value: object, node: Node = ANY_NODE) -> list[Problem]:
    """Everything that is told of a configuration."""
    try:
        return list(checked(value, node).warnings)
    except ConfigurationError as error:
        return list(error.problems)


def errors(value: object, node: Node = ANY_NODE) -> dict[str, str]:
    """Place -> got and expected, of what is fatal."""
    found = {each.path: f"got {each.got}; expected {each.expected}" for each in told(value, node) if each.fatal}
    return {path.removeprefix("nodeseal.yaml: nodeseal."): text for path, text in found.items()}


def warnings(value: object, node: Node = ANY_NODE) -> dict[str, str]:
    """Place -> got and expected, of what is not."""
    found = {each.path: f"got {each.got}; expected {each.expected}" for each in told(value, node) if not each.fatal}
    return {path.removeprefix("nodeseal.yaml: nodeseal."): text for path, text in found.items()}


def with_list(key: str, *entries: object) -> dict[str, Any]:
    """A configuration with one list."""
    return changed(f"nodeseal.{key}", list(entries))


def test_what_no_word_says_is_the_strict_one() -> None:
    found = ruleset(OWN)
    assert [(each.enforcement, each.failure_policy, each.rollout) for each in found.rules] == [
        (Enforcement.ENFORCE, FailurePolicy(), 100)
    ] * 2
    assert FailurePolicy() == FailurePolicy(FAIL, {})
    assert found._replace(rules=()) == RuleSet((), Default(Enforcement.ENFORCE, FailurePolicy()))
    assert RuleSet(()).stale == Staleness(24 * 3600.0, 0.0)


@pytest.mark.parametrize("word", list(Enforcement))
def test_enforcement_is_a_rules_and_the_defaults(word: Enforcement) -> None:
    assert ruleset(rule(enforcement=word.value)).rules[0].enforcement is word
    assert ruleset(changed("nodeseal.default.enforcement", word.value)).default.enforcement is word


@pytest.mark.parametrize("word", list(FailureAction))
def test_failure_policy_is_one_word_or_one_for_each_cause(word: FailureAction) -> None:
    assert ruleset(rule(failurePolicy=word.value)).rules[0].failure_policy == FailurePolicy(word, {})
    policy = ruleset(rule(failurePolicy={"registryUnavailable": word.value})).rules[0].failure_policy
    assert policy == FailurePolicy(FAIL, {Cause.REGISTRY_UNAVAILABLE: word})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("enforcement", "enforce"),
        ("enforcement", True),
        ("failurePolicy", "ignore"),
        ("failurePolicy", {"default": "Ignored"}),
        ("failurePolicy", {"internal": "Ignore"}),
        ("failurePolicy", {"registryunavailable": "Ignore"}),
        ("rollout", {"percent": 101}),
        ("rollout", {"percent": -1}),
        ("rollout", {"percent": "20"}),
        ("rollout", {"percent": True}),
        ("rollout", {}),
        ("rollout", 20),
    ],
    ids=str,
)
def test_a_word_that_is_none_is_an_error_at_its_place(place: str, value: object) -> None:
    found = errors(rule(**{place: value}))
    assert found
    assert all(path.startswith(f"rules[0].{place}") for path in found)


def test_rollout_is_for_what_enforces() -> None:
    assert ruleset(rule(rollout={"percent": 20})).rules[0].rollout == 20
    assert ruleset(rule(rollout={"percent": 0}, enforcement="Enforce")).rules[0].rollout == 0
    assert (
        "which is what is rolled out" in errors(rule(rollout={"percent": 20}, enforcement="Audit"))["rules[0].rollout"]
    )


def test_default_holds_for_every_image_under_ratifys_own_policy() -> None:
    both: dict[str, Any] = copy.deepcopy(GOOD) | {
        "nodeseal": {
            "apiVersion": "nodeseal.dev/v1alpha1",
            "default": {"enforcement": "Audit", "failurePolicy": "IgnoreIfVerifiedBefore"},
        }
    }
    (only,) = checked(both, name="config.json").config.rules
    assert (only.name, only.enforcement, only.failure_policy.default) == ("default", Enforcement.AUDIT, IF_BEFORE)


def test_default_must_be_written_beside_rules() -> None:
    assert list(errors(changed("nodeseal.default", ...))) == ["default"]
    assert list(errors(changed("nodeseal.default", {"enforcement": "Enforce"}))) == ["default.failurePolicy"]


def test_lists_are_read_with_patterns_in_one_spelling() -> None:
    value = changed("nodeseal.deny", [f"R.example:443/bad/**@{DIGEST}", "docker.io/busybox"])
    value["nodeseal"] |= {
        "allow": [{"image": f"R.example:443/y@{DIGEST}", "until": "2027-01-01T01:00:00+01:00", "reason": "INC-1"}],
        "exempt": [
            {"match": "r.example/tools/*", "digests": [DIGEST]},
            {"match": "127.0.0.1:5000/x", "insecure": True},
        ],
        "breakGlass": [{"match": "r.example/shop/**", "until": "2026-06-01T13:00:00Z", "reason": "INC-2"}],
        "cache": {"staleIfError": {"registry": "2h", "revocation": "10m"}},
    }
    found = ruleset(value)
    assert found.lifetimes == Lifetimes()
    assert found.deny == (Denied("r.example/bad/**", DIGEST), Denied("docker.io/library/busybox"))
    end = datetime(2027, 1, 1, tzinfo=timezone.utc)
    assert found.allow == (Allowed("r.example/y", DIGEST, end, "INC-1"),)
    assert found.exempt == (
        Exemption("r.example/tools/*", (DIGEST,)),
        Exemption("127.0.0.1:5000/x", (), insecure=True),
    )
    assert found.break_glass == (ConfiguredBreakGlass("r.example/shop/**", NOW + timedelta(hours=1), "INC-2"),)
    assert found.stale == Staleness(7200.0, 600.0)


@pytest.mark.parametrize(
    ("key", "entry", "place"),
    [
        ("deny", "r.example", "deny[0]"),
        ("deny", "r.example/x@sha256:12", "deny[0]"),
        ("deny", "r.example/x:1", "deny[0]"),
        ("deny", 5, "deny[0]"),
        ("allow", {"image": "r.example/y:1", "until": "2027-01-01T00:00:00Z", "reason": "x"}, "allow[0].image"),
        (
            "allow",
            {"image": f"r.example/y:1@{DIGEST}", "until": "2027-01-01T00:00:00Z", "reason": "x"},
            "allow[0].image",
        ),
        ("allow", {"image": f"r.example/*@{DIGEST}", "until": "2027-01-01T00:00:00Z", "reason": "x"}, "allow[0].image"),
        ("allow", {"image": f"r.example/y@{DIGEST}", "until": "2027-01-01", "reason": "x"}, "allow[0].until"),
        ("allow", {"image": f"r.example/y@{DIGEST}", "until": "2027-02-30T00:00:00Z", "reason": "x"}, "allow[0].until"),
        ("allow", {"image": f"r.example/y@{DIGEST}", "until": "2027-01-01T00:00:00", "reason": "x"}, "allow[0].until"),
        ("allow", {"image": f"r.example/y@{DIGEST}", "reason": "x"}, "allow[0].until"),
        ("allow", {"image": f"r.example/y@{DIGEST}", "until": "2027-01-01T00:00:00Z"}, "allow[0].reason"),
        ("allow", {"image": f"r.example/y@{DIGEST}", "until": "2027-01-01T00:00:00Z", "reason": ""}, "allow[0].reason"),
        ("exempt", {"match": "*.example/x"}, "exempt[0].match"),
        ("exempt", {"match": "r.example/x", "digests": []}, "exempt[0].digests"),
        ("exempt", {"match": "r.example/x", "digests": ["sha256:0"]}, "exempt[0].digests[0]"),
        ("exempt", {"match": "r.example/x", "until": "2027-01-01T00:00:00Z"}, "exempt[0].until"),
        ("breakGlass", {"match": "r.example/x", "until": "2026-06-01T13:00:00Z"}, "breakGlass[0].reason"),
        ("breakGlass", {"match": "r.example/x", "reason": "x"}, "breakGlass[0].until"),
        ("breakGlass", {"match": "x", "until": "2026-06-01T13:00:00Z", "reason": "x"}, "breakGlass[0].match"),
    ],
    ids=str,
)
def test_an_entry_of_another_form_is_an_error_at_its_place(key: str, entry: object, place: str) -> None:
    assert list(errors(with_list(key, entry))) == [place]


@pytest.mark.parametrize(
    "pattern",
    ["**", "127.0.0.1/x", "127.0.0.1:5000/**", "localhost:5000/x", "[::1]:5000/x", "127.1.2.3/x", "0.0.0.0/x"],
)
def test_an_exemption_on_loopback_says_that_it_is_insecure(pattern: str) -> None:
    assert "insecure: true" in errors(with_list("exempt", {"match": pattern}))["exempt[0].match"]
    assert "insecure: true" in errors(with_list("exempt", {"match": pattern, "digests": [DIGEST]}))["exempt[0].match"]
    assert not errors(with_list("exempt", {"match": pattern, "insecure": True}))


def test_an_exemption_over_plain_http_says_that_it_is_insecure() -> None:
    plain = {"plugins": [{"name": "oras", "useHttp": True}]}
    value = with_list("exempt", {"match": "r.example/x"}) | {"store": plain}
    assert "useHttp" in errors(value)["exempt[0].match"]
    value = with_list("exempt", {"match": "r.example/x", "insecure": True}) | {"store": plain}
    assert not errors(value)


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ({"allow": "1h"}, Lifetimes(allow=3600)),
        ({"deny": {"first": "0s"}}, Lifetimes(deny_first=0)),
        ({"deny": {"max": "10m"}, "cannotTell": "1m"}, Lifetimes(deny_most=600, cannot_tell=60)),
    ],
)
def test_lifetimes_are_those_written_and_otherwise_the_usual_ones(cache: object, expected: Lifetimes) -> None:
    assert ruleset(changed("nodeseal.cache", cache)).lifetimes == expected


@pytest.mark.parametrize("cache", [{"allow": 5}, {"deny": "10s"}, {"deny": {"most": "1m"}}, {"cannotTel": "5s"}])
def test_lifetimes_of_another_form_are_errors(cache: object) -> None:
    assert errors(changed("nodeseal.cache", cache))


@pytest.mark.parametrize("text", ["1", "h", "1w", "-1h", "1.5h", "1234567h", "", "1h "])
def test_a_length_of_time_is_one_number_and_one_unit(text: str) -> None:
    value = changed("nodeseal.cache", {"staleIfError": {"registry": text}})
    assert list(errors(value)) == ["cache.staleIfError.registry"]


def test_an_end_in_the_past_is_a_warning() -> None:
    entry = {"match": "r.example/x", "until": "2026-06-01T11:59:59Z", "reason": "x"}
    assert "no effect any more" in warnings(with_list("breakGlass", entry))["breakGlass[0].until"]
    allow = {"image": f"r.example/y@{DIGEST}", "until": "2026-06-01T12:00:00Z", "reason": "x"}
    assert "no effect any more" in warnings(with_list("allow", allow))["allow[0].until"]


def test_what_lets_images_pass_is_told() -> None:
    assert "Audit" in warnings(rule(enforcement="Disabled"))["rules[0].enforcement"]
    assert not warnings(rule(enforcement="Audit"))
    for_all = rule(match=["**"], failurePolicy={"registryUnavailable": "Ignore"})
    del for_all["nodeseal"]["rules"][1]
    assert "IgnoreIfVerifiedBefore, which it means" in warnings(for_all)["rules[0].failurePolicy.registryUnavailable"]
    assert "rules[0].failurePolicy.registryUnavailable" not in warnings(
        rule(failurePolicy={"registryUnavailable": "Ignore"})
    )
    always = warnings(rule(failurePolicy={"deadline": "Ignore"}))
    assert "which it means" in always["rules[0].failurePolicy.deadline"]
    assert "revocationUnknown" in warnings(rule(failurePolicy="Ignore"))["rules[0].failurePolicy"]


@pytest.mark.parametrize("cause", ["revocationUnknown", "configurationInvalid"])
@pytest.mark.parametrize("word", ["Ignore", "IgnoreIfVerifiedBefore"])
def test_what_may_never_be_ignored_needs_the_floors_word(cause: str, word: str) -> None:
    value = rule(failurePolicy={cause: word})
    assert "the floor of this node (/etc/nodeseal/bootstrap.json)" in errors(value)[f"rules[0].failurePolicy.{cause}"]
    assert not errors(value, Node(Floor(failure_policy=FailurePolicy(IGNORE, {})), NOW))
    assert errors(value, Node(None, NOW)), (
        "nobody asked for a node's floor, and what holds everywhere holds all the same"
    )


FLOOR = Floor(Enforcement.AUDIT, FailurePolicy(IF_BEFORE, {Cause.THROTTLED: FAIL}), without_digest=("r.example/**",))


@pytest.mark.parametrize(
    ("value", "place", "word"),
    [
        (rule(enforcement="Disabled"), "rules[0].enforcement", "Audit"),
        (changed("nodeseal.default.enforcement", "Disabled"), "default.enforcement", "Audit"),
        (rule(failurePolicy="Ignore"), "rules[0].failurePolicy", "IgnoreIfVerifiedBefore"),
        (rule(failurePolicy={"default": "Ignore"}), "rules[0].failurePolicy.default", "IgnoreIfVerifiedBefore"),
        (
            rule(failurePolicy={"throttled": "IgnoreIfVerifiedBefore"}), "rules[0].failurePolicy.throttled", "Fail"
        ),
        (changed("nodeseal.default.failurePolicy", "Ignore"), "default.failurePolicy", "IgnoreIfVerifiedBefore"),
    ],
    ids=["rule", "default", "one word", "the rest", "a cause", "default's policy"],
)  # fmt: skip
def test_terms_below_the_floor_are_refused_and_the_floor_is_named(value: object, place: str, word: str) -> None:
    (found,) = errors(value, Node(FLOOR, NOW)).items()
    assert found[0] == place
    assert f"at least {word}: the floor of this node (/etc/nodeseal/bootstrap.json)" in found[1]


def test_lists_below_the_floor_are_refused_and_the_floor_is_named() -> None:
    node = Node(FLOOR, NOW)
    assert "the floor of this node" in errors(with_list("exempt", {"match": "q.example/x"}), node)["exempt[0]"]
    assert not errors(with_list("exempt", {"match": "r.example/x"}), node)
    assert not errors(with_list("exempt", {"match": "q.example/x", "digests": [DIGEST]}), node)
    too_long = {"match": "r.example/x", "until": "2026-06-01T16:00:01Z", "reason": "x"}
    assert "an end within 4h" in errors(with_list("breakGlass", too_long), node)["breakGlass[0].until"]
    assert not errors(with_list("breakGlass", too_long | {"until": "2026-06-01T16:00:00Z"}), node)
    everything = {"match": "**", "until": "2026-06-01T13:00:00Z", "reason": "x"}
    assert "none for all images" in errors(with_list("breakGlass", everything), node)["breakGlass[0].match"]
    assert not errors(with_list("breakGlass", everything), Node(FLOOR._replace(break_glass_for_all=True), NOW))


def test_a_rollout_is_below_a_floor_that_enforces() -> None:
    node = Node(Floor(Enforcement.ENFORCE), NOW)
    assert "Enforce on every node" in errors(rule(rollout={"percent": 20}), node)["rules[0].rollout.percent"]
    assert not errors(rule(rollout={"percent": 100}), node)


def test_the_strictest_floor_takes_what_is_strict() -> None:
    assert not errors(OWN, Node(STRICTEST, NOW))


def test_a_ground_is_kept_by_edits_that_change_nothing_for_an_image() -> None:
    before = [each.ground for each in ruleset(OWN).rules]
    for value in (
        rule(enforcement="Audit", failurePolicy="IgnoreIfVerifiedBefore", name="other"),
        with_list("deny", "r.example/x"),
        changed("nodeseal.default.enforcement", "Audit"),
    ):
        assert [each.ground for each in ruleset(value).rules] == before
    assert ruleset(rule(allowWithoutEvidence=True)).rules[0].ground != before[0]
    assert ruleset(rule(policy="policy.rego")).rules[0].ground != before[0]
    assert ruleset(changed("nodeseal.verifiers[0].artifactTypes", "a/b")).rules[0].ground != before[0]
    assert ruleset(changed("nodeseal.verifiers[0].artifactTypes", "a/b")).rules[1].ground != before[1]
