"""A registry client over either transport, everything that tests ask it, and the registry that it asks."""

import time
from collections.abc import Callable
from typing import Iterator

import pytest

from agent.adapters.inline import run
from agent.adapters.registry import RegistryClient
from agent.model.descriptor import Descriptor
from agent.model.evidence import Listing
from agent.model.reference import Reference, Repository
from tests.adapters import transports
from tests.simulators.network import NetworkSimulator
from tests.simulators.registry import RegistrySimulator

PATH = "shop/cart"
TYPE = "application/vnd.example.signature"


class Bench:
    """A client with a deadline, and everything that it is asked here."""

    def __init__(
        self,
        kind: str,
        registry: RegistrySimulator,
        seconds: float,
        network: NetworkSimulator | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The deadline is `seconds` from now, by this clock."""
        self.repository = Repository(registry.host, PATH)
        self.transport = transports.made(kind, deadline=clock() + seconds, clock=clock, network=network)
        self.client = RegistryClient(self.transport, use_http=True)

    def referrers(self, subject: Descriptor) -> Listing:
        """List."""
        return run(self.client.referrers(self.repository, subject.digest, (TYPE,)))

    def blob(self, descriptor: Descriptor, limit: int = 1 << 20) -> bytes:
        """Fetch a blob."""
        return run(self.client.blob(self.repository, descriptor, limit))

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Fetch a manifest."""
        return run(self.client.manifest(self.repository, descriptor))

    def resolve(self, tag: str = "1") -> Descriptor:
        """Resolve a tag."""
        return run(self.client.resolve(Reference(self.repository, tag, None)))


@pytest.fixture(params=transports.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which transport."""
    return str(request.param)


@pytest.fixture
def registry() -> Iterator[RegistrySimulator]:
    """A registry that asks for tokens: so there is a credential that could leak."""
    with RegistrySimulator(asks_for_token=True) as running:
        yield running


@pytest.fixture
def bench(kind: str, registry: RegistrySimulator) -> Iterator[Bench]:
    """A client with time enough."""
    made = Bench(kind, registry, 60)
    yield made
    made.transport.close()
