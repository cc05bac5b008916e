"""in-toto statements: subjects, and what is said of them."""

import json
from typing import Any

import pytest

from agent.codec.statement import TYPES, Subject, parse
from agent.errors import LimitExceeded, Malformed
from tests.codec import evidence

GOOD: dict[str, Any] = json.loads(evidence.statement())


def encoded(**changes: Any) -> bytes:
    return json.dumps({name: each for name, each in (GOOD | changes).items() if each is not None}).encode()


@pytest.mark.parametrize("kind", TYPES)
def test_both_versions_are_read(kind: str) -> None:
    read = parse(encoded(_type=kind, predicate={"a": [1]}))
    assert read.predicate_type == "https://sigstore.dev/cosign/sign/v1"
    assert read.subjects == (Subject("", {"sha256": evidence.DIGEST}, {}),)
    assert read.predicate == {"a": [1]}


def test_names_and_annotations_are_kept() -> None:
    subjects = [{"name": "n", "digest": {"sha1": "a", "sha256": "b"}, "annotations": {"x": 1}}, {"uri": "u"}]
    assert parse(encoded(subject=subjects)).subjects == (
        Subject("n", {"sha1": "a", "sha256": "b"}, {"x": 1}),
        Subject("", {}, {}),
    )


def test_unknown_members_are_ignored_and_a_predicate_may_be_a_text_or_nothing() -> None:
    assert parse(encoded(more={}, predicate="SPDX")).predicate == "SPDX"
    assert parse(encoded(predicate=None)).predicate is None


@pytest.mark.parametrize(
    "changes",
    [
        {"_type": None},
        {"_type": "https://in-toto.io/Statement/v2"},
        {"_type": []},
        {"predicateType": None},
        {"predicateType": ""},
        {"predicateType": 7},
        {"predicateType": ["https://slsa.dev/provenance/v1"]},
        {"subject": None},
        {"subject": []},
        {"subject": {}},
        {"subject": {"digest": {"sha256": evidence.DIGEST}}},
        {"subject": "x"},
        {"subject": ["x"]},
        {"subject": [{"digest": []}]},
        {"subject": [{"digest": {"sha256": 1}}]},
        {"subject": [{"name": 1}]},
        {"subject": [{"annotations": []}]},
    ],
    ids=str,
)
def test_anything_else_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        parse(encoded(**changes))


@pytest.mark.parametrize("content", [b"", b"[]", b"x", encoded()[:-1] + b', "subject": []}', encoded() + b" x"])
def test_what_two_readers_could_read_differently_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        parse(content)


def test_subjects_and_digests_have_a_limit() -> None:
    parse(encoded(subject=[{}] * 1024))
    parse(encoded(subject=[{"digest": {str(i): "" for i in range(32)}}]))
    too_many: list[list[dict[str, Any]]] = [[{}] * 1025, [{"digest": {str(i): "" for i in range(33)}}]]
    for subjects in too_many:
        with pytest.raises(LimitExceeded):
            parse(encoded(subject=subjects))


def test_number_of_values_has_a_limit() -> None:
    parse(encoded(predicate=[0] * 190_000))
    with pytest.raises(LimitExceeded):
        parse(encoded(predicate=[0] * 210_000))
