"""Authentication over sockets: a client with a docker configuration in front of a registry that is closed."""

import itertools
import json
import pathlib
import time
from contextlib import contextmanager
from typing import Any, Iterator

import pytest

from agent.adapters.credentials import CredentialFile, CredentialFiles
from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.inline import run
from agent.adapters.registry import RegistryClient
from agent.errors import Cause, Malformed, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.reference import Repository
from agent.ports import Registry
from tests.registry.contract import RegistryContract
from tests.registry.support import Clock
from tests.simulators.authentication import IDENTITY, PASSWORD, REGISTRY_TOKEN, USER, Gate, pair
from tests.simulators.publisher import Publisher
from tests.simulators.registry import RegistrySimulator

SIGNATURE = "application/vnd.example.signature"
BASIC = f"Basic {pair(USER, PASSWORD)}"
ENTRY = {"auth": pair(USER, PASSWORD)}


def config(folder: pathlib.Path, host: str, entry: dict[str, Any]) -> CredentialFile:
    """A node's docker configuration."""
    path = folder / "docker-config.json"
    path.write_text(json.dumps({"auths": {host: entry}}))
    path.chmod(0o600)
    return CredentialFile(str(path))


@contextmanager
def connected(file: CredentialFile, clock: Clock | None = None) -> Iterator[RegistryClient]:
    """A client that has what is in `file`."""
    transport = BlockingTransport(deadline=time.monotonic() + 60)
    credentials = CredentialFiles([file])
    try:
        yield RegistryClient(transport, use_http=True, monotonic=clock or time.monotonic, credentials=credentials)
    finally:
        transport.close()


class Closed:
    """A registry behind a gate, with one image that is signed twice."""

    def __init__(self, registry: RegistrySimulator, **gate: Any) -> None:
        """Closed from now on."""
        self.registry = registry
        self.repository = Repository(registry.host, "team/app")
        self.image = registry.push_image("team/app", "1")
        for evidence in (b"one", b"two"):
            registry.attach("team/app", self.image, SIGNATURE, evidence)
        self.gate = Gate(registry, **gate)
        registry.misbehave("*", self.gate)

    def read(self, client: Registry) -> list[Descriptor]:
        """Everything that a verification fetches; the signatures."""
        listing = run(client.referrers(self.repository, self.image.digest, (SIGNATURE,)))
        for each in listing.descriptors:
            manifest = json.loads(run(client.manifest(self.repository, each)))
            (layer,) = manifest["layers"]
            run(client.blob(self.repository, Descriptor.from_json(layer, "layer"), 100))
        return list(listing.descriptors)

    @property
    def kinds(self) -> list[str]:
        """What was asked for since the last time."""
        kinds = [each.kind for each in self.registry.seen]
        self.registry.seen.clear()
        return kinds


WARM = ["referrers", "manifest", "blob", "manifest", "blob"]


@pytest.mark.parametrize(
    ("entry", "gate", "cold"),
    [
        (ENTRY, {"scheme": "basic"}, []),
        (ENTRY, {}, ["token"]),
        ({"identitytoken": IDENTITY}, {}, ["token"]),
        ({"identitytoken": IDENTITY, "username": USER}, {"post": 404}, ["token", "token"]),
        ({"registrytoken": REGISTRY_TOKEN}, {}, []),
    ],
    ids=["basic", "bearer", "identity token", "identity token as password", "registry token"],
)
def test_every_kind_of_credential_opens_the_door(
    tmp_path: pathlib.Path, registry: RegistrySimulator, entry: dict[str, Any], gate: dict[str, Any], cold: list[str]
) -> None:
    """Cold, one request is refused, and one or two are for a token; warm, there are none but those for content."""
    closed = Closed(registry, **gate)
    with connected(config(tmp_path, registry.host, entry)) as client:
        assert len(closed.read(client)) == 2
        assert closed.kinds == ["referrers", *cold, *WARM]
        closed.read(client)
        assert closed.kinds == WARM


def test_without_api_there_is_one_request_more_until_that_is_known(tmp_path: pathlib.Path) -> None:
    with RegistrySimulator(referrers_api=False) as registry:
        closed = Closed(registry)
        with connected(config(tmp_path, registry.host, ENTRY)) as client:
            closed.read(client)
            assert closed.kinds == ["referrers", "token", "referrers", "tag", *WARM[1:]]
            closed.read(client)
            assert closed.kinds == ["tag", *WARM[1:]]


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_credentials_that_are_refused(tmp_path: pathlib.Path, registry: RegistrySimulator, scheme: str) -> None:
    closed = Closed(registry, scheme=scheme)
    with connected(config(tmp_path, registry.host, {"auth": pair("jo", "wrong")})) as client:
        with pytest.raises(Unavailable) as caught:
            closed.read(client)
        assert caught.value.cause is Cause.UNAUTHORIZED
        assert f"with the credentials for '{registry.host}'" in caught.value.message
    assert len(closed.kinds) == 2


def test_a_file_for_another_registry_is_no_help(tmp_path: pathlib.Path, registry: RegistrySimulator) -> None:
    closed = Closed(registry)
    with connected(config(tmp_path, "127.0.0.1:1", ENTRY)) as client, pytest.raises(Unavailable) as caught:
        closed.read(client)
    assert caught.value.cause is Cause.UNAUTHORIZED
    assert registry.authorizations == []


def test_who_may_come_in_anonymously_does(tmp_path: pathlib.Path, registry: RegistrySimulator) -> None:
    closed = Closed(registry, anonymous=True)
    with connected(config(tmp_path, "127.0.0.1:1", ENTRY)) as client:
        assert len(closed.read(client)) == 2
    assert closed.gate.asked[0].authorization == ""


def test_tokens_are_renewed_before_they_end(tmp_path: pathlib.Path, registry: RegistrySimulator) -> None:
    closed = Closed(registry, expires_in=100)
    clock = Clock()
    with connected(config(tmp_path, registry.host, ENTRY), clock) as client:
        closed.read(client)
        clock.time += 79.9
        assert closed.kinds
        closed.read(client)
        assert closed.kinds == WARM
        clock.time += 0.2
        closed.read(client)
        assert closed.kinds == ["token", *WARM]


def test_a_token_that_was_revoked_is_replaced(tmp_path: pathlib.Path, registry: RegistrySimulator) -> None:
    closed = Closed(registry)
    with connected(config(tmp_path, registry.host, ENTRY)) as client:
        closed.read(client)
        closed.gate.forget()
        assert closed.kinds
        closed.read(client)
        assert closed.kinds == ["referrers", "token", *WARM]


def test_a_loop_of_401_ends(tmp_path: pathlib.Path, registry: RegistrySimulator) -> None:
    closed = Closed(registry, gone=True)
    with connected(config(tmp_path, registry.host, ENTRY)) as client, pytest.raises(Unavailable):
        closed.read(client)
    assert closed.kinds == ["referrers", "token", "referrers"]


@pytest.mark.parametrize("entry", [ENTRY, {"identitytoken": IDENTITY}], ids=["get", "post"])
def test_a_token_that_is_too_weak_is_replaced_by_a_wider_one(
    tmp_path: pathlib.Path, registry: RegistrySimulator, entry: dict[str, Any]
) -> None:
    closed = Closed(registry, needs=("repository:team/app:pull", "repository:team/base:pull"))
    with connected(config(tmp_path, registry.host, entry)) as client:
        closed.read(client)
        assert closed.kinds == ["referrers", "token", "referrers", "token", *WARM]
        closed.read(client)
        assert closed.kinds == WARM


def test_a_scope_that_no_reader_needs_is_not_asked_for(tmp_path: pathlib.Path, registry: RegistrySimulator) -> None:
    closed = Closed(registry, needs=("repository:team/app:push",))
    with connected(config(tmp_path, registry.host, ENTRY)) as client, pytest.raises(Unavailable):
        closed.read(client)
    assert len(closed.gate.asked) == 1


@pytest.mark.parametrize(
    "realm",
    [
        "http://localhost:{port}/token",
        "http://169.254.169.254/latest",
        "http://10.0.0.1/token",
        "ftp://127.0.0.1/",
        "http://jo:word@127.0.0.1/token",
        "/token",
    ],
)
def test_hostile_realms_get_nothing(tmp_path: pathlib.Path, registry: RegistrySimulator, realm: str) -> None:
    with RegistrySimulator() as thief:
        closed = Closed(registry, realm=realm.format(port=thief.port))
        with connected(config(tmp_path, registry.host, ENTRY)) as client:
            listing = run(client.referrers(closed.repository, closed.image.digest, (SIGNATURE,)))
            assert (listing.descriptors, type(listing.defect)) == ((), Malformed)
            with pytest.raises(Malformed):
                run(client.manifest(closed.repository, closed.image))
        assert thief.seen == []
    assert registry.authorizations == []


def test_redirects_carry_no_credentials(tmp_path: pathlib.Path, registry: RegistrySimulator) -> None:
    with RegistrySimulator() as store:
        closed = Closed(registry, scheme="basic")
        store.repositories = registry.repositories
        gate = closed.gate

        def elsewhere(handler: Any) -> bool:
            return gate(handler) or handler.answer(307, Location=f"{store.url}{handler.path}")

        registry.misbehave("blob", elsewhere)
        with connected(config(tmp_path, registry.host, ENTRY)) as client:
            assert len(closed.read(client)) == 2
        assert store.counts["blob"] == 2
        assert store.authorizations == []


def test_layers_are_never_fetched(tmp_path: pathlib.Path, registry: RegistrySimulator) -> None:
    closed = Closed(registry)
    layers = {each["digest"] for each in json.loads(_manifest(registry, closed.image))["layers"]}
    assert layers
    with connected(config(tmp_path, registry.host, ENTRY)) as client:
        closed.read(client)
    assert not any(layer in each.target for each, layer in itertools.product(registry.seen, layers))


def _manifest(registry: RegistrySimulator, image: Descriptor) -> bytes:
    return registry.contents("team/app").manifests[str(image.digest)].content


class _OpenDoor(Publisher):
    """Pushes through the gate."""

    def __init__(self, registry: RegistrySimulator, gate: Gate) -> None:
        super().__init__(registry.host)
        self._registry, self._gate = registry, gate

    def _send(
        self, method: str, target: str, body: bytes = b"", media_type: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        self._registry.misbehave("*", lambda handler: False)
        try:
            return super()._send(method, target, body, media_type)
        finally:
            self._registry.misbehave("*", self._gate)


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
class TestClosed(RegistryContract):
    """What every client promises, behind each kind of gate."""

    @pytest.fixture
    def registry(self, scheme: str) -> Iterator[tuple[RegistrySimulator, Gate]]:
        """A closed one."""
        with RegistrySimulator() as simulator:
            yield simulator, Gate(simulator, scheme=scheme)

    @pytest.fixture
    def publisher(self, registry: tuple[RegistrySimulator, Gate]) -> Publisher:
        """See `RegistryContract`."""
        return _OpenDoor(*registry)

    @pytest.fixture
    def client(self, tmp_path: pathlib.Path, registry: tuple[RegistrySimulator, Gate]) -> Iterator[Registry]:
        """See `RegistryContract`."""
        with connected(config(tmp_path, registry[0].host, ENTRY)) as client:
            yield client
