"""The canonical form: nothing is lost in it, equal configurations have equal names, others are refused."""

import json
from datetime import timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import canonical
from agent.config.config import Config, StoreSettings, VerifierSettings
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
from tests.config.support import GOOD, STATEMENT, put, read

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
_SETTINGS = st.dictionaries(
    _TEXT,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.floats(allow_nan=False, allow_infinity=False)
        | _TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)
_TEXTS = st.lists(_TEXT, max_size=3).map(tuple)
_POLICIES = st.builds(PolicySettings, _TEXT, _SETTINGS)
_ACTIONS = st.sampled_from(FailureAction)
_FAILURE_POLICIES = st.builds(FailurePolicy, _ACTIONS, st.dictionaries(st.sampled_from(Cause), _ACTIONS, max_size=3))
_TIMES = st.datetimes(timezones=st.just(timezone.utc))
_KEYS = st.builds(KeysUsed, _TEXT, _TEXT, st.floats(0, 1e9))
_RULES = st.builds(
    Rule, _TEXT, _TEXTS, _TEXTS, _POLICIES, st.booleans(), _TEXT, st.sampled_from(Enforcement), _FAILURE_POLICIES,
    st.integers(0, 100), _TEXT, _TEXT, st.lists(_KEYS, max_size=2).map(tuple),
)  # fmt: skip
_RULESETS = st.builds(
    RuleSet,
    st.lists(_RULES, max_size=2).map(tuple),
    st.builds(Default, st.sampled_from(Enforcement), _FAILURE_POLICIES, _TEXT),
    st.lists(st.builds(Denied, _TEXT, _TEXT), max_size=2).map(tuple),
    st.lists(st.builds(Allowed, _TEXT, _TEXT, _TIMES, _TEXT, _TEXT), max_size=2).map(tuple),
    st.lists(st.builds(Exemption, _TEXT, _TEXTS, st.booleans(), _TEXT, _TEXT), max_size=2).map(tuple),
    st.lists(st.builds(ConfiguredBreakGlass, _TEXT, _TIMES, _TEXT, _TEXT), max_size=2).map(tuple),
    st.builds(Staleness, st.floats(0, 1e6), st.floats(0, 1e6)),
    st.none() | st.integers(0, 2**53),
    st.builds(Lifetimes, *[st.floats(0, 1e6)] * 4),
    st.sampled_from(WhenMissing),
    st.floats(0, 1e6),
)
_CONFIGS = st.builds(
    Config,
    st.just(""),
    st.lists(st.builds(StoreSettings, _TEXT, st.booleans(), _TEXTS, st.booleans(), _TEXT), max_size=2).map(tuple),
    st.lists(st.builds(VerifierSettings, _TEXT, _TEXT, _TEXTS, _SETTINGS, st.booleans(), _TEXT), max_size=3).map(tuple),
    _RULESETS,
    st.dictionaries(st.text("0123456789abcdef", min_size=64, max_size=64), st.binary(max_size=9), max_size=3),
)


@pytest.mark.unmeasured
@settings(max_examples=200)
@given(_CONFIGS)
def test_nothing_is_lost(config: Config) -> None:
    form = canonical.encode(config)
    back = canonical.decode(form, config.certificates.__getitem__)
    assert back == config._replace(generation=canonical.generation_of(form))
    assert canonical.encode(back) == form


def test_what_was_read_is_what_a_reader_of_its_form_sees() -> None:
    config = read(GOOD).config
    assert canonical.decode(canonical.encode(config), config.certificates.__getitem__) == config


def test_white_space_and_order_do_not_change_the_generation() -> None:
    config = read(GOOD).config
    assert read(json.dumps(dict(reversed(GOOD.items())), indent=9).encode()).config.generation == config.generation


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("store.plugins[0].useHttp", True),
        ("policy.plugin.artifactVerificationPolicies.default", "all"),
        ("verifier.plugins[0].artifactTypes", "*"),
        ("verifier.plugins[0].type", "other"),
        (f"{STATEMENT}.name", "x"),
    ],
)
def test_whatever_counts_changes_the_generation(path: str, value: object) -> None:
    assert read(put(path, value)).config.generation != read(GOOD).config.generation


def test_another_certificate_changes_the_generation() -> None:
    config = read(GOOD).config
    assert canonical.encode(config) != canonical.encode(config._replace(certificates={"0" * 64: b""}))


@pytest.mark.parametrize(
    "change",
    [
        {"formatVersion": 1},
        {"formatVersion": "4"},
        {"formatVersion": True},
        {"formatVersion": None},
        {"stores": [{"name": "oras"}]},
        {"stores": None},
        {"verifiers": None},
        {"verifiers": [{}]},
        {"ruleset": None},
        {"ruleset": {"rules": [1]}},
        {"ruleset": {"rules": [{"name": "x"}]}},
        {"certificates": None},
    ],
)
def test_another_form_is_refused(change: dict[str, object]) -> None:
    value = json.loads(canonical.encode(read(GOOD).config)) | change
    with pytest.raises(Malformed):
        canonical.decode(json.dumps(value).encode(), lambda name: b"")


@pytest.mark.parametrize("form", [b"", b"[]", b"{}", b"1", b"\xff"])
def test_bytes_that_are_no_form_are_refused(form: bytes) -> None:
    with pytest.raises(Malformed):
        canonical.decode(form, lambda name: b"")
