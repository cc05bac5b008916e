"""What "cannot tell" means where several causes, other lengths of time, or odd memories come together."""

import itertools
from datetime import datetime, timedelta, timezone

import pytest

from agent.errors import Cause
from agent.model.verdict import Remembered
from agent.rules import failure
from agent.rules.floor import STRICTEST, Floor
from agent.rules.rule import ACTIONS, FailureAction, FailurePolicy
from agent.rules.ruleset import Staleness

NOW = datetime(2027, 3, 1, 12, tzinfo=timezone.utc)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
FAIL, IGNORE, IF_BEFORE = FailureAction.FAIL, FailureAction.IGNORE, FailureAction.IGNORE_IF_VERIFIED_BEFORE
IGNORING = FailurePolicy(IGNORE)
OPEN = Floor(failure_policy=FailurePolicy(IGNORE))


@pytest.mark.parametrize(("one", "other"), list(itertools.product(ACTIONS, repeat=2)))
def test_of_several_causes_the_strictest_action_decides(one: FailureAction, other: FailureAction) -> None:
    policy = FailurePolicy(FAIL, {Cause.CLOCK_IMPLAUSIBLE: one, Cause.REVOCATION_UNKNOWN: other})
    causes = (Cause.CLOCK_IMPLAUSIBLE, Cause.REVOCATION_UNKNOWN)
    wanted = max(one, other, key=ACTIONS.index)
    assert failure.action(policy, causes, exact_host=True, floor=OPEN) is wanted
    assert failure.action(policy, causes[::-1], exact_host=True, floor=OPEN) is wanted


def test_limit_of_one_cause_holds_for_all_that_come_with_it() -> None:
    both = (Cause.CONFIGURATION_MISSING, Cause.DEADLINE)
    assert failure.action(IGNORING, both[:1], exact_host=True, floor=OPEN) is IGNORE
    assert failure.action(IGNORING, both, exact_host=True, floor=OPEN) is IF_BEFORE


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("exact_host", [True, False])
def test_limits_are_these_and_raise_only_what_ignores(cause: Cause, exact_host: bool) -> None:
    by_registry = (Cause.REGISTRY_UNAVAILABLE, Cause.UNAUTHORIZED, Cause.CREDENTIALS_UNAVAILABLE)
    from_afar = (
        Cause.DEADLINE, Cause.THROTTLED, Cause.CONFIGURATION_STALE, Cause.KEY_PROVIDER, Cause.TRUST_ROOT_STALE,
    )  # fmt: skip
    limited = cause in from_afar or (cause in by_registry and not exact_host)
    found = {action: failure.limited(cause, action, exact_host=exact_host) for action in ACTIONS}
    assert found == {IGNORE: IF_BEFORE if limited else IGNORE, IF_BEFORE: IF_BEFORE, FAIL: FAIL}


@pytest.mark.parametrize("cause", Cause)
def test_strictest_floor_ignores_nothing(cause: Cause) -> None:
    assert failure.action(IGNORING, (cause,), exact_host=True, floor=STRICTEST) is FAIL


def test_cause_without_a_word_has_the_default() -> None:
    policy = FailurePolicy(IF_BEFORE, {Cause.UNAUTHORIZED: FAIL})
    assert failure.action(policy, (Cause.UNAUTHORIZED,), exact_host=True, floor=OPEN) is FAIL
    assert failure.action(policy, (Cause.REGISTRY_UNAVAILABLE,), exact_host=True, floor=OPEN) is IF_BEFORE


def verified(ago: timedelta, usable_for: timedelta | None = 100 * HOUR) -> Remembered:
    """An image that was verified some time ago."""
    return Remembered(NOW - ago, None if usable_for is None else NOW + usable_for)


REGISTRY, REVOCATION = (Cause.REGISTRY_UNAVAILABLE,), (Cause.REVOCATION_UNKNOWN,)
STALE = Staleness(registry=2 * 3600.0, revocation=3600.0)


@pytest.mark.parametrize(
    ("before", "causes", "stale", "usable"),
    [
        (verified(2 * HOUR - SECOND), REGISTRY, STALE, True),
        (verified(2 * HOUR), REGISTRY, STALE, False),
        (verified(24 * HOUR - SECOND), REGISTRY, Staleness(), True),
        (verified(24 * HOUR), REGISTRY, Staleness(), False),
        (verified(0 * HOUR), REGISTRY, Staleness(0.0), False),
        (verified(HOUR - SECOND), REVOCATION, STALE, True),
        (verified(HOUR), REVOCATION, STALE, False),
        (verified(0 * HOUR), REVOCATION, Staleness(), False),
        (verified(HOUR), REGISTRY + REVOCATION, STALE, False),
        (verified(HOUR - SECOND), REGISTRY + REVOCATION, STALE, True),
        (verified(SECOND), (*REGISTRY, Cause.CONFIGURATION_MISSING), STALE, False),
        (verified(SECOND, None), REGISTRY, STALE, True),
        (verified(SECOND, SECOND), REGISTRY, STALE, True),
        (verified(SECOND, 0 * SECOND), REGISTRY, STALE, False),
        (verified(-SECOND), REGISTRY, STALE, False),
        (verified(-SECOND), REVOCATION, STALE, False),
    ],
)
def test_earlier_verification_stands_in_within_the_shortest_time_of_all_causes(
    before: Remembered, causes: tuple[Cause, ...], stale: Staleness, usable: bool
) -> None:
    assert failure.is_stale_but_usable(before, causes, stale, NOW) is usable


@pytest.mark.parametrize("cause", [each for each in Cause if each.name.startswith(("CONFIGURATION", "CLOCK", "KEY"))])
def test_what_has_no_length_of_its_own_is_never_stale(cause: Cause) -> None:
    assert not failure.is_stale_but_usable(verified(SECOND), (cause,), Staleness(1e9, 1e9), NOW)


def test_verification_from_the_future_or_after_its_end_counts_for_nothing() -> None:
    assert verified(SECOND).counts(NOW)
    assert verified(1000 * HOUR, None).counts(NOW)
    assert not verified(-SECOND).counts(NOW)
    assert not verified(HOUR, 0 * SECOND).counts(NOW)
