"""Break-glass: images pass unverified for a while, because somebody said so and why.

Always with an end: a wall-clock time, and a time on the clock that runs since this boot, whichever comes first.  A
wall clock that was set back ends it: its holder could make it last.  Never more than the floor allows; a deny list goes
before it (`agent.rules.precedence`).  Pure: the moment comes in.

What can't be compared doesn't count: every comparison here is false for a number that is none.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from agent.rules.floor import Floor
from agent.rules.rule import EVERYTHING

SLACK = timedelta(seconds=60)
"""How far a wall clock may be corrected backwards, beside the clock since boot: time services do that."""

KEPT_FOR = timedelta(days=7)
"""For how long one that ended is still listed: as long as somebody may ask what it let in."""

MOST_OPEN = 100
"""Most of a node's own that are not ended: each is compared with every pull."""

MOST_CLOSED = 200
"""Most of a node's own that ended and are still listed."""

MAX_REASON = 200
"""Longest reason, in characters: it stands in every line."""

_OVER = "its time is over"
_SET_BACK = "the clock was set back"


class Moment(NamedTuple):
    """One moment on both clocks: `wall` (UTC), and seconds since the boot that `boot_id` names."""

    wall: datetime
    boot_seconds: float
    boot_id: str


class BreakGlass(NamedTuple):
    """`match` is a pattern over repositories.  `since` is when it began on this node, `until` its wall-clock end.

    `id` names it to people and in records.  `closed` is when it was ended for good, whatever the clocks say later; None
    if it was not.
    """

    id: str
    match: str
    reason: str
    since: Moment
    until: datetime
    closed: datetime | None = None

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return (self.until - self.since.wall).total_seconds()

    @property
    def end(self) -> datetime:
        """When it ended, or will."""
        return self.until if self.closed is None else min(self.until, self.closed)


def ended(entry: BreakGlass, now: Moment, floor: Floor) -> str:
    """Why `entry` doesn't count any more, or never did; empty if it counts."""
    if entry.closed is not None:
        return "it was ended" if entry.closed < entry.until else _OVER
    if entry.match == EVERYTHING and not floor.break_glass_for_all:
        return "the floor allows none for all images"
    if not entry.seconds <= floor.longest_break_glass:
        return f"the floor allows {floor.longest_break_glass:g} s at most"
    return _ended_by_time(entry, now)


def left(entry: BreakGlass, now: Moment) -> float:
    """For how many seconds an entry that counts goes on counting, if nobody ends it."""
    return min((entry.until - now.wall).total_seconds(), entry.seconds - _passed(entry, now))


def kept(entries: Iterable[BreakGlass], now: Moment) -> tuple[BreakGlass, ...]:
    """`entries` as they are written down: whose time is over is ended for good, and what ended long ago is left out.

    Without that, a clock that is set back between two boots could bring one to life again.
    """
    found = [
        entry._replace(closed=entry.until) if entry.closed is None and _ended_by_time(entry, now) == _OVER else entry
        for entry in entries
    ]
    closed = [entry for entry in found if entry.closed is not None and now.wall - entry.end < KEPT_FOR]
    closed.sort(key=lambda entry: entry.end)
    return (*closed[-MOST_CLOSED:], *(entry for entry in found if entry.closed is None))


def _ended_by_time(entry: BreakGlass, now: Moment) -> str:
    if now.wall >= entry.until:
        return _OVER
    # On both clocks since it began, not since an end: nothing here can leave the range of a time.
    ran, passed = (now.wall - entry.since.wall).total_seconds(), _passed(entry, now)
    if not passed < entry.seconds:
        return _OVER  # whatever the wall clock says by now: this end is for good
    if passed < 0:
        return "it has not begun"
    return "" if ran >= passed - SLACK.total_seconds() else _SET_BACK


def _passed(entry: BreakGlass, now: Moment) -> float:
    """How many seconds at least have passed since it began, on the clock that nobody sets.

    After a restart it is not known how long the node was down: since it came up, that many have passed.
    """
    if now.boot_id and now.boot_id == entry.since.boot_id:
        return now.boot_seconds - entry.since.boot_seconds
    return now.boot_seconds
