"""Break-glass as people and programs read it."""

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from agent.adapters.spool import Told
from agent.config.times import about
from agent.model.answer import printable
from agent.modes import letin
from agent.modes.letin import Afterwards, LetIn, Result
from agent.rules import breakglass
from agent.rules.breakglass import BreakGlass
from agent.rules.precedence import Standing

SCHEMA_VERSION = "1"
"""Version of what `break-glass list --format json` prints."""

TIME = "%Y-%m-%dT%H:%M:%SZ"
_MOST_SHOWN = 50
"""Most images of one entry that people are shown; programs get all of them."""

_NOT_BEGUN = "it is not in force on this node: put the configuration in force again, nodeseal config apply DIR"


class View(NamedTuple):
    """One entry.  `why` says why it doesn't count, empty if it does; `left` is for how many seconds it still counts.

    `begun`: it was in force here at some time; otherwise its `since` says nothing.
    """

    entry: BreakGlass
    source: str
    begun: bool
    why: str
    left: float
    images: tuple[LetIn, ...]

    @property
    def pulls(self) -> int:
        """How many pulls it let pass."""
        return sum(each.pulls for each in self.images)


def views(own: Sequence[BreakGlass], standing: Standing, told: Told) -> tuple[View, ...]:
    """The node's own, and the configuration's: those that count first, then by their end, the last first."""
    found = [_view(entry, "node", standing, told) for entry in own]
    found += (_view(entry, "configuration", standing, told) for entry in standing.configured_break_glass())
    for each in standing.ruleset.break_glass:
        if each not in standing.begun:
            entry = BreakGlass(each.id, each.match, each.reason, standing.moment, each.until)
            found.append(View(entry, "configuration", False, _NOT_BEGUN, 0.0, letin.images(told, entry)))
    found.sort(key=lambda view: (not view.why, view.entry.end), reverse=True)
    return tuple(found)


def as_json(
    seen: Sequence[View], now: datetime, told: Told, afterwards: Sequence[Afterwards] | None, problem: str
) -> dict[str, object]:
    """The list as a JSON value."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "now": _utc(now),
        "breakGlass": [
            {
                "id": view.entry.id,
                "source": view.source,
                "match": view.entry.match,
                "reason": view.entry.reason,
                "since": _utc(view.entry.since.wall) if view.begun else None,
                "until": _utc(view.entry.until),
                "endedAt": None if view.entry.closed is None else _utc(view.entry.end),
                "counts": not view.why,
                "whyNot": view.why,
                "remainingSeconds": int(view.left),
                "pulls": view.pulls,
                "images": [{"image": each.image, "pulls": each.pulls, "last": _utc(each.last)} for each in view.images],
            }
            for view in seen
        ],
        "problems": [each for each in (problem, *letin.untold(told, (view.entry for view in seen))) if each],
        "verified": None
        if afterwards is None
        else [each._asdict() | {"result": each.result.value} for each in afterwards],
    }


def as_text(seen: Sequence[View]) -> str:
    """The list for people.  Printable ASCII alone."""
    if not seen:
        return "no break-glass\n"
    lines = []
    for view in seen:
        entry = view.entry
        lines.append(f"{entry.id}  {printable(entry.match)}  ({_SOURCES[view.source]})")
        lines.append(f"    reason: {printable(entry.reason)}")
        lines.append(f"    {_state(view)}")
        lines += (f"    {line}" for line in let_in_as_text(view.images).splitlines())
    return "\n".join(lines) + "\n"


def let_in_as_text(images: Sequence[LetIn]) -> str:
    """What one entry let in, for people."""
    if not images:
        return "let in: nothing that the spool tells of\n"
    pulls = sum(each.pulls for each in images)
    lines = [f"let in: {_counted(pulls, 'pull')} of {_counted(len(images), 'image')}"]
    lines += (
        f"    {printable(each.image)} ({_counted(each.pulls, 'pull')}, last {_utc(each.last)})"
        for each in images[:_MOST_SHOWN]
    )
    if len(images) > _MOST_SHOWN:
        lines.append(f"    and {len(images) - _MOST_SHOWN} more; --format json lists all of them")
    return "\n".join(lines) + "\n"


def afterwards_as_text(afterwards: Sequence[Afterwards]) -> str:
    """What verification says of what was let in, for people: the worst first, then the next step."""
    if not afterwards:
        return "verified afterwards: nothing was let in\n"
    lines = ["verified afterwards, as if there had been no break-glass:"]
    for result, words in _WORDS.items():
        for each in afterwards:
            if each.result is result:
                lines.append(f"    {words}: {printable(each.image)}")
                lines.append(f"        {printable(each.reason)}")
    refused = sum(each.result is Result.REFUSED for each in afterwards)
    unknown = sum(each.result is Result.UNKNOWN for each in afterwards)
    counted = f"{_counted(len(afterwards), 'image')}, {refused} would have been refused, {unknown} can't be told"
    if refused:
        counted += "\nnext step: find out what runs of these, and remove it or have it signed"
    elif unknown:
        counted += "\nnext step: once that is mended, nodeseal break-glass list --verify"
    return "\n".join([*lines, counted]) + "\n"


def _view(entry: BreakGlass, source: str, standing: Standing, told: Told) -> View:
    why = breakglass.ended(entry, standing.moment, standing.floor)
    left = 0.0 if why else breakglass.left(entry, standing.moment)
    return View(entry, source, True, why, left, letin.images(told, entry))


def _state(view: View) -> str:
    entry = view.entry
    since = f"on since {_utc(entry.since.wall)}, " if view.begun else ""
    if not view.why:
        return f"{since}until {_utc(entry.until)}, {about(view.left)} left"
    if entry.closed is not None:
        return f"{since}off since {_utc(entry.end)}: {view.why}"
    return f"{since}until {_utc(entry.until)}; does not count: {view.why}"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):{TIME}}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


_SOURCES = {"node": "this node's own", "configuration": "of the configuration"}
_WORDS = {
    Result.REFUSED: "would have been REFUSED",
    Result.UNKNOWN: "can't be told",
    Result.PASSES: "would have passed",
    Result.VERIFIED: "verified",
}
