"""The last serial that was in force on a node, as a file; and which configuration may come after it.  Pure.

The statement is kept beside the serial, so that the same configuration may be put in force again, and another one with
its number may not: of two that call themselves the same, nobody could say which is the later one.
"""

import re
from typing import NamedTuple

from agent.codec import strictjson
from agent.errors import Malformed

FORMAT_VERSION = 1
MAX_SIZE = 1024
MAX_SERIAL = 2**53
"""Highest serial: that of `agent.config.dialectschema`."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Applied(NamedTuple):
    """A signed configuration, by its serial and the digest of its statement (`sha256:...`)."""

    serial: int
    statement: str


def encode(applied: Applied) -> bytes:
    """`applied` as a file."""
    value = {"formatVersion": FORMAT_VERSION, "serial": applied.serial, "statement": applied.statement}
    return strictjson.canonical(value)


def decode(content: bytes) -> Applied:
    """Read back what `encode` wrote.  Raises `Malformed`."""
    value = strictjson.decode(content, "last serial", limit=MAX_SIZE)
    if isinstance(value, dict) and value.keys() == {"formatVersion", "serial", "statement"}:
        version, serial, statement = value["formatVersion"], value["serial"], value["statement"]
        is_number = isinstance(serial, int) and not isinstance(serial, bool) and 0 <= serial <= MAX_SERIAL
        if version == FORMAT_VERSION and is_number and isinstance(statement, str) and _DIGEST.match(statement):
            return Applied(serial, statement)
    raise Malformed(f"last serial: got something else; expected what nodeseal writes, version {FORMAT_VERSION}")


def complaint(applied: Applied, last: Applied | None) -> tuple[str, str] | None:
    """Why `applied` may not follow `last`: what was got, and what is expected; None if it may."""
    if last is None or applied == last or applied.serial > last.serial:
        return None
    if applied.serial < last.serial:
        return str(applied.serial), f"at least {last.serial}, the last serial that was in force on this node"
    got = f"{applied.serial}, which was in force on this node with other documents"
    return got, f"at least {last.serial + 1} for what was changed"
