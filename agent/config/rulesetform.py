"""Rule sets as JSON values: inside a snapshot, and as the copy that outlives it.

Behind the pull path: reads back what was checked when it was published.  The copy leaves out what is enough
(`Rule.policy`): without a snapshot there is nobody who could verify anything.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from agent.codec import strictjson
from agent.errors import Cause, Malformed
from agent.rules.rule import Default, Enforcement, FailureAction, FailurePolicy, KeysUsed, PolicySettings, Rule
from agent.rules.ruleset import (
    Allowed,
    ConfiguredBreakGlass,
    Denied,
    Exemption,
    Lifetimes,
    RuleSet,
    Staleness,
    WhenMissing,
)

COPY_VERSION = 4
"""Version of the copy's form.  A reader refuses any other."""

MAX_COPY_SIZE = 4 * 1024 * 1024
"""Most bytes of a copy."""

_NO_POLICY = PolicySettings("", {})


def to_json(ruleset: RuleSet, policy: Callable[[PolicySettings], object]) -> dict[str, object]:
    """The JSON value of `ruleset`; `policy` gives what stands for each rule's policy."""
    return {
        "rules": [_rule_to_json(rule, policy(rule.policy)) for rule in ruleset.rules],
        "default": [
            ruleset.default.enforcement.value,
            _failure_to_json(ruleset.default.failure_policy),
            ruleset.default.owner,
        ],
        "deny": [list(entry) for entry in ruleset.deny],
        "allow": [_with_end(entry._asdict()) for entry in ruleset.allow],
        "exempt": [entry._asdict() for entry in ruleset.exempt],
        "breakGlass": [_with_end(entry._asdict()) for entry in ruleset.break_glass],
        "stale": list(ruleset.stale),
        "serial": ruleset.serial,
        "lifetimes": list(ruleset.lifetimes),
        "whenMissing": ruleset.when_missing.value,
        "greatestAge": ruleset.greatest_age,
        "fromCluster": ruleset.from_cluster,
    }


def from_json(value: Mapping[str, Any], policy: Callable[[Any], PolicySettings]) -> RuleSet:
    """Read back what `to_json` wrote.  What is no such value raises an error of Python's own."""
    enforcement, failure_policy, owner = value["default"]
    return RuleSet(
        tuple(_rule_from_json(policy, **rule) for rule in value["rules"]),
        Default(Enforcement(enforcement), _failure_from_json(failure_policy), owner),
        tuple(Denied(*entry) for entry in value["deny"]),
        tuple(Allowed(**_read_end(entry)) for entry in value["allow"]),
        tuple(Exemption(**entry | {"digests": tuple(entry["digests"])}) for entry in value["exempt"]),
        tuple(ConfiguredBreakGlass(**_read_end(entry)) for entry in value["breakGlass"]),
        Staleness(*value["stale"]),
        value["serial"],
        Lifetimes(*value["lifetimes"]),
        WhenMissing(value["whenMissing"]),
        value["greatestAge"],
        value["fromCluster"],
    )


def encode_copy(ruleset: RuleSet) -> bytes:
    """The copy of `ruleset`."""
    return strictjson.canonical({"formatVersion": COPY_VERSION} | to_json(ruleset, lambda _: None))


def decode_copy(form: bytes) -> RuleSet:
    """Read back a copy.  Raises `Malformed`."""
    value = strictjson.decode(form, "rule set", limit=MAX_COPY_SIZE)
    version = value.get("formatVersion") if isinstance(value, dict) else None
    if version != COPY_VERSION or isinstance(version, bool):
        raise Malformed(f"rule set: got format version {ascii(version)[:20]}; expected {COPY_VERSION}")
    try:
        return from_json(cast("Mapping[str, Any]", value), lambda _: _NO_POLICY)
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        raise Malformed(f"rule set: got none ({ascii(error)[:80]}); expected what publishing writes") from None


def _rule_to_json(rule: Rule, policy: object) -> dict[str, object]:
    return rule._asdict() | {
        "policy": policy,
        "enforcement": rule.enforcement.value,
        "failure_policy": _failure_to_json(rule.failure_policy),
        "keys": [list(used) for used in rule.keys],
    }


def _rule_from_json(
    read_policy: Callable[[Any], PolicySettings],
    *,
    match: list[str],
    verifiers: list[str],
    policy: object,
    enforcement: str,
    failure_policy: list[Any],
    keys: list[list[Any]],
    **others: Any,
) -> Rule:
    return Rule(
        match=tuple(match),
        verifiers=tuple(verifiers),
        policy=read_policy(policy),
        enforcement=Enforcement(enforcement),
        failure_policy=_failure_from_json(failure_policy),
        keys=tuple(KeysUsed(*used) for used in keys),
        **others,
    )


def _failure_to_json(policy: FailurePolicy) -> list[object]:
    return [policy.default.value, {cause.value: action.value for cause, action in policy.causes.items()}]


def _failure_from_json(value: list[Any]) -> FailurePolicy:
    default, causes = value
    return FailurePolicy(
        FailureAction(default), {Cause(cause): FailureAction(action) for cause, action in causes.items()}
    )


def _with_end(fields: dict[str, Any]) -> dict[str, object]:
    return fields | {"until": fields["until"].isoformat()}


def _read_end(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"until": datetime.fromisoformat(fields["until"])}
