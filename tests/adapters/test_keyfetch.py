"""Certificates over HTTPS: what is taken, and where nobody is asked."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from agent.adapters import keyfetch
from agent.adapters.http_dial import Endpoint
from agent.adapters.http_proxy import ProxySettings
from agent.config.keysources import KeySource
from agent.errors import LimitExceeded, Malformed, NodesealError, Unavailable
from agent.registry.urls import Url
from tests.signing import usual_signer
from tests.simulators.certificates import Authority
from tests.simulators.keyserver import KeyServer
from tests.simulators.network import NetworkSimulator

PEM = usual_signer().root_pem


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the server's certificate is from."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(ca: Authority) -> Iterator[KeyServer]:
    """A server of certificates."""
    with KeyServer(ca) as server:
        server.serve("/roots", PEM)
        yield server


def source(ca: Authority, url: str, *, pin: str = "", cas: Sequence[bytes] | None = None) -> KeySource:
    """A source."""
    trusted = (ca.certificate,) if cas is None else tuple(cas)
    return KeySource("s", "corp", Url.parse(url, "url"), 3600.0, 86400.0, trusted, pin)


def fetched(given: KeySource, **changes: object) -> bytes:
    """What a source holds, on this node."""
    usual: dict[str, object] = {"proxies": ProxySettings(), "local": True, "seconds": 60.0}
    return keyfetch.fetch(given, **(usual | changes))  # type: ignore[arg-type]


def test_certificates_are_fetched_and_a_pin_is_compared(server: KeyServer, ca: Authority) -> None:
    assert fetched(source(ca, f"{server.url}/roots")) == PEM
    assert fetched(source(ca, f"{server.url}/roots", pin=sha256(PEM).hexdigest())) == PEM
    with pytest.raises(Malformed, match=f"got content with SHA-256 {sha256(PEM).hexdigest()}; expected 00"):
        fetched(source(ca, f"{server.url}/roots", pin="0" * 64))


def test_who_is_not_who_he_should_be_is_not_asked(server: KeyServer, ca: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other CA")
    with pytest.raises(Unavailable, match="TLS failed"):
        fetched(source(ca, f"{server.url}/roots", cas=[other.certificate]))
    assert server.asked == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "certificate"),
        (b"<html>sign in</html>", "certificate"),
        (PEM[:-40], "certificate"),
        (PEM + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "certificate"),
        (b"x" * (keyfetch.MAX_SIZE + 1), "bytes"),
    ],
)
def test_what_is_not_certificates_alone_is_refused(server: KeyServer, ca: Authority, body: bytes, words: str) -> None:
    server.serve("/roots", body)
    with pytest.raises(Malformed, match=words):
        fetched(source(ca, f"{server.url}/roots"))


@pytest.mark.parametrize("status", [204, 404, 500])
def test_another_status_is_none(server: KeyServer, ca: Authority, status: int) -> None:
    server.serve("/roots", b"", status)
    with pytest.raises(NodesealError):
        fetched(source(ca, f"{server.url}/roots"))


def test_a_redirect_within_the_origin_is_followed_three_times(server: KeyServer, ca: Authority) -> None:
    for i in range(4):
        server.serve(f"/{i}", b"", 302, Location=f"/{i + 1}")
    server.serve("/4", PEM)
    assert fetched(source(ca, f"{server.url}/1")) == PEM
    with pytest.raises(LimitExceeded, match="redirects"):
        fetched(source(ca, f"{server.url}/0"))


@pytest.mark.parametrize(
    "location",
    ["https://127.0.0.1:1/x", "http://localhost:1/x", "https://elsewhere.example/x", "//x.example/", "ftp:x"],
)
def test_a_redirect_elsewhere_is_refused(server: KeyServer, ca: Authority, location: str) -> None:
    server.serve("/roots", b"", 302, Location=location)
    with pytest.raises(Malformed, match="redirect"):
        fetched(source(ca, f"{server.url}/roots"))
    assert server.asked == ["/roots"]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "100.100.100.200", "0.0.0.0", "::ffff:127.0.0.1"]
)
@pytest.mark.parametrize("written", [True, False])
def test_this_node_and_metadata_services_are_not_asked(ca: Authority, address: str, written: bool) -> None:
    host = (f"[{address}]" if ":" in address else address) if written else "pki.example"
    network = Counting({"pki.example": ["192.0.2.1", address]})
    with pytest.raises(Malformed, match="expected one elsewhere"):
        fetched(source(ca, f"https://{host}/roots"), local=False, network=network)
    assert network.tried == []


def test_a_private_address_may_be_asked(ca: Authority) -> None:
    network = Counting({"pki.example": ["10.1.2.3"]})
    with pytest.raises(Unavailable):
        fetched(source(ca, "https://pki.example/roots"), local=False, network=network)
    assert [each.address for each in network.tried] == ["10.1.2.3"]


def test_who_hangs_is_given_up(server: KeyServer, ca: Authority) -> None:
    server.answers["/roots"] = lambda: (200, {"Content-Length": "100"}, b"x")
    with pytest.raises(NodesealError):
        fetched(source(ca, f"{server.url}/roots"), seconds=0.5)


class Counting(NetworkSimulator):
    """A network without anybody; who was to be connected to is kept."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        """Nobody yet."""
        super().__init__(names)
        self.tried: list[Endpoint] = []

    def connect(self, endpoint: Endpoint, timeout: float) -> object:  # type: ignore[override]
        """See `Network.connect`."""
        self.tried.append(endpoint)
        raise ConnectionRefusedError
