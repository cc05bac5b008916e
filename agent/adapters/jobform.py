"""A worker's job as bytes, for a worker that is no copy of this process: functions by name, and their arguments.

::

    length of the head (8 bytes, big-endian) | head (JSON: [form, lengths]) | contents, one after another

In a form, a list stands for a value that JSON lacks.  Its first element, a letter, says which:

==== ================================================
b    bytes: number of the content
c    `functools.partial`: function, arguments, keyword arguments
d    mapping: pairs
e    member of an `Enum`: class, value
f    function: "module:name", one of `FUNCTIONS`
j    JSON alone, as it stands
l    list: elements
n    named tuple: class, fields
p    `Packed`: number of the content
t    `datetime`: ISO 8601
u    tuple: elements
==== ================================================

Unlike a pickle, it can't name code: only the functions of one table are called, and only classes of `agent.model` and
`agent.errors` are made.  Contents are written and read without another copy of them.
"""

import json
import struct
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import Enum
from functools import partial
from importlib import import_module
from typing import IO, Any

from agent.model.packed import Packed

FUNCTIONS = frozenset(
    {
        "agent.adapters.policy_worker:encode_content",
        "agent.adapters.policy_worker:encode_decision",
        "agent.codec.instances:check",
        "agent.formats.contents:examined",
        "agent.formats.sbom_steps:check",
        "agent.formats.schemavalidator:has_form",
        "agent.formats.vulnerability_steps:check",
        "agent.policies:evaluated",
    }
)
"""The functions that a worker may be told to call."""

_LENGTH = struct.Struct(">Q")
_PLAIN = (str, int, float, bool, type(None))
_CLASSES_OF = ("agent.model.", "agent.errors")


class Unwritable(Exception):
    """A value in a job has no such form."""


def write(work: Callable[[], bytes], stream: IO[bytes], functions: Collection[str] = FUNCTIONS) -> None:
    """Write a job.  Raises `Unwritable`, and then nothing is written; `OSError`."""
    contents: list[bytes] = []
    tree = _Form(functions, contents).of(work)
    head = json.dumps([tree, list(map(len, contents))], separators=(",", ":")).encode()
    stream.write(_LENGTH.pack(len(head)))
    stream.write(head)
    for each in contents:
        stream.write(each)


def read(stream: IO[bytes], functions: Collection[str] = FUNCTIONS) -> Callable[[], bytes]:
    """Read a job that `write` wrote.  Raises `EOFError` if it is cut off, `ValueError` if it has no such form."""
    head = _exactly(stream, _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0])
    tree, lengths = json.loads(head)
    contents = [_exactly(stream, length) for length in lengths]
    work: Callable[[], bytes] = _Value(functions, contents).of(tree)
    return work


def _exactly(stream: IO[bytes], length: int) -> bytes:
    """The next `length` bytes.  Raises `EOFError`."""
    found = stream.read(length)
    if len(found) != length:
        raise EOFError
    return found


class _Form:
    """Values to forms, and their contents to a list."""

    def __init__(self, functions: Collection[str], contents: list[bytes]) -> None:
        self._functions = functions
        self._contents = contents

    def of(self, value: Any) -> object:
        """The form of a value.  Raises `Unwritable`."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is bytes:
            return ["b", self._kept(value)]
        if isinstance(value, Packed):
            return ["p", self._kept(value.content)]
        if isinstance(value, Enum):
            return ["e", _class_name(kind), value.value]
        if kind is datetime:
            return ["t", value.isoformat()]
        if isinstance(value, partial):
            return ["c", self.of(value.func), [self.of(each) for each in value.args], self._members(value.keywords)]
        if isinstance(value, tuple):
            head = ["u"] if kind is tuple else ["n", _class_name(kind)]
            return [*head, *map(self.of, value)]
        if isinstance(value, Mapping):
            return ["j", value] if _is_json(value) else ["d", self._members(value)]
        if kind is list:
            return ["j", value] if _is_json(value) else ["l", *map(self.of, value)]
        name = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
        if name not in self._functions:
            raise Unwritable(name)
        return ["f", name]

    def _members(self, value: Mapping[Any, Any]) -> list[object]:
        return [[self.of(key), self.of(each)] for key, each in value.items()]

    def _kept(self, content: bytes) -> int:
        self._contents.append(content)
        return len(self._contents) - 1


class _Value:
    """Forms back to values."""

    def __init__(self, functions: Collection[str], contents: list[bytes]) -> None:
        self._functions = functions
        self._contents = contents

    def of(self, form: Any) -> Any:
        """The value that a form stands for.  Raises `ValueError`."""
        if not isinstance(form, list):
            return form
        letter, *rest = form
        if letter == "j":
            return rest[0]
        if letter == "b":
            return self._contents[rest[0]]
        if letter == "p":
            return json.loads(self._contents[rest[0]])
        if letter == "e":
            return _class(rest[0])(rest[1])
        if letter == "t":
            return datetime.fromisoformat(rest[0])
        if letter == "c":
            return partial(self.of(rest[0]), *map(self.of, rest[1]), **self._members(rest[2]))
        if letter == "n":
            return _class(rest[0])(*map(self.of, rest[1:]))
        if letter == "d":
            return self._members(rest[0])
        if letter == "f" and rest[0] in self._functions:
            module, _, name = rest[0].partition(":")
            return getattr(import_module(module), name)
        if letter in ("l", "u"):
            found = [self.of(each) for each in rest]
            return found if letter == "l" else tuple(found)
        raise ValueError(letter)

    def _members(self, pairs: list[list[Any]]) -> dict[Any, Any]:
        return {self.of(key): self.of(each) for key, each in pairs}


def _is_json(value: object) -> bool:
    """Whether there is nothing but JSON's own types in a value."""
    left = [value]
    while left:
        each = left.pop()
        if type(each) is dict:
            if not all(type(key) is str for key in each):
                return False
            left += each.values()
        elif type(each) is list:
            left += each
        elif type(each) not in _PLAIN:
            return False
    return True


def _class_name(kind: type) -> str:
    """A class as "module:name".  Raises `Unwritable` for one that no form may name."""
    if not kind.__module__.startswith(_CLASSES_OF):
        raise Unwritable(f"{kind.__module__}:{kind.__qualname__}")
    return f"{kind.__module__}:{kind.__qualname__}"


def _class(name: str) -> Any:
    """The class of that name.  Raises `ValueError` for one that no form may name."""
    module, _, kind = name.partition(":")
    if not module.startswith(_CLASSES_OF):
        raise ValueError(name)
    return getattr(import_module(module), kind)
