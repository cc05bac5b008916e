"""How often a node may be mended, and when to say that somebody else undoes it.  Pure: times come in.

1. An attempt may follow another one after a pause that doubles with each attempt of the last day, up to an hour.
2. Whoever finds one file in need again and again has another party for it: it is contested, and named.
3. After some failures in a row nothing is tried any more until the node is otherwise.  That forgives the failures, not
   the pause: a party that changes files all the time gets no more attempts by that.
"""

from collections import Counter
from typing import NamedTuple

from agent.wiring.steps import Change, Place, Step, Switch, Wire, Write

FIRST = 60.0
"""Seconds between the first attempt and the second."""

MOST = 3600.0
"""Most seconds between two."""

WINDOW = 86400.0
"""Seconds for which an attempt counts."""

CONTESTED = 3
"""Times within the window that one path is mended until it is contested."""

GIVE_UP = 5
"""Failures in a row after which nothing is tried any more."""

_MOST_ATTEMPTS = 200  # of a day: there is one an hour once it is slow
_MOST_DOUBLINGS = 20


class _Attempt(NamedTuple):
    at: float
    paths: tuple[str, ...]


class Pace:
    """The attempts at one node.  `now` is always seconds of one monotonic clock."""

    def __init__(self, first: float = FIRST) -> None:
        """`first` is the pause after the first attempt, in seconds."""
        self._first = first
        self._attempts: list[_Attempt] = []
        self._vain_at: object = None
        self.failures = 0
        """How many in a row."""

    def note(self, now: float, paths: tuple[str, ...], *, failed: bool = False) -> None:
        """Note an attempt at these paths."""
        self._attempts = [*self._recent(now), _Attempt(now, paths)][-_MOST_ATTEMPTS:]
        self.failures = self.failures + 1 if failed else 0

    def due(self, now: float) -> float:
        """When the next attempt may be made; not after `now` if it may be made now."""
        recent = self._recent(now)
        if not recent:
            return now
        return recent[-1].at + min(self._first * 2.0 ** min(len(recent) - 1, _MOST_DOUBLINGS), MOST)

    def contested(self, now: float) -> dict[str, int]:
        """Paths that are mended again and again, and how many times within the window."""
        counts = Counter(path for each in self._recent(now) for path in set(each.paths))
        return {path: count for path, count in sorted(counts.items()) if count >= CONTESTED}

    def gave_up(self, node: object) -> bool:
        """Whether nothing is to be tried on a node that is so; one that is otherwise than it was is tried anew."""
        if self.failures < GIVE_UP:
            return False
        if self._vain_at != node:
            self.failures = 0
            return False
        return True

    def give_up(self, node: object) -> bool:
        """After a failure: whether that was the last one, with a node that is so now."""
        self._vain_at = node
        return self.failures >= GIVE_UP

    def _recent(self, now: float) -> list[_Attempt]:
        return [each for each in self._attempts if now - each.at < WINDOW]


def mended(steps: tuple[Step, ...]) -> tuple[str, ...]:
    """The paths that steps set right."""
    return tuple(step.path for step in steps if isinstance(step, Place | Write | Change | Switch | Wire))
