"""YAML with JSON's values alone: what is taken, what is refused and where, the bounds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.codec import strictyaml
from agent.errors import LimitExceeded, Malformed

LIMIT = 1024 * 1024


def decoded(text: str) -> object:
    """The value of one document."""
    return strictyaml.decode(text.encode(), "x.yaml", limit=LIMIT)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("[1, -2.5, 1e3, -0, true, false, null]", [1, -2.5, 1000.0, 0, True, False, None]),
        ('"yes"', "yes"),
        ("'0o17'", "0o17"),
        ("plain words", "plain words"),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("a: >\n  one\n  two\n", {"a": "one two\n"}),
        ("- {match: registry.example.com/**}\n- [x]", [{"match": "registry.example.com/**"}, ["x"]]),
        ('version: "1.0"', {"version": "1.0"}),
        ("# a comment\na: b # another\n", {"a": "b"}),
        ("---\na: b\n...\n", {"a": "b"}),
        ("key: >=0.1", None),
        ("a: 'x\\n'", {"a": "x\\n"}),
        ('a: "\\u00fc"', {"a": "\u00fc"}),
        ("yes: 1", None),
    ],
    ids=str,
)
def test_values_are_jsons_or_refused(text: str, value: object) -> None:
    if value is None:
        with pytest.raises(Malformed):
            decoded(text)
    else:
        assert decoded(text) == value
        assert json.dumps(decoded(text)) == json.dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        "yes", "No", "on", "OFF", "y", "N", "~", "True", "FALSE", "Null", "0o17", "017", "0x1F", "0b1", "+1", ".5",
        "1.", "1_000", "1:30", "190:20:30", "2026-11-24", "2026-11-24T10:00:00Z", ".inf", "-.INF", ".NaN", "=", "1e999",
    ],
)  # fmt: skip
def test_what_is_read_in_different_ways_is_refused_at_its_line_and_taken_in_quotes(text: str) -> None:
    with pytest.raises(Malformed, match=r"x\.yaml: got line 2: .*; expected"):
        decoded(f"a: 1\nb: {text}\n")
    assert decoded(f"a: 1\nb: '{text}'\n") == {"a": 1, "b": text}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &x 1\nb: *x", "line 1: an anchor or an alias"),
        ("a: {<<: {b: 1}}", "'<<', which is read in different ways"),
        ("a: !!str 1", "line 1: the tag 'tag:yaml.org,2002:str'"),
        ("a: !!python/object:os.system x", "line 1: the tag"),
        ("a: !x [1]", "line 1: the tag '!x'"),
        ("a: 1\na: 2", "line 2: the key 'a' twice"),
        ("1: a", "line 1: a key that is no text"),
        ("[a]: b", "line 1: a key that is no text"),
        ("a:", "line 1: nothing"),
        ("- \n- 1", "nothing"),
        ("a: b: c", "line 1: mapping values are not allowed"),
        ("a: [1", "expected ',' or ']'"),
        ("\ta: 1", "cannot start any token"),
        ("a: 1\n---\nb: 2", "2 documents; expected one"),
        ("", "0 documents; expected one"),
        ("a: \x01", "line|a character that no YAML has, at 3; expected YAML"),
        ("match: [**]", "expected YAML, with quotes around what begins with . or &"),
    ],
)
def test_what_is_no_plain_value_is_refused(text: str, told: str) -> None:
    with pytest.raises(Malformed, match=told.replace("[", r"\[").replace("(", r"\(")):
        decoded(text)


def test_all_documents_are_read_and_empty_ones_left_out() -> None:
    found = strictyaml.decode_all(b"---\n---\na: 1\n---\n# nothing\n---\n- 2\n", "x", limit=LIMIT)
    assert found == [{"a": 1}, [2]]


def test_nothing_is_null_where_that_is_asked_for() -> None:
    assert strictyaml.decode_all(b"a:\nb: ''\n", "x", limit=LIMIT, nothing_is_null=True) == [{"a": None, "b": ""}]


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 5000,
        b"- " * 5000,
        b"a: {" * 5000,
        b"- 1\n" * (strictyaml.MAX_VALUES + 1),
        b"---\n1\n" * (strictyaml.MAX_DOCUMENTS + 1),
        b"a" * (LIMIT + 1),
    ],
    ids=["deep", "deep blocks", "deep objects", "many values", "many documents", "long"],
)
def test_bounds(data: bytes) -> None:
    with pytest.raises(LimitExceeded):
        strictyaml.decode_all(data, "x", limit=LIMIT)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(Malformed, match="no UTF-8"):
        strictyaml.decode(b"\xff\xfe", "x", limit=LIMIT)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.text(st.characters(codec="ascii", categories=["L"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz-", max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(_VALUES)
def test_json_is_yaml_with_the_same_value(value: object) -> None:
    assert decoded(json.dumps(value)) == value
