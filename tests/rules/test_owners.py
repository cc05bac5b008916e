"""Owners: what one document lets pass serves the images of its own rules alone."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Code
from agent.model.answer import Answer
from agent.model.reference import Reference, Repository
from agent.rules import precedence
from agent.rules.breakglass import BreakGlass, Moment
from agent.rules.floor import Floor
from agent.rules.precedence import Standing
from agent.rules.rule import Default, PolicySettings, Rule
from agent.rules.ruleset import Allowed, ConfiguredBreakGlass, Denied, Exemption, RuleSet
from tests.rules import worlds

NOW = datetime(2027, 3, 1, 12, tzinfo=timezone.utc)
MOMENT = Moment(NOW, 1_000.0, "boot")
UNTIL = NOW + timedelta(hours=1)
DIGEST = "sha256:" + "a" * 64
OPEN = Floor(break_glass_for_all=True)
NAMES = {"platform": "r.example/platform/app", "tenant": "r.example/tenant/app", "nobody": "other.example/app"}
RULES = tuple(
    Rule(owner, (f"r.example/{owner}/**",), (), PolicySettings("", {}), owner=owner) for owner in ("platform", "tenant")
)


def repository(name: str) -> Repository:
    """A repository by its name."""
    return Reference.parse(f"{name}@{DIGEST}").repository


def standing(owner_of_default: str = "platform", **lists: Any) -> Standing:
    """Two documents' rules, and some lists."""
    ruleset = RuleSet(RULES, Default(owner=owner_of_default), **lists)
    return Standing(ruleset, OPEN, MOMENT, begun=dict.fromkeys(ruleset.break_glass, MOMENT))


def early(whose: str, held: Standing) -> Answer | None:
    """What is decided of an image before verification."""
    return precedence.before_verification(repository(NAMES[whose]), DIGEST, "", held)


LETS_PASS: dict[str, Callable[[str], dict[str, Any]]] = {
    "exempt": lambda owner: {"exempt": (Exemption("**", insecure=True, owner=owner),)},
    "exempt by digest": lambda owner: {"exempt": (Exemption("**", (DIGEST,), insecure=True, owner=owner),)},
    "breakGlass": lambda owner: {"break_glass": (ConfiguredBreakGlass("**", UNTIL, "why", owner),)},
    "allow": lambda owner: {"allow": tuple(Allowed(name, DIGEST, UNTIL, "why", owner) for name in NAMES.values())},
}


@pytest.mark.parametrize("kind", LETS_PASS)
def test_what_a_document_lets_pass_are_images_of_its_own_rules(kind: str) -> None:
    held = standing(**LETS_PASS[kind]("tenant"))
    assert early("tenant", held) is not None
    assert early("platform", held) is None
    assert early("nobody", held) is None


@pytest.mark.parametrize("kind", LETS_PASS)
def test_where_no_rule_is_for_an_image_the_entries_of_the_defaults_owner_count(kind: str) -> None:
    assert early("nobody", standing("tenant", **LETS_PASS[kind]("tenant"))) is not None
    assert early("nobody", standing("tenant", **LETS_PASS[kind]("platform"))) is None
    assert early("nobody", standing("", **LETS_PASS[kind]("tenant"))) is None


@pytest.mark.parametrize("kind", LETS_PASS)
def test_a_configuration_of_one_document_serves_all_its_images(kind: str) -> None:
    held = standing("", **LETS_PASS[kind](""))
    rules = tuple(rule._replace(owner="") for rule in RULES)
    held = held._replace(ruleset=held.ruleset._replace(rules=rules))
    assert all(early(whose, held) is not None for whose in NAMES)


def test_deny_and_the_nodes_own_break_glass_count_for_all_images() -> None:
    assert all(early(whose, standing(deny=(Denied("**"),))) for whose in NAMES)
    glass = BreakGlass("0001", "**", "why", MOMENT, UNTIL)
    answers = [early(whose, standing()._replace(break_glass=(glass,))) for whose in NAMES]
    assert [answer and answer.code for answer in answers] == [Code.BREAK_GLASS] * 3


@pytest.mark.parametrize("owner", ["", "platform", "tenant"])
def test_built_in_exemptions_count_whoever_owns_the_default(owner: str) -> None:
    answer = precedence.before_verification(repository("registry.k8s.io/etcd"), DIGEST, "", standing(owner))
    assert answer is not None
    assert answer.code is Code.EXEMPT


def test_end_of_an_allowance_is_that_of_the_owners_entry() -> None:
    entries = (
        Allowed(NAMES["platform"], DIGEST, UNTIL + timedelta(days=300), "why", "tenant"),
        Allowed(NAMES["platform"], DIGEST, UNTIL, "why", "platform"),
    )
    held = standing(allow=entries)
    assert precedence.listed_until(repository(NAMES["platform"]), DIGEST, held) == UNTIL
    assert precedence.listed_until(repository(NAMES["platform"]), DIGEST, standing(allow=entries[:1])) is None


def test_lists_of_another_owner_make_no_difference_once_a_digest_is_known() -> None:
    entry = Allowed(NAMES["platform"], DIGEST, UNTIL, "why", "tenant")
    by_digest = Exemption("r.example/platform/**", (DIGEST,), owner="tenant")
    held = standing(allow=(entry,), exempt=(by_digest,))
    assert not precedence.depends_on_digest(repository(NAMES["platform"]), held)
    mine = standing(allow=(entry._replace(owner="platform"),))
    assert precedence.depends_on_digest(repository(NAMES["platform"]), mine)


def test_the_same_break_glass_of_two_documents_has_two_names() -> None:
    first, second = (ConfiguredBreakGlass("**", UNTIL, "why", owner) for owner in ("platform", "tenant"))
    assert first.id != second.id
    assert ConfiguredBreakGlass("**", UNTIL, "why").id == "config-" + first._replace(owner="").id[len("config-") :]


@pytest.mark.unmeasured
@given(worlds.worlds, st.sampled_from(["exempt", "allow", "breakGlass"]))
def test_entries_of_somebody_elses_never_change_an_answer(world: worlds.World, kind: str) -> None:
    ruleset, now = world.standing.ruleset, world.standing.moment
    allowed = Allowed(world.repository.scope, world.digest, now.wall + timedelta(hours=1), "why", "x")
    glass = ConfiguredBreakGlass("**", now.wall + timedelta(hours=1), "why", "x")
    lists: dict[str, dict[str, Any]] = {
        "exempt": {"exempt": (Exemption("**", insecure=True, owner="x"), *ruleset.exempt)},
        "allow": {"allow": (allowed, *ruleset.allow)},
        "breakGlass": {"break_glass": (glass,)},
    }
    more = ruleset._replace(**lists[kind])
    assert world.answer(ruleset=more, begun=dict.fromkeys(more.break_glass, now)) == world.answer()
