"""JSON objects that evidence brought, kept as text until an image is judged, and parsed by whoever reads them.

As Python objects they would take up to forty times the memory of their text.
"""

import json
from collections.abc import Iterator, Mapping
from typing import cast

_FEW_VALUES = 200  # JSON values up to which an object is kept as it is
_SHORT = 4096  # characters; a longer text is never at hand, and an object with more of them is packed
_MOST_SHORT = 8 * 1024  # characters of all texts of one object that are at hand


class Packed(Mapping[str, object]):
    """A JSON object as text.  Its short texts are at hand; for any other member the whole text is parsed again."""

    __slots__ = ("_content", "_texts")

    def __init__(self, value: Mapping[str, object]) -> None:
        """`value` holds JSON values alone."""
        self._content = json.dumps(dict(value), separators=(",", ":"), allow_nan=False).encode("ascii")
        texts = {name: each for name, each in value.items() if isinstance(each, str) and len(each) <= _SHORT}
        self._texts: dict[str, str] = texts if sum(map(len, texts.values())) <= _MOST_SHORT else {}

    @property
    def content(self) -> bytes:
        """The JSON text, in ASCII."""
        return self._content

    @property
    def size(self) -> int:
        """Bytes of the JSON text."""
        return len(self._content)

    def __getitem__(self, name: str) -> object:
        """A member.  Raises `KeyError`."""
        return self._texts[name] if name in self._texts else self._read()[name]

    def get(self, name: str, default: object = None) -> object:
        """A member, `default` if there is none."""
        return self._texts[name] if name in self._texts else self._read().get(name, default)

    def __iter__(self) -> Iterator[str]:
        """The members' names."""
        return iter(self._read())

    def __len__(self) -> int:
        """How many members."""
        return len(self._read())

    def _read(self) -> dict[str, object]:
        return cast("dict[str, object]", json.loads(self._content))


def packed(value: Mapping[str, object]) -> Mapping[str, object]:
    """A JSON object that others chose: itself if it is small, else `Packed`."""
    return Packed(value) if _is_long(value) else value


def _is_long(value: object) -> bool:
    """Whether a JSON value has many values in it, or long texts; stops as soon as that is known."""
    values, length, level = 0, 0, [value]
    while level:
        each = level.pop()
        values += 1
        if isinstance(each, str):
            length += len(each)
        elif isinstance(each, Mapping):
            length += sum(map(len, each))
            level += each.values()
        elif isinstance(each, list | tuple):
            level += each
        if values > _FEW_VALUES or length > _SHORT or len(level) > _FEW_VALUES:
            return True
    return False
