"""How long a verdict is used again, and what is remembered of it.  Pure.

A denial lives short and longer with each repeat, so that whoever signs the image is seen soon, and whoever retries for
an hour costs little.  "Cannot tell" is remembered for seconds, and as nothing else: it takes nothing from what was
verified before.
"""

from datetime import datetime, timedelta

from agent.errors import Code
from agent.model.verdict import Decision, Known, Memory, Remembered, Verdict
from agent.rules.ruleset import Lifetimes

MOST_REPEATS = 30
"""Repeats that are counted; by then any denial lives as long as it may."""


def remembered(verdict: Verdict, before: Memory, now: datetime, lifetimes: Lifetimes) -> Memory:
    """What is remembered of an image once `verdict` was reached `now`; `before` was until then."""
    said = verdict._replace(report=None)
    if verdict.decision is Decision.CANNOT_TELL:
        return before._replace(last=_until(said, now, lifetimes.cannot_tell))
    if verdict.decision is Decision.DENY:
        repeats = _repeats(before.last, now, lifetimes)
        return Memory(last=_until(said, now, _denied_for(repeats, lifetimes), repeats))
    verified = Remembered(now, verdict.usable_until) if verdict.code is Code.VERIFIED else None
    return Memory(verified, _until(said, now, lifetimes.allow))


def fresh_until(known: Known, lifetimes: Lifetimes) -> datetime:
    """Until when a verdict is used again: no longer than `lifetimes` say now, whatever they said before."""
    seconds = {
        Decision.ALLOW: lifetimes.allow,
        Decision.DENY: _denied_for(known.repeats, lifetimes),
        Decision.CANNOT_TELL: lifetimes.cannot_tell,
    }[known.verdict.decision]
    return min(known.fresh_until, known.at + timedelta(seconds=seconds))


def _until(said: Verdict, now: datetime, seconds: float, repeats: int = 0) -> Known:
    """`said` for so many seconds, and no longer than what it rests on."""
    if said.fresh_for is not None:
        seconds = min(seconds, said.fresh_for)
    ends = (now + timedelta(seconds=seconds), said.usable_until, said.told_until)
    return Known(said, now, min(end for end in ends if end is not None), repeats)


def _repeats(last: Known | None, now: datetime, lifetimes: Lifetimes) -> int:
    """How often the image was denied before, in a row: a denial that ended long ago begins none."""
    if last is None or last.verdict.decision is not Decision.DENY or last.at > now:
        return 0
    if now - last.fresh_until > timedelta(seconds=2 * lifetimes.deny_most):
        return 0
    return min(last.repeats + 1, MOST_REPEATS)


def _denied_for(repeats: int, lifetimes: Lifetimes) -> float:
    return min(lifetimes.deny_first * 2.0 ** min(repeats, MOST_REPEATS), lifetimes.deny_most)
