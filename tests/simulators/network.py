"""A network of the tests' own: names with addresses of the test's choice, which lead to ports on 127.0.0.1."""

import socket
from typing import Mapping, Sequence

from agent.adapters.http_dial import Endpoint


class NetworkSimulator:
    """`http_dial.Network`: what `names` resolve to, and which local port is behind an (address, port)."""

    def __init__(self, names: Mapping[str, Sequence[str]], ports: Mapping[tuple[str, int], int] | None = None) -> None:
        """An address that is missing in `ports` is connected to as it is."""
        self._names = {name: list(addresses) for name, addresses in names.items()}
        self._ports = ports or {}
        self.resolved: list[str] = []
        self.connected: list[tuple[str, int]] = []

    def resolve(self, host: str, port: int) -> Sequence[Endpoint]:
        """The name's addresses; IP addresses are themselves."""
        self.resolved.append(host)
        if host not in self._names and not host[-1].isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [Endpoint(socket.AF_INET, address, port) for address in self._names.get(host, [host])]

    def move(self, name: str, *addresses: str) -> None:
        """Give `name` other addresses."""
        self._names[name] = list(addresses)

    def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
        """A socket to the local port that stands for the endpoint."""
        self.connected.append((endpoint.address, endpoint.port))
        local = self._ports.get((endpoint.address, endpoint.port))
        return socket.create_connection(
            ("127.0.0.1", local) if local else (endpoint.address, endpoint.port), timeout=timeout
        )
