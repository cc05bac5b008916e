"""JSON from outside: one reading, bounded, and no exception but the typed ones."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.codec.strictjson import MAX_DEPTH, MAX_VALUES, canonical, decode
from agent.errors import LimitExceeded, Malformed

LIMIT = 2 * 10**6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}{}",
        b"{} x",
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":2}',
        b'{"x":{"a":1,"a":1}}',
        b'{"a":1,"\\u0061":2}',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"[" + b"9" * 10**6 + b"]",
        b"[1." + b"9" * 100 + b"]",
        b'"\\ud800"',
        b'{"\\udc00":1}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"'a'",
        b"[1,]",
        b"// c\n1",
        b'"a\nb"',
    ],
    ids=lambda data: data[:30].decode("latin-1"),
)
def test_text_with_two_readings_or_none_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed, match="^here: "):
        decode(data, "here", limit=LIMIT)


@pytest.mark.parametrize("data", [b"[" * 10**5, b'{"a":' * 10**5, b"[" * 10**5 + b"]" * 10**5])
def test_depth_has_a_limit(data: bytes) -> None:
    with pytest.raises(LimitExceeded):
        decode(data, "here", limit=LIMIT)


@pytest.mark.parametrize("stack", [1_000, 5_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[1,{"b":2,"a":', b"}]")])
def test_limit_of_depth_is_the_same_however_deep_the_stack_may_be(opening: bytes, closing: bytes, stack: int) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(stack)
    try:
        levels = len(closing)
        assert decode(opening * (MAX_DEPTH // levels) + b"1" + closing * (MAX_DEPTH // levels), "here", limit=LIMIT)
        with pytest.raises(LimitExceeded, match="nested too deeply; expected at most 500 levels"):
            decode(
                b"[" + opening * (MAX_DEPTH // levels) + b"1" + closing * (MAX_DEPTH // levels) + b"]",
                "here",
                limit=LIMIT,
            )
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("unit", [b"[],", b"{},", b"1,", b'"",', b'{"a":[]},', b"[[]],"])
def test_number_of_values_has_a_limit(unit: bytes) -> None:
    assert decode(b"[" + unit * 1000 + b"1]", "here", limit=LIMIT)
    with pytest.raises(LimitExceeded, match="values"):
        decode(b"[" + unit * MAX_VALUES + b"1]", "here", limit=LIMIT)


def test_size_has_a_limit() -> None:
    assert decode(b"1234", "here", limit=4) == 1234
    with pytest.raises(LimitExceeded, match="got 5 bytes; expected at most 4"):
        decode(b"12345", "here", limit=4)


def test_good_text_is_read() -> None:
    assert decode('{"a":[1,-2,3.5,true,null,"\\ud83d\\ude00","é"]}'.encode(), "here", limit=LIMIT) == {
        "a": [1, -2, 3.5, True, None, "\U0001f600", "é"]
    }


def test_very_many_keys_with_the_last_one_twice_are_found_out() -> None:
    keys = ",".join(f'"{i}":1' for i in range(90_000))
    with pytest.raises(Malformed, match="stands twice"):
        decode(f'{{{keys},"89999":1}}'.encode(), "here", limit=LIMIT)


@given(st.binary(max_size=200))
def test_no_bytes_make_anything_but_a_typed_error(data: bytes) -> None:
    try:
        decode(data, "here", limit=LIMIT)
    except Malformed as error:
        assert error.message.startswith("here: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda each: st.lists(each) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), each),
)


@given(JSON)
def test_canonical_form_is_read_back_and_is_the_same_for_equal_values(value: object) -> None:
    form = canonical(value)
    assert decode(form, "here", limit=LIMIT) == value
    assert canonical(decode(form, "here", limit=LIMIT)) == form
