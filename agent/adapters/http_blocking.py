"""A blocking HTTP transport for the one-shot process: standard library only, one thread, one deadline.

Keeps a connection per origin open.  A GET that met a dying connection or a gateway without its server (502, 503, 504)
is tried once more, at once, if there is time: this is for registries that lose one of many servers, not for waiting;
one that asks to wait is left alone.  Every exception of sockets, TLS and HTTP ends here as one of `agent.errors`.

Import budget: this is loaded in containerd's child after a miss; nothing beyond `http.client` and what it needs.
"""

import socket
import time
from http.client import HTTPException, IncompleteRead, LineTooLong
from typing import Callable, NamedTuple

from agent import __version__
from agent.adapters.http_dial import Dialler, HostNetwork, Network
from agent.adapters.http_proxy import Proxy, ProxySettings
from agent.adapters.http_wire import Deadline, Wire
from agent.errors import Cause, LimitExceeded, Malformed, NodesealError, Unavailable
from agent.registry.messages import Request, Response
from agent.registry.urls import Origin

__all__ = ["BlockingTransport", "ProxySettings"]

USER_AGENT = f"nodeseal/{__version__}"

RETRIED_STATUS = frozenset({502, 503, 504})
RETRY_TIME = 0.5
"""Seconds that must be left for another try to make sense."""

_DIED = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, IncompleteRead)  # RemoteDisconnected is a reset
_DIED_IN_TLS = ("SSLEOFError", "SSLZeroReturnError")  # by name: a plain http registry needs no ssl


class _Lease(NamedTuple):
    wire: Wire
    reused: bool


class BlockingTransport:
    """`adapters.registry.Transport` that does its waiting inside `send`; not for threads."""

    def __init__(
        self,
        *,
        deadline: float,
        proxies: ProxySettings | None = None,
        ca_bundle: str = "",
        network: Network | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`deadline` is a time of `clock`; after it every request is `Unavailable(DEADLINE)`.

        `ca_bundle` is the path of the CA certificates to trust, "" for the host's own.
        """
        self._deadline = Deadline(deadline, clock)
        self._proxies = proxies or ProxySettings()
        self._dialler = Dialler(deadline=self._deadline, ca_bundle=ca_bundle, network=network or HostNetwork())
        self._idle: dict[Origin, Wire] = {}

    async def send(self, request: Request) -> Response:
        """See `adapters.registry.Transport.send`."""
        proxy = self._proxies.proxy_for(request.url.origin)
        try:
            return self._send(request, proxy)
        except (OSError, HTTPException) as error:
            raise self._translated(error, request, proxy) from error

    def close(self) -> None:
        """Close every connection."""
        while self._idle:
            self._idle.popitem()[1].close()

    def _send(self, request: Request, proxy: Proxy | None) -> Response:
        self._dialler.check(request, proxy)
        message = _message(request, proxy)
        tries_left = 1
        while True:
            lease = self._lease(request.url.origin, proxy)
            try:
                response = self._exchange(lease.wire, message, request)
            except (OSError, HTTPException) as error:
                if not _died(error):
                    raise
                if lease.reused:  # it was closed while idle, or just then: says nothing of the server
                    continue
                if not tries_left or not self._is_time_for_another():
                    raise
            else:
                if response.status not in RETRIED_STATUS or response.values("retry-after"):
                    return response
                if not tries_left or not self._is_time_for_another():
                    return response
            tries_left -= 1

    def _exchange(self, wire: Wire, message: bytes, request: Request) -> Response:
        """One request and its response; the connection goes back to the idle ones only after both went well."""
        keep = False
        try:
            response, keep = wire.exchange(message, request.limit, request.what)
        finally:
            if keep:
                self._idle[request.url.origin] = wire
            else:
                wire.close()
        return response

    def _lease(self, origin: Origin, proxy: Proxy | None) -> _Lease:
        wire = self._idle.pop(origin, None)
        if wire is not None:
            if wire.is_quiet():
                return _Lease(wire, reused=True)
            wire.close()
        return _Lease(self._dialler.dial(origin, proxy, USER_AGENT), reused=False)

    def _is_time_for_another(self) -> bool:
        return self._deadline.at - self._deadline.clock() >= RETRY_TIME

    def _translated(self, error: Exception, request: Request, proxy: Proxy | None) -> NodesealError:
        """The error that ends here, in our words."""
        where = request.url.origin.netloc + (f" (through the proxy of {proxy.variable})" if proxy else "")
        if isinstance(error, TimeoutError) and self._deadline.over():
            return Unavailable(f"{request.what}: no answer from {where} in time", cause=Cause.DEADLINE)
        if isinstance(error, LineTooLong) or (isinstance(error, HTTPException) and "headers" in str(error)):
            return LimitExceeded(f"{request.what}: got headers longer or more than we take")
        return Unavailable(f"{where}: {_said(error)}", cause=Cause.REGISTRY_UNAVAILABLE)


def _message(request: Request, proxy: Proxy | None) -> bytes:
    """The request as bytes.  Only what `Request` holds goes out; no value in it may break a line."""
    url = request.url
    plain_proxy = proxy if url.origin.scheme == "http" else None
    lines = [
        f"{'GET' if request.body is None else 'POST'} {url.origin if plain_proxy else ''}{url.target} HTTP/1.1",
        f"Host: {url.origin.netloc}",
        f"User-Agent: {USER_AGENT}",
        "Accept-Encoding: identity",
        *(f"{name}: {value}" for name, value in request.headers),
    ]
    if request.body is not None:
        lines.append(f"Content-Length: {len(request.body)}")
    if plain_proxy and plain_proxy.authorization:
        lines.append(f"Proxy-Authorization: {plain_proxy.authorization}")
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise Malformed(f"{request.what}: got a request that no header can carry")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (request.body or b"")


def _died(error: Exception) -> bool:
    """Whether the connection was lost, rather than refused, late, or used for something that is not HTTP."""
    return isinstance(error, _DIED) or type(error).__name__ in _DIED_IN_TLS


def _said(error: Exception) -> str:
    """What happened, for a person, without anything of the other side that could break a line."""
    if isinstance(error, socket.gaierror):
        return f"the name can't be resolved ({error.strerror})"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if _died(error):
        return "the connection was closed before the end of the response"
    if isinstance(error, HTTPException):
        return f"the answer is not HTTP ({type(error).__name__})"
    if isinstance(error, TimeoutError):
        return "connection timed out"
    reason = getattr(error, "verify_message", "") or getattr(error, "reason", "")
    if reason:
        return f"TLS failed ({ascii(str(reason))[1:-1][:160]})"
    return ascii(getattr(error, "strerror", None) or type(error).__name__)[1:-1][:160]
