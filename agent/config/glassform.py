"""Break-glass on disk: the node's own, and since when the configuration's is in force.  JSON, versioned.

Behind the pull path: no schema.  What is not of the form is `Malformed`, the whole file of it: an entry that somebody
wrote by hand must not let pass more than it says, nor say what no clock can end.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from agent.codec import strictjson
from agent.config import momentform
from agent.errors import Malformed
from agent.rules import matching
from agent.rules.breakglass import MAX_REASON, BreakGlass, Moment
from agent.rules.ruleset import ConfiguredBreakGlass

FORMAT_VERSION = 1
MAX_SIZE = 4 * 1024 * 1024
"""Most bytes of one file: `MAX_ENTRIES` with the longest patterns and reasons."""

MAX_ENTRIES = 1_000
"""Most entries of one file: as many as a configuration may list."""

_ID = re.compile(r"[0-9a-z]{1,16}\Z")

_Entry = TypeVar("_Entry")


def encode(entries: Iterable[BreakGlass]) -> bytes:
    """The node's own break-glass as a file."""
    return _written(
        {
            "id": entry.id,
            "match": entry.match,
            "reason": entry.reason,
            "since": momentform.to_json(entry.since),
            "until": entry.until.isoformat(),
            "closed": entry.closed.isoformat() if entry.closed else None,
        }
        for entry in entries
    )


def decode(content: bytes) -> tuple[BreakGlass, ...]:
    """Read back what `encode` wrote.  Raises `Malformed`."""

    def read(value: dict[str, Any]) -> BreakGlass:
        name, closed = _text(value["id"]), value["closed"]
        if not _ID.match(name):
            raise ValueError(f"id {name!r}")
        return BreakGlass(
            name,
            _pattern(value["match"]),
            _reason(value["reason"]),
            momentform.from_json(value["since"]),
            momentform.time(value["until"]),
            None if closed is None else momentform.time(closed),
        )

    entries = tuple(_read(content, read))
    if len({entry.id for entry in entries}) < len(entries):
        raise Malformed("break-glass: got an id twice; expected each once")
    return entries


def encode_begun(begun: Mapping[ConfiguredBreakGlass, Moment]) -> bytes:
    """Since when the configuration's break-glass is in force, as a file."""
    return _written(
        {
            "match": entry.match,
            "reason": entry.reason,
            "until": entry.until.isoformat(),
            "since": momentform.to_json(since),
            **({"owner": entry.owner} if entry.owner else {}),
        }
        for entry, since in begun.items()
    )


def decode_begun(content: bytes) -> dict[ConfiguredBreakGlass, Moment]:
    """Read back what `encode_begun` wrote.  Raises `Malformed`."""

    def read(value: dict[str, Any]) -> tuple[ConfiguredBreakGlass, Moment]:
        match, until, reason = _pattern(value["match"]), momentform.time(value["until"]), _text(value["reason"])
        return ConfiguredBreakGlass(match, until, reason, _text(value.get("owner", ""))), momentform.from_json(
            value["since"]
        )

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
        raise Malformed(f"break-glass: got {ascii(error)[:120]}; expected what nodeseal writes") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _reason(value: object) -> str:
    reason = _text(value)
    if not 0 < len(reason) <= MAX_REASON:
        raise ValueError(f"a reason of {len(reason)} characters")
    return reason


def _pattern(value: object) -> str:
    pattern = _text(value)
    complaint = matching.complaint(pattern)
    if complaint:
        raise ValueError(f"match: {pattern[:60]}, not {complaint}")
    return matching.canonical(pattern)
