"""Members of JSON objects: the types that they must have, and the words for what has another."""

from typing import Callable

import pytest

from agent.codec import members
from agent.errors import LimitExceeded, Malformed

OBJECT: dict[str, object] = {"text": "t", "empty": "", "object": {"a": 1}, "list": [1, None], "number": 1, "null": None}


def array(name: str, most: int = 2) -> list[object]:
    return members.array(OBJECT, name, "it", most=most, of_what="things")


def test_members_of_the_right_type_are_what_they_are() -> None:
    assert members.of(OBJECT, "it") is OBJECT
    assert members.nested(OBJECT, "object", "it") == {"a": 1}
    assert members.string("", "it") == ""
    assert members.text(OBJECT, "text", "it") == "t"
    assert members.text(OBJECT, "empty", "it", default="other") == ""
    assert members.text(OBJECT, "absent", "it", default="other") == "other"
    assert array("list") == [1, None]
    assert members.spelt(OBJECT, ("text", "Texts"), "it") is OBJECT
    assert members.optional_text(OBJECT, "text", "it") == "t"
    assert members.optional_array(OBJECT, "list", "it", most=2) == [1, None]
    assert members.hexadecimal("00ff", "it") == b"\x00\xff"


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: members.of([], "it"), "it: got list; expected an object"),
        (lambda: members.of(None, "it", expected="a thing"), "it: got NoneType; expected a thing"),
        (lambda: members.nested(OBJECT, "text", "it"), "it: text: got str; expected an object"),
        (lambda: members.nested(OBJECT, "absent", "it"), "it: absent: got NoneType; expected an object"),
        (lambda: members.string(1, "it"), "it: got int; expected a string"),
        (lambda: members.text(OBJECT, "number", "it"), "it: number: got int; expected a string"),
        (lambda: members.text(OBJECT, "absent", "it"), "it: absent: got NoneType; expected a string"),
        # null is a member that is there
        (lambda: members.text(OBJECT, "null", "it", default=""), "it: null: got NoneType; expected a string"),
        (lambda: array("object"), "it: object: got none; expected a list with at least one"),
        (lambda: members.spelt([], ("text",), "it"), "it: got list; expected an object"),
        (lambda: members.optional_text(OBJECT, "number", "it"), "it: number: got int; expected a string"),
        (lambda: members.optional_array(OBJECT, "object", "it", most=1), "it: object: got dict; expected a list"),
        (lambda: members.array({"a": []}, "a", "it", most=1, of_what="things"),
         "it: a: got none; expected a list with at least one"),
    ],
)  # fmt: skip
def test_other_types_are_refused_and_named_by_where_they_stand(read: Callable[[], object], said: str) -> None:
    with pytest.raises(Malformed) as caught:
        read()
    assert caught.value.message == said


def test_lists_have_a_bound() -> None:
    with pytest.raises(LimitExceeded) as caught:
        array("list", most=1)
    assert caught.value.message == "it: got 2 things; expected at most 1"
    with pytest.raises(LimitExceeded) as caught:
        members.optional_array(OBJECT, "list", "it", most=1)
    assert caught.value.message == "it: list: got 2; expected at most 1"


@pytest.mark.parametrize("name", ["null", "absent"])
def test_what_may_be_left_out_may_be_null_and_is_empty(name: str) -> None:
    assert members.optional_text(OBJECT, name, "it") == ""
    assert members.optional_array(OBJECT, name, "it", most=1) == []


@pytest.mark.parametrize(("other", "name"), [("Text", "text"), ("TEXT", "text"), ("li\u017ft", "list")])
def test_a_name_in_another_spelling_is_refused_also_beside_the_right_one(other: str, name: str) -> None:
    for value in ({other: 1}, {name: 1, other: 2}):
        with pytest.raises(Malformed) as caught:
            members.spelt(value, ("other", name), "it")
        assert caught.value.message == f"it: got the member {ascii(other)}; expected {name}"


@pytest.mark.parametrize("digits", ["", "0", "0F", "0x00", " 00", "00 ff", "٠٠", "00\n"])
def test_hexadecimal_has_one_spelling(digits: str) -> None:
    with pytest.raises(Malformed) as caught:
        members.hexadecimal(digits, "it")
    assert caught.value.message == f"it: got {ascii(digits)}; expected lower-case hexadecimal"
