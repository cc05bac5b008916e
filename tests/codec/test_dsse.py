"""DSSE envelopes: one reading of each."""

import base64
import json
from typing import Any

import pytest

from agent.codec import dsse
from agent.codec.jose import base64_either
from agent.errors import LimitExceeded, Malformed
from tests.codec.evidence import b64, dsse_json


def parse(**changes: Any) -> dsse.Envelope:
    return dsse.parse(json.dumps(dsse_json(**changes)).encode(), "envelope")


def test_parts_are_decoded_and_key_ids_dropped() -> None:
    envelope = parse(payload=b64(b"body"), payloadType="text/x", signatures=[{"sig": b64(b"1"), "keyid": "k"}])
    assert envelope == dsse.Envelope("text/x", b"body", (b"1",))


def test_unknown_members_are_ignored() -> None:
    assert parse(more=1, signatures=[{"sig": b64(b"1"), "more": 2}]).signatures == (b"1",)


def test_what_is_signed_counts_bytes() -> None:
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"  # the example of the specification
    )
    assert dsse.pae("\u00e9", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@pytest.mark.parametrize("data", [b"\xfb\xff", b"\xfb\xff\xfe", b"", b"a", b"\xff" * 33])
def test_both_alphabets_are_read_with_and_without_padding(data: bytes) -> None:
    for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
        assert base64_either(encoded.decode(), "x") == base64_either(encoded.rstrip(b"=").decode(), "x") == data


@pytest.mark.parametrize(
    "text", ["-+++", "YQ=", "YQ===", "Y=Q=", "YR==", "YR", "Y", "YQ==\n", " YQ==", "\u0430\u0430==", "=", "===="]
)
def test_no_other_spelling_is_base64(text: str) -> None:
    with pytest.raises(Malformed):
        base64_either(text, "x")


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": None},
        {"payload": "?"},
        {"payloadType": 1},
        {"signatures": []},
        {"signatures": {}},
        {"signatures": {"sig": b64(b"1")}},
        {"signatures": ["x"]},
        {"signatures": [{}]},
        {"signatures": [{"sig": 5}]},
    ],
    ids=str,
)
def test_anything_else_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        parse(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"signatures": [{"sig": b64(b"1")}] * 17},
        {"signatures": [{"sig": ""}]},
        {"signatures": [{"sig": b64(bytes(4097))}]},
        {"payloadType": "x" * 257},
        {"payload": "A" * dsse.MAX_SIZE},
    ],
    ids=["signatures", "empty", "large", "type", "all"],
)
def test_everything_has_a_limit(changes: dict[str, Any]) -> None:
    with pytest.raises(LimitExceeded):
        parse(**changes)


def test_what_is_just_within_its_limit_is_read() -> None:
    read = parse(signatures=[{"sig": b64(b"1")}] * 16, payloadType="x" * 256)
    assert (len(read.signatures), len(read.payload_type)) == (16, 256)


@pytest.mark.parametrize("content", [b"[]", b"null", b"{", b'{"payload": "", "payload": ""}'])
def test_what_is_no_envelope_at_all_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        dsse.parse(content, "envelope")
