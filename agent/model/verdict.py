"""Verdicts: allow, deny, or cannot tell with its cause."""

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
    """

    decision: Decision
    code: Code
    message: str
    causes: tuple[Cause, ...] = ()
    report: Report | None = None
    fresh_for: float | None = None
