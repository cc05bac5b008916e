"""How old a cluster's configuration is: the clock that nobody sets tells, and after a restart the wall clock."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rules import age
from agent.rules.age import NEVER, Stage
from agent.rules.breakglass import Moment
from agent.rules.precedence import Standing
from tests.engines import DEFAULT_RULE, one_rule, standing

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
DAY, HOUR = 86400.0, 3600.0
INFINITE = float("inf")


def at(wall: float, boot: float, name: str = "this") -> Moment:
    """So many seconds after `NOW`, and after a boot."""
    return Moment(NOW + timedelta(seconds=wall), boot, name)


def holding(complete: Moment | None, now: Moment, greatest: float = 7 * DAY) -> Standing:
    """What holds at a moment."""
    config = one_rule(DEFAULT_RULE.policy, (), {})
    ruleset = config.ruleset._replace(greatest_age=greatest, from_cluster=True)
    return standing(config._replace(ruleset=ruleset), moment=now, complete=complete)


@pytest.mark.parametrize(
    ("complete", "now", "seconds"),
    [
        (at(0, 100), at(60, 160), 60),
        (at(0, 100), at(-9 * DAY, 160), 60),  # a clock that was set back makes nothing younger
        (at(0, 100), at(9 * DAY, 160), 60),  # nor does one that was set forward make it older
        (at(0, 160), at(60, 100), INFINITE),  # the same boot runs backwards nowhere
        (at(0, 100, "before"), at(2 * DAY, 50), 2 * DAY),
        (at(0, 100, "before"), at(2 * DAY, 3 * DAY), 3 * DAY),  # up for longer than the wall clock tells
        (at(0, 100, "before"), at(-30, 5), 5),  # as time services correct it
        (at(0, 100, "before"), at(-61, 5), INFINITE),
        (at(0, 0, ""), at(HOUR, 9 * DAY), HOUR),  # nobody knows in which boot that was
        (at(0, 9 * DAY, "this"), at(HOUR, 9 * DAY, ""), HOUR),
        (at(0, 5, ""), at(HOUR, 5, ""), HOUR),
    ],
)
def test_how_long_ago_it_was_complete(complete: Moment, now: Moment, seconds: float) -> None:
    assert age.passed(complete, now) == seconds


def test_its_end_is_at_the_greatest_age_to_the_second() -> None:
    complete = at(0, 0)
    stages = {
        seconds: age.stage(holding(complete, at(seconds, seconds)))
        for seconds in (0, 3.5 * DAY - 1, 3.5 * DAY, 7 * DAY - 1, 7 * DAY, 70 * DAY)
    }
    assert list(stages.values()) == [
        Stage.CURRENT, Stage.CURRENT, Stage.OLD, Stage.OLD, Stage.STALE, Stage.STALE,
    ]  # fmt: skip
    assert [bool(age.complaint(holding(complete, at(s, s)))) for s in stages] == [False] * 4 + [True] * 2


def test_what_has_no_such_end_never_ends() -> None:
    held = holding(None, at(0, 0))
    assert (age.left(held), age.ends(held), age.stage(held)) == (None, None, Stage.CURRENT)
    assert age.complaint(held) == ""
    assert age.bounded(NOW, held, None) == NOW


def test_of_which_nobody_knows_when_it_was_complete_counts_no_more() -> None:
    text = age.complaint(holding(NEVER, at(0, 100), HOUR))
    assert text == "got no time at which the API server last told all of it; expected one within 1 h"
    assert age.ends(holding(at(0, 160), at(60, 100))) is None


def test_who_is_refused_reads_since_when() -> None:
    text = age.complaint(holding(at(0, 0), at(9 * DAY, 9 * DAY)))
    assert text == "the API server last told all of it at 2026-06-01T12:00:00Z; expected it to within 168 h"


@given(
    st.floats(0, 20 * DAY), st.floats(0, 20 * DAY), st.floats(-20 * DAY, 20 * DAY), st.floats(0, 20 * DAY),
    st.sampled_from(["this", "before", ""]),
)  # fmt: skip
def test_an_answer_ends_when_the_configuration_does(
    told: float, boot: float, wall: float, later: float, name: str
) -> None:
    held = holding(at(0, told, name), at(wall, boot))
    if age.stage(held) is Stage.STALE:
        return
    end = age.bounded(held.moment.wall + timedelta(seconds=later), held, None)
    passed = (end - held.moment.wall).total_seconds()
    assert 0 <= passed <= later + 1e-6
    after = held._replace(moment=at(wall + passed + 1, boot + passed + 1))
    assert end == held.moment.wall + timedelta(seconds=later) or age.stage(after) is Stage.STALE
