"""Both transports behind one constructor, so that one test can ask the same of each.

The pooled one runs in an event loop of its own, in a thread; whoever sends waits for it.  So a coroutine over it never
suspends, and `inline.run` runs it.
"""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol, Sequence

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.http_dial import Endpoint, HostNetwork, Network
from agent.adapters.http_pooled import ConnectionPool, PooledTransport
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.http_retry import RetryPolicy
from agent.registry.messages import Request, Response

KINDS = ("blocking", "pooled")


class Closable(Protocol):
    """A transport that a test closes."""

    async def send(self, request: Request) -> Response:
        """See `adapters.registry.Transport`."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class SteppedNetwork:
    """`http_pooled_dial.PooledNetwork` over a network that blocks."""

    def __init__(self, network: Network) -> None:
        """Takes it."""
        self._network = network

    async def resolve(self, host: str, port: int) -> Sequence[Endpoint]:
        """See `PooledNetwork.resolve`."""
        return self._network.resolve(host, port)

    async def connect(self, endpoint: Endpoint) -> socket.socket:
        """See `PooledNetwork.connect`.  The time is the caller's share, as the blocking one is told it."""
        left = max(anyio.current_effective_deadline() - anyio.current_time(), 0.01)
        connected = self._network.connect(endpoint, left)
        connected.setblocking(False)
        return connected

    def close(self) -> None:
        """See `PooledNetwork.close`."""


class PooledInThread:
    """A pool and one transport over it, in an event loop that runs in a thread."""

    def __init__(
        self,
        *,
        deadline: float,
        clock: Callable[[], float],
        proxies: ProxySettings | None,
        ca_bundle: str,
        extra_cas: Sequence[bytes],
        network: Network | None,
        retry_policy: RetryPolicy | None,
    ) -> None:
        """See `PooledTransport`."""
        self._open = ExitStack()
        self._portal: BlockingPortal = self._open.enter_context(start_blocking_portal())
        stepped = SteppedNetwork(network) if network is not None else None

        async def open_pool() -> ConnectionPool:
            return ConnectionPool(proxies=proxies, ca_bundle=ca_bundle, extra_cas=extra_cas, network=stepped)

        pool = self._portal.call(open_pool)
        self._open.enter_context(self._portal.wrap_async_context_manager(pool))
        self._transport = PooledTransport(pool, deadline=deadline, clock=clock, retry_policy=retry_policy)

    async def send(self, request: Request) -> Response:
        """See `adapters.registry.Transport.send`."""
        return self._portal.call(self._transport.send, request)

    def close(self) -> None:
        """Close the connections, and end the loop."""
        self._open.close()


def made(
    kind: str,
    *,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
    proxies: ProxySettings | None = None,
    ca_bundle: str = "",
    extra_cas: Sequence[bytes] = (),
    network: Network | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Closable:
    """A transport of this kind."""
    if kind == "blocking":
        return BlockingTransport(
            deadline=deadline,
            clock=clock,
            proxies=proxies,
            ca_bundle=ca_bundle,
            extra_cas=extra_cas,
            network=network or HostNetwork(),
            retry_policy=retry_policy,
        )
    return PooledInThread(
        deadline=deadline,
        clock=clock,
        proxies=proxies,
        ca_bundle=ca_bundle,
        extra_cas=extra_cas,
        network=network,
        retry_policy=retry_policy,
    )
