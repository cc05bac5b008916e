"""What break-glass let in, as the spool tells it, and what verification says of that afterwards.

Each image is judged under what holds on the node now, as if there were no break-glass.  What it would have refused runs
perhaps already: here it is named, and nothing is done about it.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from agent.adapters.spool import Told
from agent.errors import Exit, Malformed, UsageError
from agent.model.answer import Ground
from agent.model.reference import Reference
from agent.modes.asking import Asker, ask
from agent.modes.node import Node
from agent.modes.plugin import DEADLINE
from agent.rules.breakglass import BreakGlass
from agent.rules.precedence import Standing

MOST_VERIFIED = 50
"""Most images that are verified afterwards; the ones pulled last go first."""


class LetIn(NamedTuple):
    """One image that break-glass let in: how often it was pulled, and when last."""

    image: str
    pulls: int
    last: datetime


class Result(str, Enum):
    """What would have become of an image without break-glass."""

    REFUSED = "refused"
    VERIFIED = "verified"
    PASSES = "passes"
    UNKNOWN = "unknown"


class Afterwards(NamedTuple):
    """What verification says of one image.  `code` is empty if it says nothing; `reason` is a line for people."""

    image: str
    result: Result
    code: str
    reason: str


def images(told: Told, entry: BreakGlass) -> tuple[LetIn, ...]:
    """What `entry` let in, the one pulled last first."""
    found: dict[str, LetIn] = {}
    for record in told.records:
        if record.ground == Ground.BREAK_GLASS.value and record.entry == entry.id:
            before = found.get(record.image, LetIn(record.image, 0, record.at))
            found[record.image] = LetIn(record.image, before.pulls + 1, max(before.last, record.at))
    return _newest_first(found.values())


def verify(let_in: Iterable[LetIn], found: Node, asker: Asker, seconds: float) -> tuple[Afterwards, ...]:
    """Judge each image once, within `seconds` in all; for what there is no time, nobody can tell."""
    end = time.monotonic() + seconds
    without, chosen = found._replace(standing=without_break_glass(found.standing)), _distinct(let_in)
    results = []
    for image in chosen[:MOST_VERIFIED]:
        left = end - time.monotonic()
        if left > 0:
            results.append(_judged(image, without, asker, min(left, DEADLINE)))
        else:
            results.append(Afterwards(image, Result.UNKNOWN, "", f"not verified: the {seconds:g} s were over before"))
    over = f"not verified: {MOST_VERIFIED} are at most, and others were pulled later"
    return (*results, *(Afterwards(image, Result.UNKNOWN, "", over) for image in chosen[MOST_VERIFIED:]))


def untold(told: Told, entries: Iterable[BreakGlass]) -> tuple[str, ...]:
    """What the spool can't tell of the pulls that `entries` let in, one sentence each."""
    said = list(told.problems)
    if told.gaps:
        said.append(f"{told.gaps} line(s) of the spool can't be read: what they tell is not counted")
    if told.begins and any(entry.since.wall < datetime.fromisoformat(told.begins) for entry in entries):
        said.append(f"the spool begins at {told.begins}: what was let in before that is not known")
    return tuple(said)


def _judged(image: str, found: Node, asker: Asker, seconds: float) -> Afterwards:
    """One image; as long as its pull may take: a registry that hangs must not hide the others."""
    try:
        heard = ask(image, Reference.parse(image), found, asker, seconds=seconds)
    except Malformed as error:
        return Afterwards(image, Result.UNKNOWN, error.code.value, error.message)
    except UsageError as error:
        return Afterwards(image, Result.UNKNOWN, "", error.message)
    answer = heard.judgement.answer
    result = Result.VERIFIED if answer.ground is Ground.VERIFIED else _RESULTS.get(answer.exit, Result.UNKNOWN)
    return Afterwards(image, result, answer.code.value, answer._replace(image="").line())


_RESULTS = {Exit.ALLOW: Result.PASSES, Exit.DENY: Result.REFUSED}


def without_break_glass(standing: Standing) -> Standing:
    """What holds if there were none."""
    return standing._replace(break_glass=(), ruleset=standing.ruleset._replace(break_glass=()))


def _distinct(let_in: Iterable[LetIn]) -> list[str]:
    return list(dict.fromkeys(each.image for each in _newest_first(let_in)))


def _newest_first(let_in: Iterable[LetIn]) -> tuple[LetIn, ...]:
    newest: Sequence[LetIn] = sorted(let_in, key=lambda each: (each.last, each.image), reverse=True)
    return tuple(newest)
