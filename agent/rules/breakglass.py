"""Break-glass: images pass unverified for a while, because somebody said so and why.

Always with an end: a wall-clock time, and a time on the clock that runs since this boot, whichever comes first.  A
wall clock that was set back ends it: its holder could make it last.  Never more than the floor allows; a deny list goes
before it (`agent.rules.precedence`).  Pure: the moment comes in.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from agent.rules.floor import Floor
from agent.rules.rule import EVERYTHING

SLACK = timedelta(seconds=60)
"""How far a wall clock may be corrected backwards, beside the clock since boot: time services do that."""


class Moment(NamedTuple):
    """One moment on both clocks: `wall` (UTC), and seconds since the boot that `boot_id` names."""

    wall: datetime
    boot_seconds: float
    boot_id: str


class BreakGlass(NamedTuple):
    """`match` is a pattern over repositories.  `since` is when it began on this node, `until` its wall-clock end.

    `id` names it to people; it is empty for one that stands in the configuration.
    """

    id: str
    match: str
    reason: str
    since: Moment
    until: datetime

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return (self.until - self.since.wall).total_seconds()


def ended(entry: BreakGlass, now: Moment, floor: Floor) -> str:
    """Why `entry` doesn't count any more, or never did; empty if it counts."""
    if entry.match == EVERYTHING and not floor.break_glass_for_all:
        return "the floor allows none for all images"
    if entry.seconds > floor.longest_break_glass:
        return f"the floor allows {floor.longest_break_glass:g} s at most"
    if now.wall >= entry.until:
        return "its time is over"
    if now.wall < entry.since.wall - SLACK:
        return "the clock was set back"
    if now.boot_id != entry.since.boot_id:
        # How long the node was down is not known: since it came up, the whole time must not have passed.
        return "its time is over" if now.boot_seconds >= entry.seconds else ""
    passed = timedelta(seconds=now.boot_seconds - entry.since.boot_seconds)
    if not timedelta(0) <= passed < timedelta(seconds=entry.seconds):
        return "its time is over"
    if now.wall < entry.since.wall + passed - SLACK:
        return "the clock was set back"
    return ""
