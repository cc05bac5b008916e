"""Both transports through proxies."""

import re
import socket

import pytest

from agent.adapters.http_proxy import ProxySettings
from agent.errors import Cause, LimitExceeded, Malformed, Unavailable
from agent.registry.urls import Origin
from tests.adapters.http_client import Make, cause_of
from tests.simulators.certificates import Authority
from tests.simulators.network import NetworkSimulator
from tests.simulators.proxy import ProxySimulator
from tests.simulators.registry import RegistrySimulator


def through(proxy: ProxySimulator, *, userinfo: str = "", no_proxy: str = "") -> ProxySettings:
    """Settings for `proxy`."""
    url = f"http://{userinfo}127.0.0.1:{proxy.port}"
    return ProxySettings.from_environment({"HTTP_PROXY": url, "https_proxy": url, "NO_PROXY": no_proxy})


def test_plain_http_through_a_proxy(make: Make, registry: RegistrySimulator) -> None:
    """In absolute form, with the password for the proxy alone, kept from the registry by the proxy."""
    with ProxySimulator({"registry.example": registry.port}) as proxy:
        settings = through(proxy, userinfo="me:p%40ss@")
        with make(60, proxies=settings) as client:
            assert client.get("http://registry.example/v2/?a=b").status == 200
        assert proxy.asked[0].line == "GET http://registry.example/v2/?a=b HTTP/1.1"
        assert proxy.asked[0].headers["proxy-authorization"] == "Basic bWU6cEBzcw=="
        assert proxy.asked[0].headers["host"] == "registry.example"


def test_tls_through_a_proxy(make: Make, authority: Authority) -> None:
    """By CONNECT; what is inside is between us and the registry, whose name is checked."""
    with RegistrySimulator(certificate=authority.issue(["registry.example"])) as registry:
        with ProxySimulator({"registry.example": registry.port, "other.example": registry.port}) as proxy:
            settings = through(proxy, userinfo="me:secret@")
            client = make(60, proxies=settings, ca_bundle=authority.bundle)
            with client:
                for _ in range(2):
                    assert client.get("https://registry.example/v2/").status == 200
                assert [each.line for each in proxy.asked] == ["CONNECT registry.example:443 HTTP/1.1"]
                assert proxy.asked[0].headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"
                cause, message = cause_of(client, "https://other.example/v2/")
                assert cause is Cause.REGISTRY_UNAVAILABLE
                assert "other.example" in message
        assert all("proxy-authorization" not in each.headers for each in registry.seen)


@pytest.mark.parametrize("code", [407, 403, 502])
def test_a_proxy_that_refuses(make: Make, authority: Authority, code: int) -> None:
    """Says so by the variable's name; the password is nowhere."""
    with ProxySimulator(status=code) as proxy:
        settings = through(proxy, userinfo="me:hunter2@")
        client = make(60, proxies=settings, ca_bundle=authority.bundle)
        cause, message = cause_of(client, "https://registry.example/v2/")
    assert cause is Cause.REGISTRY_UNAVAILABLE
    assert f"the proxy of https_proxy refuses (status {code})" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (b"", "closed before the end of the response"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", r"the answer is not HTTP \(BadStatusLine\)"),
        (b"HTTP/1.1 2xx OK\r\n\r\n", r"the answer is not HTTP \(BadStatusLine\)"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n", r"refuses \(status 302\)"),
        (b"HTTP/1.1 200 OK\r\n\r\nno TLS at all", "TLS failed|closed before the end"),
    ],
)
def test_a_proxy_that_is_none(make: Make, authority: Authority, says: bytes, expected: str) -> None:
    """Nobody answers; what it says is not taken for the registry's word."""
    with ProxySimulator(says=says) as proxy:
        client = make(60, proxies=through(proxy), ca_bundle=authority.bundle)
        cause, message = cause_of(client, "https://registry.example/v2/")
    assert cause is Cause.REGISTRY_UNAVAILABLE
    assert re.search(expected, message)
    assert message.startswith("registry.example")


@pytest.mark.unmeasured
@pytest.mark.parametrize("says", [b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 60_000, b"x" * 1_000_000])
def test_a_proxy_without_end(make: Make, says: bytes) -> None:
    """Is more than we take, or no HTTP."""
    with ProxySimulator(says=says) as proxy, make(60, proxies=through(proxy)) as client:
        with pytest.raises((LimitExceeded, Unavailable)) as caught:
            client.get("https://registry.example/v2/")
        assert not isinstance(caught.value, Unavailable) or caught.value.cause is Cause.REGISTRY_UNAVAILABLE


def test_a_proxy_that_is_not_there(
    make: Make,
) -> None:
    """Is what the message is about."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = ProxySettings.from_environment({"HTTP_PROXY": f"http://me:hunter2@127.0.0.1:{port}"})
    cause, message = cause_of(make(60, proxies=settings), "http://registry.example/v2/")
    assert cause is Cause.REGISTRY_UNAVAILABLE
    assert message == "registry.example (through the proxy of HTTP_PROXY): connection refused"


def test_behind_a_proxy_only_written_addresses_are_judged(
    make: Make,
) -> None:
    """Names are the proxy's to resolve: ours may have no DNS."""
    home = Origin("http", "registry.example", 80)
    with RegistrySimulator() as store, ProxySimulator({"store.example": store.port}) as proxy:
        network = NetworkSimulator({})
        settings = through(proxy)
        with make(60, proxies=settings, network=network) as client:
            assert client.get("http://store.example/v2/", sent_by=home).status == 200
            for address in ("10.0.0.1", "169.254.169.254", "[fd00::1]"):
                with pytest.raises(Malformed):
                    client.get(f"http://{address}/v2/", sent_by=home)
        assert network.resolved == ["127.0.0.1"]
        assert len(proxy.asked) == 1


def test_localhost_is_never_asked_for_through_a_proxy(make: Make, registry: RegistrySimulator) -> None:
    """As with Go's clients."""
    with ProxySimulator() as proxy:
        with make(60, proxies=through(proxy)) as client:
            assert client.get(f"{registry.url}/v2/").status == 200
            assert client.get(f"http://localhost:{registry.port}/v2/").status == 200
        assert not proxy.asked
