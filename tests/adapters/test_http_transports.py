"""Both transports: connections, deadlines, TLS, and what their errors become."""

import gzip
import socket
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Iterator, Sequence

import pytest

from agent.adapters.http_dial import Endpoint
from agent.errors import Cause, LimitExceeded, Malformed, Unavailable
from tests.adapters.http_client import Client, Make, cause_of
from tests.simulators import misbehaviour as does
from tests.simulators.certificates import Authority
from tests.simulators.network import NetworkSimulator
from tests.simulators.registry import Handler, RegistrySimulator

DAY = timedelta(days=1)


@pytest.fixture
def client(make: Make) -> Iterator[Client]:
    """A client with time enough."""
    with make(60) as made:
        yield made


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


@pytest.mark.parametrize("body", [b"", b"a=b&c=d", b"x" * 300_000])
def test_what_is_posted(registry: RegistrySimulator, client: Client, body: bytes) -> None:
    """A body with its length and the type that the request gives."""
    got: list[bytes] = []
    registry.misbehave("base", does.taken(b"taken", got))
    for _ in range(2):
        assert client.post(f"{registry.url}/v2/", body, "x/y").body == b"taken"
    assert got == [body, body]
    seen = registry.seen[1]
    assert (seen.method, seen.target) == ("POST", "/v2/")
    assert seen.headers == {
        "host": registry.host,
        "user-agent": "nodeseal/0.1.0",
        "accept-encoding": "identity",
        "content-type": "x/y",
        "content-length": str(len(body)),
    }


@pytest.mark.parametrize(
    "target",
    ["/v2/%7Ea%2Fb%zz", "/v2//a//", "/v2/a+b;c=d,e:f@g!$&'()*|^`{}[]<>\"?x=%41&&y=a+b/c?d='\"{}", "/v2/%"],
)
def test_targets_go_out_as_they_are(registry: RegistrySimulator, client: Client, target: str) -> None:
    """A signed URL is signed letter by letter."""
    client.get(f"{registry.url}{target}")
    assert registry.seen[0].target == target


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


def test_connections_are_kept(make: Make, registry: RegistrySimulator) -> None:
    """One for all requests to an origin, errors with small bodies included; none beyond that."""
    network = NetworkSimulator({})
    with make(60, network=network) as client:
        for _ in range(3):
            assert client.get(f"{registry.url}/v2/").status == 200
            assert client.get(f"{registry.url}/v2/a/manifests/b").status == 404
        assert len(network.connected) == 1
        registry.misbehave("base", does.status(404, b"x" * 10_000_000))
        assert len(client.get(f"{registry.url}/v2/").body) == 8192
        client.get(f"{registry.url}/v2/a/manifests/b")
        assert len(network.connected) == 2


def test_a_connection_closed_while_idle(make: Make, registry: RegistrySimulator) -> None:
    """Is replaced, silently and without counting as the one retry."""
    network = NetworkSimulator({})
    with make(60, network=network) as client:
        client.get(f"{registry.url}/v2/")
        registry.misbehave("base", does.in_turn(does.hang_up, does.hang_up, does.as_usual))
        assert client.get(f"{registry.url}/v2/").status == 200
        assert len(network.connected) == 3
        registry.misbehave("base", does.hang_up)
        with pytest.raises(Unavailable, match="closed"):
            client.get(f"{registry.url}/v2/")


def cut_short(handler: Handler) -> bool:
    """Half a response, after the whole request."""
    handler.rfile.read(int(handler.headers["content-length"]))
    return does.announced_length(100)(handler)


def test_a_post_on_a_connection_closed_while_idle(make: Make, registry: RegistrySimulator) -> None:
    """Is sent again, as nobody can have read it; where a byte of an answer came, it is not."""
    with make(60) as client:
        client.get(f"{registry.url}/v2/")
        registry.misbehave("base", does.in_turn(does.hang_up, does.taken(b"done"), cut_short))
        assert client.post(f"{registry.url}/v2/", b"question", "x/y").body == b"done"
        asked = len(registry.seen)
        with pytest.raises(Unavailable, match="closed"):
            client.post(f"{registry.url}/v2/", b"question", "x/y")
        assert len(registry.seen) == asked + 1


def test_cookies_are_not_kept(make: Make, registry: RegistrySimulator) -> None:
    """Whoever sets one, and by name: clients that keep them make a difference there."""
    registry.misbehave("base", does.status(200, Set_Cookie="a=b; Path=/"))
    network = NetworkSimulator({"registry.example": ["127.0.0.1"]})
    with make(60, network=network) as client:
        for _ in range(2):
            client.get(f"http://registry.example:{registry.port}/v2/")
    assert "cookie" not in registry.seen[1].headers


def test_nothing_is_unpacked(registry: RegistrySimulator, client: Client) -> None:
    """Not even what is no content: a coding that nobody asked for stays on the body of an error."""
    packed = gzip.compress(b" " * 1_000_000)
    registry.misbehave("base", does.status(404, packed, Content_Encoding="gzip"))
    assert client.get(f"{registry.url}/v2/").body == packed


def test_bytes_that_nobody_asked_for(make: Make, registry: RegistrySimulator) -> None:
    """On an idle connection: it is not used again, so that they answer nothing."""

    heard, spoken = threading.Event(), threading.Event()

    def speak_twice(handler: Handler) -> bool:
        second = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal")
        handler.wfile.flush()
        heard.wait(30)
        handler.wfile.write(second)
        spoken.set()
        return True

    registry.misbehave("base", does.in_turn(speak_twice, does.as_usual))
    with make(60) as client:
        assert client.get(f"{registry.url}/v2/").body == b"real"
        heard.set()
        assert spoken.wait(30)
        time.sleep(0.1)
        assert client.get(f"{registry.url}/v2/").body == b"{}"


def test_half_an_answer_that_nobody_asked_for(make: Make, registry: RegistrySimulator) -> None:
    """Nor is the connection used again, to find out what the other half would be."""

    heard, spoken = threading.Event(), threading.Event()

    def speak_on(handler: Handler) -> bool:
        handler.answer(200, b"real")
        heard.wait(30)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Half")
        spoken.set()
        return True

    registry.misbehave("base", does.in_turn(speak_on, does.as_usual))
    network = NetworkSimulator({})
    with make(60, network=network) as client:
        assert client.get(f"{registry.url}/v2/").body == b"real"
        heard.set()
        assert spoken.wait(30)
        time.sleep(0.1)
        assert client.get(f"{registry.url}/v2/").body == b"{}"
        assert len(network.connected) == 2


def test_refused_and_unknown(
    make: Make,
) -> None:
    """Messages say which host, and what happened."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    cause, message = cause_of(make(60), f"http://127.0.0.1:{port}/")
    assert (cause, message) == (Cause.REGISTRY_UNAVAILABLE, f"127.0.0.1:{port}: connection refused")
    client = make(60, network=NetworkSimulator({}))
    cause, message = cause_of(client, "http://nowhere.example/")
    assert cause is Cause.REGISTRY_UNAVAILABLE
    assert message == "nowhere.example: the name can't be resolved (Name or service not known)"


def test_a_network_without_a_way(make: Make) -> None:
    """Is told as the kernel tells it."""

    class NoWay(NetworkSimulator):
        def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
            raise OSError(101, "Network is unreachable")

    cause, message = cause_of(make(60, network=NoWay({})), "http://192.0.2.1/")
    assert (cause, message) == (Cause.REGISTRY_UNAVAILABLE, "192.0.2.1: Network is unreachable")


def test_a_connection_that_breaks_while_it_is_made(make: Make, registry: RegistrySimulator) -> None:
    """Is a lost one: it is made anew, twice."""

    class Breaks(NetworkSimulator):
        def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
            if len(self.connected) < 2:
                self.connected.append((endpoint.address, endpoint.port))
                raise ConnectionResetError(104, "Connection reset by peer")
            return super().connect(endpoint, timeout)

    network = Breaks({})
    with make(60, network=network) as client:
        assert client.get(f"{registry.url}/v2/").status == 200
    assert len(network.connected) == 3


def test_another_protocol_is_named_and_not_tried_again(make: Make, registry: RegistrySimulator) -> None:
    """A second answer would be the same."""
    registry.misbehave("*", does.not_http)
    cause, message = cause_of(make(60), f"{registry.url}/v2/")
    assert (cause, message) == (Cause.REGISTRY_UNAVAILABLE, f"{registry.host}: the answer is not HTTP (BadStatusLine)")
    assert len(registry.seen) == 1


def test_address_that_gives_up_before_our_deadline_is_named(
    make: Make,
) -> None:
    """The kernel's own time limit is not ours."""

    class GivesUp(NetworkSimulator):
        def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
            raise TimeoutError(110, "Connection timed out")

    cause, message = cause_of(make(60, network=GivesUp({})), "http://192.0.2.1/")
    assert (cause, message) == (Cause.REGISTRY_UNAVAILABLE, "192.0.2.1: connection timed out")


class SlowNetwork(NetworkSimulator):
    """Connections that never come about, with a clock that goes on only while somebody waits for one."""

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__({"slow.example": addresses})
        self.timeouts: list[float] = []
        self.now = 0.0

    def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
        """Time out, after ten seconds."""
        self.timeouts.append(timeout)
        self.now += 10
        raise TimeoutError("timed out")


def test_silent_addresses_share_the_time(
    make: Make,
) -> None:
    """The last one ends at the deadline."""
    network = SlowNetwork(["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    cause, message = cause_of(make(30, lambda: network.now, network=network), "http://slow.example/")
    assert cause is Cause.DEADLINE
    assert "slow.example" in message
    assert len(network.timeouts) == 3
    assert all(0 < each <= 10 for each in network.timeouts)


def test_after_the_deadline_nothing_is_tried(make: Make, registry: RegistrySimulator) -> None:
    """Not even a name."""
    network = NetworkSimulator({})
    cause, _ = cause_of(make(-1, network=network), f"{registry.url}/v2/")
    assert cause is Cause.DEADLINE
    assert not network.resolved
    assert not registry.seen


def test_errors_of_ours_are_not_hidden(make: Make, registry: RegistrySimulator) -> None:
    """What is no error of the network stays what it is: a bug."""

    class Broken(NetworkSimulator):
        def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
            raise KeyError("bug")

    with make(60, network=Broken({})) as client, pytest.raises(KeyError):
        client.get(f"{registry.url}/v2/")


# TLS


def secured(authority: Authority, names: Sequence[str] = ("127.0.0.1",), **times: timedelta) -> RegistrySimulator:
    """A registry with a certificate."""
    return RegistrySimulator(certificate=authority.issue(names, **times))


def test_tls(make: Make, authority: Authority) -> None:
    """By address and by name; the connection is kept."""
    with secured(authority, ("127.0.0.1", "registry.example")) as registry:
        network = NetworkSimulator({"registry.example": ["127.0.0.1"]})
        client = make(60, ca_bundle=authority.bundle, network=network)
        with client:
            for _ in range(3):
                assert client.get(f"{registry.url}/v2/").status == 200
                assert client.get(f"https://registry.example:{registry.port}/v2/").status == 200
            assert len(network.connected) == 2


def test_extra_cas(make: Make, authority: Authority, tmp_path: Path) -> None:
    """Are trusted beside the bundle, for their own names alone; one that can't be read is told."""
    private, another = Authority(tmp_path, "private CA"), Authority(tmp_path, "another private CA")
    with secured(authority) as public, secured(private) as hidden:
        with make(60, ca_bundle=authority.bundle, extra_cas=[another.certificate, private.certificate]) as client:
            assert client.get(f"{public.url}/v2/").status == 200
            assert client.get(f"{hidden.url}/v2/").status == 200
            with pytest.raises(Unavailable, match="localhost"):
                client.get(f"https://localhost:{hidden.port}/v2/")
        cause, message = cause_of(make(60, ca_bundle=authority.bundle), f"{hidden.url}/v2/")
        assert cause is Cause.REGISTRY_UNAVAILABLE
        assert "certificate" in message
        for broken in (b"", b"no certificate", private.certificate[:-1]):
            extra = [private.certificate, broken]
            cause, message = cause_of(make(60, ca_bundle=authority.bundle, extra_cas=extra), f"{public.url}/v2/")
            assert cause is Cause.REGISTRY_UNAVAILABLE
            assert message.startswith("CA certificates: number 2 of those given besides")


def test_tls_failures(make: Make, authority: Authority, tmp_path: Path) -> None:
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
            client = make(60, ca_bundle=authority.bundle)
            cause, message = cause_of(client, f"https://{registry.host}/v2/")
            assert cause is Cause.REGISTRY_UNAVAILABLE
            assert expected in message
            assert message.startswith(registry.host)
            assert not registry.seen


def test_the_environment_has_no_say_in_tls(
    make: Make, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither in whom to trust nor in where to write keys."""
    log = tmp_path / "keys"
    empty = tmp_path / "bundle.pem"
    Path(empty).write_bytes(Path(Authority(tmp_path, "nobody").bundle).read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", authority.bundle)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    with secured(authority) as registry:
        cause, _ = cause_of(make(60, ca_bundle=str(empty)), f"{registry.url}/v2/")
        assert cause is Cause.REGISTRY_UNAVAILABLE
        with make(60, ca_bundle=authority.bundle) as client:
            assert client.get(f"{registry.url}/v2/").status == 200
    assert not log.exists()


def test_a_tls_handshake_that_never_comes(
    make: Make,
) -> None:
    """Ends at the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        cause, _ = cause_of(make(0.4), f"https://127.0.0.1:{port}/")
    assert cause is Cause.DEADLINE
    assert time.monotonic() - started < 30


def test_a_bundle_that_is_none(make: Make, tmp_path: Path) -> None:
    """Is told as such."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with secured(Authority(tmp_path)) as registry:
        client = make(60, ca_bundle=str(broken))
        cause, message = cause_of(client, f"{registry.url}/v2/")
    assert cause is Cause.REGISTRY_UNAVAILABLE
    assert str(broken) in message
