"""How old a configuration and what was fetched for it are, and whether it can be used, for people and programs."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from agent.adapters.rootnotes import RootNote
from agent.config.config import Config
from agent.config.times import about, length
from agent.errors import Cause, Unavailable
from agent.rules import age
from agent.rules.age import Stage
from agent.rules.precedence import Standing
from agent.rules.rule import KeysUsed

_UTC = "%Y-%m-%dT%H:%M:%SZ"


def trouble(config: Config | Unavailable, standing: Standing) -> Mapping[str, str] | None:
    """Why nothing can be verified, None if it can."""
    if isinstance(config, Unavailable):
        return {"cause": config.cause.value, "message": config.message}
    stale = age.complaint(standing)
    return {"cause": Cause.CONFIGURATION_STALE.value, "message": stale} if stale else None


def as_json(standing: Standing) -> Mapping[str, object] | None:
    """How old the configuration is, for programs; None if it has no such age."""
    complete, now = standing.complete, standing.moment
    if complete is None:
        return None
    ends, passed = age.ends(standing), age.passed(complete, now)
    return {
        "state": age.stage(standing).name.lower(),
        "lastComplete": None if complete == age.NEVER else f"{complete.wall:{_UTC}}",
        "ageSeconds": None if passed == float("inf") else int(passed),
        "maxSnapshotAgeSeconds": int(standing.ruleset.greatest_age),
        "staleAt": f"{ends:{_UTC}}" if ends and complete != age.NEVER else None,
    }


def keys_as_json(standing: Standing) -> list[Mapping[str, object]]:
    """Keys that were fetched, and until when they count, for programs."""
    found: list[Mapping[str, object]] = []
    for used in _keys(standing):
        fetched, ends = standing.fetched.get(used.source, age.NEVER), age.keys_end(used, standing)
        is_known = fetched != age.NEVER
        found.append(
            {
                "provider": used.name,
                "fetched": f"{fetched.wall:{_UTC}}" if is_known else None,
                "countsUntil": f"{ends:{_UTC}}" if ends and is_known else None,
                "counts": age.keys_left(used, standing) > 0,
            }
        )
    return found


def keys_as_text(standing: Standing) -> list[str]:
    """The same for people, as lines."""
    lines = ["keys"] if _keys(standing) else []
    for used in _keys(standing):
        left, fetched = age.keys_left(used, standing), standing.fetched.get(used.source, age.NEVER)
        line = f"  {used.name}: fetched {fetched.wall:{_UTC}}, count for {about(max(left, 0.0))} more"
        if left <= 0:
            line = f"  {used.name}: {Cause.KEY_PROVIDER.value}: they count no more; the daemon's log says why"
        elif left <= used.keep_for / 2:
            line += " (WARNING: more than half of their time is over)"
        lines.append(line)
    return lines


def roots_as_json(notes: Sequence[RootNote]) -> list[Mapping[str, object]]:
    """How the fetching of trusted roots goes, for programs."""
    return [
        {
            "name": each.name,
            "mirror": each.mirror,
            "intervalSeconds": int(each.interval),
            "fetched": _at(each.fetched),
            "sha256": each.sha256 or None,
            "trouble": each.trouble or None,
            "troubleSince": _at(each.since),
        }
        for each in notes
    ]


def roots_as_text(notes: Sequence[RootNote]) -> list[str]:
    """The same for people, as lines."""
    lines = ["trusted roots"] if notes else []
    for each in notes:
        at = f"fetched {_at(each.fetched)}" if each.fetched else "not fetched yet"
        lines.append(f"  {each.name}: {at} from {each.mirror}, every {length(each.interval)}")
        if each.trouble:
            meanwhile = "the last one counts" if each.fetched else "a document of this name counts, if there is one"
            lines.append(f"  WARNING      not fetched since {_at(each.since)}, {meanwhile}: {each.trouble}")
    return lines


def _at(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).strftime(_UTC)


def _keys(standing: Standing) -> list[KeysUsed]:
    return sorted({used for rule in standing.ruleset.rules for used in rule.keys}, key=lambda used: used[1:])


def as_text(standing: Standing) -> list[str]:
    """The same for people, as lines."""
    complete, stage = standing.complete, age.stage(standing)
    if complete is None:
        return []
    if stage is Stage.STALE:
        return [f"  STALE        {Cause.CONFIGURATION_STALE.value}: {age.complaint(standing)}"]
    passed = about(age.passed(complete, standing.moment))
    line = f"  complete     {complete.wall:{_UTC}} ({passed} ago), counts until {age.ends(standing):{_UTC}}"
    warning = "  WARNING      more than half of that time is over: can the daemon reach its API server?"
    return [line, warning] if stage is Stage.OLD else [line]
