"""Verdicts: allow, deny, or cannot tell with its cause; and what is remembered of them."""

from datetime import datetime
from enum import Enum
from typing import NamedTuple

from agent.errors import Cause, Code
from agent.model.report import Report


class Decision(str, Enum):
    """The three things that can be said of an image."""

    ALLOW = "allow"
    DENY = "deny"
    CANNOT_TELL = "cannot tell"


class Verdict(NamedTuple):
    """What verification found.  `code` and `message` say why; `causes` is not empty iff we cannot tell.

    `fresh_for` is for how many seconds it may be believed, None if nothing in it depends on the time of asking.
    `usable_until` is the end of signatures and certificates that it rests on, None if they have none.  `told_until` is
    the moment at which the next word about revocation is due, None if nobody was asked.
    """

    decision: Decision
    code: Code
    message: str
    causes: tuple[Cause, ...] = ()
    report: Report | None = None
    fresh_for: float | None = None
    usable_until: datetime | None = None
    told_until: datetime | None = None


class Remembered(NamedTuple):
    """An image that was verified: when, and until when signatures and certificates let that count, None for no end."""

    verified_at: datetime
    usable_until: datetime | None

    def counts(self, now: datetime) -> bool:
        """Whether it may still be believed at all.  One from the future is no memory of ours."""
        return self.verified_at <= now and (self.usable_until is None or now < self.usable_until)


class Known(NamedTuple):
    """A verdict that was reached `at` a moment and is used again until `fresh_until`, without asking anybody.

    `verdict` has no report.  `repeats` is how often the image was denied before, in a row.
    """

    verdict: Verdict
    at: datetime
    fresh_until: datetime
    repeats: int = 0

    def is_fresh(self, now: datetime) -> bool:
        """Whether it is used again `now`.  One from the future is no memory of ours."""
        return self.at <= now < self.fresh_until


class Memory(NamedTuple):
    """All that is remembered of an image on one ground: that it was `verified`, and what was said `last`."""

    verified: Remembered | None = None
    last: Known | None = None


NOTHING = Memory()
