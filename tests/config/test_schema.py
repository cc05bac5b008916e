"""The schema itself: valid, described, and standard enough for editors."""

import json
from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator

from agent.config.schema import SCHEMA
from tests.config.support import GOOD, STATEMENT, put


def _properties(schema: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties" and isinstance(value, dict):
                yield from ((f"{path}.{name}", each) for name, each in value.items() if each not in (True, False))
            yield from _properties(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for each in schema:
            yield from _properties(each, path)


def test_it_is_a_schema_of_its_draft() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_key_has_a_title_and_a_description() -> None:
    described = [(path, each) for path, each in _properties(SCHEMA) if ".if." not in f"{path}."]
    assert len(described) > 40
    for path, each in described:
        assert isinstance(each, dict)
        assert "$ref" in each or (each.get("title") and each.get("description")), path


def test_it_survives_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("store.plugins[0].cosignEnabled", "true"),
        ("nodeseal", {}),
        ("verifier.plugins[0].source", {}),
        (f"{STATEMENT}.signatureVerification.level", "lax"),
        (f"{STATEMENT}.surprise", 1),
        ("store", ...),
    ],
)
def test_an_ordinary_validator_refuses_what_ours_refuses(path: str, value: object) -> None:
    validator = Draft202012Validator(SCHEMA)
    assert validator.is_valid(GOOD)
    assert not validator.is_valid(put(path, value))
