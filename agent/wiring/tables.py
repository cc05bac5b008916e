"""TOML tables that remember where each value was written.

A tree of names to tables and `Leaf`s.  Trees are changed only by who made them: what comes in is copied.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Union

from agent.errors import LimitExceeded, Malformed

MAX_SIZE = 1024 * 1024
"""Most bytes of one configuration file: the largest that containerd itself writes are 12 KiB."""

MAX_DEPTH = 32
"""Most tables in each other: containerd's own have six."""

MAX_VALUES = 30_000
"""Most values in one file, about, each part of a key counted: a byte of `[a.a.a]` becomes four hundred of memory."""

_MARK = re.compile(rb'"""|\'\'\'|["\'#.=,{}\[\]\n]')
_ENDS = {
    b'"""': re.compile(rb'(?:[^"\\]|\\.|"(?!""))*+"{3,5}', re.DOTALL),
    b"'''": re.compile(rb"(?:[^']|'(?!''))*+'{3,5}"),
    b'"': re.compile(rb'(?:[^"\\\n]|\\[^\n])*+"'),
    b"'": re.compile(rb"[^'\n]*+'"),
    b"#": re.compile(rb"[^\n]*+"),
}
"""What is in strings and comments, behind what they begin with (TOML 1.0, "String"; Python takes 1.0)."""

Path = tuple[str, ...]


class Leaf(NamedTuple):
    """A value that is no table; `file` and `key` are where it was written, both empty if nowhere that we know."""

    value: object
    file: str = ""
    key: Path = ()


Tree = dict[str, Union["Tree", Leaf]]


def decode(content: bytes, name: str) -> dict[str, object]:
    """TOML, within bounds.  Raises `Malformed`; `name` is for its message."""
    if len(content) > MAX_SIZE:
        raise LimitExceeded(f"{name}: got more than {MAX_SIZE} bytes; expected a configuration file")
    values = weight(content)
    if values > MAX_VALUES:
        raise LimitExceeded(f"{name}: got TOML of {values} values; expected at most {MAX_VALUES}")
    # `tomllib` keeps every beginning of a dotted key: one of 16 KiB takes a gigabyte.
    if any(line.count(b".") > MAX_DEPTH for line in content.split(b"\n")) and _longest_key(content) > MAX_DEPTH:
        raise LimitExceeded(f"{name}: got a key of more than {MAX_DEPTH} parts; expected a configuration file")
    try:
        decoded = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        text = "tables too deep in each other" if isinstance(error, RecursionError) else str(error)
        raise Malformed(f"{name}: got {ascii(text)[1:-1][:160]}; expected TOML") from None
    if _too_deep(decoded, MAX_DEPTH):
        raise LimitExceeded(f"{name}: got more than {MAX_DEPTH} tables in each other; expected a configuration file")
    if _has_huge(decoded):
        raise Malformed(f"{name}: got a number of more than 64 bits; expected TOML")
    return decoded


def weight(content: bytes) -> int:
    """How many values there are, about; what stands within strings and comments counts as well, which does no harm."""
    return sum(map(content.count, (b"=", b".", b",", b"[", b"{")))


def _longest_key(content: bytes) -> int:
    """Most dots of one key, in one pass: outside of strings and comments, up to what ends a key.

    `tomllib` raises at a string without an end, so what is behind it does not matter.
    """
    longest = dots = at = 0
    while found := _MARK.search(content, at):
        mark, at = found[0], found.end()
        if mark == b".":
            dots += 1
            longest = max(longest, dots)
        elif mark in _ENDS:
            end = _ENDS[mark].match(content, at)
            if end is None:
                break
            at = end.end()
        else:
            dots = 0
    return longest


def _too_deep(value: object, left: int) -> bool:
    if not isinstance(value, dict):
        return False
    return left == 0 or any(_too_deep(each, left - 1) for each in value.values())


def _has_huge(value: object) -> bool:
    """Whether there is a number in it that no text can be made of; TOML has none of more than 64 bits."""
    if isinstance(value, int):
        return not -(2**63) <= value < 2**63
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_has_huge, inside))


def tree(value: Mapping[str, object], file: str = "", at: Path = ()) -> Tree:
    """Decoded TOML as a tree; every leaf says that it was written in `file`, under its own key below `at`."""
    made: Tree = {}
    for name, each in value.items():
        key = (*at, name)
        made[name] = tree(each, file, key) if isinstance(each, dict) else Leaf(each, file, key)
    return made


def copied(node: Tree | Leaf) -> Tree | Leaf:
    """A copy that shares no table."""
    return node if isinstance(node, Leaf) else {name: copied(each) for name, each in node.items()}


def overlay(lower: Tree, upper: Tree) -> None:
    """Put `upper` over `lower`, in place: tables are merged, anything else is replaced."""
    for name, each in upper.items():
        below = lower.get(name)
        if isinstance(each, dict) and isinstance(below, dict):
            overlay(below, each)
        else:
            lower[name] = copied(each)


def find(node: Tree, *path: str) -> Tree | Leaf | None:
    """What is at a path, None if nothing is."""
    here: Tree | Leaf | None = node
    for name in path:
        here = here.get(name) if isinstance(here, dict) else None
    return here


def table(node: Tree, *path: str) -> Tree | None:
    """The table at a path, None if there is none."""
    found = find(node, *path)
    return found if isinstance(found, dict) else None


def leaf(node: Tree, *path: str) -> Leaf | None:
    """The leaf at a path, None if there is none."""
    found = find(node, *path)
    return found if isinstance(found, Leaf) else None


def put(node: Tree, path: Path, value: Tree | Leaf) -> None:
    """Set what is at a path; tables on the way are made."""
    for name in path[:-1]:
        below = node.get(name)
        if not isinstance(below, dict):
            below = {}
            node[name] = below
        node = below
    node[path[-1]] = value


def leaves(node: Tree, at: Path = ()) -> Iterator[tuple[Path, Leaf]]:
    """Every leaf with its path, in the order of the paths."""
    for name in sorted(node):
        each = node[name]
        if isinstance(each, Leaf):
            yield (*at, name), each
        else:
            yield from leaves(each, (*at, name))


def plain(node: Tree | Leaf) -> object:
    """The same without its origins, as `tomllib` gives it."""
    return node.value if isinstance(node, Leaf) else {name: plain(each) for name, each in node.items()}


def dotted(path: Path) -> str:
    """A path as it is written in TOML: bare where it may be, else quoted."""
    return ".".join(name if _bare(name) else _quoted(name) for name in path)


def _bare(name: str) -> bool:
    return bool(name) and name.isascii() and all(c.isalnum() or c in "_-" for c in name)


def _quoted(name: str) -> str:
    if "'" not in name and name.isprintable():
        return f"'{name}'"
    escaped = "".join(
        f"\\u{ord(c):04x}" if not c.isprintable() and ord(c) < 0x10000 else f"\\{c}" if c in '"\\' else c for c in name
    )
    return f'"{escaped}"'
