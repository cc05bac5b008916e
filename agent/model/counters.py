"""Counters: how many answers, by what decided, for a process that lives long.

Pure and bounded.  The names are those of metrics: no label is an image, and rules, which come from configurations, are
counted by name up to a number of label sets; what is over that is counted under `OTHER`, so that sums stay right.
"""

from typing import NamedTuple

from agent.errors import Cause, Code, Exit
from agent.model.answer import Ground, printable, shortened
from agent.model.record import Record

MOST = 1_000
"""Most label sets; beyond it there is one for each door and decision."""

OTHER = "other"
"""The label of what has no place of its own."""

MOST_DOORS = 8
"""Most doors that are told apart; there are fewer."""

_MOST_TEXT = 64
_DECISIONS = {int(each): each.name.lower() for each in Exit}
_CODES = frozenset(each.value for each in Code)
_CAUSES = {Code.of(each).value: each.value for each in Cause}
_GROUNDS = frozenset(each.value for each in Ground) | {""}


class Labels(NamedTuple):
    """What an answer is counted by: `ground` is empty for what was blocked, `rule` is "-" before one was picked."""

    door: str
    decision: str
    ground: str
    code: str
    rule: str


class Counters:
    """Counts since it was made.

    `gaps` are lines that could not be read, `losses` how often an unknown number of lines was missing.  `decisions` and
    `causes` know all of theirs from the beginning, with zero, so that nobody misses the first one.
    """

    def __init__(self) -> None:
        """All are zero."""
        self.answers: dict[Labels, int] = {}
        self.decisions = dict.fromkeys((*_DECISIONS.values(), OTHER), 0)
        self.causes = {each.value: 0 for each in Cause}
        self.stale = 0
        self.would_deny = 0
        self.gaps = 0
        self.losses = 0
        self._doors: set[str] = set()
        self._own = 0

    def add(self, record: Record) -> None:
        """Count one answer."""
        labels = self._labels(record)
        if labels not in self.answers:
            if self._own < MOST:
                self._own += 1
            else:
                labels = Labels(labels.door, labels.decision, OTHER, OTHER, OTHER)
        self.answers[labels] = self.answers.get(labels, 0) + 1
        self.decisions[labels.decision] += 1
        cause = cause_of(record.code)
        if cause:
            self.causes[cause] += 1
        self.stale += is_stale(record)
        self.would_deny += would_deny(record)

    def gap(self, number: int) -> None:
        """Count lines that could not be read."""
        self.gaps += number

    def lose(self) -> None:
        """Count that lines are missing, nobody knows how many."""
        self.losses += 1

    def as_json(self) -> dict[str, object]:
        """All of them, in a fixed order."""
        return {
            "answers": [labels._asdict() | {"count": count} for labels, count in sorted(self.answers.items())],
            "stale": self.stale,
            "wouldDeny": self.would_deny,
            "gaps": self.gaps,
            "losses": self.losses,
        }

    def _labels(self, record: Record) -> Labels:
        if len(self._doors) < MOST_DOORS:
            self._doors.add(record.door)
        return Labels(
            _text(record.door) if record.door in self._doors else OTHER,
            decision(record),
            record.ground if record.ground in _GROUNDS else OTHER,
            record.code if record.code in _CODES else OTHER,
            _text(record.rule),
        )


def decision(record: Record) -> str:
    """What was answered: the name of the exit code."""
    return _DECISIONS.get(record.exit, OTHER)


def cause_of(code: str) -> str:
    """Why nobody could tell; empty for the code of anything else."""
    return _CAUSES.get(code, "")


def is_stale(record: Record) -> bool:
    """Whether it passed because it was verified before, while nobody could tell."""
    return record.ground == Ground.STALE.value


def would_deny(record: Record) -> bool:
    """Whether it passed because its rule only audits."""
    return record.ground == Ground.AUDIT.value


def _text(text: str) -> str:
    return shortened(printable(text), _MOST_TEXT)
