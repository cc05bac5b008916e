"""Documents without end: whoever says much takes no room, and no time, from who says little."""

import time

import pytest

from agent.rules.ruleset import Denied
from tests.config.documents import candidate, merge, names, says, told
from tests.config.test_merging import PLATFORM, TENANT, changed, config


def denials(tag: str, count: int = 1000) -> list[str]:
    """Entries that are about as long as they may be."""
    host, path = ".".join(["h" * 60] * 3), "/".join(["x" * 60] * 3)
    return [f"{tag}{i:05d}.{host}.example/{path}@sha256:{i:064x}" for i in range(count)]


def test_who_denies_as_much_as_he_can_takes_no_room_from_who_denies_little() -> None:
    greedy = candidate("a", says("r.example/a/**", deny=denials("old")), priority=1000)
    before = merge([greedy, TENANT])
    assert names(before) == ["a", "tenant"]
    twice = changed(greedy, says("r.example/a/**", deny=denials("new"), unheardOf=1), priority=1000)
    after = merge([twice, changed(TENANT, says("r.example/tenant/**", deny=["r.example/bad"]))], before)
    assert "more in all documents together" in told(after)
    assert Denied("r.example/bad") in config(after).ruleset.deny


def test_too_many_patterns_of_one_document_keep_no_other_from_being_read() -> None:
    greedy = candidate("a", says("r.example/a/**"), priority=1000)
    before = merge([greedy, TENANT])
    much = changed(greedy, says(*["r.example/a/x"] * 9000), priority=1000)
    after = merge([much, changed(TENANT, says("r.example/tenant/**", deny=["r.example/bad"]))], before)
    assert names(after) == ["a!", "tenant"]
    assert config(after).ruleset.deny == (Denied("r.example/bad"),)


@pytest.mark.parametrize("key", ["deny", "rules"])
def test_a_list_without_end_is_told_and_nothing_of_it_is_compared(key: str) -> None:
    endless = says("r.example/tenant/**") | {"nodeseal": {"apiVersion": "nodeseal.dev/v1alpha1", key: [1] * 60_000}}
    began = time.process_time()
    merged = merge([PLATFORM, candidate("tenant", endless)])
    assert time.process_time() - began < 5  # it took an hour
    assert names(merged) == ["platform"]
    assert f"nodeseal.{key}: got a list of 60000" in told(merged)


def test_names_without_end_are_told_and_not_compared_with_each_other() -> None:
    given = says("r.example/tenant/**")
    given["nodeseal"]["rules"][0]["verifiers"] = [1, *(f"v{i}" for i in range(40_000))]
    began = time.process_time()
    merged = merge([PLATFORM, candidate("tenant", given)])
    assert time.process_time() - began < 5  # it took minutes
    assert "rules[0].verifiers: got a list of 40001" in told(merged)


def test_patterns_that_take_long_to_compare_are_not_compared() -> None:
    given = says("r.example/tenant/**")
    (only,) = given["nodeseal"]["rules"]
    deep = [f"r.example/{'*/' * 100}x{i}" for i in range(1000)]
    given["nodeseal"]["rules"] = [{**only, "name": f"r{i}", "match": deep[i : i + 100]} for i in range(0, 1000, 100)]
    began = time.process_time()
    merged = merge([PLATFORM, candidate("tenant", given)])
    assert time.process_time() - began < 5  # it took half a minute
    assert names(merged) == ["platform"]
    assert "patterns of 102000 segments; expected at most 10000" in told(merged)
