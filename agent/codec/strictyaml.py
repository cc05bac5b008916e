"""YAML with JSON's values alone: null, true, false, JSON's numbers, texts, lists, objects with texts for keys.

What YAML's versions read differently, or what people read differently than YAML does, is refused and not guessed:
`yes` and `on`, `~` and nothing at all, octal and hexadecimal numbers, dates, `.inf`; anchors, aliases, tags, merge
keys, keys twice, keys that are no texts.  Whoever means a text writes quotes.  The parser's events are read, never
its objects: nothing is constructed that a document names.

Never on the pull path: configurations are read when they are published.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from agent.codec.strictjson import MAX_DIGITS
from agent.errors import LimitExceeded, Malformed

MAX_VALUES = 100_000
"""Most values of one stream."""

MAX_DEPTH = 100
"""Most levels of values in each other."""

MAX_DOCUMENTS = 200
"""Most documents of one stream."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z", re.ASCII)
_DOUBTFUL = re.compile(
    r"""( (?: ~ | null | true | false | yes | no | on | off | y | n )
        | [-+]?\.(?:inf|nan) | [-+.]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:e[-+]?[0-9]+)? | [-+]?0[xob][0-9a-f_]+
        | [-+]?[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9_]*)? | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt\ ].*)? | = | << )\Z""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_CONSTANTS = {"null": None, "true": True, "false": False}


def decode(data: bytes, what: str, *, limit: int) -> object:
    """The value of the only document in `data`.  Raises `Malformed`, `LimitExceeded`."""
    found = decode_all(data, what, limit=limit)
    if len(found) != 1:
        raise Malformed(f"{what}: got {len(found)} documents; expected one")
    return found[0]


def decode_all(data: bytes, what: str, *, limit: int, nothing_is_null: bool = False) -> list[object]:
    """The values of all documents in `data`, those that are empty left out.  Raises `Malformed`, `LimitExceeded`.

    `nothing_is_null`: a key without a value has the value null, as Kubernetes reads it.
    """
    if len(data) > limit:
        raise LimitExceeded(f"{what}: got {len(data)} bytes; expected at most {limit}")
    try:
        text = data.decode("utf-8")
        return list(_Builder(what, yaml.parse(text, Loader=_Loader), nothing_is_null).documents())
    except UnicodeDecodeError:
        raise Malformed(f"{what}: got bytes that are no UTF-8; expected YAML") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"line {mark.line + 1}: " if mark else ""
        expected = "YAML, with quotes around what begins with * or &" if _is_alias(error) else "YAML"
        raise Malformed(f"{what}: got {at}{ascii(str(error.problem))[1:-1][:120]}; expected {expected}") from None
    except yaml.reader.ReaderError as error:
        raise Malformed(f"{what}: got a character that no YAML has, at {error.position}; expected YAML") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise Malformed(f"{what}: got {type(error).__name__}; expected YAML") from None


def _is_alias(error: yaml.MarkedYAMLError) -> bool:
    """Whether it is about what people write who mean a pattern: `match: [*]`."""
    return str(error.context).endswith(("alias", "anchor"))


class _Builder:
    """Builds values from events."""

    def __init__(self, what: str, events: Iterator[Any], nothing_is_null: bool) -> None:
        self._what = what
        self._events = events
        self._nothing_is_null = nothing_is_null
        self._count = 0

    def documents(self) -> Iterator[object]:
        """Every document's value."""
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > MAX_DOCUMENTS:
                    raise LimitExceeded(f"{self._what}: got more than {MAX_DOCUMENTS} documents")
                first = next(self._events)
                if isinstance(first, yaml.ScalarEvent) and first.value == "" and first.implicit[0]:
                    continue
                yield self._value(first, 1)

    def _value(self, event: Any, depth: int) -> object:
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_VALUES:
            raise LimitExceeded(f"{self._what}: got more than {MAX_DEPTH} levels or {MAX_VALUES} values")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._wrong(event, "an anchor or an alias", "each value written out")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if event.tag is not None:
            raise self._wrong(event, f"the tag {ascii(event.tag)[:40]}", "no tags")
        if isinstance(event, yaml.SequenceStartEvent):
            found = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                found.append(self._value(item, depth + 1))
            return found
        return self._object(depth)

    def _object(self, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, depth + 1)
            if not isinstance(key, str):
                raise self._wrong(event, "a key that is no text", "a text; quotes make one")
            if key in found:
                raise self._wrong(event, f"the key {ascii(key)[:60]} twice", "each key once")
            found[key] = self._value(next(self._events), depth + 1)
        return found

    def _scalar(self, event: Any) -> object:
        text: str = event.value
        if event.tag is not None:
            raise self._wrong(event, f"the tag {ascii(event.tag)[:40]}", "no tags")
        if not event.implicit[0]:  # quoted, or a block
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _NUMBER.match(text) and len(text) <= MAX_DIGITS:
            return self._number(event, text)
        if not text and self._nothing_is_null:
            return None
        if not text:
            raise self._wrong(event, "nothing", 'a value: null, "" or another')
        if _DOUBTFUL.match(text):
            expected = f'"{text[:40]}" if a text is meant; of other values, as JSON writes them'
            raise self._wrong(event, f"{ascii(text)[:40]}, which is read in different ways", expected)
        return text

    def _number(self, event: Any, text: str) -> object:
        if text.lstrip("-").isdigit():
            return int(text)
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise self._wrong(event, "a number out of range", "a smaller one")
        return value

    def _wrong(self, event: Any, got: str, expected: str) -> Malformed:
        return Malformed(f"{self._what}: got line {event.start_mark.line + 1}: {got}; expected {expected}")
