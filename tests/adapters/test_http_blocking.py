"""The blocking transport: connections, deadlines, TLS, proxies, and what its errors become."""

import socket
import ssl
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Iterator, Sequence

import pytest

from agent.adapters import trustedcas
from agent.adapters.http_blocking import BlockingTransport, ProxySettings
from agent.adapters.http_dial import Endpoint, tls_context
from agent.adapters.inline import run
from agent.errors import Cause, LimitExceeded, Malformed, Unavailable
from agent.registry.messages import Request, Response
from agent.registry.urls import Origin, Url
from tests.simulators import misbehaviour as does
from tests.simulators.certificates import Authority
from tests.simulators.network import NetworkSimulator
from tests.simulators.proxy import ProxySimulator
from tests.simulators.registry import Handler, RegistrySimulator

DAY = timedelta(days=1)


@pytest.fixture
def registry() -> Iterator[RegistrySimulator]:
    """A registry on plain http."""
    with RegistrySimulator() as running:
        yield running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs the certificates of a test."""
    return Authority(tmp_path)


class Client(BlockingTransport):
    """The transport, with a shorter way to ask."""

    def get(self, url: str, *, sent_by: Origin | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """GET `url`."""
        return run(self.send(Request(Url.parse(url, "test"), f"GET {url}", 1000, headers, sent_by)))


@pytest.fixture
def client() -> Iterator[Client]:
    """A transport with time enough."""
    made = Client(deadline=time.monotonic() + 20)
    yield made
    made.close()


def cause_of(client: Client, url: str) -> tuple[Cause, str]:
    """Why `url` can't be had, and the message."""
    with client_closed(client), pytest.raises(Unavailable) as caught:
        client.get(url)
    assert caught.value.message.isprintable()
    return caught.value.cause, caught.value.message


class client_closed:
    """Closes a client at the end of a block."""

    def __init__(self, client: Client) -> None:
        """Takes the client."""
        self._client = client

    def __enter__(self) -> Client:
        """Give it back."""
        return self._client

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._client.close()


def test_what_is_sent(registry: RegistrySimulator, client: Client) -> None:
    """Nothing but what the request says, and three headers of ours."""
    assert client.get(f"{registry.url}/v2/?a=b", headers=(("Accept", "x/y"),)).status == 200
    seen = registry.seen[0]
    assert (seen.method, seen.target) == ("GET", "/v2/?a=b")
    assert seen.headers == {
        "host": registry.host,
        "user-agent": "nodeseal/0.1.0",
        "accept-encoding": "identity",
        "accept": "x/y",
    }


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\x00", "ü"])
def test_headers_that_break_a_line(registry: RegistrySimulator, client: Client, value: str) -> None:
    """Are never sent."""
    with pytest.raises(Malformed):
        client.get(f"{registry.url}/v2/", headers=(("Accept", value),))
    assert not registry.seen


def test_folded_headers_are_one_line(registry: RegistrySimulator, client: Client) -> None:
    """A header that goes on in the next line has no line break for anybody else."""
    registry.misbehave("base", does.raw("X-Folded: a", "  b", "Content-Length: 0"))
    value = client.get(f"{registry.url}/v2/").value("x-folded")
    assert value.split() == ["a", "b"]
    assert value.isprintable()


@pytest.mark.parametrize("size", [999, 1000, 1001, 70_000])
def test_limits_are_exact(registry: RegistrySimulator, client: Client, size: int) -> None:
    """Announced, in chunks, or to the connection's end: a body of the limit is taken, one byte more is not."""
    body = b"x" * size
    for answer in (
        does.raw(f"Content-Length: {size}", body=body),
        does.raw("Transfer-Encoding: chunked", body=b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)),
        does.raw("Connection: close", body=body),
    ):
        registry.misbehave("base", answer)
        if size <= 1000:
            assert client.get(f"{registry.url}/v2/").body == body
        else:
            with pytest.raises(LimitExceeded):
                client.get(f"{registry.url}/v2/")


def test_connections_are_kept(registry: RegistrySimulator) -> None:
    """One for all requests to an origin, errors with small bodies included; none beyond that."""
    network = NetworkSimulator({})
    with client_closed(Client(deadline=time.monotonic() + 20, network=network)) as client:
        for _ in range(3):
            assert client.get(f"{registry.url}/v2/").status == 200
            assert client.get(f"{registry.url}/v2/a/manifests/b").status == 404
        assert len(network.connected) == 1
        registry.misbehave("base", does.status(404, b"x" * 100_000))
        assert len(client.get(f"{registry.url}/v2/").body) == 8192
        client.get(f"{registry.url}/v2/a/manifests/b")
        assert len(network.connected) == 2


def test_a_connection_closed_while_idle(registry: RegistrySimulator) -> None:
    """Is replaced, silently and without counting as the one retry."""
    network = NetworkSimulator({})
    with client_closed(Client(deadline=time.monotonic() + 20, network=network)) as client:
        client.get(f"{registry.url}/v2/")
        registry.misbehave("base", does.in_turn(does.hang_up, does.hang_up, does.as_usual))
        assert client.get(f"{registry.url}/v2/").status == 200
        assert len(network.connected) == 3
        registry.misbehave("base", does.hang_up)
        with pytest.raises(Unavailable, match="closed"):
            client.get(f"{registry.url}/v2/")


def test_bytes_that_nobody_asked_for(registry: RegistrySimulator) -> None:
    """On an idle connection: it is not used again, so that they answer nothing."""

    def speak_twice(handler: Handler) -> bool:
        second = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal")
        handler.wfile.flush()
        time.sleep(0.1)
        handler.wfile.write(second)
        return True

    registry.misbehave("base", does.in_turn(speak_twice, does.as_usual))
    with client_closed(Client(deadline=time.monotonic() + 20)) as client:
        assert client.get(f"{registry.url}/v2/").body == b"real"
        time.sleep(0.3)
        assert client.get(f"{registry.url}/v2/").body == b"{}"


def test_refused_and_unknown() -> None:
    """Messages say which host, and what happened."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    cause, message = cause_of(Client(deadline=time.monotonic() + 5), f"http://127.0.0.1:{port}/")
    assert (cause, message) == (Cause.REGISTRY_UNAVAILABLE, f"127.0.0.1:{port}: connection refused")
    client = Client(deadline=time.monotonic() + 5, network=NetworkSimulator({}))
    cause, message = cause_of(client, "http://nowhere.example/")
    assert cause is Cause.REGISTRY_UNAVAILABLE
    assert message == "nowhere.example: the name can't be resolved (Name or service not known)"


def test_another_protocol_is_named_and_not_tried_again(registry: RegistrySimulator) -> None:
    """A second answer would be the same."""
    registry.misbehave("*", does.not_http)
    cause, message = cause_of(Client(deadline=time.monotonic() + 5), f"{registry.url}/v2/")
    assert (cause, message) == (Cause.REGISTRY_UNAVAILABLE, f"{registry.host}: the answer is not HTTP (BadStatusLine)")
    assert len(registry.seen) == 1


def test_address_that_gives_up_before_our_deadline_is_named() -> None:
    """The kernel's own time limit is not ours."""

    class GivesUp(NetworkSimulator):
        def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
            raise TimeoutError(110, "Connection timed out")

    cause, message = cause_of(Client(deadline=time.monotonic() + 5, network=GivesUp({})), "http://192.0.2.1/")
    assert (cause, message) == (Cause.REGISTRY_UNAVAILABLE, "192.0.2.1: connection timed out")


class SlowNetwork(NetworkSimulator):
    """Connections that never come about."""

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__({"slow.example": addresses})
        self.timeouts: list[float] = []

    def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
        """Time out."""
        self.timeouts.append(timeout)
        time.sleep(timeout)
        raise TimeoutError("timed out")


def test_silent_addresses_share_the_time() -> None:
    """The last one ends at the deadline."""
    network = SlowNetwork(["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    cause, message = cause_of(Client(deadline=time.monotonic() + 0.6, network=network), "http://slow.example/")
    assert cause is Cause.DEADLINE
    assert "slow.example" in message
    assert len(network.timeouts) == 3
    assert all(each <= 0.2 for each in network.timeouts)


def test_after_the_deadline_nothing_is_tried(registry: RegistrySimulator) -> None:
    """Not even a name."""
    network = NetworkSimulator({})
    cause, _ = cause_of(Client(deadline=time.monotonic() - 1, network=network), f"{registry.url}/v2/")
    assert cause is Cause.DEADLINE
    assert not network.resolved
    assert not registry.seen


def test_errors_of_ours_are_not_hidden(registry: RegistrySimulator) -> None:
    """What is no error of the network stays what it is: a bug."""

    class Broken(NetworkSimulator):
        def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
            raise KeyError("bug")

    with client_closed(Client(deadline=time.monotonic() + 5, network=Broken({}))) as client, pytest.raises(KeyError):
        client.get(f"{registry.url}/v2/")


# TLS


def secured(authority: Authority, names: Sequence[str] = ("127.0.0.1",), **times: timedelta) -> RegistrySimulator:
    """A registry with a certificate."""
    return RegistrySimulator(certificate=authority.issue(names, **times))


def test_tls(authority: Authority) -> None:
    """By address and by name; the connection is kept."""
    with secured(authority, ("127.0.0.1", "registry.example")) as registry:
        network = NetworkSimulator({"registry.example": ["127.0.0.1"]})
        client = Client(deadline=time.monotonic() + 5, ca_bundle=authority.bundle, network=network)
        with client_closed(client):
            for _ in range(3):
                assert client.get(f"{registry.url}/v2/").status == 200
                assert client.get(f"https://registry.example:{registry.port}/v2/").status == 200
            assert len(network.connected) == 2


def test_tls_context(authority: Authority) -> None:
    """Whatever the library's defaults become."""
    context = tls_context(authority.bundle)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.keylog_filename is None
    assert len(context.get_ca_certs()) == 1


def test_tls_failures(authority: Authority, tmp_path: Path) -> None:
    """Expired, not yet valid, another name, another CA, no TLS at all: registryUnavailable, and it says so."""
    cases = [
        (secured(authority, ends=-DAY / 2), "expired"),
        (secured(authority, starts=DAY / 2), "not yet valid"),
        (secured(authority, ("other.example",)), "127.0.0.1"),
        (secured(Authority(tmp_path, "another CA")), "certificate"),
        (RegistrySimulator(), "TLS failed"),
    ]
    for running, expected in cases:
        with running as registry:
            client = Client(deadline=time.monotonic() + 5, ca_bundle=authority.bundle)
            cause, message = cause_of(client, f"https://{registry.host}/v2/")
            assert cause is Cause.REGISTRY_UNAVAILABLE
            assert expected in message
            assert message.startswith(registry.host)
            assert not registry.seen


def test_the_environment_has_no_say_in_tls(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither in whom to trust nor in where to write keys."""
    log = tmp_path / "keys"
    empty = tmp_path / "bundle.pem"
    Path(empty).write_bytes(Path(Authority(tmp_path, "nobody").bundle).read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", authority.bundle)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    with secured(authority) as registry:
        cause, _ = cause_of(Client(deadline=time.monotonic() + 5, ca_bundle=str(empty)), f"{registry.url}/v2/")
        assert cause is Cause.REGISTRY_UNAVAILABLE
        with client_closed(Client(deadline=time.monotonic() + 5, ca_bundle=authority.bundle)) as client:
            assert client.get(f"{registry.url}/v2/").status == 200
    assert not log.exists()


def test_a_tls_handshake_that_never_comes() -> None:
    """Ends at the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        cause, _ = cause_of(Client(deadline=started + 0.4), f"https://127.0.0.1:{port}/")
    assert cause is Cause.DEADLINE
    assert time.monotonic() - started < 5


def test_ca_bundles(tmp_path: Path) -> None:
    """The first that can be read and is not empty; a path that was given is the only one."""
    empty, good = tmp_path / "empty", tmp_path / "good"
    empty.touch()
    good.write_text("x")
    search = [str(tmp_path / "none"), str(empty), str(tmp_path), str(good)]
    assert trustedcas.find(search=search) == str(good)
    assert trustedcas.find(str(good), []) == str(good)
    for explicit in (str(empty), str(tmp_path / "none")):
        with pytest.raises(Unavailable) as caught:
            trustedcas.find(explicit, search)
        assert caught.value.cause is Cause.REGISTRY_UNAVAILABLE
    with pytest.raises(Unavailable, match="ca-certificates.crt"):
        trustedcas.find(search=["/nowhere/ca-certificates.crt"])


def test_a_bundle_that_is_none(tmp_path: Path) -> None:
    """Is told as such."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with secured(Authority(tmp_path)) as registry:
        client = Client(deadline=time.monotonic() + 5, ca_bundle=str(broken))
        cause, message = cause_of(client, f"{registry.url}/v2/")
    assert cause is Cause.REGISTRY_UNAVAILABLE
    assert str(broken) in message


# Proxies


def through(proxy: ProxySimulator, *, userinfo: str = "", no_proxy: str = "") -> ProxySettings:
    """Settings for `proxy`."""
    url = f"http://{userinfo}127.0.0.1:{proxy.port}"
    return ProxySettings.from_environment({"HTTP_PROXY": url, "https_proxy": url, "NO_PROXY": no_proxy})


def test_plain_http_through_a_proxy(registry: RegistrySimulator) -> None:
    """In absolute form, with the password for the proxy alone, kept from the registry by the proxy."""
    with ProxySimulator({"registry.example": registry.port}) as proxy:
        settings = through(proxy, userinfo="me:p%40ss@")
        with client_closed(Client(deadline=time.monotonic() + 5, proxies=settings)) as client:
            assert client.get("http://registry.example/v2/?a=b").status == 200
        assert proxy.asked[0].line == "GET http://registry.example/v2/?a=b HTTP/1.1"
        assert proxy.asked[0].headers["proxy-authorization"] == "Basic bWU6cEBzcw=="
        assert proxy.asked[0].headers["host"] == "registry.example"


def test_tls_through_a_proxy(authority: Authority) -> None:
    """By CONNECT; what is inside is between us and the registry, whose name is checked."""
    with secured(authority, ("registry.example",)) as registry:
        with ProxySimulator({"registry.example": registry.port, "other.example": registry.port}) as proxy:
            settings = through(proxy, userinfo="me:secret@")
            client = Client(deadline=time.monotonic() + 5, proxies=settings, ca_bundle=authority.bundle)
            with client_closed(client):
                for _ in range(2):
                    assert client.get("https://registry.example/v2/").status == 200
                assert [each.line for each in proxy.asked] == ["CONNECT registry.example:443 HTTP/1.1"]
                assert proxy.asked[0].headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"
                cause, message = cause_of(client, "https://other.example/v2/")
                assert cause is Cause.REGISTRY_UNAVAILABLE
                assert "other.example" in message
        assert all("proxy-authorization" not in each.headers for each in registry.seen)


@pytest.mark.parametrize("code", [407, 403, 502])
def test_a_proxy_that_refuses(authority: Authority, code: int) -> None:
    """Says so by the variable's name; the password is nowhere."""
    with ProxySimulator(status=code) as proxy:
        settings = through(proxy, userinfo="me:hunter2@")
        client = Client(deadline=time.monotonic() + 5, proxies=settings, ca_bundle=authority.bundle)
        cause, message = cause_of(client, "https://registry.example/v2/")
    assert cause is Cause.REGISTRY_UNAVAILABLE
    assert f"the proxy of https_proxy refuses (status {code})" in message
    assert "hunter2" not in message


def test_a_proxy_that_is_not_there() -> None:
    """Is what the message is about."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = ProxySettings.from_environment({"HTTP_PROXY": f"http://me:hunter2@127.0.0.1:{port}"})
    cause, message = cause_of(Client(deadline=time.monotonic() + 5, proxies=settings), "http://registry.example/v2/")
    assert cause is Cause.REGISTRY_UNAVAILABLE
    assert message == "registry.example (through the proxy of HTTP_PROXY): connection refused"


def test_behind_a_proxy_only_written_addresses_are_judged() -> None:
    """Names are the proxy's to resolve: ours may have no DNS."""
    home = Origin("http", "registry.example", 80)
    with RegistrySimulator() as store, ProxySimulator({"store.example": store.port}) as proxy:
        network = NetworkSimulator({})
        settings = through(proxy)
        with client_closed(Client(deadline=time.monotonic() + 5, proxies=settings, network=network)) as client:
            assert client.get("http://store.example/v2/", sent_by=home).status == 200
            for address in ("10.0.0.1", "169.254.169.254", "[fd00::1]"):
                with pytest.raises(Malformed):
                    client.get(f"http://{address}/v2/", sent_by=home)
        assert network.resolved == ["127.0.0.1"]
        assert len(proxy.asked) == 1


def test_localhost_is_never_asked_for_through_a_proxy(registry: RegistrySimulator) -> None:
    """As with Go's clients."""
    with ProxySimulator() as proxy:
        with client_closed(Client(deadline=time.monotonic() + 5, proxies=through(proxy))) as client:
            assert client.get(f"{registry.url}/v2/").status == 200
            assert client.get(f"http://localhost:{registry.port}/v2/").status == 200
        assert not proxy.asked


# The start-up budget


def test_what_is_imported() -> None:
    """containerd's child loads this after a miss: none of what is known to be slow may come with it."""
    program = (
        "import sys, agent.adapters.http_blocking, agent.adapters.registry\n"
        "slow = {'dataclasses', 'inspect', 'logging', 'asyncio', 'urllib.request', 'http.cookiejar', 'structlog',"
        " 'anyio', 'yaml', 'cryptography', 'concurrent.futures', 'encodings.idna', 'subprocess'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={})
    assert finished.stdout == "[]\n"


def test_no_idna_tables_on_the_way(registry: RegistrySimulator) -> None:
    """Hosts are handed over as bytes, as the str codec would load big tables."""
    program = (
        "import sys, time\n"
        "from agent.adapters.http_blocking import BlockingTransport\n"
        "from agent.adapters.inline import run\n"
        "from agent.registry.messages import Request\n"
        "from agent.registry.urls import Url\n"
        "transport = BlockingTransport(deadline=time.monotonic() + 10)\n"
        f"run(transport.send(Request(Url.parse('{registry.url}/v2/', 'x'), 'x', 100)))\n"
        "transport.close()\n"
        "print('encodings.idna' in sys.modules)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={})
    assert finished.stdout == "False\n"
