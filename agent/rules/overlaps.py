"""Patterns of two documents that share a repository.  Pure; not on the pull path.

Both sets are walked at once, segment by segment, so that a thousand patterns are compared with a thousand others in
about as many steps as they have segments in common.
"""

from collections.abc import Iterable
from typing import NamedTuple

_ANY, _REST = "*", "**"


class Patterns:
    """A set of patterns, in their one spelling (`agent.rules.matching`), as a tree of their segments."""

    __slots__ = ("_root",)

    def __init__(self, patterns: Iterable[str]) -> None:
        """`patterns` are valid: `matching` has no complaint about them."""
        self._root = _Node({}, "")
        for pattern in sorted(patterns):
            node = self._root
            for segment in pattern.split("/"):
                node = node.below.setdefault(segment, _Node({}, ""))
            node.below[""] = _Node({}, pattern)

    def first_shared(self, other: "Patterns") -> tuple[str, str] | None:
        """A pattern of each, such that both match some repository; None if no two do.  Always the same two."""
        found: list[tuple[str, str]] = []
        pending = [(self._root, other._root)]
        while pending and not found:
            left, right = pending.pop()
            for a, below_a in left.below.items():
                if a == _REST:  # matches whatever the other goes on with
                    found += ((below_a.first(), each) for each in right.past())
                elif a == _ANY:  # matches any one segment of the other
                    pending += ((below_a, below_b) for b, below_b in right.below.items() if b not in ("", _REST))
                else:
                    pending += ((below_a, right.below[b]) for b in (a, _ANY) if b in right.below and (a or b == a))
                if a and _REST in right.below and a != _REST:
                    found.append((below_a.first(), right.below[_REST].first()))
            if left.pattern and right.pattern:
                found.append((left.pattern, right.pattern))
        return min(found, default=None)


class Crowd:
    """Many sets of patterns, which come and go, as one tree: whether another set shares a repository with any of them.

    That takes about as many steps as the other set has segments, however many sets are here.  With many `*` it takes
    more: one step for each pair of prefixes that agree.
    """

    __slots__ = ("_root",)

    def __init__(self) -> None:
        """No set is here."""
        self._root = _Place()

    def add(self, patterns: Patterns) -> None:
        """Add a set."""
        self._root.count(patterns._root, 1)

    def remove(self, patterns: Patterns) -> None:
        """Remove a set that was added."""
        self._root.count(patterns._root, -1)

    def shares(self, patterns: Patterns) -> bool:
        """Whether some repository is matched by a pattern of `patterns` and by one that is here."""
        pending = [(patterns._root, self._root)]
        while pending:
            left, right = pending.pop()
            if left.pattern and right.ends:
                return True
            for a, below_a in left.below.items():
                if a and (_REST in right.below or (a == _REST and right.below.keys() - {""})):
                    return True
                if a == _ANY:
                    pending += ((below_a, below_b) for b, below_b in right.below.items() if b)
                elif a != _REST:
                    pending += ((below_a, right.below[b]) for b in (a, _ANY) if b in right.below and (a or b == a))
        return False


class _Place:
    """A node of a crowd's tree: how many patterns pass it, and how many end here."""

    __slots__ = ("below", "ends", "passing")

    def __init__(self) -> None:
        self.below: dict[str, _Place] = {}
        self.passing = 0
        self.ends = 0

    def count(self, node: "_Node", by: int) -> None:
        """Add the patterns below `node` (`by` 1), or remove them (`by` -1).

        The recursion is bounded: a pattern has no more segments than a repository's name may have.
        """
        for segment, below in node.below.items():
            place = self.below.setdefault(segment, _Place())
            place.passing += by
            place.ends += by if below.pattern else 0
            place.count(below, by)
            if not place.passing:
                del self.below[segment]


class _Node(NamedTuple):
    """`below` maps segments to what may follow; what "" leads to is a pattern that ends here."""

    below: dict[str, "_Node"]
    pattern: str

    def first(self) -> str:
        """One of the patterns that pass here."""
        node = self
        while not node.pattern:
            node = node.below[min(node.below)]
        return node.pattern

    def past(self) -> list[str]:
        """A pattern that goes on from here, if there is one."""
        on = sorted(segment for segment in self.below if segment)
        return [self.below[on[0]].first()] if on else []


def overlap(left: str, right: str) -> bool:
    """Whether some repository is matched by both patterns, which are in their one spelling."""
    return Patterns([left]).first_shared(Patterns([right])) is not None
