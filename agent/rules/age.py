"""For how long a configuration from a cluster counts after the cluster last said all of it (`maxSnapshotAge`).

Who cuts a node off from its API server keeps from it what was denied or distrusted since.  So there is an end to that:
from then on nobody can tell what the rules are, and the failure policies decide under `configurationStale`.  A
configuration of a folder has no such end: nobody else says what is in it.

The same with keys that were fetched, for the rules that need them, under `keyProvider`.

As long as the node has not been restarted, the clock that nobody sets tells how much time has passed; a wall clock that
jumps says nothing.  After a restart the wall clock is all there is, and one that stands before the last complete list
tells nothing: that was too long ago.  Pure: the moment comes in.
"""

from datetime import datetime, timedelta, timezone
from enum import Enum

from agent.errors import Cause
from agent.rules.breakglass import SLACK, Moment
from agent.rules.precedence import Standing
from agent.rules.rule import KeysUsed, Rule

NEVER = Moment(datetime.min.replace(tzinfo=timezone.utc), 0.0, "")
"""When a list came of which nobody knows when: too long ago."""

_TIME = "%Y-%m-%dT%H:%M:%SZ"


class Stage(Enum):
    """How far a configuration is on its way to being too old; past half of it people are told."""

    CURRENT = 0
    OLD = 1
    STALE = 2


def passed(complete: Moment, now: Moment) -> float:
    """How many seconds ago `complete` was; infinitely many if the clocks can't tell."""
    if now.boot_id and now.boot_id == complete.boot_id:
        seconds = now.boot_seconds - complete.boot_seconds
        return seconds if seconds >= 0 else float("inf")
    seconds = (now.wall - complete.wall).total_seconds()
    if seconds < -SLACK.total_seconds():
        return float("inf")
    # It was before this boot, if both have a name: since then that many have passed, whatever the wall clock says.
    return max(seconds, now.boot_seconds if now.boot_id and complete.boot_id else 0.0)


def left(standing: Standing) -> float | None:
    """For how many seconds the configuration still counts, 0 or less for no more; None if it has no such end."""
    if standing.complete is None:
        return None
    return standing.ruleset.greatest_age - passed(standing.complete, standing.moment)


def stage(standing: Standing) -> Stage:
    """Whether half of the time is over, or all of it."""
    seconds = left(standing)
    if seconds is None or seconds > standing.ruleset.greatest_age / 2:
        return Stage.CURRENT
    return Stage.OLD if seconds > 0 else Stage.STALE


def ends(standing: Standing) -> datetime | None:
    """When it ends on the wall clock, if nobody sets that; None if it has no such end, or nobody can tell when."""
    seconds = left(standing)
    if seconds is None or seconds == float("-inf"):
        return None
    return standing.moment.wall + timedelta(seconds=seconds)


def bounded(until: datetime, standing: Standing, rule: Rule | None) -> datetime:
    """`until`, or the configuration's end, or that of the rule's keys, if that is before."""
    found = [until, ends(standing), *(keys_end(used, standing) for used in (rule.keys if rule else ()))]
    return min(end for end in found if end is not None)


def keys_left(used: KeysUsed, standing: Standing) -> float:
    """For how many seconds fetched keys still count, 0 or less for no more."""
    return used.keep_for - passed(standing.fetched.get(used.source, NEVER), standing.moment)


def keys_end(used: KeysUsed, standing: Standing) -> datetime | None:
    """When they end on the wall clock, if nobody sets that; None if nobody can tell when."""
    seconds = keys_left(used, standing)
    return None if seconds == float("-inf") else standing.moment.wall + timedelta(seconds=seconds)


def trouble(standing: Standing, rule: Rule | None) -> tuple[Cause, str] | None:
    """Why nothing can be verified under a rule though there is a configuration; None if it can."""
    stale = complaint(standing)
    if stale:
        return Cause.CONFIGURATION_STALE, stale
    for used in rule.keys if rule else ():
        if keys_left(used, standing) <= 0:
            since = standing.fetched.get(used.source, NEVER)
            at = "nobody knows when" if since == NEVER else f"at {since.wall:{_TIME}}"
            got = f"the keys of {used.name} were last fetched {at}"
            return Cause.KEY_PROVIDER, f"{got}; expected them to be within {used.keep_for / 3600:g} h"
    return None


def complaint(standing: Standing) -> str:
    """What is to be told of a configuration that is too old; empty if it counts."""
    if standing.complete is None or stage(standing) is not Stage.STALE:
        return ""
    within = f"within {standing.ruleset.greatest_age / 3600:g} h"
    if standing.complete == NEVER:
        return f"got no time at which the API server last told all of it; expected one {within}"
    return f"the API server last told all of it at {standing.complete.wall:{_TIME}}; expected it to {within}"
