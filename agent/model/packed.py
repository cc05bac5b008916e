"""What evidence told, as compact as it came: JSON text, read again by whoever wants it.

As values of this language it takes up to forty times the memory, for as long as its image is not judged.
"""

import json
from collections.abc import Iterator, Mapping
from typing import cast

_FEW_VALUES = 200
_SHORT = 4096
_MOST_SHORT = 8 * 1024


class Packed(Mapping[str, object]):
    """A JSON object.  Short texts in it are at hand; every other member is read anew when it is asked for."""

    __slots__ = ("_content", "_texts")

    def __init__(self, value: Mapping[str, object]) -> None:
        """`value` is JSON."""
        self._content = json.dumps(dict(value), separators=(",", ":"), allow_nan=False).encode("ascii")
        texts = {name: each for name, each in value.items() if isinstance(each, str) and len(each) <= _SHORT}
        self._texts: dict[str, str] = texts if sum(map(len, texts.values())) <= _MOST_SHORT else {}

    @property
    def content(self) -> bytes:
        """The text."""
        return self._content

    @property
    def size(self) -> int:
        """Bytes."""
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
    """JSON that others chose, as it is if it is short; packed if not."""
    return Packed(value) if _is_long(value) else value


def _is_long(value: object) -> bool:
    """Whether there are many values in it, or long texts."""
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
