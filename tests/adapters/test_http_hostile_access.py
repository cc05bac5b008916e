"""Registries as attackers on the way to content, over real sockets: throttling, tokens, redirects.

A typed error in time, and no credential anywhere but at the registry's own origin.  The numbers are those of the
checklist of hostile inputs (13 to 15).
"""

import time
from contextlib import suppress

import pytest

from agent.adapters.inline import run
from agent.errors import Cause, LimitExceeded, Malformed, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.reference import Repository
from agent.registry.messages import Request
from agent.registry.urls import Origin, Url
from tests.adapters.http_bench import PATH, Bench, bench, kind, registry
from tests.simulators import misbehaviour as does
from tests.simulators.network import NetworkSimulator
from tests.simulators.registry import TOKEN, Handler, RegistrySimulator

__all__ = ["bench", "kind", "registry"]


@pytest.fixture
def image(registry: RegistrySimulator) -> Descriptor:
    """An image."""
    return registry.push_image(PATH, "1")


# 13: throttling and loops


@pytest.mark.parametrize("wait", ["99999999999999999999", "3600", "-1", "Wed, 21 Oct 2099 07:28:00 GMT", "\x1b[31m"])
@pytest.mark.parametrize(("code", "cause"), [(429, Cause.THROTTLED), (503, Cause.REGISTRY_UNAVAILABLE)])
def test_13_absurd_retry_after(
    registry: RegistrySimulator, image: Descriptor, bench: Bench, wait: str, code: int, cause: Cause
) -> None:
    """One request, no waiting, nothing odd in the message."""
    registry.misbehave("manifest", does.status(code, Retry_After=wait))
    started = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        bench.manifest(image)
    assert caught.value.cause is cause
    assert time.monotonic() - started < 25
    assert registry.counts["manifest"] == 1
    assert caught.value.message.isprintable()


def test_13_a_401_loop(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """Two requests, one token."""
    registry.misbehave("manifest", does.challenge_for_ever)
    with pytest.raises(Unavailable) as caught:
        bench.manifest(image)
    assert caught.value.cause is Cause.UNAUTHORIZED
    assert registry.counts == {"manifest": 2, "token": 1}


def test_13_alternating_backends(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """A listed manifest that one server does not have is malformed: not "no evidence"."""
    registry.asks_for_token = False
    registry.misbehave("manifest", does.in_turn(does.as_usual, does.status(404)))
    assert bench.manifest(image)
    with pytest.raises(Malformed):
        bench.manifest(image)


@pytest.mark.parametrize("wait", ["0", "1"])
@pytest.mark.parametrize("code", [429, 503])
def test_13_short_retry_after(
    registry: RegistrySimulator, image: Descriptor, bench: Bench, wait: str, code: int
) -> None:
    """Is waited for, and the answer taken."""
    registry.asks_for_token = False
    registry.misbehave("manifest", does.in_turn(does.status(code, Retry_After=wait), does.as_usual))
    started = time.monotonic()
    assert bench.manifest(image)
    assert int(wait) <= time.monotonic() - started < 25
    assert registry.counts["manifest"] == 2


def test_13_throttled_for_ever(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """Three requests, whatever it promises."""
    registry.asks_for_token = False
    registry.misbehave("manifest", does.status(429, Retry_After="0"))
    with pytest.raises(Unavailable) as caught:
        bench.manifest(image)
    assert caught.value.cause is Cause.THROTTLED
    assert registry.counts["manifest"] == 3


@pytest.mark.parametrize("code", [502, 503, 504])
def test_13_two_retries(registry: RegistrySimulator, image: Descriptor, bench: Bench, code: int) -> None:
    """Two bad gateways are survived, three are not."""
    registry.asks_for_token = False
    registry.misbehave("manifest", does.in_turn(does.status(code), does.status(code), does.as_usual))
    assert bench.manifest(image)
    assert registry.counts["manifest"] == 3
    registry.misbehave("manifest", does.status(code))
    with pytest.raises(Unavailable):
        bench.manifest(image)
    assert registry.counts["manifest"] == 6


@pytest.mark.parametrize("answer", [does.hang_up, does.status(502)], ids=["hang_up", "502"])
def test_13_a_post_is_not_repeated(kind: str, registry: RegistrySimulator, answer: does.Behaviour) -> None:
    """Who answered wrongly may have done what was asked."""
    bench = Bench(kind, registry, 60)
    registry.misbehave("base", answer)
    url = Url.parse(f"{registry.url}/v2/", "test")
    with suppress(Unavailable):
        assert run(bench.transport.send(Request(url, "test", 1000, body=b"question"))).status == 502
    assert registry.counts["base"] == 1
    bench.transport.close()


def test_13_no_time_for_a_retry(kind: str, registry: RegistrySimulator, image: Descriptor) -> None:
    """Then there is none."""
    registry.asks_for_token = False
    now = 0.0

    def late(handler: Handler) -> bool:
        nonlocal now
        now = 59.55
        return handler.answer(502)

    bench = Bench(kind, registry, 60, clock=lambda: now)
    registry.misbehave("manifest", late)
    with pytest.raises(Unavailable):
        bench.manifest(image)
    assert registry.counts["manifest"] == 1
    bench.transport.close()


# 14: realms


@pytest.mark.parametrize(
    "value",
    [
        'Bearer realm="http://169.254.169.254/latest/meta-data/iam"',
        'Bearer realm="http://[fd00:ec2::254]/latest"',
        'Bearer realm="http://10.0.0.1/token"',
        'Bearer realm="file:///etc/shadow"',
        'Bearer realm="http://user:word@auth.example/token"',
        'Bearer realm="' + "x" * 8192 + '"',
        'Basic realm="a", Bearer realm="http://169.254.169.254/", Bearer realm="https://auth.example/"',
        'Bearer realm="http://auth.example/\r\n Host: evil"',
    ],
)
def test_14_realms(kind: str, registry: RegistrySimulator, image: Descriptor, value: str) -> None:
    """Nobody but the registry hears of us."""
    network = NetworkSimulator({})
    bench = Bench(kind, registry, 60, network)
    registry.misbehave("manifest", does.challenge(value))
    with pytest.raises(Malformed):
        bench.manifest(image)
    assert registry.counts["token"] == 0
    assert {port for _, port in network.connected} == {registry.port}
    bench.transport.close()


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["93.184.216.34", "169.254.169.254"],
        ["10.1.2.3"],
        ["::ffff:7f00:1"],
        ["::1"],
    ],
)
def test_14_realms_by_name(kind: str, registry: RegistrySimulator, image: Descriptor, addresses: list[str]) -> None:
    """A public registry's token server must be public in every address; here "public" is what the test's names say."""
    home = "registry.example"
    network = NetworkSimulator(
        {home: ["93.184.216.1"], "auth.example": addresses}, {("93.184.216.1", registry.port): registry.port}
    )
    bench = Bench(kind, registry, 60, network)
    bench.repository = Repository(f"{home}:{registry.port}", PATH)
    registry.misbehave("manifest", does.challenge('Bearer realm="http://auth.example/token"'))
    with pytest.raises(Malformed, match="resolved to"):
        bench.manifest(image)
    assert network.connected == [("93.184.216.1", registry.port)]
    bench.transport.close()


def test_14_a_realm_on_another_host(kind: str, registry: RegistrySimulator, image: Descriptor) -> None:
    """A public one is asked, without any credential; its token goes to the registry alone."""
    with RegistrySimulator() as auth:
        names = {"registry.example": ["93.184.216.1"], "auth.example": ["93.184.216.2"]}
        ports = {("93.184.216.1", registry.port): registry.port, ("93.184.216.2", auth.port): auth.port}
        network = NetworkSimulator(names, ports)
        bench = Bench(kind, registry, 60, network)
        bench.repository = Repository(f"registry.example:{registry.port}", PATH)
        registry.realm = f"http://auth.example:{auth.port}/token"
        assert bench.manifest(image)
        assert auth.counts == {"token": 1}
        assert not auth.authorizations
        assert registry.authorizations == [f"Bearer {TOKEN}"]
        assert auth.seen[0].headers["host"] == f"auth.example:{auth.port}"
        assert network.resolved.count("auth.example") == 1
        bench.transport.close()


def test_14_token_requests_are_not_redirected(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """Not even to the registry itself."""
    registry.misbehave("token", does.redirect("/token?again"))
    with pytest.raises(Malformed, match="redirect"):
        bench.manifest(image)
    assert registry.counts["token"] == 1


@pytest.mark.parametrize("value", ["x\r\nX-Injected: 1", "x" * 20_000, "", 7])
def test_14_tokens(registry: RegistrySimulator, image: Descriptor, bench: Bench, value: object) -> None:
    """Odd ones are not used."""
    registry.misbehave("token", does.token(value))
    with pytest.raises(Malformed):
        bench.manifest(image)
    assert not registry.authorizations


def test_14_endless_token_answer(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """64 KiB are enough."""
    registry.misbehave("token", does.endless_chunks)
    with pytest.raises(LimitExceeded):
        bench.manifest(image)


# 15: redirects


def test_15_credentials_stay_at_home(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """Same host, other port: another origin.  The content is taken, as its digest is right."""
    with RegistrySimulator() as other:
        blob = other.push_blob(PATH, b"signature")
        location = f"{other.url}/v2/{PATH}/blobs/{blob.digest}?X-Signature=secret"
        registry.misbehave(
            "blob", lambda handler: "authorization" in handler.headers and handler.answer(307, Location=location)
        )
        assert bench.blob(blob) == b"signature"
        assert registry.authorizations == [f"Bearer {TOKEN}"]
        assert other.counts == {"blob": 1}
        assert set(other.seen[0].headers) == {"host", "user-agent", "accept-encoding", "accept"}


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.2:1/",
        "http://[::1]:1/",
        "http://localhost:1/",
        "http://internal.example/",
        "http://rebinds.example/",
        "file:///etc/passwd",
        "http://10.0.0.1/",
    ],
)
def test_15_redirects_into_the_node(kind: str, registry: RegistrySimulator, image: Descriptor, location: str) -> None:
    """Are not followed: no connection is made."""
    names = {
        "registry.example": ["93.184.216.1"],
        "localhost": ["127.0.0.1"],
        "internal.example": ["10.2.3.4"],
        "rebinds.example": ["93.184.216.9", "169.254.169.254"],
    }
    network = NetworkSimulator(names, {("93.184.216.1", registry.port): registry.port})
    bench = Bench(kind, registry, 60, network)
    bench.repository = Repository(f"registry.example:{registry.port}", PATH)
    registry.asks_for_token = False
    registry.misbehave("blob", does.redirect(location))
    with pytest.raises(Malformed):
        bench.blob(registry.push_blob(PATH, b"signature"))
    assert network.connected == [("93.184.216.1", registry.port)]
    bench.transport.close()


def test_15_private_registries_have_private_stores(kind: str, registry: RegistrySimulator) -> None:
    """Private to private is how such networks are built."""
    with RegistrySimulator() as store:
        blob = store.push_blob(PATH, b"signature")
        names = {"registry.example": ["10.0.0.1"], "store.example": ["10.0.0.2"]}
        network = NetworkSimulator(
            names, {("10.0.0.1", registry.port): registry.port, ("10.0.0.2", store.port): store.port}
        )
        bench = Bench(kind, registry, 60, network)
        bench.repository = Repository(f"registry.example:{registry.port}", PATH)
        registry.asks_for_token = False
        where = f"http://store.example:{store.port}/v2/{PATH}/blobs/{blob.digest}"
        registry.misbehave("blob", does.redirect(where))
        assert bench.blob(blob) == b"signature"
        bench.transport.close()


def test_15_a_registry_without_address(kind: str, registry: RegistrySimulator) -> None:
    """Behind a proxy, as far as we know: it counts as a public one."""
    names = {"store.example": ["93.184.216.2"], "internal.example": ["10.0.0.2"]}
    bench = Bench(kind, registry, 60, NetworkSimulator(names, {("93.184.216.2", registry.port): registry.port}))
    home = Origin("https", "registry.example", 443)
    for host in names:
        request = Request(Url.parse(f"http://{host}:{registry.port}/v2/", "test"), "test", 1000, sent_by=home)
        if host == "internal.example":
            with pytest.raises(Malformed, match="private"):
                run(bench.transport.send(request))
        else:
            registry.asks_for_token = False
            assert run(bench.transport.send(request)).status == 200
    bench.transport.close()


def test_15_names_are_resolved_once(kind: str, registry: RegistrySimulator, image: Descriptor) -> None:
    """What was checked is what is connected to: a second answer is never asked for."""
    with RegistrySimulator() as store:
        blob = store.push_blob(PATH, b"signature")
        names = {"registry.example": ["93.184.216.1"], "store.example": ["93.184.216.2"]}
        ports = {("93.184.216.1", registry.port): registry.port, ("93.184.216.2", store.port): store.port}
        network = NetworkSimulator(names, ports)
        bench = Bench(kind, registry, 60, network)
        bench.repository = Repository(f"registry.example:{registry.port}", PATH)
        registry.asks_for_token = False
        where = f"http://store.example:{store.port}/v2/{PATH}/blobs/{blob.digest}"
        registry.misbehave("blob", does.redirect(where))
        store.misbehave("blob", does.in_turn(does.hang_up, does.as_usual))
        for _ in range(3):
            assert bench.blob(blob) == b"signature"
        assert sorted(network.resolved) == ["registry.example", "store.example"]
        bench.transport.close()


def test_15_redirect_loop(registry: RegistrySimulator, image: Descriptor, bench: Bench) -> None:
    """Six requests."""
    registry.asks_for_token = False
    digest = Digest.of(b"x")
    registry.misbehave("blob", does.redirect(f"/v2/{PATH}/blobs/{digest}"))
    with pytest.raises(LimitExceeded, match="redirects"):
        bench.blob(Descriptor("a/b", digest, 1))
    assert registry.counts["blob"] == 6
