"""Break-glass on disk: the node's own, and since when the configuration's is in force.  JSON, versioned.

Behind the pull path: no schema.  What is not of the form is `Malformed`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar, cast

from agent.codec import strictjson
from agent.errors import Malformed
from agent.rules.breakglass import BreakGlass, Moment
from agent.rules.ruleset import ConfiguredBreakGlass

FORMAT_VERSION = 1
MAX_SIZE = 1024 * 1024
MAX_ENTRIES = 1_000
"""Most entries of one file."""

_Entry = TypeVar("_Entry")


def encode(entries: Iterable[BreakGlass]) -> bytes:
    """The node's own break-glass as a file."""
    return _written(
        {
            "id": entry.id,
            "match": entry.match,
            "reason": entry.reason,
            "since": _moment_to_json(entry.since),
            "until": entry.until.isoformat(),
        }
        for entry in entries
    )


def decode(content: bytes) -> tuple[BreakGlass, ...]:
    """Read back what `encode` wrote.  Raises `Malformed`."""

    def read(value: dict[str, Any]) -> BreakGlass:
        return BreakGlass(
            str(value["id"]), str(value["match"]), str(value["reason"]), _moment(value["since"]), _time(value["until"])
        )

    return tuple(_read(content, read))


def encode_begun(begun: Mapping[ConfiguredBreakGlass, Moment]) -> bytes:
    """Since when the configuration's break-glass is in force, as a file."""
    return _written(
        {
            "match": entry.match,
            "reason": entry.reason,
            "until": entry.until.isoformat(),
            "since": _moment_to_json(since),
        }
        for entry, since in begun.items()
    )


def decode_begun(content: bytes) -> dict[ConfiguredBreakGlass, Moment]:
    """Read back what `encode_begun` wrote.  Raises `Malformed`."""

    def read(value: dict[str, Any]) -> tuple[ConfiguredBreakGlass, Moment]:
        entry = ConfiguredBreakGlass(str(value["match"]), _time(value["until"]), str(value["reason"]))
        return entry, _moment(value["since"])

    return dict(_read(content, read))


def _written(entries: Iterable[Mapping[str, object]]) -> bytes:
    return strictjson.canonical({"formatVersion": FORMAT_VERSION, "entries": list(entries)})


def _read(content: bytes, read: Callable[[dict[str, Any]], _Entry]) -> list[_Entry]:
    value = strictjson.decode(content, "break-glass", limit=MAX_SIZE)
    try:
        top = cast("dict[str, Any]", value)
        if top["formatVersion"] != FORMAT_VERSION or len(top["entries"]) > MAX_ENTRIES:
            raise ValueError("another version, or too many entries")
        return [read(each) for each in top["entries"]]
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise Malformed(f"break-glass: got {ascii(error)[:80]}; expected what nodeseal writes") from None


def _moment_to_json(moment: Moment) -> list[object]:
    return [moment.wall.isoformat(), moment.boot_seconds, moment.boot_id]


def _moment(value: list[Any]) -> Moment:
    wall, boot_seconds, boot_id = value
    return Moment(_time(wall), float(boot_seconds), str(boot_id))


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without zone")
    return found
