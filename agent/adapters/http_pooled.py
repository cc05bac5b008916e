"""An HTTP transport for a process that lives long: connections that are kept between verifications, over aiohttp.

`ConnectionPool` is what lives long, `PooledTransport` is one verification's: its deadline, and the addresses that its
names had.  It promises what the blocking transport does, with the same rules and the same words.  aiohttp has the pool
and the parser; it follows nothing, unpacks nothing, keeps no cookies, tries nothing again, reads no environment, and
resolves no names.  Every exception of aiohttp, sockets, TLS and HTTP ends here as one of `agent.errors`.
"""

import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from http.client import HTTPException
from types import TracebackType
from typing import Awaitable, Callable, Protocol, Sequence

import aiohttp
import anyio
from yarl import URL

from agent.adapters import http_rules
from agent.adapters.http_dial import Endpoint, judge
from agent.adapters.http_pooled_dial import PooledDialler, PooledHostNetwork, PooledNetwork
from agent.adapters.http_pooled_wire import ERRORS_OF_AIOHTTP, Ask, Attempt, BoundedConnector, Failed
from agent.adapters.http_proxy import Proxy, ProxySettings
from agent.adapters.http_retry import RetryPolicy
from agent.adapters.http_wire import Deadline
from agent.registry.hosts import HostTls
from agent.registry.limits import MAX_ERROR_BODY
from agent.registry.messages import Request, Response
from agent.registry.urls import Origin

MAX_CONNECTIONS = 128
"""Connections in use at once, to all hosts together; a request that finds none waits for one.

As many as all verifications at once may want (`turns.MOST_AT_ONCE` times `concurrent.AT_ONCE`): a repository that
answers nothing must not hold those of others.
"""

MAX_CONNECTIONS_PER_HOST = MAX_CONNECTIONS
"""Connections in use at once to one host: others' repositories are there, too."""

IDLE_SECONDS = 30.0
"""How long an idle connection is kept; load balancers close theirs after a minute."""

SMALL = 64 * 1024
"""Bytes that a body of unknown size may have before room is asked for it."""

_MAX_LINE = 65536  # as http.client
_MAX_HEADERS = 100  # as http.client
_CHUNK = 64 * 1024


class BodyRoom(Protocol):
    """What bodies take of what a process has for all: memory, where nobody knew how long they would be, and turns.

    Memory raises `NoRoom`, `Crowded`.
    """

    def coming(self, size: int) -> AbstractAsyncContextManager[None]:
        """For what comes in, until it is whole."""
        ...

    def reading(self, size: int) -> AbstractAsyncContextManager[None]:
        """For reading what came, so many bytes, at once: it is one's turn for that."""
        ...

    async def step(self) -> None:
        """Wait for one's turn to read what takes long."""
        ...


class ConnectionPool:
    """Connections to all registries, made and used in one event loop (anyio over asyncio), closed by `async with`."""

    def __init__(
        self,
        *,
        proxies: ProxySettings | None = None,
        ca_bundle: str = "",
        extra_cas: Sequence[bytes] = (),
        tls: HostTls | None = None,
        network: PooledNetwork | None = None,
        total: int = MAX_CONNECTIONS,
        per_host: int = MAX_CONNECTIONS_PER_HOST,
        idle: float = IDLE_SECONDS,
    ) -> None:
        """`ca_bundle`, `extra_cas` and `tls` are as in `BlockingTransport`."""
        self.proxies = proxies or ProxySettings()
        self.network = network or PooledHostNetwork()
        dialler = PooledDialler(ca_bundle=ca_bundle, extra_cas=extra_cas, network=self.network, tls=tls)
        self._session = aiohttp.ClientSession(
            connector=BoundedConnector(dialler.dial, total=total, per_host=per_host, idle=idle),
            request_class=Ask,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            timeout=aiohttp.ClientTimeout(),  # none: `PooledTransport` has the deadline
            auto_decompress=False,
            trust_env=False,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
            max_headers=_MAX_HEADERS,
            read_bufsize=_CHUNK,
        )

    async def __aenter__(self) -> "ConnectionPool":
        """Give it; no connection is made yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self._session.close()
        self.network.close()

    async def exchange(self, attempt: Attempt, room: BodyRoom | None = None) -> Response:
        """Send the attempt's request and read its response.  Raises `NodesealError`, `OSError`, `HTTPException`."""
        request, proxy = attempt.request, attempt.proxy
        try:
            async with self._session.request(
                "GET" if request.body is None else "POST",
                URL(f"{request.url.origin}{request.url.target}", encoded=True),
                headers=http_rules.request_headers(request, proxy),
                data=request.body,
                proxy=str(proxy.origin) if proxy is not None else None,
                allow_redirects=False,
                middlewares=(attempt,),
            ) as answer:
                return await _response(answer, attempt, room)
        except Failed as failed:
            raise failed.error from None  # aiohttp's errors hold whole URLs, and those may hold secrets
        except ERRORS_OF_AIOHTTP as error:
            raise attempt.cause(error) from None


class PooledTransport:
    """`adapters.registry.Transport` of one verification."""

    def __init__(
        self,
        pool: ConnectionPool,
        *,
        deadline: float,
        retry_policy: RetryPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        room: BodyRoom | None = None,
    ) -> None:
        """`deadline` is a time of `clock`; after it every request is `Unavailable(DEADLINE)`.

        `room` is where there has to be some for bodies whose size nobody knew.
        """
        self._room = room
        self._pool = pool
        self._deadline = Deadline(deadline, clock)
        self._retry_policy = retry_policy or RetryPolicy()
        self._sleep = sleep
        self._resolved: dict[str, Sequence[Endpoint]] = {}
        self._resolving = anyio.Lock()

    async def send(self, request: Request) -> Response:
        """See `adapters.registry.Transport.send`.  Raises `Crowded` as well: this process has no room for it now."""
        proxy = self._pool.proxies.proxy_for(request.url.origin)
        try:
            with anyio.fail_after(self._deadline.remaining()):
                return await self._send(request, proxy)
        except (OSError, HTTPException) as error:
            raise http_rules.translated(error, request, proxy, late=self._deadline.over()) from error

    async def _send(self, request: Request, proxy: Proxy | None) -> Response:
        await self._check(request, proxy)
        retries = 0
        while True:
            endpoints = await self._endpoints(request.url.origin if proxy is None else proxy.origin)
            attempt = Attempt(request, proxy, endpoints, self._deadline)
            try:
                response = await self._pool.exchange(attempt, self._room)
            except (OSError, HTTPException) as error:
                if not http_rules.died(error):
                    raise
                if attempt.reused and not attempt.answered:  # closed while idle: says nothing of the server
                    continue
                wait = self._retry_policy.wait_after_loss(request, retries, self._deadline.left())
                if wait is None:
                    raise
            else:
                wait = self._retry_policy.wait_after(response, request, retries, self._deadline.left())
                if wait is None:
                    return response
            retries += 1
            await self._sleep(wait)

    async def _check(self, request: Request, proxy: Proxy | None) -> None:
        """Judge where the registry sends us.  Raises `Malformed`, `OSError`."""
        steps = judge(request, proxy)
        try:
            origin = next(steps)
            while True:
                try:
                    found = await self._endpoints(origin)
                except OSError as error:
                    origin = steps.throw(error)
                else:
                    origin = steps.send(found)
        except StopIteration:
            return

    async def _endpoints(self, origin: Origin) -> Sequence[Endpoint]:
        """What the host resolved to when this verification first asked for it.

        One at a time: of two answers to two requests, one could be judged and the other connected to.
        """
        async with self._resolving:
            found = self._resolved.get(origin.host)
            if found is None:
                self._deadline.remaining()
                found = self._resolved[origin.host] = await self._pool.network.resolve(origin.host, origin.port)
        return [each._replace(port=origin.port) for each in found]


async def _response(answer: aiohttp.ClientResponse, attempt: Attempt, room: BodyRoom | None) -> Response:
    """Read a response within its bounds.  The connection is kept only if it is whole."""
    request = attempt.request
    headers = tuple((name.decode("latin-1").lower(), _text(value)) for name, value in answer.raw_headers)
    http_rules.check_framing(answer.status, headers, request.what)
    if answer.status != 200:
        return Response(answer.status, headers, await _start_of_body(answer))
    length = answer.content_length
    http_rules.check_announced(length, request.limit, request.what)
    async with AsyncExitStack() as held:
        body = await _body(answer, request, None if request.is_sized else room, held)
        if attempt.defect is not None:
            raise attempt.defect
        if attempt.lost and length is None:  # a reset, where only an end in good order says that this is all
            raise ConnectionResetError("closed before the end of the body")
        if room is not None and len(body) > SMALL:
            # Whoever asked reads it before anybody else runs: what was free for a moment is free until then.
            if request.is_sized:
                await room.step()
            else:
                async with room.reading(len(body)):
                    pass
        return Response(answer.status, headers, body)


async def _body(answer: aiohttp.ClientResponse, request: Request, room: BodyRoom | None, held: AsyncExitStack) -> bytes:
    """The body, at most `limit` bytes.  Raises `LimitExceeded`."""
    parts: list[bytes] = []
    left = request.limit + 1
    while left and (part := await answer.content.read(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
        if room is not None and request.limit + 1 - left > SMALL:
            await held.enter_async_context(room.coming(2 * (answer.content_length or request.limit)))
            room = None
    if not left:
        raise http_rules.too_long(request.limit, request.what)
    return b"".join(parts)


async def _start_of_body(answer: aiohttp.ClientResponse) -> bytes:
    """The first bytes of a response that is not 200.  Nothing rests on them."""
    start = b""
    while len(start) < MAX_ERROR_BODY and (part := await answer.content.read(MAX_ERROR_BODY - len(start))):
        start += part
    return start


def _text(value: bytes) -> str:
    """A header's value in one line, read as `http.client` reads it."""
    return value.decode("latin-1").replace("\r", " ").replace("\n", " ").strip()
