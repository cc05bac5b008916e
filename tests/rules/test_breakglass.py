"""When break-glass counts: two clocks, restarts, the floor, and for how long it is kept."""

from datetime import datetime, timedelta, timezone
from itertools import product

import pytest

from agent.model.reference import Repository
from agent.rules import breakglass, matching, precedence
from agent.rules.breakglass import KEPT_FOR, MOST_CLOSED, BreakGlass, Moment
from agent.rules.floor import STRICTEST, Floor
from agent.rules.precedence import Standing
from agent.rules.rule import EVERYTHING
from agent.rules.ruleset import ConfiguredBreakGlass, Denied, RuleSet

WALL = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
BEGIN = Moment(WALL, 1000.0, "this boot")
HOUR = timedelta(hours=1)
ENTRY = BreakGlass("a1", "r.example/shop/**", "INC-1", BEGIN, WALL + 2 * HOUR)
USUAL = Floor()
CART = Repository("r.example", "shop/cart")


def after(hours: float, *, wall: float | None = None, boot_id: str = "this boot", up: float | None = None) -> Moment:
    """A moment so many hours later: on the wall clock another number if `wall` says so, `up` hours after a boot."""
    passed = BEGIN.boot_seconds + hours * 3600 if up is None else up * 3600
    return Moment(WALL + (hours if wall is None else wall) * HOUR, passed, boot_id)


def why(now: Moment, entry: BreakGlass = ENTRY, floor: Floor = USUAL) -> str:
    """Why an entry doesn't count."""
    return breakglass.ended(entry, now, floor)


@pytest.mark.parametrize("hours", [0, 1, 1.999])
def test_it_counts_until_its_end(hours: float) -> None:
    assert why(after(hours)) == ""
    assert breakglass.left(ENTRY, after(hours)) == pytest.approx((2 - hours) * 3600)


@pytest.mark.parametrize(
    "now",
    [
        after(2),
        after(5),
        after(2, wall=1),
        after(1, wall=2),
        after(2, wall=1.99),
        after(0, wall=24 * 365 * 1000),
        after(3, boot_id="", up=3),
    ],
    ids=["both clocks", "long ago", "monotonic alone", "wall clock alone", "slow wall clock", "far ahead", "no boot"],
)
def test_the_earlier_of_both_ends_counts(now: Moment) -> None:
    assert why(now) == "its time is over"


@pytest.mark.parametrize("wall", [-24 * 365, -1, 0, 0.9])
def test_a_clock_that_is_set_back_ends_it(wall: float) -> None:
    assert why(after(1, wall=wall)) == "the clock was set back"


def test_a_clock_may_be_corrected_by_a_minute() -> None:
    assert why(after(1, wall=1 - 59 / 3600)) == ""
    assert why(after(0, wall=-59 / 3600)) == ""
    assert why(after(0, wall=-61 / 3600)) == "the clock was set back"


def test_a_clock_that_was_corrected_never_makes_it_last_longer() -> None:
    slow = after(1, wall=1 - 59 / 3600)
    assert breakglass.left(ENTRY, slow) == 3600
    fast = after(1, wall=1.5)
    assert breakglass.left(ENTRY, fast) == 1800


def test_after_a_restart_the_wall_clock_and_the_time_since_the_boot_count() -> None:
    assert why(after(1, boot_id="next", up=0.1)) == ""
    assert why(after(2, boot_id="next", up=0.1)) == "its time is over"
    assert why(after(1, boot_id="next", up=2)) == "its time is over"
    assert why(after(1, wall=0.1, boot_id="next", up=1)) == "the clock was set back"
    assert why(after(1, wall=-1, boot_id="next", up=0)) == "the clock was set back"


def test_where_nobody_can_name_a_boot_the_time_since_it_counts() -> None:
    nameless = ENTRY._replace(since=BEGIN._replace(boot_id=""))
    assert why(after(1, boot_id="", up=1.9), nameless) == "the clock was set back"
    assert why(after(1, boot_id="", up=2.1), nameless) == "its time is over"


def test_what_begins_later_than_now_does_not_count() -> None:
    assert why(Moment(WALL, 999.0, "this boot")) == "it has not begun"


@pytest.mark.parametrize("until", [WALL, WALL - HOUR, WALL - 10_000 * timedelta(days=1)])
def test_an_end_that_is_not_after_its_beginning_lets_nothing_pass(until: datetime) -> None:
    entry = ENTRY._replace(until=until)
    for now in (after(0), after(-0.5), after(0, wall=-2), after(1, boot_id="next", up=0)):
        assert why(now, entry)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_lets_nothing_pass(seconds: float) -> None:
    assert why(after(1)._replace(boot_seconds=seconds))
    assert why(after(1), ENTRY._replace(since=BEGIN._replace(boot_seconds=seconds)))


def test_one_that_was_ended_never_counts_again() -> None:
    closed = ENTRY._replace(closed=WALL + HOUR)
    for now in (after(0), after(0.5), after(1), after(3), after(1, wall=-5)):
        assert why(now, closed) == "it was ended"
    assert closed.end == WALL + HOUR
    assert why(after(0), ENTRY._replace(closed=ENTRY.until)) == "its time is over"


def test_nothing_counts_beyond_the_floor() -> None:
    assert why(after(0), floor=Floor(longest_break_glass=7200)) == ""
    assert why(after(0), floor=Floor(longest_break_glass=7199)) == "the floor allows 7199 s at most"
    assert why(after(0), floor=STRICTEST) == "the floor allows 0 s at most"
    everything = ENTRY._replace(match=EVERYTHING)
    assert why(after(0), everything) == "the floor allows none for all images"
    assert why(after(0), everything, Floor(break_glass_for_all=True)) == ""


_WORDS = (
    "*",
    "**",
    "a",
    "r.example",
    "docker.io",
    "localhost:5000",
    "",
    "***",
    "*a",
    "**:1",
    " **",
    "[::]",
    "A.EXAMPLE",
)
SPELLINGS = ["/".join(words) for length in (1, 2, 3) for words in product(_WORDS, repeat=length)]


def test_no_other_spelling_of_a_pattern_means_all_images() -> None:
    patterns = {matching.canonical(each) for each in SPELLINGS if not matching.complaint(each)}
    assert {"**", "r.example/**", "r.example/*", "localhost:5000/*/**"} < patterns
    elsewhere = [Repository(host, path) for host in ("nowhere.example", "o.example:444") for path in ("x", "x/y")]
    assert [each for each in patterns if any(matching.matches(each, other) for other in elsewhere)] == [EVERYTHING]


def test_what_is_over_is_ended_for_good_when_it_is_written_down() -> None:
    (kept,) = breakglass.kept([ENTRY], after(2.5))
    assert kept.closed == ENTRY.until
    assert why(after(1), kept) == "its time is over"


def test_what_is_over_stays_so_under_a_clock_that_is_set_back_and_a_restart() -> None:
    set_back = after(2.5, wall=-24)
    assert why(set_back) == "its time is over"
    (kept,) = breakglass.kept([ENTRY], set_back)
    assert why(after(0.5, boot_id="next", up=0.1)) == ""
    assert why(after(0.5, boot_id="next", up=0.1), kept) == "its time is over"


def test_an_end_behind_its_own_end_is_none() -> None:
    late = ENTRY._replace(closed=ENTRY.until + 24 * HOUR)
    assert late.end == ENTRY.until
    assert why(after(1), late) == "its time is over"
    assert breakglass.kept([late], after(2 + KEPT_FOR / HOUR)) == ()


def test_what_a_clock_that_is_set_back_stops_is_not_ended_for_good() -> None:
    assert breakglass.kept([ENTRY], after(1, wall=-1)) == (ENTRY,)


def test_what_ended_is_kept_for_seven_days() -> None:
    closed = ENTRY._replace(closed=WALL + HOUR)
    week = KEPT_FOR / HOUR
    assert breakglass.kept([closed], after(1 + week - 0.01)) == (closed,)
    assert breakglass.kept([closed], after(1 + week)) == ()
    assert breakglass.kept([ENTRY], after(2 + week)) == ()


def test_of_many_that_ended_the_last_are_kept_and_all_that_are_open() -> None:
    closed = [ENTRY._replace(id=f"c{i}", closed=WALL + timedelta(seconds=i)) for i in reversed(range(MOST_CLOSED + 50))]
    kept = breakglass.kept([*closed, ENTRY], after(1))
    assert [entry.id for entry in kept] == [*(f"c{i}" for i in range(50, MOST_CLOSED + 50)), "a1"]


def standing(**changes: object) -> Standing:
    """What holds a moment after the beginning."""
    usual = Standing(RuleSet(()), Floor(), after(0.1), "node-1", (ENTRY,))
    return usual._replace(**changes)  # type: ignore[arg-type]


def answer_line(found: Standing, repository: Repository = CART) -> str:
    """The line that is due before verification; empty if verification has to decide."""
    answer = precedence.before_verification(repository, "sha256:" + "5" * 64, "image", found)
    return answer.line() if answer else ""


def test_a_pull_that_it_lets_pass_names_it() -> None:
    assert answer_line(standing()) == (
        "allow NS-0005 rule=- ground=breakGlass: not verified: break-glass a1 until 2026-06-01T14:00:00Z: INC-1"
    )


def test_what_its_pattern_is_not_for_is_verified() -> None:
    assert answer_line(standing(), Repository("r.example", "other")) == ""
    assert answer_line(standing(), Repository("r.example:444", "shop/cart")) == ""


def test_it_never_lifts_what_is_denied() -> None:
    everything = ENTRY._replace(match=EVERYTHING)
    found = standing(
        ruleset=RuleSet((), deny=(Denied("r.example/shop/*"),)),
        break_glass=(ENTRY, everything),
        floor=Floor(break_glass_for_all=True),
    )
    assert answer_line(found).startswith("deny NS-2009 rule=-: on the deny list: r.example/shop/*")
    assert answer_line(found, Repository("r.example", "x")).startswith("allow NS-0005 ")


def test_one_that_ended_hides_none_that_counts() -> None:
    over = ENTRY._replace(id="a0", closed=WALL)
    assert " break-glass a1 until " in answer_line(standing(break_glass=(over, ENTRY)))
    assert answer_line(standing(break_glass=(over,))) == ""


def test_the_configurations_counts_once_it_has_begun_here() -> None:
    configured = ConfiguredBreakGlass("r.example/shop/**", WALL + 3 * HOUR, "INC-2")
    ruleset = RuleSet((), break_glass=(configured,))
    assert answer_line(standing(ruleset=ruleset, break_glass=())) == ""
    begun = standing(ruleset=ruleset, break_glass=(), begun={configured: BEGIN})
    assert f" break-glass {configured.id} until 2026-06-01T15:00:00Z: INC-2" in answer_line(begun)
    assert answer_line(begun._replace(floor=Floor(longest_break_glass=3600))) == ""
    assert answer_line(begun._replace(moment=after(2, wall=0.5))) == ""


@pytest.mark.parametrize(
    "other",
    [
        ConfiguredBreakGlass("r.example/shop/*", WALL, "INC-2"),
        ConfiguredBreakGlass("r.example/shop/**", WALL + HOUR, "INC-2"),
        ConfiguredBreakGlass("r.example/shop/**", WALL, "INC-3"),
    ],
)
def test_the_configurations_are_named_by_what_they_say(other: ConfiguredBreakGlass) -> None:
    entry = ConfiguredBreakGlass("r.example/shop/**", WALL, "INC-2")
    assert entry.id == ConfiguredBreakGlass(*entry).id
    assert entry.id.startswith("config-")
    assert other.id != entry.id
