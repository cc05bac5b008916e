"""How often a node is mended, when somebody is fought with, and when it is given up."""

import pytest

from agent.wiring.manifest import Role
from agent.wiring.pacing import CONTESTED, FIRST, GIVE_UP, MOST, WINDOW, Pace, mended
from agent.wiring.steps import Change, Check, Compare, Folder, Place, Prove, Restart, Switch, Wire, Write


def test_first_attempt_is_made_at_once_and_each_later_one_after_twice_the_time() -> None:
    pace, now, pauses = Pace(), 1000.0, []
    assert pace.due(now) <= now
    for _ in range(9):
        pace.note(now, ("/a",))
        pauses.append(pace.due(now) - now)
        now = pace.due(now)
    assert pauses == [FIRST * 2**index for index in range(6)] + [MOST] * 3


def test_what_is_a_day_ago_counts_no_more() -> None:
    pace = Pace(10.0)
    for index in range(5):
        pace.note(float(index), ("/a",))
    assert pace.contested(WINDOW - 1)
    assert pace.contested(WINDOW + 4) == {}
    assert pace.due(WINDOW + 4) == WINDOW + 4


def test_one_path_again_and_again_is_contested_and_different_ones_are_not() -> None:
    pace = Pace()
    for index in range(CONTESTED):
        assert pace.contested(1.0) == {}
        pace.note(1.0, ("/a", "/a", f"/{index}"))
    assert pace.contested(1.0) == {"/a": CONTESTED}


def test_after_failures_in_a_row_it_is_given_up_until_the_node_is_otherwise() -> None:
    pace = Pace()
    for index in range(GIVE_UP):
        assert not pace.gave_up("as it was")
        pace.note(float(index), (), failed=True)
        assert pace.give_up("as it was") is (index == GIVE_UP - 1)
    assert pace.gave_up("as it was")
    due = pace.due(10.0)
    assert not pace.gave_up("otherwise")
    assert pace.failures == 0
    assert pace.due(10.0) == due, "the pause stands"


def test_an_attempt_that_works_forgives_failures() -> None:
    pace = Pace()
    for _ in range(GIVE_UP - 1):
        pace.note(0.0, (), failed=True)
    pace.note(0.0, ())
    pace.note(0.0, (), failed=True)
    assert (pace.failures, pace.give_up("x")) == (1, False)


@pytest.mark.parametrize("first", [1.0, MOST])
def test_no_pause_is_longer_than_the_most(first: float) -> None:
    pace = Pace(first)
    for _ in range(1000):
        pace.note(0.0, ())
    assert pace.due(0.0) == MOST


def test_paths_are_those_that_are_set_right() -> None:
    steps = (
        Place("/p"), Folder("/f", 0, Role.STATE), Write("/w", b"", 0, Role.STATE), Check("/c"), Switch("/s", ""),
        Change("/e", b"", b""), Compare(), Wire("/l", ""), Restart("u", "", by_itself=False), Prove(),
    )  # fmt: skip
    assert mended(steps) == ("/p", "/w", "/s", "/e", "/l")
