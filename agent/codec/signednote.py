"""Checkpoints of transparency logs: signed notes that say what a log's tree was (C2SP signed-note and tlog-checkpoint).

A note is a text, an empty line and signatures, each with the name and a hint of the key that made it.  Whether one
holds is for `agent.trust.transparency` to say; others than the log's (witnesses') are read and prove nothing.
"""

from typing import NamedTuple

from agent.codec.jose import base64_standard
from agent.errors import LimitExceeded, Malformed

MAX_SIZE = 16 * 1024
"""Longest note taken, in characters; real ones have 200, and 100 more for each witness."""

MAX_SIGNATURES = 32
"""Most signatures of one note."""

HINT_SIZE = 4
"""Bytes of a key's hint, in front of its signature."""

_DASH = "\u2014 "
_MAX_SIZE_DIGITS = 19  # 2^63 has as many
_LINES = 3  # origin, size, root hash; others may follow


class NoteSignature(NamedTuple):
    """One signature: the name of whose key, the key's hint, and what that key made."""

    name: str
    hint: bytes
    signature: bytes


class Checkpoint(NamedTuple):
    """A log's tree of `size` entries with `root`; `signed` is what each of the signatures is made over."""

    origin: str
    size: int
    root: bytes
    signed: bytes
    signatures: tuple[NoteSignature, ...]


def parse(note: str) -> Checkpoint:
    """Read a checkpoint.  Raises `Malformed` or `LimitExceeded`."""
    if len(note) > MAX_SIZE:
        raise LimitExceeded(f"checkpoint: got {len(note)} characters; expected at most {MAX_SIZE}")
    if any(char < " " and char != "\n" for char in note):
        raise Malformed("checkpoint: got a control character; expected lines of text")
    text, gap, signatures = note.rpartition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise Malformed("checkpoint: got no signed note; expected a text, an empty line and signature lines")
    lines = text.split("\n")
    if len(lines) < _LINES or not lines[0]:
        raise Malformed(f"checkpoint: got {len(lines)} lines; expected origin, tree size and root hash")
    given = signatures[:-1].split("\n")
    if len(given) > MAX_SIGNATURES:
        raise LimitExceeded(f"checkpoint: got {len(given)} signatures; expected at most {MAX_SIGNATURES}")
    return Checkpoint(
        origin=lines[0],
        size=_size(lines[1]),
        root=base64_standard(lines[2], "checkpoint: root hash"),
        signed=f"{text}\n".encode("utf-8", "surrogatepass"),
        signatures=tuple(map(_signature, given)),
    )


def _size(line: str) -> int:
    if not (line.isascii() and line.isdigit() and len(line) <= _MAX_SIZE_DIGITS) or (line[0] == "0" and line != "0"):
        raise Malformed(f"checkpoint: tree size: got {ascii(line)[:40]}; expected a decimal number")
    return int(line)


def _signature(line: str) -> NoteSignature:
    name, gap, text = line.removeprefix(_DASH).rpartition(" ")
    signature = base64_standard(text, "checkpoint: signature")
    if not line.startswith(_DASH) or not gap or not name or len(signature) <= HINT_SIZE:
        raise Malformed("checkpoint: got a line that is no signature; expected a dash, a name and base64")
    return NoteSignature(name, signature[:HINT_SIZE], signature[HINT_SIZE:])
