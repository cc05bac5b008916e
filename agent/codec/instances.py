"""JSON Schema: whether a JSON document is valid under a schema.

Drafts 3 to 2020-12, by the jsonschema library.  The schema is the operator's.  It is checked when it is published, so
that its author hears of what is wrong with it; that takes seconds if it is large (`work`).  The document is anybody's,
and may take the library any time, by a regular expression or a list of unique items.  So `look_through` and `check` are
both run in a process that can be killed.

`format` is an annotation, and checks nothing: the standard's default.  Regular expressions are Python's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.validators import validator_for
from jsonschema_specifications import REGISTRY
from referencing import Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from agent.codec import strictjson
from agent.errors import Code, LimitExceeded, Malformed

MAX_SIZE = 4 * 1024 * 1024
"""Largest document taken, in bytes."""

MAX_VALUES = 50_000
"""Most JSON values of a document, roughly: each takes the library some 20 microseconds."""

MAX_SCHEMA = 512 * 1024
"""Largest schema taken, in bytes; SARIF's has 110 KiB."""

MAX_SCHEMA_VALUES = 20_000
"""Most JSON values of a schema, roughly: a few seconds of work.  SARIF's has 4,000."""

MAX_SLOW_SCHEMA_VALUES = 4_000
"""The same for drafts from 2019-09 on, for which the library takes three to ten times as long."""

_SLOW_DRAFTS_FACTOR = MAX_SCHEMA_VALUES // MAX_SLOW_SCHEMA_VALUES
"""For how many values of an older draft one value of a newer draft counts, as work."""

MAX_MIXED = 128
"""Most elements of a list in a schema, unless all are texts: each is compared with every other one."""

_SLOW_DRAFTS = "://json-schema.org/draft/"  # in the names of drafts from 2019-09 on; older ones have draft-07

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_LONGEST = 120  # characters of others' texts in a message

Schema = Mapping[str, Any]


class FormDiffers(Malformed):
    """A document is not valid under its schema."""

    code = Code.CONTENT_REFUSED


def schema(content: bytes, where: str) -> Schema:
    """Decode a schema; check its draft and its bounds, and no more.  Raises `Malformed`, naming `where`."""
    value = strictjson.decode(content, where, limit=MAX_SCHEMA, most=MAX_SCHEMA_VALUES)
    if not isinstance(value, dict):
        raise Malformed(f"{where}: got {type(value).__name__}; expected an object, a JSON Schema")
    dialect = _dialect(value)
    if _kind(dialect) is None:
        raise Malformed(f"{where}: $schema: got {ascii(dialect)[:80]}; expected a draft of JSON Schema, 3 to 2020-12")
    if _SLOW_DRAFTS in str(dialect):
        strictjson.decode(content, where, limit=MAX_SCHEMA, most=MAX_SLOW_SCHEMA_VALUES)
    if _most_mixed(value) > MAX_MIXED:
        raise LimitExceeded(f"{where}: got a list of many things; expected at most {MAX_MIXED}, or texts alone")
    return value


def work(given: Schema) -> int:
    """How much work `look_through` of this schema is, in JSON values: 20,000 take one or two seconds."""
    return _values(given) * (_SLOW_DRAFTS_FACTOR if _SLOW_DRAFTS in str(_dialect(given)) else 1)


def look_through(given: Schema, where: str) -> None:
    """Check a schema that `schema` has returned: valid in its draft, every reference within it.  Raises `Malformed`."""
    try:
        _look_through(given, where)
    except Malformed:
        raise
    except RecursionError:
        raise LimitExceeded(f"{where}: got a schema nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - whatever libraries make of it: a URL, or an index, that is none
        text = ascii(str(error))[1:-1][:_LONGEST]
        raise Malformed(f"{where}: got what can't be read ({text}); expected a JSON Schema") from None


def _look_through(value: Schema, where: str) -> None:
    dialect = _dialect(value)
    kind = _kind(dialect)
    try:
        kind.check_schema(value, format_checker=kind.FORMAT_CHECKER)
    except SchemaError as error:
        place = "/".join(map(str, error.absolute_path))
        raise Malformed(
            f"{where}: got no JSON Schema (at {ascii(place)[1:-1][:80]}); expected one of its draft"
        ) from None
    resource = Resource.from_contents(value, default_specification=specification_with(dialect))
    root = resource.id() or ""
    known = REGISTRY.with_resource(root, resource).crawl()  # once, not at each reference
    for reference in _references(resource, known.resolver(root)):
        raise Malformed(f"{where}: got a reference to {ascii(reference)[:80]}; expected all of it in this document")


def _values(value: object) -> int:
    inside = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return 1 + sum(map(_values, inside))


def _dialect(value: Schema) -> Any:
    """What names the draft; the newest where nothing does."""
    return value.get("$schema", Draft202012Validator.META_SCHEMA["$id"])


def _kind(dialect: object) -> Any:
    """The library's class for a draft, None if there is none."""
    try:
        return validator_for({"$schema": dialect}, default=None) if isinstance(dialect, str) else None
    except ValueError:  # the library reads it as a URL
        return None


def _most_mixed(value: object) -> int:
    """Elements of the longest list in a value, of those that hold anything but texts."""
    inside = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    is_mixed = isinstance(value, list) and not all(isinstance(each, str) for each in value)
    return max([len(inside) if is_mixed else 0, *map(_most_mixed, inside)])


def check(content: bytes, given: object, where: str) -> None:
    """Check a document under a schema that `schema` has returned.  Raises `Malformed`, `FormDiffers`."""
    value = strictjson.decode(content, where, limit=MAX_SIZE, most=MAX_VALUES)
    under = cast("Schema", given)
    kind = validator_for(under, default=Draft202012Validator)
    try:
        error = next(kind(under, registry=REGISTRY).iter_errors(value), None)
    except Unresolvable:
        raise Malformed(f"{where}: got a schema that leads elsewhere; expected all of it in one document") from None
    except RecursionError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the library makes of a schema that nobody looked through
        text = f"got a schema that can't be used ({type(error).__name__}); expected what its draft takes"
        raise Malformed(f"{where}: {text}") from None
    if error is not None:
        place = "/".join(map(str, error.absolute_path)) or "the document"
        got = f"something else at {ascii(place)[1:-1][:_LONGEST]}"
        raise FormDiffers(f"{where}: got {got}; expected what the schema says ({error.validator})")


def _references(resource: Any, resolver: Any) -> Iterator[str]:
    """Every reference in a schema that leads to nothing known."""
    if isinstance(resource.contents, dict):
        for name in _REFERENCES:
            reference = resource.contents.get(name)
            if isinstance(reference, str):
                try:
                    resolver.lookup(reference)
                except Unresolvable:
                    yield reference
    for each in resource.subresources():
        yield from _references(each, resolver.in_subresource(each))
