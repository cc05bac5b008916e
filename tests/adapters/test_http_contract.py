"""The registry contract over each transport, against the simulator in each of its modes."""

import time
from typing import Iterator

import pytest

from agent.adapters.registry import RegistryClient
from agent.ports import Registry
from tests.adapters import transports
from tests.registry.contract import RegistryContract
from tests.simulators.publisher import Publisher
from tests.simulators.registry import RegistrySimulator


@pytest.fixture(params=transports.KINDS)
def client(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A client over connections of either kind."""
    transport = transports.made(request.param, deadline=time.monotonic() + 60)
    yield RegistryClient(transport, use_http=True)
    transport.close()


class TestReferrersApi(RegistryContract):
    """A registry with the API."""

    @pytest.fixture
    def publisher(self) -> Iterator[Publisher]:
        """See `RegistryContract`."""
        with RegistrySimulator() as registry:
            yield Publisher(registry.host)


class TestReferrersTag(RegistryContract):
    """A registry without."""

    @pytest.fixture
    def publisher(self) -> Iterator[Publisher]:
        """See `RegistryContract`."""
        with RegistrySimulator(referrers_api=False) as registry:
            yield Publisher(registry.host)


class TestToken(RegistryContract):
    """A registry that asks readers for an anonymous token."""

    @pytest.fixture
    def publisher(self) -> Iterator[Publisher]:
        """See `RegistryContract`."""
        with RegistrySimulator(asks_for_token=True) as registry:
            yield _OpenDoor(registry)


class _OpenDoor(Publisher):
    """Pushes while the registry asks for no token."""

    def __init__(self, registry: RegistrySimulator) -> None:
        super().__init__(registry.host)
        self._registry = registry

    def _send(
        self, method: str, target: str, body: bytes = b"", media_type: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        self._registry.asks_for_token = False
        try:
            return super()._send(method, target, body, media_type)
        finally:
            self._registry.asks_for_token = True
