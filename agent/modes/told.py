"""What the spool says, for people and programs: what was answered how often, what was blocked and why, what is unread.

Decides nothing and reads nothing: records come in.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from agent.adapters.answers import DOOR
from agent.adapters.folding import Behind
from agent.adapters.spool import Told
from agent.config.times import about
from agent.errors import Exit
from agent.model.answer import Ground
from agent.model.counters import is_stale, would_deny
from agent.model.record import Record

SHOWN = 10
"""How many are shown of the images that passed unverified, the latest, and of the reasons, the most frequent."""


class Reason(NamedTuple):
    """Why images were blocked: a code, how often it was, and the last record of it."""

    code: str
    number: int
    last: Record


def reasons(records: Sequence[Record]) -> list[Reason]:
    """The most frequent reasons, `SHOWN` at most; of equally frequent ones the code decides."""
    blocked = [each for each in records if each.exit != Exit.ALLOW]
    last = {each.code: each for each in blocked}
    counts = sorted(Counter(each.code for each in blocked).items(), key=lambda item: (-item[1], item[0]))
    return [Reason(code, number, last[code]) for code, number in counts[:SHOWN]]


def as_json(told: Told, behind: Behind, now: datetime) -> dict[str, object]:
    """For programs."""
    records, again = told.records, _again(told.records)
    return {
        "answers": [
            {"ground": ground or None, "code": code, "rule": rule, "count": count}
            for (ground, code, rule), count in _counted(records)
        ],
        "doors": dict(sorted(_doors(records).items())),
        "again": {"count": again, "share": round(again / len(records), 4) if records else None},
        "blocked": [
            {
                "code": each.code,
                "count": each.number,
                "last": {"time": each.last.time, "image": each.last.image, "message": each.last.message},
            }
            for each in reasons(records)
        ],
        "unverified": [each._asdict() for each in _unverified(records)[-SHOWN:]],
        "stale": sum(map(is_stale, records)),
        "wouldDeny": sum(map(would_deny, records)),
        "gaps": told.gaps,
        "spool": {
            "oldest": records[0].time if records else None,
            "ageSeconds": int(seconds_since(records[0].at, now)) if records else None,
            "problems": list(_problems(told, behind)),
        },
        "folding": {
            "position": behind.kept,
            "behindBytes": behind.bytes if behind.kept else None,
            "last": behind.last or None,
        },
    }


def as_text(told: Told, behind: Behind, now: datetime) -> list[str]:
    """For people: lines, not yet printable."""
    records, doors = told.records, sorted(_doors(told.records).items())
    lines = [f"answers        {len(records)} since {records[0].time if records else 'never'}"]
    for (ground, code, name), count in _counted(records):
        lines.append(f"  {count:7}  {ground or 'blocked':16}{code}  rule={name}")
    if records:
        lines += [
            f"doors          {', '.join(f'{door} {count}' for door, count in doors)}",
            f"again          {100 * _again(records) // len(records)} % were answered as the same words before",
            f"stale          {sum(map(is_stale, records))} passed because verified before, while nobody could tell",
            f"audit          {sum(map(would_deny, records))} passed that enforcing would have blocked",
        ]
    blocked = reasons(records)
    lines += ["blocked, most frequent first"] if blocked else []
    for each in blocked:
        lines.append(f"  {each.number:7}  {each.code}  last {each.last.time}  {each.last.image}")
        lines.append(f"           {each.last.message}")
    unverified = _unverified(records)
    lines += [f"passed unverified: {len(unverified)}; the latest"] if unverified else []
    lines += (f"  {each.time}  {each.ground:16}{each.code}  {each.image}" for each in unverified[-SHOWN:])
    if records:
        lines.append(f"spool          the oldest line is {about(seconds_since(records[0].at, now))} old")
    if behind.kept:
        lines.append(f"folded         up to {behind.last or 'its beginning'}; {behind.bytes} bytes were not read yet")
    else:
        lines.append("folded         never: no daemon makes logs, metrics and events of it")
    if told.gaps:
        lines.append(f"{told.gaps} lines of the spool can't be read")
    lines += _problems(told, behind)
    return lines


def seconds_since(then: datetime, now: datetime) -> float:
    """How long ago it was, by the wall clock; nothing if that was set back."""
    return max((now - then.astimezone(timezone.utc)).total_seconds(), 0.0)


def _problems(told: Told, behind: Behind) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*told.problems, *behind.problems)))


def _unverified(records: Sequence[Record]) -> list[Record]:
    """What passed without having been verified just then."""
    return [each for each in records if each.exit == Exit.ALLOW and each.ground != Ground.VERIFIED.value]


def _doors(records: Sequence[Record]) -> Counter[str]:
    """How many answers each door gave: `answer` is what was answered to the same words before."""
    return Counter(each.door for each in records)


def _again(records: Sequence[Record]) -> int:
    return _doors(records)[DOOR]


def _counted(records: Sequence[Record]) -> list[tuple[tuple[str, str, str], int]]:
    """How many answers for each ground (empty for what was blocked), code and rule."""
    return sorted(Counter((each.ground, each.code, each.rule) for each in records).items())
