"""Simple-signing payloads: one reading of each."""

import json
from typing import Any

import pytest

from agent.codec import simplesigning
from agent.errors import LimitExceeded, Malformed
from tests.signing_cosign import payload

DIGEST = "sha256:" + "a" * 64


def test_what_a_payload_says_is_read() -> None:
    said = simplesigning.parse(payload(DIGEST, optional={"env": "prod", "n": 1}))
    assert said == ("cosign container image signature", DIGEST, {"env": "prod", "n": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"optional": None},
        {"identity": {"docker-reference": ""}},
        {"identity": {}},
        {"identity": None},
        {"critical": {"more": 1}},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_not_read_may_be_anything(changes: dict[str, Any]) -> None:
    assert simplesigning.parse(payload(DIGEST, **changes)).digest == DIGEST


def test_leading_space_is_json() -> None:
    assert simplesigning.parse(b"  " + payload(DIGEST)).digest == DIGEST


DEFECTS = [
    b"",
    b"null",
    b"[]",
    b"\xef\xbb\xbf" + payload(DIGEST),
    payload(DIGEST) + b"x",
    payload(DIGEST) + payload(DIGEST),
    payload(DIGEST).replace(b'"critical"', b'"critical": {}, "critical"'),
    payload(DIGEST).replace(b'"type"', b'"type": "x", "type"'),
    payload(DIGEST).replace(b'"critical"', b'"Critical"'),
    payload(DIGEST).replace(b"docker-manifest-digest", b"Docker-manifest-digest"),
    payload(DIGEST, image={"docker-manifest-digest": DIGEST, "DOCKER-MANIFEST-DIGEST": DIGEST}),
    payload(DIGEST, Optional={"env": "prod"}),
    payload(DIGEST, critical={"Type": "x"}),
    payload(DIGEST, image=None),
    payload(DIGEST, image={}),
    payload(DIGEST, image={"docker-manifest-digest": 7}),
    payload(DIGEST, type=None),
    payload(DIGEST, optional=[]),
    payload(DIGEST, optional="x"),
    json.dumps({"optional": {}}).encode(),
    payload(DIGEST, optional={"x": float("nan")}),
]


@pytest.mark.parametrize("data", DEFECTS, ids=lambda data: data[:60])
def test_payload_that_two_readers_could_read_differently_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        simplesigning.parse(data)


def test_payload_has_bounds() -> None:
    with pytest.raises(LimitExceeded):
        simplesigning.parse(payload(DIGEST, optional={"x": "y" * simplesigning.MAX_SIZE}))
    with pytest.raises(LimitExceeded):
        simplesigning.parse(b'{"critical":' + b"[" * 60_000)
