"""aiohttp's connections, with bounds of our own: what it leaves open on one connection is closed here.

A budget of raw bytes per response (headers, chunk framing and trailers included), few interim responses, no byte on an
idle connection that nobody asked for, connections only where the request's own addresses lead, no retries but ours.

Built on `BaseConnector._create_connection`, the method that aiohttp's own connectors fill in, and on its protocol
class.  Neither is a public interface: the tests of the hostile registry are what holds an update to the same behaviour.
"""

import asyncio
from http.client import BadStatusLine, HTTPException, LineTooLong
from typing import Awaitable, Callable, Sequence, cast

import aiohttp
from aiohttp import http_exceptions
from aiohttp.client import ClientTimeout
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

from agent.adapters import http_rules
from agent.adapters.http_dial import Endpoint
from agent.adapters.http_proxy import Proxy
from agent.adapters.http_wire import Deadline
from agent.errors import LimitExceeded
from agent.registry.messages import Request

READ_AHEAD = 512 * 1024
"""Bytes that may have come before anybody read them: two buffers of the event loop's."""

MAX_INTERIM = 16
"""Most interim responses (100 Continue) to one request."""

ERRORS_OF_AIOHTTP = (aiohttp.ClientError, http_exceptions.HttpProcessingError)

_SLICE = 64 * 1024
_SLICE_OF_HEAD = 8 * 1024


class Attempt:
    """One try of a request: what it may take, and what became of it."""

    def __init__(
        self, request: Request, proxy: Proxy | None, endpoints: Sequence[Endpoint], deadline: Deadline
    ) -> None:
        """`endpoints` are the only ones that a connection for it may lead to: the registry's, or the proxy's."""
        self.request = request
        self.proxy = proxy
        self.endpoints = endpoints
        self.deadline = deadline
        self.budget = http_rules.HEADER_BUDGET + READ_AHEAD + request.limit
        self.head = http_rules.MAX_HEAD
        self.in_head = True
        self.interim = 0
        self.reused = False
        self.answered = False
        self.lost = False
        self.defect: Exception | None = None

    async def __call__(
        self,
        ask: aiohttp.ClientRequest,
        send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        """As aiohttp's middleware: tell the connector whose request this is, keep errors from aiohttp's own retry."""
        cast("Ask", ask).attempt = self
        try:
            return await send(ask)
        except (OSError, *ERRORS_OF_AIOHTTP) as error:
            raise Failed(self.cause(error)) from None

    def cause(self, error: Exception) -> Exception:
        """What `error`, of aiohttp or met by it, is: one of ours, of the standard library, or itself."""
        if self.defect is not None:
            return self.defect
        if isinstance(error, TimeoutError):
            return TimeoutError("no connection in time")
        if isinstance(error, aiohttp.ClientOSError):
            return OSError(*error.args)
        if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)):
            return ConnectionResetError("closed before the end of the response")
        if isinstance(error, http_exceptions.HttpProcessingError):
            return _read(error, self.request.what)
        return HTTPException(type(error).__name__) if isinstance(error, aiohttp.ClientError) else error


class Failed(Exception):
    """Carries the `error` of an attempt past aiohttp, which would try again or wrap it."""

    def __init__(self, error: Exception) -> None:
        """Keep it."""
        super().__init__()
        self.error = error


class Ask(aiohttp.ClientRequest):
    """aiohttp's request, with the attempt that it belongs to."""

    attempt: Attempt

    @property
    def connection_key(self) -> ConnectionKey:
        """Connections are shared only by requests for which the name has the same addresses.

        Else one verification could use what another was allowed to connect to.
        """
        addresses = sorted(each.address for each in self.attempt.endpoints)
        return super().connection_key._replace(host=" ".join([self.attempt.request.url.origin.host, *addresses]))


class BoundedHandler(ResponseHandler):
    """aiohttp's end of a connection, under the attempt that uses it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Idle, until `begin`."""
        super().__init__(loop)
        self._attempt: Attempt | None = None
        self._used = False

    def begin(self, attempt: Attempt) -> None:
        """The connection is this attempt's, up to the end of its response."""
        attempt.reused = self._used
        self._used = True
        self._attempt = attempt

    def data_received(self, data: bytes) -> None:
        """Take bytes within the budget; what comes while nobody asks ends the connection."""
        if not data:  # aiohttp's way to go on after a pause
            super().data_received(data)
            return
        start = 0
        while start < len(data):
            attempt = self._attempt
            if attempt is None:
                self.abort()
                return
            part = data[start : start + (_SLICE_OF_HEAD if attempt.in_head else _SLICE)]
            start += len(part)
            attempt.answered = True
            attempt.budget -= len(part)
            if attempt.budget < 0:
                self._refuse(attempt, http_rules.over_budget())
            elif attempt.in_head and attempt.head < 0:
                self._refuse(attempt, http_rules.head_too_long())
            if attempt.defect is not None:
                return
            attempt.head -= len(part)
            super().data_received(part)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """A response's head was parsed."""
        message, payload = data
        attempt = self._attempt
        if attempt is None:  # a second response to one request
            self.abort()
            return
        if 100 <= message.code < 200 and message.code != 101:
            attempt.interim += 1
            if attempt.interim > MAX_INTERIM:
                self._refuse(attempt, LimitExceeded(f"response: got more than {MAX_INTERIM} interim responses"))
                return
        else:
            attempt.in_head = False
            payload.on_eof(self._end)
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Something failed; keep what the parser said, which aiohttp forgets, and tell whoever reads the body."""
        attempt = self._attempt
        if attempt is not None and attempt.defect is None and isinstance(exc, aiohttp.http.HttpProcessingError):
            self._refuse(attempt, _read(exc_cause, attempt.request.what))
        else:
            super().set_exception(exc, exc if exc_cause is None else exc_cause)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note an end that was none: a body without length would be taken for whole."""
        if self._attempt is not None:
            self._attempt.lost = exc is not None
        super().connection_lost(exc)

    def close(self) -> None:
        """At once: nothing that we still had to say is worth waiting for the other side."""
        self.abort()

    def _end(self) -> None:
        self._attempt = None

    def _refuse(self, attempt: Attempt, error: Exception) -> None:
        attempt.defect = error
        payload, transport = self._payload, self.transport
        super().set_exception(error)
        if payload is not None:
            payload.set_exception(error)
        if transport is not None:
            transport.abort()


def _read(error: BaseException | None, what: str) -> Exception:
    """What aiohttp's parser means."""
    if isinstance(error, http_exceptions.BadStatusLine):
        return BadStatusLine("")
    if isinstance(error, http_exceptions.LineTooLong):
        return LineTooLong("header line")
    if "Too many headers" in str(error):
        return http_rules.too_many_headers(what)
    return http_rules.not_framed(what)


class BoundedConnector(aiohttp.BaseConnector):
    """aiohttp's pool over connections of our own making."""

    def __init__(
        self, dial: Callable[[Attempt], Awaitable[BoundedHandler]], *, total: int, per_host: int, idle: float
    ) -> None:
        """`dial` makes a connection for an attempt; `idle` is how long one is kept unused, in seconds."""
        super().__init__(limit=total, limit_per_host=per_host, keepalive_timeout=idle)
        self._dial = dial

    async def connect(self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        """A connection, idle or new, that belongs to the request's attempt from here on."""
        connection = await super().connect(req, traces, timeout)
        cast("BoundedHandler", connection.protocol).begin(cast("Ask", req).attempt)
        return connection

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        return await self._dial(cast("Ask", req).attempt)
