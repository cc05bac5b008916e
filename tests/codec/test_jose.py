"""JWS envelopes: one spelling of each part."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.codec.jose import base64_standard, base64url, parse
from agent.errors import LimitExceeded, Malformed

GOOD: dict[str, Any] = {"protected": "e30", "payload": "YQ", "signature": "YWI", "header": {"x": 1}}


def test_parts_are_split_and_decoded() -> None:
    jws = parse(json.dumps(GOOD).encode(), limit=1000)
    assert (jws.protected, jws.unprotected, jws.payload, jws.signature) == ({}, {"x": 1}, b"a", b"ab")
    assert jws.signing_input == b"e30.YQ"


@pytest.mark.parametrize(
    "changes",
    [
        {"protected": None},
        {"payload": 1},
        {"signature": None},
        {"protected": "W10"},
        {"protected": "e30="},
        {"protected": "e"},
        {"payload": "Y Q"},
        {"payload": "YQ\n"},
        {"payload": "YR"},
        {"payload": "++++"},
        {"payload": "////"},
        {"payload": "YQ=="},
        {"header": []},
        {"signatures": []},
        {"protected": "eyJ4IjoxfQ"},
        {"payload": "\u0430\u0430"},
    ],
    ids=str,
)
def test_anything_else_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        parse(json.dumps(GOOD | changes).encode(), limit=1000)


@pytest.mark.parametrize("content", [b"[]", b"1", b'"x"', b"null", b"{}", b""])
def test_what_is_no_envelope_at_all_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        parse(content, limit=1000)


def test_size_has_a_limit() -> None:
    with pytest.raises(LimitExceeded):
        parse(json.dumps(GOOD | {"x": "y" * 1000}).encode(), limit=1000)


@given(st.binary(max_size=200))
def test_base64url_has_one_spelling(data: bytes) -> None:
    import base64

    assert base64url(base64.urlsafe_b64encode(data).rstrip(b"=").decode(), "x") == data
    assert base64_standard(base64.b64encode(data).decode(), "x") == data


@given(st.text(max_size=50))
def test_no_text_makes_anything_but_malformed(text: str) -> None:
    for decode in (base64url, base64_standard):
        try:
            decode(text, "x")
        except Malformed as error:
            assert error.message.startswith("x: ")
