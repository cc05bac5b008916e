"""How long verdicts are used again: allowances long, denials short and growing, "cannot tell" for seconds."""

from datetime import datetime, timedelta, timezone

import pytest

from agent.errors import Cause, Code
from agent.model.verdict import NOTHING, Decision, Known, Memory, Remembered, Verdict
from agent.rules.lifetimes import MOST_REPEATS, fresh_until, remembered
from agent.rules.ruleset import Lifetimes

NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
ALLOW = Verdict(Decision.ALLOW, Code.VERIFIED, "1 of 1 signatures verified")
DENY = Verdict(Decision.DENY, Code.NO_EVIDENCE, "no signature found")
UNKNOWN = Verdict(Decision.CANNOT_TELL, Code.DEADLINE, "deadline: slow", (Cause.DEADLINE,))
VERIFIED = Remembered(NOW - HOUR, None)


def fresh_for(memory: Memory) -> float:
    """Seconds."""
    assert memory.last is not None
    return (memory.last.fresh_until - memory.last.at).total_seconds()


@pytest.mark.parametrize(("verdict", "seconds"), [(ALLOW, 86400), (DENY, 10), (UNKNOWN, 5)])
def test_each_decision_has_its_lifetime(verdict: Verdict, seconds: float) -> None:
    memory = remembered(verdict, NOTHING, NOW, Lifetimes())
    assert fresh_for(memory) == seconds
    assert memory.last == Known(verdict, NOW, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"usable_until": NOW + HOUR}, 3600),
        ({"told_until": NOW + 2 * HOUR}, 7200),
        ({"fresh_for": 60.0}, 60),
        ({"fresh_for": 0.0}, 0),
        ({"usable_until": NOW + HOUR, "told_until": NOW + 2 * HOUR, "fresh_for": 1800.0}, 1800),
        ({"usable_until": NOW + 100 * HOUR}, 86400),
    ],
)
def test_an_allowance_lives_no_longer_than_what_it_rests_on(changes: dict[str, object], seconds: float) -> None:
    assert fresh_for(remembered(ALLOW._replace(**changes), NOTHING, NOW, Lifetimes())) == seconds  # type: ignore[arg-type]


def test_an_allowance_is_a_verification_and_one_without_evidence_is_none() -> None:
    end = NOW + HOUR
    assert remembered(ALLOW._replace(usable_until=end), NOTHING, NOW, Lifetimes()).verified == Remembered(NOW, end)
    unverified = ALLOW._replace(code=Code.NOT_VERIFIED)
    assert remembered(unverified, Memory(VERIFIED), NOW, Lifetimes()).verified is None


def test_a_denial_lives_longer_with_each_repeat_up_to_the_kubelets_five_minutes() -> None:
    memory, now, lived = NOTHING, NOW, []
    for _ in range(8):
        memory = remembered(DENY, memory, now, Lifetimes())
        lived.append(fresh_for(memory))
        assert memory.last is not None
        now = memory.last.fresh_until
    assert lived == [10, 20, 40, 80, 160, 300, 300, 300]


def test_a_denial_long_after_the_last_one_is_a_first_one_again() -> None:
    memory = remembered(DENY, remembered(DENY, NOTHING, NOW, Lifetimes()), NOW + HOUR, Lifetimes())
    assert fresh_for(memory) == 10


def test_a_denial_after_an_allowance_is_a_first_one_and_wipes_out_what_was_verified() -> None:
    memory = remembered(DENY, remembered(ALLOW, NOTHING, NOW, Lifetimes()), NOW, Lifetimes())
    assert memory.verified is None
    assert fresh_for(memory) == 10


def test_a_denial_of_a_time_to_come_does_not_count() -> None:
    memory = remembered(DENY, remembered(DENY, NOTHING, NOW + HOUR, Lifetimes()), NOW, Lifetimes())
    assert fresh_for(memory) == 10


def test_however_many_repeats_there_were_they_are_counted_no_further() -> None:
    memory, now = NOTHING, NOW
    for _ in range(MOST_REPEATS + 5):
        memory = remembered(DENY, memory, now, Lifetimes())
        assert memory.last is not None
        now = memory.last.fresh_until
    assert memory.last is not None
    assert memory.last.repeats == MOST_REPEATS


def test_cannot_tell_takes_nothing_from_what_was_verified() -> None:
    memory = remembered(UNKNOWN, Memory(VERIFIED, Known(ALLOW, NOW - HOUR, NOW)), NOW, Lifetimes())
    assert memory.verified == VERIFIED
    assert memory.last == Known(UNKNOWN, NOW, NOW + timedelta(seconds=5))


def test_cannot_tell_between_denials_ends_their_row() -> None:
    memory = remembered(UNKNOWN, remembered(DENY, NOTHING, NOW, Lifetimes()), NOW, Lifetimes())
    assert fresh_for(remembered(DENY, memory, NOW, Lifetimes())) == 10


def test_what_the_operator_writes_holds_and_nothing_at_all_is_possible() -> None:
    lifetimes = Lifetimes(allow=60, deny_first=0, deny_most=0, cannot_tell=0)
    assert [fresh_for(remembered(each, NOTHING, NOW, lifetimes)) for each in (ALLOW, DENY, UNKNOWN)] == [60, 0, 0]


def test_a_first_denial_lives_no_longer_than_any_may() -> None:
    assert fresh_for(remembered(DENY, NOTHING, NOW, Lifetimes(deny_first=600, deny_most=30))) == 30


def test_the_report_is_not_remembered() -> None:
    from agent.model.report import Report

    memory = remembered(DENY._replace(report=Report("s")), NOTHING, NOW, Lifetimes())
    assert memory.last is not None
    assert memory.last.verdict.report is None


@pytest.mark.parametrize(("seconds", "fresh"), [(-1, False), (0, True), (59, True), (60, False)])
def test_it_is_used_from_its_time_to_its_end(seconds: float, fresh: bool) -> None:
    known = Known(ALLOW, NOW, NOW + timedelta(minutes=1))
    assert known.is_fresh(NOW + timedelta(seconds=seconds)) is fresh


@pytest.mark.parametrize(
    ("verdict", "repeats", "lifetimes", "seconds"),
    [
        (ALLOW, 0, Lifetimes(), 3600),
        (ALLOW, 0, Lifetimes(allow=60.0), 60),
        (ALLOW, 0, Lifetimes(allow=0.0), 0),
        (DENY, 2, Lifetimes(deny_first=1.0), 4),
        (DENY, 10**9, Lifetimes(), 300),
        (UNKNOWN, 0, Lifetimes(cannot_tell=2.0), 2),
    ],
)
def test_what_is_remembered_lives_no_longer_than_is_written_now(
    verdict: Verdict, repeats: int, lifetimes: Lifetimes, seconds: float
) -> None:
    known = Known(verdict, NOW, NOW + HOUR, repeats)
    assert fresh_until(known, lifetimes) == NOW + timedelta(seconds=seconds)
