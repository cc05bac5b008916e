"""Checkpoints of the tests' own logs, changed after they were signed."""

import base64

_DASH = "\u2014 "

WITNESS = f"{_DASH}witness.example.test {base64.b64encode(b'1234' + b'x' * 64).decode()}\n"
"""A line of somebody else's."""


def longer(note: str) -> str:
    """With a line more in the text."""
    return note.replace("\n\n", "\nmore\n\n", 1)


def renamed(note: str) -> str:
    """With another origin."""
    return note.replace("rekor", "reckor", 1)


def other_hint(note: str) -> str:
    """Its signature holds, and says that it is another key's."""
    text, name, value = _taken_apart(note)
    return _put_together(text, name, b"hint" + value[4:])


def other_name(note: str) -> str:
    """Its signature holds, and says that it is another log's."""
    text, name, value = _taken_apart(note)
    return _put_together(text, f"other.{name}", value)


def _taken_apart(note: str) -> tuple[str, str, bytes]:
    text, _, line = note.rpartition(_DASH)
    name, _, encoded = line.strip().rpartition(" ")
    return text, name, base64.b64decode(encoded)


def _put_together(text: str, name: str, value: bytes) -> str:
    return f"{text}{_DASH}{name} {base64.b64encode(value).decode()}\n"
