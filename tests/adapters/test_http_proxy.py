"""Which proxy a request goes through: the rules of Go's clients."""

import pytest

from agent.adapters.http_proxy import ProxySettings
from agent.errors import Cause, Unavailable
from agent.registry.urls import Origin, Url

BOTH = {"HTTP_PROXY": "http://proxy.example:3128", "HTTPS_PROXY": "http://secure.example:3129"}


def origin(url: str) -> Origin:
    """The origin of a URL."""
    return Url.parse(url, "test").origin


def proxy_host(url: str, **environment: str) -> str:
    """The proxy's host for `url`, "" for none."""
    proxy = ProxySettings.from_environment(environment).proxy_for(origin(url))
    return proxy.host if proxy else ""


def test_by_scheme() -> None:
    """One variable each, no other one."""
    assert proxy_host("http://a.example/", **BOTH) == "proxy.example"
    assert proxy_host("https://a.example/", **BOTH) == "secure.example"
    assert proxy_host("https://a.example/", HTTP_PROXY="http://proxy.example") == ""
    assert proxy_host("http://a.example/", HTTPS_PROXY="http://proxy.example") == ""
    assert proxy_host("http://a.example/", ALL_PROXY="http://proxy.example") == ""
    assert proxy_host("http://a.example/") == ""


def test_upper_case_first() -> None:
    """And an empty one is none."""
    both = {"HTTPS_PROXY": "http://upper.example", "https_proxy": "http://lower.example"}
    assert proxy_host("https://a.example/", **both) == "upper.example"
    assert proxy_host("https://a.example/", **{**both, "HTTPS_PROXY": " "}) == "lower.example"


@pytest.mark.parametrize(
    ("value", "host", "port", "authorization"),
    [
        ("http://proxy.example", "proxy.example", 80, ""),
        ("HTTP://Proxy.Example:3128/", "proxy.example", 3128, ""),
        ("proxy.example:3128", "proxy.example", 3128, ""),
        ("proxy.example", "proxy.example", 80, ""),
        ("http://10.0.0.1:3128", "10.0.0.1", 3128, ""),
        ("http://[::1]:3128", "::1", 3128, ""),
        ("http://me:secret@proxy.example:3128", "proxy.example", 3128, "Basic bWU6c2VjcmV0"),
        ("http://me@proxy.example", "proxy.example", 80, "Basic bWU6"),
        ("me:a%3Ab%40c@proxy.example:8080", "proxy.example", 8080, "Basic bWU6YTpiQGM="),
    ],
)
def test_what_is_read(value: str, host: str, port: int, authorization: str) -> None:
    """With and without scheme, port, user information."""
    proxy = ProxySettings.from_environment({"HTTPS_PROXY": value}).proxy_for(origin("https://a.example"))
    assert proxy == (host, port, authorization, "HTTPS_PROXY")


@pytest.mark.parametrize(
    "value",
    [
        "socks5://me:hunter2@proxy.example:1080",
        "socks5h://proxy.example?hunter2",
        "http://me\udcff:hunter2@proxy.example",
        "https://me:hunter2@proxy.example",
        "ftp://hunter2.example",
        "hunter2://hunter2",
        "http://me:hunter2@",
        "http://hunter2 .example",
        "http://proxy.example:hunter2",
        "http://me:hunter2%0d%0aX:y@proxy.example",
    ],
)
def test_what_is_refused(value: str) -> None:
    """When it would be used, by the variable's name; its value is in no message."""
    settings = ProxySettings.from_environment({"https_proxy": value, "NO_PROXY": "direct.example"})
    assert settings.proxy_for(origin("https://direct.example")) is None
    with pytest.raises(Unavailable, match="https_proxy") as caught:
        settings.proxy_for(origin("https://a.example"))
    assert caught.value.cause is Cause.REGISTRY_UNAVAILABLE
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("*", "https://a.example", True),
        ("b.example, *", "https://a.example", True),
        ("a.example", "https://a.example", True),
        ("A.Example", "https://a.example", True),
        ("a.example", "https://x.a.example", True),
        ("a.example", "https://xa.example", False),
        (".a.example", "https://x.a.example", True),
        (".a.example", "https://a.example", False),
        ("*.a.example", "https://x.a.example", True),
        ("*.a.example", "https://a.example", False),
        ("example", "https://a.example", True),
        ("a.example:443", "https://a.example", True),
        ("a.example:5000", "https://a.example", False),
        ("a.example:5000", "https://x.a.example:5000", True),
        ("10.0.0.1", "https://10.0.0.1", True),
        ("10.0.0.1", "https://10.0.0.10", False),
        ("10.0.0.1:5000", "https://10.0.0.1:5000", True),
        ("10.0.0.1:5000", "https://10.0.0.1", False),
        ("10.0.0.0/8", "https://10.200.0.1:5000", True),
        ("10.0.0.0/8", "https://11.0.0.1", False),
        ("10.0.0.7/8", "https://10.1.1.1", True),
        ("fd00::/8", "https://[fd12::1]", True),
        ("fd00::/8", "https://10.0.0.1", False),
        ("fd12::1", "https://[fd12::1]", True),
        ("[fd12::1]:5000", "https://[fd12::1]:5000", True),
        ("[fd12::1]:5000", "https://[fd12::1]", False),
        ("[fd12::1]", "https://[fd12::1]", True),
        ("10.0.0.0/99", "https://10.0.0.1", False),
        ("", "https://a.example", False),
        (" , ,.,", "https://a.example", False),
        ("b.example,a.example", "https://a.example", True),
        ("", "https://localhost", True),
        ("", "https://127.0.0.1:5000", True),
        ("", "https://127.1.2.3", True),
        ("", "https://[::1]:5000", True),
        ("", "https://localhost.example", False),
    ],
)
def test_no_proxy(no_proxy: str, url: str, direct: bool) -> None:
    """Each form of an entry, and the hosts that never go through a proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        assert (proxy_host(url, **BOTH, **{name: no_proxy}) == "") is direct
