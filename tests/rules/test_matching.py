"""Patterns over repositories: what they match, which of several wins, what is refused."""

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.model.reference import Reference, Repository
from agent.rules import matching, precedence
from agent.rules.rule import PolicySettings, Rule


def repository(text: str) -> Repository:
    """A repository by its name."""
    return Reference.parse(f"{text}:x").repository


@pytest.mark.parametrize(
    ("pattern", "name", "matched"),
    [
        ("**", "r.example/a", True),
        ("r.example/a", "r.example/a", True),
        ("r.example/a", "r.example/a/b", False),
        ("r.example/a/b", "r.example/a", False),
        ("r.example/*", "r.example/a", True),
        ("r.example/*", "r.example/a/b", False),
        ("r.example/*/b", "r.example/a/b", True),
        ("r.example/*/b", "r.example/a/c", False),
        ("r.example/**", "r.example/a", True),
        ("r.example/**", "r.example/a/b/c", True),
        ("r.example/a/**", "r.example/a/b/c", True),
        ("r.example/a/**", "r.example/a", False),
        ("r.example/a/**", "r.example/ab/c", False),
        ("r.example/*/x/**", "r.example/a/x/y", True),
        ("r.example/*/x/**", "r.example/a/y/x", False),
        ("r.example/a", "other.example/a", False),
        ("r.example:5000/a", "r.example/a", False),
        ("r.example/a", "r.example:5000/a", False),
        ("r.example:5000/**", "r.example:5000/a", True),
        ("docker.io/library/busybox", "docker.io/library/busybox", True),
        ("docker.io/library/*", "index.docker.io/library/busybox", True),
        ("R.Example/a", "r.example/a", True),
        ("r.example/a", "R.EXAMPLE/a", True),
    ],
)
def test_host_is_exact_a_star_is_one_segment_two_stars_are_the_rest(pattern: str, name: str, matched: bool) -> None:
    assert matching.complaint(pattern) == ""
    assert matching.matches(matching.canonical(pattern), repository(name)) is matched


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("", "HOST/REPOSITORY"),
        ("*", "HOST/REPOSITORY"),
        ("r.example", "HOST/REPOSITORY"),
        ("r.example/", "HOST/REPOSITORY"),
        ("*/a", "exact host"),
        ("*.example.com/a", "exact host"),
        ("**/a", "exact host"),
        ("r.example/a:1", "without tag and digest"),
        ("r.example/a@sha256:00", "without tag and digest"),
        ("r.example/**/a", "as the last segment only"),
        ("r.example/a*", "or * alone"),
        ("r.example/a**", "or * alone"),
        ("r.example/***", "or * alone"),
        ("r.example/A", "lower-case letters"),
        ("r.example//a", "no empty segments"),
        ("r.example/a/", "no empty segments"),
        ("r.example//**", "no empty segments"),
        ("busybox/a", "a host with a dot or a port"),
        ("r.example:x/a", "a host with a dot or a port"),
        ("r.example/\u00e4", "lower-case letters"),
        ("r.example/a\n", "lower-case letters"),
        ("r.example/" + "a" * 600, "at most 512 characters"),
    ],
)
def test_pattern_of_another_form_is_refused(pattern: str, told: str) -> None:
    assert told in matching.complaint(pattern)


@pytest.mark.parametrize(
    ("left", "right", "tied"),
    [
        ("**", "**", True),
        ("r.example/a", "r.example/a", True),
        ("r.example/*/b", "r.example/a/*", True),
        ("r.example/*/b/**", "r.example/a/**", True),
        ("r.example/*/b", "r.example/a/**", True),
        ("**", "r.example/**", False),
        ("r.example/**", "r.example/a/**", False),
        ("r.example/*", "r.example/**", False),
        ("r.example/*/b", "r.example/a/b", False),
        ("r.example/*/b", "r.example/a/c", False),
        ("r.example/*", "r.example/*/*", False),
        ("r.example/a", "other.example/a", False),
    ],
)
def test_patterns_tie_if_they_share_repositories_and_neither_matches_less(left: str, right: str, tied: bool) -> None:
    assert matching.ties(left, right) is tied
    assert matching.ties(right, left) is tied


_SEGMENTS = st.sampled_from(["a", "b", "*"])
_NAMES = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4).map(lambda each: "r.example/" + "/".join(each))


@st.composite
def _patterns(draw: st.DrawFn) -> str:
    """Patterns of few words, so that they often share repositories."""
    segments = draw(st.lists(_SEGMENTS, max_size=3))
    if draw(st.booleans()) or not segments:
        segments.append("**")
    return "r.example/" + "/".join(segments)


@pytest.mark.unmeasured
@given(_patterns(), _patterns())
def test_ties_are_what_all_repositories_say(left: str, right: str) -> None:
    names = ["r.example/" + "/".join(each) for size in range(1, 6) for each in itertools.product("abc", repeat=size)]
    of_left, of_right = (
        {name for name in names if matching.matches(pattern, repository(name))} for pattern in (left, right)
    )
    comparable = of_left < of_right or of_right < of_left
    assert matching.ties(left, right) is (bool(of_left & of_right) and not comparable)


@pytest.mark.unmeasured
@given(st.lists(_patterns(), min_size=1, max_size=5, unique=True), _NAMES)
def test_among_patterns_that_do_not_tie_the_one_that_matches_least_wins(patterns: list[str], name: str) -> None:
    assume(not any(matching.ties(left, right) for left, right in itertools.combinations(patterns, 2)))
    rules = tuple(Rule(each, (each,), (), PolicySettings("", {})) for each in patterns)
    matching_ones = [each for each in patterns if matching.matches(each, repository(name))]
    winner = precedence.rule_for(rules, repository(name))
    if not matching_ones:
        assert winner is None
        return
    assert winner is not None
    names = ["r.example/" + "/".join(each) for size in range(1, 6) for each in itertools.product("abc", repeat=size)]
    counts = {each: sum(matching.matches(each, repository(other)) for other in names) for each in matching_ones}
    assert counts[winner.name] == min(counts.values())


def test_order_of_rules_and_of_their_patterns_does_not_matter() -> None:
    special = Rule("special", ("x.example/**", "r.example/shop/*"), (), PolicySettings("", {}))
    general = Rule("general", ("r.example/shop/**", "**"), (), PolicySettings("", {}))
    for rules in ((special, general), (general, special)):
        assert precedence.rule_for(rules, repository("r.example/shop/cart")) is special
        assert precedence.rule_for(rules, repository("r.example/shop/cart/web")) is general
        assert precedence.rule_for(rules, repository("y.example/z")) is general


def test_no_rule_is_none() -> None:
    rule = Rule("one", ("r.example/**",), (), PolicySettings("", {}))
    assert precedence.rule_for((rule,), repository("other.example/a")) is None
