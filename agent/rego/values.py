"""Values of Rego in Python, their order and their texts.

null, booleans, texts: Python's.  Numbers: `int`, and `Fraction` for what is not whole, so that sums are exact.  Arrays:
`tuple`.  Objects and sets: `Object`, `Set`.  Rego orders all values: null < booleans < numbers < texts < arrays <
objects < sets (OPA's reference, "Comparison"); `rank` gives a Python key with that order, and equal values alone have
equal ranks: true is not 1.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from agent.rego.faults import EvaluationFault

Value = Any
"""A value of Rego."""

Rank = tuple[Any, ...]

MAX_BITS = 4096
"""Longest number, in bits."""


class Set:
    """A set: equal values once, in Rego's order."""

    __slots__ = ("_rank", "members")

    def __init__(self, values: Iterable[Value] = ()) -> None:
        """Hold `values`."""
        self.members: dict[Rank, Value] = {rank(value): value for value in values}
        self._rank: Rank | None = None

    def __iter__(self) -> Iterator[Value]:
        """The members in order."""
        return (self.members[each] for each in sorted(self.members))

    def __len__(self) -> int:
        """How many members there are."""
        return len(self.members)

    def __contains__(self, value: Value) -> bool:
        """Whether `value` is a member."""
        return rank(value) in self.members

    def rank(self) -> Rank:
        """See `agent.rego.values.rank`."""
        if self._rank is None:
            self._rank = (6, *sorted(self.members))
        return self._rank


class Object:
    """An object: values by key, and a key is any value."""

    __slots__ = ("_rank", "pairs")

    def __init__(self, pairs: Iterable[tuple[Value, Value]] = ()) -> None:
        """Hold `pairs`; a later one takes the place of an earlier one with its key."""
        self.pairs: dict[Rank, tuple[Value, Value]] = {rank(key): (key, value) for key, value in pairs}
        self._rank: Rank | None = None

    def __iter__(self) -> Iterator[tuple[Value, Value]]:
        """The pairs in the order of their keys."""
        return (self.pairs[each] for each in sorted(self.pairs))

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)

    def get(self, key: Value) -> tuple[Value, Value] | None:
        """The pair with this key."""
        return self.pairs.get(rank(key))

    def rank(self) -> Rank:
        """See `agent.rego.values.rank`."""
        if self._rank is None:
            parts: list[Rank] = [(5,)]
            for each in sorted(self.pairs):
                parts += (each, rank(self.pairs[each][1]))
            self._rank = (5, *parts[1:])
        return self._rank


def rank(value: Value) -> Rank:
    """A key for comparing and sorting: less, equal and greater mean what they mean in Rego."""
    if isinstance(value, str):
        return (3, value)
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, tuple):
        return (4, *map(rank, value))
    if isinstance(value, (Object, Set)):
        return value.rank()
    return (2, value)


def same(left: Value, right: Value) -> bool:
    """Whether two values are equal."""
    if isinstance(left, str) or isinstance(right, str):
        return bool(left == right)
    return rank(left) == rank(right)


def is_number(value: Value) -> bool:
    """Whether it is a number: a Python `bool` is none."""
    return not isinstance(value, (bool, str, tuple, Object, Set)) and value is not None


def number(value: Any) -> Value:
    """A number in the form that this module wants.  Raises `EvaluationFault` for one that is too long."""
    if not isinstance(value, int) and value.denominator == 1:
        value = value.numerator
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise EvaluationFault(f"a number of more than {MAX_BITS} bits")
    return value


def decimal(text: str) -> Value:
    """The number that `text`, a number of JSON, means.  Raises `EvaluationFault` for one that is too long."""
    digits, _, exponent = text.lower().partition("e")
    if len(digits) > MAX_BITS // 4 or len(exponent) > 5 or abs(int(exponent or "0")) > MAX_BITS // 4:
        raise EvaluationFault("a number of too many digits")
    if "." not in digits and not exponent:
        return number(int(digits))
    from fractions import Fraction

    return number(Fraction(text))


def from_json(value: object) -> Value:
    """A decoded JSON value."""
    if isinstance(value, dict):
        return Object((key, from_json(each)) for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(from_json, value))
    if isinstance(value, float):
        return decimal(repr(value))
    if value is None or isinstance(value, (str, bool, int)):
        return value
    raise TypeError(f"no JSON value: {type(value)}")


def to_json(value: Value) -> object:
    """A value as JSON can hold it: sets become arrays, keys texts."""
    if isinstance(value, (tuple, Set)):
        return [to_json(each) for each in value]
    if isinstance(value, Object):
        return {key if isinstance(key, str) else shown(key): to_json(each) for key, each in value}
    if is_number(value) and not isinstance(value, int):
        return float(value)
    return value


def shown(value: Value, *, quoted: bool = True) -> str:
    """A value as Rego's own text; a text itself only with quotes if `quoted`."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if quoted else value
    if isinstance(value, tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, Set):
        return f"{{{', '.join(map(shown, value))}}}" if len(value) else "set()"
    if isinstance(value, Object):
        return "{" + ", ".join(f"{shown(key)}: {shown(each)}" for key, each in value) + "}"
    if isinstance(value, int):
        return json.dumps(value)
    return "null" if value is None else repr(float(value))


def type_name(value: Value) -> str:
    """The name of its type, as `type_name` gives it."""
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), (str, "string"), (tuple, "array"), (Object, "object"), (Set, "set")):
        if isinstance(value, kind):
            return name
    return "number"
