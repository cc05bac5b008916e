"""Documents under a JSON Schema, and which schemas can be used."""

import json
import time
from typing import Any

import pytest

from agent.codec import instances
from agent.codec.instances import MAX_SCHEMA, MAX_SIZE, FormDiffers
from agent.errors import Code, LimitExceeded, Malformed
from tests.reports import SCHEMA

DRAFT_4 = "http://json-schema.org/draft-04/schema#"


def read(value: object) -> Any:
    """A schema that was looked through."""
    schema = instances.schema(json.dumps(value).encode(), "schema")
    instances.look_through(schema, "schema")
    return schema


def check(value: object, schema: object = SCHEMA) -> None:
    """Check a document under it."""
    instances.check(json.dumps(value).encode(), read(schema), "document")


def test_document_that_has_the_form_is_taken() -> None:
    check({"by": "aaa", "tags": [1, "1"]})


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"by": "b"}, "by; expected what the schema says (pattern)"),
        ({"by": 5}, "by; expected what the schema says (type)"),
        ({}, "the document; expected what the schema says (required)"),
        ([], "the document; expected what the schema says (type)"),
        ({"by": "a", "tags": [1, 1]}, "tags; expected what the schema says (uniqueItems)"),
    ],
    ids=str,
)
def test_place_and_reason_are_told_and_nothing_of_the_document(value: object, place: str) -> None:
    with pytest.raises(FormDiffers) as raised:
        check(value)
    assert raised.value.message == f"document: got something else at {place}"
    assert raised.value.code is Code.CONTENT_REFUSED


def test_what_is_told_of_a_place_is_bounded_and_printable() -> None:
    with pytest.raises(FormDiffers) as raised:
        check({"\u202e" + "x" * 500: 5}, {"additionalProperties": {"type": "string"}})
    assert len(raised.value.message) < 220
    assert raised.value.message.isascii() and raised.value.message.isprintable()


@pytest.mark.parametrize(
    "draft", ["http://json-schema.org/draft-04/schema#", "https://json-schema.org/draft/2019-09/schema"]
)
def test_older_drafts_are_read_as_such(draft: str) -> None:
    schema = {"$schema": draft, "type": "integer", "maximum": 5}
    check(5, schema)
    with pytest.raises(FormDiffers):
        check(6, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": "https://example.com/other"},
        {"$schema": 5},
        {"$schema": "http://js[on-schema.org/draft-07/schema#"},
        {"type": "nothing"},
        {"pattern": "("},
        {"patternProperties": {"(": {}}},
        {"required": "by"},
        [],
        True,
    ],
    ids=str,
)
def test_what_is_no_schema_of_a_known_draft_is_refused(schema: object) -> None:
    with pytest.raises(Malformed):
        read(schema)


@pytest.mark.parametrize(
    "reference",
    [
        "https://example.com/other.json",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "other.json",
        "#/definitions/nothing",
        "#nothing",
    ],
)
@pytest.mark.parametrize("where", ["root", "inside"])
def test_reference_that_leads_elsewhere_is_refused(reference: str, where: str) -> None:
    one = {"$ref": reference}
    with pytest.raises(Malformed, match="got a reference to .*; expected all of it in this document"):
        read(one if where == "root" else {"properties": {"a": {"items": {"anyOf": [{}, one]}}}})


def test_reference_by_name_within_the_document_and_to_a_draft_is_taken() -> None:
    named = {"$id": "https://example.com/root", "$defs": {"a": {"$id": "a", "type": "string"}, "b": {"$anchor": "b"}}}
    read({**named, "properties": {"x": {"$ref": "a"}, "y": {"$ref": "#b"}, "z": {"$ref": "https://example.com/a"}}})
    read({"$ref": "http://json-schema.org/draft-07/schema#"})


def test_schema_from_another_version_that_leads_elsewhere_is_never_followed() -> None:
    with pytest.raises(Malformed, match="leads elsewhere"):
        instances.check(b"{}", {"$ref": "https://example.com/other.json"}, "document")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nothing"},
        {"pattern": "("},
        {"minLength": "1"},
        {"enum": 5},
        {"$ref": 5},
        {"$id": "http://[", "$ref": "x"},
    ],
    ids=str,
)
def test_schema_that_nobody_looked_through_and_is_none_is_no_bug(schema: Any) -> None:
    unseen = instances.schema(json.dumps(schema).encode(), "schema")
    with pytest.raises(Malformed):
        instances.check(b'"a"', unseen, "document")


@pytest.mark.parametrize("content", [b" " * (MAX_SIZE + 1), b"[" * 60_000, b'{"by": 1' + b"0" * 50 + b"}"])
def test_document_that_is_too_much_or_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed):
        instances.check(content, SCHEMA, "document")


def test_schema_that_is_too_much_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        instances.schema(b" " * (MAX_SCHEMA + 1), "schema")
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"not": deep}
    with pytest.raises(LimitExceeded):
        read(deep)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {f"a{i}": {} for i in range(30_000)}},
        {"$schema": DRAFT_4, "enum": [each for i in range(2_000) for each in ([i], {"a": i}, str(i), i)]},
        {"$defs": {f"x{i}": {"$id": f"y{i}"} for i in range(3_000)}, "$ref": "#"},
    ],
    ids=["a metaschema for each of many members", "a list compared with itself", "a draft that is slow"],
)
def test_schema_that_takes_minutes_to_look_through_is_refused_at_once(schema: object) -> None:
    begun = time.process_time()
    with pytest.raises(LimitExceeded):
        read(schema)
    assert time.process_time() - begun < 1


def test_references_by_name_do_not_have_the_whole_schema_looked_through_each_time() -> None:
    draft = "http://json-schema.org/draft-07/schema#"
    named = {f"x{i}": {"$id": f"#y{i}"} for i in range(1_500)}
    begun = time.process_time()
    read({"$schema": draft, "definitions": named, "properties": {f"p{i}": {"$ref": f"#y{i}"} for i in range(1_500)}})
    assert time.process_time() - begun < 8


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": DRAFT_4, "id": "http://[", "properties": {"a": {"$ref": "x"}}},
        {"allOf": [{}], "$ref": "#/allOf/first"},
    ],
    ids=["id", "index"],
)
def test_reference_that_no_library_can_read_is_no_bug(schema: object) -> None:
    with pytest.raises(Malformed, match="got what can't be read"):
        read(schema)
