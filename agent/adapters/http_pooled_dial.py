"""Connections for the pool, without blocking the event loop: names, sockets, tunnels through proxies, TLS.

The rules are those of `http_dial`; here is only another way to wait.  Names are resolved in threads of our own: one
that does not answer keeps its thread, longer than whoever asked waits for it.  So each name has one thread at most,
however many ask; and where many names keep theirs, nobody waits long for one: the child resolves by itself.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from io import BytesIO
from ssl import SSLContext
from typing import Protocol, Sequence, cast

import anyio
from anyio import to_thread

from agent.adapters import http_rules
from agent.adapters.http_dial import Endpoint, HostNetwork, tls_context
from agent.adapters.http_pooled_wire import Attempt, BoundedHandler
from agent.adapters.http_proxy import Proxy, check_tunnel, tunnel_request
from agent.adapters.http_wire import Deadline
from agent.adapters.turns import Crowded
from agent.registry.hosts import HostTls
from agent.registry.urls import Origin

RECEIVED = 128 * 1024
"""Bytes that the kernel is asked to hold of one connection (it takes twice that): else it may hold some MiB each, and
that is the memory of whoever reads them (cgroup v2)."""

RESOLVERS = 48
"""Names that are resolved at once.  A resolver gives up after half a minute, a verification after eight seconds."""

RESOLVER_PATIENCE = 1.0
"""Seconds for which a thread is waited for where all are taken."""


class PooledNetwork(Protocol):
    """Names and sockets; tests put their own in its place."""

    async def resolve(self, host: str, port: int) -> Sequence[Endpoint]:
        """The addresses of `host`.  Raises `OSError`; `Crowded` if too many names are being resolved already."""
        ...

    async def connect(self, endpoint: Endpoint) -> socket.socket:
        """A connected TCP socket that does not block.  Raises `OSError`."""
        ...

    def close(self) -> None:
        """End whatever it keeps."""
        ...


class PooledHostNetwork:
    """The network of this host."""

    def __init__(self) -> None:
        """No thread is started yet."""
        self._threads = ThreadPoolExecutor(RESOLVERS, "resolver")
        self._under_way: dict[str, asyncio.Future[Sequence[Endpoint]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[Endpoint]:
        """See `PooledNetwork.resolve`.  Who asks for a name that is being resolved waits for the same answer."""
        if host not in self._under_way and len(self._under_way) >= RESOLVERS:
            await asyncio.wait(self._under_way.values(), timeout=RESOLVER_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if host not in self._under_way:
            if len(self._under_way) >= RESOLVERS:
                raise Crowded
            self._begin(host, port)
        found = await asyncio.shield(self._under_way[host])
        return [each._replace(port=port) for each in found]

    def _begin(self, host: str, port: int) -> None:
        lookup = asyncio.get_running_loop().run_in_executor(self._threads, HostNetwork().resolve, host, port)

        def over(done: "asyncio.Future[Sequence[Endpoint]]") -> None:
            del self._under_way[host]
            if not done.cancelled():
                done.exception()  # nobody may be waiting for it any more

        self._under_way[host] = lookup
        lookup.add_done_callback(over)

    async def connect(self, endpoint: Endpoint) -> socket.socket:
        """See `PooledNetwork.connect`."""
        connecting = socket.socket(endpoint.family, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
            await asyncio.get_running_loop().sock_connect(connecting, (endpoint.address, endpoint.port))
        except BaseException:
            connecting.close()
            raise
        return connecting

    def close(self) -> None:
        """See `PooledNetwork.close`."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class PooledDialler:
    """Opens connections for attempts."""

    def __init__(
        self, *, ca_bundle: str, extra_cas: Sequence[bytes], network: PooledNetwork, tls: HostTls | None = None
    ) -> None:
        """See `http_dial.tls_context`, which is built when TLS is first needed; `tls` counts for its origin alone."""
        self._tls = tls
        self._of_host: SSLContext | None = None
        self._ca_bundle = ca_bundle
        self._extra_cas = extra_cas
        self._network = network
        self._context: SSLContext | None = None

    async def dial(self, attempt: Attempt) -> BoundedHandler:
        """A connection for `attempt`, through its proxy if it has one.

        Raises `Unavailable`, `LimitExceeded`, `OSError`, `HTTPException`.
        """
        loop = asyncio.get_running_loop()
        origin = attempt.request.url.origin
        connected = await self._connect(attempt.endpoints, attempt.deadline)
        try:
            security: dict[str, object] = {}
            if origin.scheme == "https":
                if attempt.proxy is not None:
                    await _open_tunnel(connected, origin, attempt.proxy)
                context = await self._context_for(origin)
                # As bytes: a str would go through the IDNA codec, which refuses some of what `Url` takes.
                security = {"ssl": context, "server_hostname": origin.host.encode("ascii")}
        except BaseException:
            connected.close()
            raise
        _, handler = await loop.create_connection(lambda: BoundedHandler(loop), sock=connected, **security)  # type: ignore[call-overload]
        return cast("BoundedHandler", handler)

    async def _context_for(self, origin: Origin) -> SSLContext:
        if self._tls is not None and self._tls.origin == origin:
            if self._of_host is None:
                self._of_host = await to_thread.run_sync(tls_context, self._ca_bundle, self._extra_cas, self._tls)
            return self._of_host
        if self._context is None:
            self._context = await to_thread.run_sync(tls_context, self._ca_bundle, self._extra_cas)
        return self._context

    async def _connect(self, endpoints: Sequence[Endpoint], deadline: Deadline) -> socket.socket:
        """The first that answers; each has a share of the time, so that a silent one leaves some to the next."""
        failure: OSError = OSError("no address")
        for i, endpoint in enumerate(endpoints):
            try:
                with anyio.fail_after(deadline.remaining() / (len(endpoints) - i)):
                    return await self._network.connect(endpoint)
            except OSError as error:
                failure = error
        raise failure


async def _open_tunnel(connected: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """CONNECT.  After it the socket is the other end's."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connected, tunnel_request(origin, proxy))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if len(head) > http_rules.HEADER_BUDGET:
            raise http_rules.over_budget()
        # Byte by byte, so that nothing is read beyond the head: what follows is not the proxy's.
        part = await loop.sock_recv(connected, 1)
        if not part:
            break
        head += part
    with HTTPResponse(cast("socket.socket", _Read(head)), method="CONNECT") as response:
        response.begin()
        check_tunnel(response.status, origin, proxy)


class _Read:
    """What was read already, as `http.client` wants it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self._content)
