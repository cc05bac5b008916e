"""A moment on both clocks as a JSON value, and as a file of its own.  Behind the pull path: no schema."""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, cast

from agent.codec import strictjson
from agent.errors import Malformed
from agent.rules.breakglass import Moment

FORMAT_VERSION = 1
MAX_SIZE = 1024
"""Most bytes of a file."""

MAX_ALL = 256 * 1024
"""Most bytes of one with many."""

MAX_BOOT_SECONDS = 1e9
"""Longest time since a boot that is believed: thirty years."""

_MAX_BOOT_ID = 64


def encode(moment: Moment) -> bytes:
    """A moment as a file."""
    return strictjson.canonical({"formatVersion": FORMAT_VERSION, "moment": to_json(moment)})


def decode(content: bytes) -> Moment:
    """Read back what `encode` wrote.  Raises `Malformed`."""
    value = strictjson.decode(content, "moment", limit=MAX_SIZE)
    try:
        top = cast("dict[str, Any]", value)
        if isinstance(top["formatVersion"], bool) or top["formatVersion"] != FORMAT_VERSION:
            raise ValueError("another version")
        return from_json(top["moment"])
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise Malformed(f"moment: got {ascii(error)[:120]}; expected what nodeseal writes") from None


def encode_all(moments: Mapping[str, Moment]) -> bytes:
    """Moments by name as a file."""
    return strictjson.canonical(
        {"formatVersion": FORMAT_VERSION, "moments": {k: to_json(v) for k, v in moments.items()}}
    )


def decode_all(content: bytes) -> dict[str, Moment]:
    """Read back what `encode_all` wrote.  Raises `Malformed`."""
    value = strictjson.decode(content, "moments", limit=MAX_ALL)
    try:
        top = cast("dict[str, Any]", value)
        if isinstance(top["formatVersion"], bool) or top["formatVersion"] != FORMAT_VERSION:
            raise ValueError("another version")
        return {name: from_json(each) for name, each in top["moments"].items()}
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise Malformed(f"moments: got {ascii(error)[:120]}; expected what nodeseal writes") from None


def to_json(moment: Moment) -> list[object]:
    """A moment's JSON value."""
    return [moment.wall.isoformat(), moment.boot_seconds, moment.boot_id]


def from_json(value: object) -> Moment:
    """Read back what `to_json` made.  Raises `TypeError`, `ValueError`, `OverflowError`."""
    if not isinstance(value, list):
        raise TypeError("no moment")
    wall, boot_seconds, boot_id = value
    if isinstance(boot_seconds, bool) or not isinstance(boot_seconds, int | float):
        raise TypeError("no number of seconds")
    if not 0 <= boot_seconds <= MAX_BOOT_SECONDS:  # false for what is no number too
        raise ValueError("seconds since the boot")
    if not isinstance(boot_id, str) or len(boot_id) > _MAX_BOOT_ID:
        raise ValueError("a boot's name")
    return Moment(time(wall), float(boot_seconds), boot_id)


def time(value: object) -> datetime:
    """A time with its zone, in UTC.  Raises `TypeError`, `ValueError`, `OverflowError`."""
    if not isinstance(value, str):
        raise TypeError("no text")
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError("a time without zone")
    return found.astimezone(timezone.utc)
