"""Metrics of what a canary proved, and of how long configuration and keys still count."""

import pathlib
from collections import Counter
from datetime import datetime, timezone

import pytest

from agent.adapters.pull_secrets import READY
from agent.adapters.reconciled import BELIEVED, Reconciled
from agent.adapters.reconciled import State as Wiring
from agent.adapters.rootnotes import RootNote
from agent.model.counters import OTHER
from agent.model.metrics import Family
from agent.modes import figures
from agent.modes.figures import Proving
from agent.modes.proofs import Proved
from agent.modes.secrets import Secrets
from agent.modes.survey import Found
from agent.rules.breakglass import Moment
from agent.rules.precedence import Standing
from agent.rules.rule import KeysUsed
from agent.wiring.proof import Proof, Reason, State
from tests.rules.test_age import DAY, HOUR, at, holding
from tests.warm import Told

GOOD = Proof(State.ENFORCING, Reason.ENFORCING, "good")
BAD = Proof(State.BYPASSED, Reason.NOT_CALLED, "bad")


def values(families: list[Family], name: str) -> dict[str, float]:
    """A metric's values by its only label, by nothing if it has none."""
    (family,) = (each for each in families if each.name == name)
    return {"".join(labels): value for labels, value in family.samples.items()}


def test_exactly_one_state_is_the_one_that_it_is() -> None:
    proved = Proved().then(GOOD, 10.0).then(BAD, 20.0)
    found = list(figures._of_enforcement(Proving(proved, Counter({State.ENFORCING: 1, State.BYPASSED: 1}))))
    states = {"enforcing": 0, "bypassed": 1, "off": 0, "unknown": 0, "unsupported": 0}
    assert values(found, "nodeseal_enforcing") == states
    assert values(found, "nodeseal_enforcing_last_success_timestamp_seconds") == {"": 10}
    assert values(found, "nodeseal_enforcing_last_proof_timestamp_seconds") == {"": 20}
    assert values(found, "nodeseal_canaries") == {**states, "enforcing": 1}


def test_before_the_first_canary_it_is_unknown_and_without_canaries_nothing() -> None:
    found = list(figures._of_enforcement(Proving(Proved(), Counter())))
    assert values(found, "nodeseal_enforcing")["unknown"] == 1
    assert values(found, "nodeseal_enforcing_last_success_timestamp_seconds") == {}
    assert not any(family.samples for family in figures._of_enforcement(None))


@pytest.mark.parametrize(("days", "stage"), [(1, "current"), (4, "old"), (8, "stale")])
def test_stage_and_time_left_of_a_configuration(days: int, stage: str) -> None:
    found = list(figures._of_age(holding(at(0, 0), at(days * DAY, days * DAY))))
    stages = values(found, "nodeseal_configuration_stage")
    assert stages == {each: float(each == stage) for each in ("current", "old", "stale")}
    assert values(found, "nodeseal_configuration_left_seconds") == {"": max(7 - days, 0) * DAY}


def test_what_has_no_end_has_no_stage() -> None:
    assert not any(family.samples for family in figures._of_age(holding(None, at(0, 0))))
    assert not any(family.samples for family in figures._of_age(None))


def keyed(*used: KeysUsed) -> Standing:
    """What holds under a rule for each of these keys, of which the first source was fetched an hour ago."""
    held = holding(None, at(HOUR, HOUR))
    (rule,) = held.ruleset.rules
    rules = tuple(rule._replace(keys=(each,)) for each in used)
    return held._replace(ruleset=held.ruleset._replace(rules=rules), fetched={used[0].source: at(0, 0)})


def test_keys_by_provider_the_least_of_those_of_one_name_and_none_less_than_nothing() -> None:
    one, other = KeysUsed("a", "corp", DAY), KeysUsed("b", "never\n", DAY)
    found = list(figures._of_age(keyed(one, other)))
    assert values(found, "nodeseal_fetched_keys_left_seconds") == {"corp": DAY - HOUR, "never\\n": 0}
    assert values(found, "nodeseal_fetched_keys_kept_seconds") == {"corp": DAY, "never\\n": DAY}
    found = list(figures._of_age(keyed(one, KeysUsed("a", "corp", 2 * HOUR))))
    assert values(found, "nodeseal_fetched_keys_left_seconds") == {"corp": HOUR}
    assert values(found, "nodeseal_fetched_keys_kept_seconds") == {"corp": 2 * HOUR}


def test_providers_are_told_apart_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST_PROVIDERS", 2)
    found = list(figures._of_age(keyed(*(KeysUsed(str(i), f"p{i}", DAY) for i in range(5)))))
    assert set(values(found, "nodeseal_fetched_keys_left_seconds")) == {"p0", "p1", OTHER}


def test_wiring_is_what_was_said_lately_of_it() -> None:
    now = Moment(datetime.fromtimestamp(1e9, timezone.utc), 0.0, "boot")
    said = Reconciled("gaveUp", "no room", 1.0, 1e9 - 60, ("/a", "/b"), 5, {"mended": 4, "failed": 5, "noTurn": 1})
    found = list(figures._of_wiring(said, now))
    states = values(found, "nodeseal_wiring")
    assert {name for name, value in states.items() if value} == {"gaveUp"}
    assert set(states) == {each.value for each in Wiring}
    assert values(found, "nodeseal_wiring_last_look_timestamp_seconds") == {"": 1e9 - 60}
    assert values(found, "nodeseal_wiring_contested_files") == {"": 2}
    assert values(found, "nodeseal_wiring_attempts") == {"mended": 4, "failed": 5, "noTurn": 1}
    left = list(figures._of_wiring(said._replace(looked=1e9 - BELIEVED), now))
    assert [each.name for each in left if each.samples] == ["nodeseal_wiring_last_look_timestamp_seconds"]
    assert not any(family.samples for family in figures._of_wiring(None, now))


def test_secrets_are_counted_by_what_is_known_of_them(tmp_path: pathlib.Path) -> None:
    secrets = Secrets(str(tmp_path), Told())
    secrets.want({"a": ["ns/x"], "b": ["ns/x"], "c": ["ns/x"]})
    assert secrets.counts() == {"ready": 0, "waiting": 3, "unusable": 0}
    secrets._said.update(a=READY, b="there is no Secret of this name")
    assert secrets.counts() == {"ready": 1, "waiting": 1, "unusable": 1}


def test_trusted_roots_by_name_the_worst_of_those_of_one_name() -> None:
    good = RootNote("a.json", "https://x", DAY, 900.0)
    notes = (good, good._replace(fetched=None, trouble="gone"), good._replace(name="b\n", trouble=""))
    found = list(figures._of_survey(Found(roots=notes)))
    assert values(found, "nodeseal_trusted_root_fetched_timestamp_seconds") == {"a.json": 0, "b\\n": 900}
    assert values(found, "nodeseal_trusted_root_trouble") == {"a.json": 1, "b\\n": 0}
    many = tuple(good._replace(name=f"r{i}") for i in range(figures.MOST_PROVIDERS + 5))
    found = list(figures._of_survey(Found(roots=many)))
    assert len(values(found, "nodeseal_trusted_root_trouble")) == figures.MOST_PROVIDERS + 1
    assert OTHER in values(found, "nodeseal_trusted_root_trouble")
