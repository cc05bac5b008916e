"""What of a configuration is below the floor of the node that it is for, and what of it weakens verification.

The first is an error that names the floor; the second a warning, so that nobody weakens anything without having read
it.  Pure: the floor and the time come in.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from agent.config import checking, times
from agent.config.checking import Finding
from agent.config.plugins import at
from agent.errors import Cause
from agent.rules import failure, matching
from agent.rules.floor import NEVER_IGNORED, Floor
from agent.rules.rule import ACTIONS, ENFORCEMENTS, EVERYTHING, Enforcement, FailureAction
from agent.rules.ruleset import ConfiguredBreakGlass, Exemption

BOOTSTRAP = "/etc/nodeseal/bootstrap.json"
_FLOOR = f"the floor of this node ({BOOTSTRAP})"


def terms(given: object, path: checking.Path, floor: Floor, *, exact_host: bool) -> Iterator[Finding]:
    """What is below the floor in `enforcement`, `failurePolicy` and `rollout` of the rule or default `given`.

    `exact_host`: every pattern of the rule names its host.
    """
    word = at(given, "enforcement")
    if word in [each.value for each in ENFORCEMENTS]:
        enforcement = Enforcement(word)
        if floor.raised(enforcement) is not enforcement:
            yield Finding((*path, "enforcement"), checking.shown(word), _no_less(floor.enforcement.value))
    percent = at(given, "rollout", "percent")
    if isinstance(percent, int) and percent < 100 and floor.enforcement is Enforcement.ENFORCE:
        yield Finding((*path, "rollout", "percent"), str(percent), _no_less("100 (Enforce on every node)"))
    words = at(given, "failurePolicy")
    if isinstance(words, str):
        yield from _action(None, words, (*path, "failurePolicy"), floor, exact_host)
    for key, action in words.items() if isinstance(words, Mapping) else ():
        cause = None if key == "default" else next((each for each in Cause if each.value == key), None)
        if key == "default" or cause:
            yield from _action(cause, action, (*path, "failurePolicy", key), floor, exact_host)


def exemption(entry: Exemption, path: checking.Path, floor: Floor) -> Finding | None:
    """What is below the floor in an exemption."""
    if entry.digests or any(matching.includes(pattern, entry.match) for pattern in floor.without_digest):
        return None
    return Finding(path, "no digests", f"digests: {_FLOOR} lets nothing of {entry.match} lack them")


def break_glass(entry: ConfiguredBreakGlass, path: checking.Path, floor: Floor, now: datetime) -> Iterator[Finding]:
    """What is below the floor in a break-glass."""
    if entry.match == EVERYTHING and not floor.break_glass_for_all:
        yield Finding((*path, "match"), '"**"', f"a narrower pattern: {_FLOOR} allows none for all images")
    left = (entry.until - now).total_seconds()
    if left > floor.longest_break_glass:
        expected = f"an end within {times.length(floor.longest_break_glass)}: {_FLOOR} allows no longer break-glass"
        yield Finding((*path, "until"), f"{entry.until:%Y-%m-%dT%H:%M:%SZ}", expected)


def _action(
    cause: Cause | None, word: object, path: checking.Path, floor: Floor, exact_host: bool
) -> Iterator[Finding]:
    if word not in [each.value for each in ACTIONS]:
        return  # the schema's check has told
    action = FailureAction(word)
    lowest = floor.failure_policy.written(cause) if cause else floor.failure_policy.default
    if ACTIONS.index(action) < ACTIONS.index(lowest):
        yield Finding(path, checking.shown(word), _no_less(lowest.value))
    elif cause and failure.limited(cause, action, exact_host=exact_host) is not action:
        why = "what somebody can bring about from afar"
        yield Finding(path, checking.shown(word), f"IgnoreIfVerifiedBefore, which it means: {why}", fatal=False)
    elif cause is None and any(floor.action(each, action) is not action for each in NEVER_IGNORED):
        causes = " and ".join(each.value for each in NEVER_IGNORED)
        yield Finding(path, checking.shown(word), f"to know that {causes} stay what {_FLOOR} says", fatal=False)


def _no_less(lowest: str) -> str:
    return f"at least {lowest}: {_FLOOR} allows no less"
