"""Addresses as people write them."""

import pytest

from agent.errors import UsageError
from agent.model.address import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9000", "127.0.0.1", 9000),
        ("[::1]:0", "::1", 0),
        ("[fe80::1]:65535", "fe80::1", 65535),
        ("localhost:1", "localhost", 1),
    ],
)
def test_what_is_written_is_read_and_written_again(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == (host, port)
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", ":", "x", "x:", ":1", "x:65536", "x:123456", "x:+1", "x:\u0661", "::1:1", "[]:1", "[x:1", "x]:1", "a b:1"]
    + ["http://x:1", "x@y:1", "x\n:1", "x\x00:1", "é:1", "fe80::1%eth0:1", "x/y:1"],
)
def test_what_is_none_is_refused_with_what_was_got(text: str) -> None:
    with pytest.raises(UsageError, match="expected HOST:PORT") as refused:
        Address.parse(text)
    assert refused.value.message.isprintable()
