"""Signatures as base64: as tools print them, and nothing that takes long."""

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.codec import signaturelines
from agent.codec.signaturelines import MAX_SIGNATURES, MAX_SIZE, decode
from agent.errors import LimitExceeded, Malformed

LENGTHS = (64, 70, 71, 72, 104, 137, 139, 256, 384, 512, 1024)
"""Bytes of Ed25519, of ECDSA in DER, and of RSA."""


def wrapped(signature: bytes, at: int) -> bytes:
    """As `base64 -w AT` prints it."""
    text = base64.b64encode(signature)
    return b"".join(text[i : i + at] + b"\n" for i in range(0, len(text), at))


@pytest.mark.parametrize("at", [64, 76, 10_000])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_signature_is_taken_as_tools_wrap_it(length: int, at: int) -> None:
    signature = bytes(range(256)) * 4
    assert decode(wrapped(signature[:length], at)) == (signature[:length],)
    assert decode(wrapped(signature[:length], at).replace(b"\n", b"\r\n")) == (signature[:length],)


@given(signatures=st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=MAX_SIGNATURES), at=st.sampled_from([64, 76]))
@settings(max_examples=50)
def test_several_are_taken_with_an_empty_line_between_them(signatures: list[int], at: int) -> None:
    expected = tuple(bytes([number]) * length for number, length in enumerate(signatures))
    assert decode(b"\n".join(wrapped(each, at) for each in expected)) == expected


def test_several_are_taken_one_per_line() -> None:
    expected = (b"a" * 71, b"b" * 64, b"c" * 384)
    assert decode(b"".join(wrapped(each, 10_000) for each in expected)) == expected


def test_white_space_does_not_count() -> None:
    assert decode(b"\n \n\tQUJD RA==  \n\n\r\n") == (b"ABCD",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b" \n\t\r\n", "empty"),
        (b"\nQUJD\nnot base64!\n", r"\(line 3\)"),
        (b"QUI", r"\(line 1\)"),
        (b"QUJDRA==QUJD", r"\(line 1\)"),
        (b"Q-_D", r"\(line 1\)"),
        (b"\x00\xff", r"\(line 1\)"),
        ("QUJD\u00a0".encode(), r"\(line 1\)"),
        (b"-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n", r"a private key.* \(line 1\)"),
        (b"-----BEGIN CERTIFICATE-----\n", "something else than base64"),
    ],
)
def test_what_is_no_base64_is_refused_with_its_line(content: bytes, told: str) -> None:
    with pytest.raises(Malformed, match=told):
        decode(content)


@pytest.mark.parametrize(
    "content",
    [
        b"A" * (MAX_SIZE + 1),
        b"\n" * (MAX_SIZE + 1),
        b"QUJD\n" * (MAX_SIGNATURES + 1),
        b"QUJD\n" * 10_000,
        b"A\n" * 10_000,
        b"\n" * 10_000 + b"QUJD\n" * 9,
    ],
    ids=["a byte too much", "empty lines", "one too many", "10^4 lines", "10^4 short lines", "10^4 empty lines first"],
)
def test_too_much_is_refused_at_once(content: bytes) -> None:
    start = time.process_time()
    with pytest.raises(Malformed) as caught:
        decode(content)
    assert time.process_time() - start < 0.5
    assert isinstance(caught.value, LimitExceeded) or b"QUJD" not in content
    assert len(caught.value.message) < 200


def test_as_many_as_are_taken_fit() -> None:
    largest = wrapped(b"x" * 1024, 64)
    assert len(b"\n".join([largest] * MAX_SIGNATURES)) < signaturelines.MAX_SIZE
    assert len(decode(b"\n".join([largest] * MAX_SIGNATURES))) == MAX_SIGNATURES
