"""Serves a few small pages over HTTP to whoever watches the daemon: monitoring, probes, a person with curl.

aiohttp reads and writes HTTP; every bound is here.  Whoever connects has `LIFETIME` seconds for one request, in
whatever way he is slow, and if there are `MOST_OPEN` connections the oldest makes room.  So a crowd of slow clients
holds few descriptors, for a short time, and shuts out nobody.

https://docs.aiohttp.org/en/stable/web_lowlevel.html
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import anyio
from aiohttp import web
from anyio import CapacityLimiter, to_thread

from agent.model.address import Address

MOST_OPEN = 16
"""Connections at once."""

LIFETIME = 10.0
"""Seconds that a connection may last: a scrape waits as long by default."""

PATIENCE = 5.0
"""Seconds that a page may take to be made."""

MAX_LINE = 4096
"""Most bytes of the request line, and of a header's field."""

MAX_HEADERS = 64
"""Most headers of a request."""

_BACKLOG = 64
_SCARCE = 0.1  # seconds to wait where no descriptor is left
_LOOK = 0.5  # seconds between two looks for connections that have lasted too long
_METHODS = ("GET", "HEAD")


class Page(NamedTuple):
    """What is answered."""

    status: int
    content: bytes
    content_type: str = "text/plain; charset=utf-8"


Pages = Mapping[str, Callable[[], Awaitable[Page]]]
"""What makes the page of each path."""


async def listening(address: Address) -> socket.socket:
    """A socket that listens there.  Raises `OSError`, also if the name is nobody's."""
    try:
        found = await to_thread.run_sync(
            lambda: socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE),
            limiter=CapacityLimiter(1),  # a resolver that hangs takes none of others' threads
            abandon_on_cancel=True,
        )
    except UnicodeError:
        raise OSError("no name of a host") from None
    family, kind, protocol, _, place = found[0]
    listener = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a restart waits for old connections
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(place)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def address_of(listener: socket.socket) -> Address:
    """Where a socket listens."""
    host, port = listener.getsockname()[:2]
    return Address(host, port)


class _Connection(NamedTuple):
    """One of those that are open, oldest first; `until` is its end by the event loop's clock."""

    transport: asyncio.Transport
    until: float


class HttpServer:
    """Serves `pages` until it is cancelled; `bug` is told the exceptions that nobody foresaw."""

    def __init__(self, pages: Pages, bug: Callable[[Exception], None]) -> None:
        """Keep both."""
        self._pages = pages
        self._bug = bug
        self._open: list[_Connection] = []
        self.cut_off = 0
        """Connections that were closed before they had ended."""

    async def serve(self, listener: socket.socket) -> None:
        """Take connections from a socket that `listening` made; closes it at the end."""
        server = web.Server(
            self._answer,
            logger=_Silent("http"),
            access_log=None,
            tcp_keepalive=False,
            lingering_time=0,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            read_bufsize=MAX_LINE,
        )
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._cut_off_the_slow)
                await self._take(server, listener)
        finally:
            listener.close()
            for connection in self._open:
                connection.transport.abort()

    async def _take(self, server: web.Server, listener: socket.socket) -> None:
        """Never returns."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError:  # whoever came is gone again, or no descriptor is left
                await anyio.sleep(_SCARCE)
                continue
            self._forget_closed()
            if len(self._open) >= MOST_OPEN:
                self._cut(self._open.pop(0))
            try:
                transport, _ = await loop.connect_accepted_socket(server, accepted)
            except OSError:
                accepted.close()
                continue
            self._open.append(_Connection(transport, loop.time() + LIFETIME))

    async def _cut_off_the_slow(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await anyio.sleep(_LOOK)
            self._forget_closed()
            for connection in self._open:
                if connection.until <= loop.time():
                    self._cut(connection)

    def _forget_closed(self) -> None:
        self._open = [each for each in self._open if not each.transport.is_closing()]

    def _cut(self, connection: _Connection) -> None:
        if not connection.transport.is_closing():
            self.cut_off += 1
            connection.transport.abort()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        page = await self._page(request.method, request.path)
        headers = {
            "Content-Type": page.content_type,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
            "Server": "nodeseal",
        }
        if page.status == 405:
            headers["Allow"] = ", ".join(_METHODS)
        response = web.Response(status=page.status, body=page.content, headers=headers)
        response.force_close()
        return response

    async def _page(self, method: str, path: str) -> Page:
        if path not in self._pages:
            return Page(404, b"not found\n")
        if method not in _METHODS:
            return Page(405, b"only GET and HEAD\n")
        try:
            with anyio.fail_after(PATIENCE):
                return await self._pages[path]()
        except TimeoutError:
            return Page(503, b"too busy\n")
        except Exception as error:  # noqa: BLE001 - one page's bug must not end the others
            self._bug(error)
            return Page(500, b"internal error\n")


class _Silent(logging.Logger):
    """Takes what aiohttp tells of its clients, who may send anything: it is nobody's news."""

    def isEnabledFor(self, level: int) -> bool:
        """Never."""
        return False
