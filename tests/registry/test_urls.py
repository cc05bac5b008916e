"""URLs that registries name: one reading, or none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LimitExceeded, Malformed
from agent.model.reference import Repository
from agent.registry.urls import Origin, Url, quoted

BASE = Url.parse("https://registry.example.com/v2/shop/cart/referrers/x?n=1", "base")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.example", Url(Origin("https", "a.example", 443), "/")),
        ("HTTPS://A.Example:443/B", Url(Origin("https", "a.example", 443), "/B")),
        ("http://a.example:5000?x=/y", Url(Origin("http", "a.example", 5000), "/", "?x=/y")),
        ("http://127.0.0.1:80/x", Url(Origin("http", "127.0.0.1", 80), "/x")),
        ("https://[::1]/x", Url(Origin("https", "::1", 443), "/x")),
        ("https://[FD00:0:0::1]:8443/x", Url(Origin("https", "fd00::1", 8443), "/x")),
        ("https://a.example/x?q=a://b@c", Url(Origin("https", "a.example", 443), "/x", "?q=a://b@c")),
    ],
)
def test_what_is_read(text: str, expected: Url) -> None:
    """Scheme and host folded, the rest as it is."""
    assert Url.parse(text, "here") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.example",
        "//a.example/x",
        "/x",
        "file:///etc/passwd",
        "ftp://a.example/",
        "javascript://a.example/",
        "https:/a.example/",
        "https://",
        "https:///x",
        "https://user@a.example/",
        "https://user:word@a.example/",
        "https://a.example@evil.example/",
        "https://a.example#f",
        "https://a.example/x#f",
        "https://a.example\\@evil.example/",
        "https://a.example/\\..",
        "https://a.example/x y",
        "https://a.example/x\r\nHost: b",
        "https://a.example/\x00",
        "https://a.example/ü",
        "https://ü.example/",
        "https://a..example/",
        "https://a.example./",
        "https://-a.example/",
        "https://a_b.example/",
        "https://%61.example/",
        "https://a.example:0/",
        "https://a.example:65536/",
        "https://a.example:/",
        "https://a.example:80x/",
        "https://a.example:+80/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.01/",
        "https://256.0.0.1/",
        "https://" + "a." * 127 + "example/",
        "https://a.0x1/",
        "https://[::1/",
        "https://[::1]x/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[127.0.0.1]/",
        "https://::1/",
        "https://a.example/x/../y",
        "https://a.example/..",
        "https://a.example/%2e%2E/y",
        "https://a.example/./y",
    ],
)
def test_what_is_refused(text: str) -> None:
    """Everything that two parsers could read in two ways, or that is no http URL."""
    with pytest.raises(Malformed, match="here"):
        Url.parse(text, "here")


def test_user_information_is_named() -> None:
    """The message says what is wrong, and not what it was."""
    with pytest.raises(Malformed, match="user information") as caught:
        Url.parse("https://me:hunter2@a.example/", "here")
    assert "hunter2" not in caught.value.message


def test_length() -> None:
    """A URL of 8 KiB is the longest."""
    start = "https://a.example/"
    assert len(Url.parse(start + "x" * (8192 - len(start)), "here").path) == 8192 - len(start) + 1
    with pytest.raises(LimitExceeded):
        Url.parse(start + "x" * (8193 - len(start)), "here")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("/v2/x", "https://registry.example.com/v2/x"),
        ("?n=2", "https://registry.example.com/v2/shop/cart/referrers/x?n=2"),
        ("y?n=2", "https://registry.example.com/v2/shop/cart/referrers/y?n=2"),
        ("https://b.example/z#frag", "https://b.example/z"),
        ("//b.example/z", "https://b.example/z"),
        ("/x?to=https://b.example/", "https://registry.example.com/x?to=https://b.example/"),
    ],
)
def test_join(reference: str, expected: str) -> None:
    """References against the URL that they were found at."""
    joined = BASE.join(reference, "here")
    assert str(joined.origin) + joined.target == expected


@pytest.mark.parametrize(
    "reference", ["", "../x", "/v2/../x", "mailto:x", "javascript:1", "file:///x", "//u@b/", "x y"]
)
def test_join_refuses(reference: str) -> None:
    """No other schemes, no dot segments, no nothing."""
    with pytest.raises(Malformed):
        BASE.join(reference, "here")


def test_messages_have_no_query() -> None:
    """Queries hold signatures of object stores."""
    assert str(Url.parse("https://b.example/z?X-Amz-Signature=secret", "here")) == "https://b.example/z"
    with pytest.raises(Malformed) as caught:
        Url.parse("https://b.example:99999/z?secret=1", "here")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("host", "use_http", "expected"),
    [
        ("docker.io", False, "https://registry-1.docker.io"),
        ("registry.example.com", False, "https://registry.example.com"),
        ("registry.example.com:5000", True, "http://registry.example.com:5000"),
        ("[::1]:5000", True, "http://[::1]:5000"),
        ("localhost:80", True, "http://localhost"),
    ],
)
def test_origin_of_a_repository(host: str, use_http: bool, expected: str) -> None:
    """Where the API of a repository is."""
    assert str(Origin.of(Repository(host, "x"), use_http=use_http)) == expected


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=60))
def test_total(text: str) -> None:
    """Whatever the text, it is a URL or `Malformed`; what is parsed is stable."""
    for candidate in (text, f"https://{text}", f"http://a.example/{text}"):
        try:
            url = Url.parse(candidate, "here")
        except Malformed as error:
            assert error.message.isascii() and error.message.isprintable()
        else:
            assert Url.parse(str(url.origin) + url.target, "again") == url


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quoting_leaves_nothing_special(text: str) -> None:
    """A quoted value can't end its parameter."""
    assert not set(quoted(text)) & set("&=?#/ +\r\n")
