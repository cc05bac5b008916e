"""Patterns of two documents that share a repository."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.reference import Reference
from agent.rules import matching
from agent.rules.overlaps import Crowd, Patterns, overlap

_HOSTS = ("r.example", "s.example:5000")
_REPOSITORIES = [
    Reference.parse(f"{host}/{'/'.join(each)}:x").repository
    for host in _HOSTS
    for size in range(1, 6)
    for each in itertools.product("abc", repeat=size)
]


@st.composite
def _patterns(draw: st.DrawFn) -> str:
    """Patterns of few words, so that they often share repositories; in their one spelling."""
    if draw(st.integers(0, 9)) == 0:
        return "**"
    segments = draw(st.lists(st.sampled_from(["a", "b", "*"]), max_size=3))
    if draw(st.booleans()) or not segments:
        segments.append("**")
    return f"{draw(st.sampled_from(_HOSTS))}/{'/'.join(segments)}"


def _share(left: str, right: str) -> bool:
    return any(matching.matches(left, each) and matching.matches(right, each) for each in _REPOSITORIES)


@given(_patterns(), _patterns())
def test_patterns_overlap_exactly_if_some_repository_is_matched_by_both(left: str, right: str) -> None:
    assert overlap(left, right) is overlap(right, left) is _share(left, right)


@given(st.lists(_patterns(), max_size=5), st.lists(_patterns(), max_size=5))
def test_sets_name_two_that_share_a_repository_the_same_in_any_order(left: list[str], right: list[str]) -> None:
    found = Patterns(left).first_shared(Patterns(right))
    if found is None:
        assert not any(_share(a, b) for a, b in itertools.product(left, right))
    else:
        assert found[0] in left
        assert found[1] in right
        assert _share(*found)
    assert Patterns(reversed(left)).first_shared(Patterns(right[::-1])) == found


@given(st.lists(st.lists(_patterns(), max_size=3), max_size=4), st.lists(_patterns(), max_size=3), st.integers(0, 4))
def test_a_crowd_shares_what_one_of_those_who_stayed_does(sets: list[list[str]], mine: list[str], gone: int) -> None:
    crowd, others = Crowd(), [Patterns(each) for each in sets]
    for each in others:
        crowd.add(each)
    for each in others[:gone]:
        crowd.remove(each)
    expected = any(each.first_shared(Patterns(mine)) is not None for each in others[gone:])
    assert crowd.shares(Patterns(mine)) is expected


@pytest.mark.parametrize(
    ("left", "right", "shared"),
    [
        ("**", "r.example/a", True),
        ("r.example/**", "r.example/a", True),
        ("r.example/a/**", "r.example/a", False),
        ("r.example/a/**", "r.example/ab/c", False),
        ("r.example/*/b", "r.example/a/*", True),
        ("r.example/*", "r.example/*/*", False),
        ("r.example/a", "r.example:5000/a", False),
    ],
)
def test_overlaps_that_people_ask_about(left: str, right: str, shared: bool) -> None:
    assert overlap(left, right) is shared


def test_a_thousand_patterns_that_all_but_overlap_are_compared_in_a_moment() -> None:
    words = [["/".join(each) for each in itertools.product((star, "*"), repeat=10)] for star in "xy"]
    left, right = (Patterns(f"r.example/{each}/{end}" for each in many) for many, end in zip(words, "ab", strict=True))
    began = time.process_time()
    assert left.first_shared(right) is None
    assert time.process_time() - began < 5
