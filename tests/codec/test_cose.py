"""COSE_Sign1: its parts, and one spelling only."""

from typing import Any

import cbor2
import pytest
from cbor2 import CBORTag
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.codec import cose
from agent.errors import LimitExceeded, Malformed

LIMIT = 64 * 1024
PROTECTED: dict[Any, Any] = {1: -7, 2: ["a"], 3: "text/plain", "a": CBORTag(1, 1700000000)}
UNPROTECTED: dict[Any, Any] = {33: [b"leaf", b"root"], "agent": "tests"}


def message(
    protected: Any = PROTECTED, unprotected: Any = UNPROTECTED, payload: Any = b"payload", signature: Any = b"signature"
) -> bytes:
    """A message; a `protected` that is no bytes is encoded first."""
    encoded = protected if isinstance(protected, bytes) else cbor2.dumps(protected)
    return cbor2.dumps(CBORTag(18, [encoded, unprotected, payload, signature]))


def test_parts_are_read() -> None:
    read = cose.parse(message(), limit=LIMIT)
    assert read.protected == PROTECTED
    assert read.unprotected == UNPROTECTED
    assert (read.payload, read.signature) == (b"payload", b"signature")


def test_what_was_signed_is_the_structure_of_the_standard_over_the_bytes_that_were_sent() -> None:
    read = cose.parse(message(), limit=LIMIT)
    # RFC 9052, section 4.4: context, protected header, no external data, payload.
    assert cbor2.loads(read.signing_input) == ["Signature1", cbor2.dumps(PROTECTED), b"", b"payload"]


def test_order_of_labels_is_free() -> None:
    backwards = dict(reversed(PROTECTED.items()))
    assert list(cose.parse(message(backwards), limit=LIMIT).protected) == list(backwards)


def test_tags_are_not_acted_upon() -> None:
    for tag in (0, 1, 2, 28, 30, 35, 37, 256, 258, 260, 55799):
        read = cose.parse(message({"a": CBORTag(tag, b"\x01")}), limit=LIMIT)
        assert read.protected["a"] == CBORTag(tag, b"\x01")


@pytest.mark.parametrize(
    "data",
    {
        "nothing": b"",
        "untagged": message()[1:],
        "tag of COSE_Sign": b"\xd8\x62" + message()[1:],
        "tag in a longer form": b"\xd8\x12" + message()[1:],
        "tag alone": b"\xd2",
        "two tags": b"\xd2" + message(),
        "trailing byte": message() + b"\0",
        "truncated": message()[:-1],
        "three parts": b"\xd2" + cbor2.dumps([b"\xa0", {}, b"x"]),
        "five parts": b"\xd2" + cbor2.dumps([b"\xa0", {}, b"x", b"y", b"z"]),
        "no list": b"\xd2" + cbor2.dumps({}),
        "list in a longer form": b"\xd2\x98\x04" + message()[2:],
        "list of indefinite length": b"\xd2\x9f" + message()[2:] + b"\xff",
        "protected header that is no byte string": b"\xd2" + cbor2.dumps([{}, {}, b"x", b"y"]),
        "protected header that is empty": message(b""),
        "protected header that is no map": message([]),
        "protected header with a byte behind it": message(cbor2.dumps(PROTECTED) + b"\0"),
        "protected header of indefinite length": message(b"\xbf\x01\x26\xff"),
        "protected header with an integer in a longer form": message(b"\xa1\x01\x38\x06"),
        "protected header with a key in a longer form": message(b"\xa1\x18\x01\x26"),
        "protected header with a text in a longer form": message(b"\xa1\x01\x78\x01a"),
        "protected header with a key twice": message(b"\xa2\x01\x26\x01\x25"),
        "protected header with a text twice": message(b"\xa2\x61a\x01\x61a\x02"),
        "protected header with a float for a key": message(b"\xa1\xfa\x3f\x80\x00\x00\x01"),
        "protected header with a list for a key": message(b"\xa1\x80\x01"),
        "protected header with a truth for a key": message(b"\xa1\xf5\x01"),
        "protected header with a byte string for a key": message({b"a": 1}),
        "protected header with a text that is no UTF-8": message(b"\xa1\x01\x61\xff"),
        "protected header with a break": message(b"\xa1\x01\xff"),
        "unprotected header that is no map": message(unprotected=[]),
        "unprotected header with a key twice": b"\xd2\x84\x41\xa0\xa2\x01\x02\x01\x03\x41x\x41y",
        "label in both headers": message(unprotected={1: -7}),
        "payload detached": message(payload=None),
        "payload that is a text": message(payload="payload"),
        "payload in pieces": b"\xd2\x84\x41\xa0\xa0\x5f\x41a\x41b\xff\x41y",
        "signature missing": message(signature=None),
        "signature empty": message(signature=b""),
        "nested too deeply": message({"a": [[[[[[[[[1]]]]]]]]]}),
        "length beyond the end": b"\xd2\x84\x41\xa0\xa0\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        "text of two GiB": b"\xd2\x84\x41\xa0\xa1\x01\x7a\x7f\xff\xff\xff",
        "map of a billion": b"\xd2\x84\x41\xa0\xba\x3b\x9a\xca\x00",
        "reserved length": b"\xd2\x84\x41\xa0\x1c",
    }.values(),
)
def test_other_form_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        cose.parse(data, limit=LIMIT)


def test_depth_that_envelopes_have_is_taken() -> None:
    cose.parse(message({"a": [[[[[1]]]]]}), limit=LIMIT)


def test_message_above_the_limit_is_refused_unread() -> None:
    with pytest.raises(LimitExceeded):
        cose.parse(message(), limit=len(message()) - 1)
    assert cose.parse(message(), limit=len(message())).payload == b"payload"


@settings(max_examples=400)
@given(st.integers(0, 200), st.binary(max_size=3), st.integers(0, 3))
def test_no_altered_message_makes_anything_but_a_typed_error(position: int, inserted: bytes, dropped: int) -> None:
    good = message()
    at = position % len(good)
    try:
        read = cose.parse(good[:at] + inserted + good[at + dropped :], limit=LIMIT)
    except Malformed:
        return
    assert isinstance(read.payload, bytes)


@settings(max_examples=200)
@given(st.binary(max_size=64))
def test_no_bytes_make_anything_but_a_typed_error(data: bytes) -> None:
    for candidate in (data, b"\xd2" + data, b"\xd2\x84\x41\xa0" + data):
        try:
            cose.parse(candidate, limit=LIMIT)
        except Malformed:
            continue
