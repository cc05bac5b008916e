"""JSON from outside, read so that two readers can't see two things in it.

RFC 8259 with I-JSON's rules (RFC 7493): no duplicate keys, no lone surrogates, UTF-8 only; and bounds on size, depth
and numbers.
"""

import json
from typing import NoReturn

from agent.errors import LimitExceeded, Malformed

MAX_DIGITS = 20
"""Longest number taken, in characters: 64-bit integers have at most 20."""

MAX_VALUES = 100_000
"""Most values in one text, about: a byte of `[[],[]]` becomes fifty of memory, and a hundred times the time."""

MAX_DEPTH = 500
"""Most arrays and objects in each other: how many a stack has room for depends on who asks, and when."""


def decode(data: bytes, where: str, *, limit: int, most: int = MAX_VALUES) -> object:
    """Decode one JSON text of at most `limit` bytes and about `most` values.

    Raises `Malformed` or `LimitExceeded`, naming `where`.
    """
    if len(data) > limit:
        raise LimitExceeded(f"{where}: got {len(data)} bytes; expected at most {limit}")
    # Each value but the first has one of these in front; those within strings count as well, which does no harm.
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > most:
        raise LimitExceeded(f"{where}: got JSON of {values} values; expected at most {most}")
    try:
        text = data.decode("utf-8")
        value = _DECODER.decode(text)
        if values > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
            raise RecursionError
        if b"\\ud" in data or b"\\uD" in data:
            _refuse_lone_surrogates(value)
    except RecursionError:
        raise LimitExceeded(f"{where}: got JSON nested too deeply; expected at most {MAX_DEPTH} levels") from None
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise Malformed(f"{where}: got text that is not UTF-8 ({error.reason}); expected JSON in UTF-8") from None
    except ValueError as error:
        raise Malformed(f"{where}: got no valid JSON ({error})") from None
    return value


def canonical(value: object) -> bytes:
    """`value` as JSON in one fixed form: sorted keys, no white space, ASCII.  Equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _is_deeper(value: object, levels: int) -> bool:
    """Whether more than so many arrays and objects are in each other."""
    level = [value]
    for _ in range(levels + 1):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        if not inner:
            return False
        level = [each for values in inner for each in values]
    return True


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"key {ascii(twice)[:40]} stands twice")
    return found


def _bounded_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _bounded_float(text: str) -> float:
    if len(text) > MAX_DIGITS * 2:
        raise ValueError(f"a number of {len(text)} digits")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number out of range")
    return value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"the constant {text}")


def _refuse_lone_surrogates(value: object) -> None:
    """Encode every string, one after another: Python writes a lone surrogate into no encoding."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            each.encode("utf-8")
        elif isinstance(each, dict):
            left += each.keys()
            left += each.values()
        elif isinstance(each, list):
            left += each


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_bounded_int, parse_float=_bounded_float, parse_constant=_no_constant
)
