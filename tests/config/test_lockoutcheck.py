"""A document that would lock its node out is refused, alone or among several, unless it insists."""

from typing import Any

from agent.rules.lockout import Needs
from agent.rules.ruleset import Denied
from tests.config.documents import NODE, candidate, merge, names, says, told

CNI = "quay.io/cni/agent:1"
NEEDY = NODE._replace(needs=Needs((CNI,), binding=True))
GUESSED = NODE._replace(needs=Needs((CNI,)))
AUDIT = {"enforcement": "Audit", "failurePolicy": "Fail"}
ENFORCE = {"enforcement": "Enforce", "failurePolicy": "Fail"}
KEPT_OUT, HITS = "r.example/bad/**", "quay.io/**"
PLATFORM = candidate("platform", says("r.example/platform/**", default=AUDIT))


def tenant(version: str = "1", **keys: Any) -> Any:
    """The document of a tenant, with these keys."""
    return candidate("tenant", says("r.example/tenant/**", **keys), resource_version=version)


def test_a_deny_entry_that_locks_out_does_not_count_and_the_others_do() -> None:
    before = merge([PLATFORM, tenant()], node=NEEDY)
    found = merge([PLATFORM, tenant("2", deny=[KEPT_OUT, HITS])], before, node=NEEDY)
    assert names(found) == ["platform", "tenant!"]
    assert found.config is not None
    assert found.config.ruleset.deny == (Denied(KEPT_OUT),)
    assert f"{HITS}, which refuses {CNI}" in told(found)
    assert [each.name for each in found.quarantined] == ["nodeseal/tenant"]


def test_a_deny_entry_of_a_document_that_fails_for_another_reason_does_not_count_either() -> None:
    found = merge([PLATFORM, tenant(deny=[KEPT_OUT, HITS], unknown=1)], node=NEEDY)
    assert found.config is not None
    assert found.config.ruleset.deny == (Denied(KEPT_OUT),)
    assert f"{HITS}, which refuses {CNI}" in told(found)


def test_who_insists_is_put_in_force_with_a_warning() -> None:
    found = merge([PLATFORM, tenant(deny=[HITS], allowLockout=True)], node=NEEDY)
    assert names(found) == ["platform", "tenant"]
    assert found.config is not None
    assert found.config.ruleset.deny == (Denied(HITS),)
    assert "because of allowLockout" in told(found)


def test_another_document_insists_for_itself_alone() -> None:
    insisting = candidate("insisting", says("r.example/i/**", allowLockout=True))
    found = merge([PLATFORM, insisting, tenant(deny=[HITS])], node=NEEDY)
    assert names(found) == ["insisting", "platform"]


def test_an_entry_in_force_stops_counting_once_its_node_needs_the_image() -> None:
    documents = [PLATFORM, tenant(deny=[KEPT_OUT, HITS])]
    before = merge(documents)
    found = merge(documents, before, node=NEEDY)
    assert names(found) == ["platform", "tenant!"]
    assert found.config is not None
    assert found.config.ruleset.deny == (Denied(KEPT_OUT),)


def test_where_nobody_says_what_the_node_needs_it_is_a_warning() -> None:
    found = merge([PLATFORM, tenant(deny=[HITS])], node=GUESSED)
    assert names(found) == ["platform", "tenant"]
    assert found.config is not None
    assert found.config.ruleset.deny == (Denied(HITS),)
    assert HITS in told(found)


def test_a_default_that_locks_out_is_quarantined_and_its_last_good_version_stays() -> None:
    before = merge([PLATFORM, tenant()], node=NEEDY)
    strict = candidate("platform", says("r.example/platform/**", default=ENFORCE), resource_version="2")
    found = merge([strict, tenant("2", deny=[KEPT_OUT])], before, node=NEEDY)
    assert names(found) == ["platform!", "tenant"]
    assert found.refused == ()
    assert f"nodeseal/platform: nodeseal/platform: got no rule for {CNI}" in told(found)


def test_a_default_that_locks_out_counts_where_it_insists() -> None:
    strict = candidate("platform", says("r.example/platform/**", default=ENFORCE, allowLockout=True))
    found = merge([strict, tenant()], node=NEEDY)
    assert (names(found), found.refused) == (["platform", "tenant"], ())
    assert "because of allowLockout" in told(found)


def test_a_rule_of_another_document_for_what_is_needed_is_enough() -> None:
    strict = candidate("platform", says("r.example/platform/**", default=ENFORCE))
    cni = candidate("cni", says("quay.io/cni/**"))
    found = merge([strict, cni], node=NEEDY)
    assert (names(found), found.refused) == (["cni", "platform"], ())
    assert f"the rule cni/only, which {CNI} has to be verified under" in told(found)


def test_without_anybody_to_name_the_whole_is_refused() -> None:
    assert CNI in str(merge([tenant()], node=NEEDY).refused[0])
    assert merge([tenant(allowLockout=True)], node=NEEDY).refused == ()
    strict, cni = candidate("platform", says("r.example/platform/**", default=ENFORCE)), candidate("cni", says(HITS))
    before = merge([strict, cni], node=NEEDY)
    assert CNI in str(merge([strict], before, node=NEEDY).refused[0])  # nothing new says it


def test_the_order_does_not_matter() -> None:
    documents = [candidate("platform", says("r.example/p/**", default=ENFORCE)), PLATFORM._replace(name="nodeseal/q")]
    one, other = merge(documents, node=NEEDY), merge(documents[::-1], node=NEEDY)
    assert (names(one), one.problems, one.refused) == (names(other), other.problems, other.refused)
