"""Checks a decoded configuration against the schema, and says what is wrong in words for people.

The only module that imports jsonschema; never on the pull path.  Every problem is found, up to `MAX_FINDINGS`; no
value is shown whole, and nothing that looks like a private key at all.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from agent.errors import Problem

MAX_FINDINGS = 500
"""Most findings told about one document: nobody reads more, and a hostile document could make millions."""

_LONGEST_SHOWN = 60
_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
}
_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,63}\Z")

Path = tuple[str | int, ...]


class Finding(NamedTuple):
    """A problem whose place is still a path of keys and indexes.  `structural`: the value there can't be used.

    `excessive`: there is so much of it that nothing of the document is to be looked at any further.
    """

    path: Path
    got: str
    expected: str
    fatal: bool = True
    structural: bool = True
    excessive: bool = False

    def problem(self, document: str) -> Problem:
        """The same, with its place as text in the document of that name."""
        return Problem(place(document, self.path), self.got, self.expected, self.fatal)


def check(value: object, schema: Mapping[str, object]) -> tuple[Finding, ...]:
    """Everything wrong with `value`, in the document's order; the last one says so if there was more.

    What is told of a key is not told beside an error of its value.
    """
    found: dict[Finding, None] = {}
    for error in _Validator(schema).iter_errors(value):
        found[_finding(error)] = None
        if len(found) >= MAX_FINDINGS:
            got = f"more than {MAX_FINDINGS} problems"
            found[Finding((), got, "a configuration with fewer of them", excessive=True)] = None
            break
    wrong = {finding.path for finding in found if finding.fatal}
    return tuple(finding for finding in found if finding.fatal or finding.path not in wrong)


def place(document: str, path: Path) -> str:
    """A path as people read it: `config.json: verifier.plugins[0].name`."""
    steps = ""
    for step in path:
        if isinstance(step, int):
            steps += f"[{step}]"
        elif _PLAIN_KEY.match(step):
            steps += f".{step}"
        else:
            steps += f"[{json.dumps(step[:_LONGEST_SHOWN])}]"
    return f"{document}: {steps.lstrip('.')}" if steps else document


def shown(value: object) -> str:
    """A value in a message: short, in ASCII, never a private key."""
    if isinstance(value, str):
        if "PRIVATE KEY" in value:
            return "a private key, which belongs in no configuration"
        quoted = json.dumps(value)
        return quoted if len(quoted) <= _LONGEST_SHOWN + 2 else f"a text of {len(value)} characters"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    return json.dumps(value)


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that `word` may have been meant as; empty if none is near."""
    found = difflib.get_close_matches(word[:64].casefold(), [each.casefold() for each in known], 1)
    return next((each for each in known if each.casefold() in found), "")


def _finding(error: ValidationError) -> Finding:
    path: Path = tuple(error.absolute_path)
    schema = error.schema if isinstance(error.schema, dict) else {}
    keyword, limit = cast("str", error.validator), error.validator_value
    if keyword in ("required", "dependentRequired", "additionalProperties", "x-unknownKeys"):
        return _key_finding(path, keyword, schema)
    if keyword == "x-warning":
        return Finding(path, shown(error.instance), str(limit), fatal=False)
    expected = schema.get("x-expected") or _expected(keyword, limit)
    structural, excessive = keyword not in ("not", "const"), keyword == "maxItems"
    return Finding(path, shown(error.instance), str(expected), structural=structural, excessive=excessive)


def _key_finding(path: Path, keyword: str, schema: Mapping[str, object]) -> Finding:
    key = str(path[-1])
    properties = cast("Mapping[str, object]", schema.get("properties", {}))
    if keyword in ("required", "dependentRequired"):
        subschema = properties.get(key)
        described = str(subschema.get("description", "")) if isinstance(subschema, dict) else ""
        meant = described.split("  ")[0].rstrip(".")
        return Finding(path, "nothing", f"this key: {meant}" if meant else f"the key {key!r}")
    known = [each for each in properties if not each.startswith("$")]
    near = nearest(key, known)
    if keyword == "additionalProperties":
        return Finding(path, "an unknown key", near or f"one of {', '.join(known)}", structural=False)
    if near and near.casefold() == key.casefold():
        # Ratify takes keys in any case, so it would heed what we'd ignore.
        return Finding(path, "a key in another case", near, structural=False)
    expected = f"{near}, or no such key: it is ignored" if near else "no such key: it is ignored"
    return Finding(path, "an unknown key", expected, fatal=False)


def _expected(keyword: str, limit: object) -> str:
    if keyword == "enum":
        return "one of " + ", ".join(json.dumps(each) for each in cast("list[object]", limit))
    if keyword == "type":
        return _TYPES.get(str(limit), str(limit))
    words: dict[str, Callable[[], str]] = {
        "const": lambda: json.dumps(limit),
        "minItems": lambda: f"a list of at least {limit}",
        "maxItems": lambda: f"a list of at most {limit}",
        "minLength": lambda: "a text that is not empty",
        "maxLength": lambda: f"a text of at most {limit} characters",
        "minimum": lambda: f"at least {limit}",
        "maximum": lambda: f"at most {limit}",
        "uniqueItems": lambda: "each value once",
        "pattern": lambda: f"a text of the form {limit}",
    }
    return words[keyword]()


def _required(_: object, keys: Sequence[str], value: object, __: object) -> Iterator[ValidationError]:
    """One error per missing key, at its place."""
    if isinstance(value, dict):
        for key in keys:
            if key not in value:
                yield ValidationError("missing", path=(key,))


def _dependent_required(
    validator: object, dependents: Mapping[str, Sequence[str]], value: object, schema: object
) -> Iterator[ValidationError]:
    """One error per key that is missing beside another."""
    for key, required in dependents.items():
        if isinstance(value, dict) and key in value:
            yield from _required(validator, required, value, schema)


def _unknown_keys(_: object, __: object, value: object, schema: Mapping[str, object]) -> Iterator[ValidationError]:
    """One error per key that is not listed, at its place."""
    properties = cast("Mapping[str, object]", schema.get("properties", {}))
    if isinstance(value, dict):
        for key in value:
            if key not in properties:
                yield ValidationError("unknown", path=(key,))


_additional_properties = Draft202012Validator.VALIDATORS["additionalProperties"]


def _no_additional_properties(
    validator: object, allowed: object, value: object, schema: Mapping[str, object]
) -> Iterator[ValidationError]:
    """The standard's meaning, but one error per key."""
    if allowed is False:
        return _unknown_keys(validator, allowed, value, schema)
    return cast("Iterator[ValidationError]", _additional_properties(validator, allowed, value, schema))


_Keyword = Callable[[object, object, object, Mapping[str, object]], Iterator[ValidationError]]


def _unless_too_long(keyword: str) -> _Keyword:
    """The standard's meaning, but nothing of a list that is too long anyway: it could take hours."""
    check = cast("_Keyword", Draft202012Validator.VALIDATORS[keyword])

    def checked(
        validator: object, wanted: object, value: object, schema: Mapping[str, object]
    ) -> Iterator[ValidationError]:
        """See above; `wanted` is the keyword's value."""
        if isinstance(value, list) and len(value) > cast("float", schema.get("maxItems", math.inf)):
            return iter(())
        return check(validator, wanted, value, schema)

    return checked


def _pattern(_: object, pattern: str, value: object, __: object) -> Iterator[ValidationError]:
    """`$` is the end of the text, as in the standard: Python's would let a line feed follow."""
    if isinstance(value, str) and not re.search(pattern.replace("$", r"\Z"), value):
        yield ValidationError("no match")


def _warning(_: object, __: object, ___: object, ____: object) -> Iterator[ValidationError]:
    yield ValidationError("warning")


_Validator = extend(
    Draft202012Validator,
    {
        "required": _required,
        "dependentRequired": _dependent_required,
        "additionalProperties": _no_additional_properties,
        "items": _unless_too_long("items"),
        "pattern": _pattern,
        "uniqueItems": _unless_too_long("uniqueItems"),
        "x-unknownKeys": _unknown_keys,
        "x-warning": _warning,
    },
)
