"""The registry client over each transport against the real docker-registry, under the contract of the tests' own."""

import pathlib
import socket
import subprocess
import time
from typing import Iterator

import pytest

from agent.adapters.registry import RegistryClient
from tests.adapters import transports
from tests.registry.contract import RegistryContract
from tests.simulators.publisher import Publisher
from tests.testbed.tools import fetch, unavailable

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A docker-registry on this machine's loopback interface."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    folder: pathlib.Path = tmp_path_factory.mktemp("registry")
    reserved = socket.socket()  # nobody else's, and who is told of it may listen there
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    host = f"127.0.0.1:{reserved.getsockname()[1]}"
    (folder / "registry.yml").write_text(
        f'version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\nhttp: {{addr: "{host}"}}\n'
    )
    command = [fetch().program("docker-registry"), "serve", str(folder / "registry.yml")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            try:
                socket.create_connection(("127.0.0.1", int(host.split(":")[1]))).close()
                break
            except OSError:
                time.sleep(0.05)
        yield host
    finally:
        process.kill()
        process.wait()
        reserved.close()


class TestDockerRegistry(RegistryContract):
    """Debian's docker-registry 2.8: no referrers API."""

    @pytest.fixture
    def publisher(self, address: str) -> Publisher:
        """Who puts things there."""
        return Publisher(address)

    @pytest.fixture(params=transports.KINDS)
    def client(self, request: pytest.FixtureRequest) -> Iterator[RegistryClient]:
        """Ours."""
        transport = transports.made(request.param, deadline=time.monotonic() + 60)
        yield RegistryClient(transport, use_http=True)
        transport.close()
