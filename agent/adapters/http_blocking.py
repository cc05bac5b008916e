"""A blocking HTTP transport for the one-shot process: standard library only, one thread, one deadline.

Keeps a connection per origin open.  What is tried again, and after which wait, is `http_retry`'s to say; no wait goes
beyond the deadline.  Every exception of sockets, TLS and HTTP ends here as one of `agent.errors`.

Import budget: this is loaded in containerd's child after a miss; nothing beyond `http.client` and what it needs.
"""

import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Callable, NamedTuple, Sequence

from agent.adapters import http_rules
from agent.adapters.http_dial import Dialler, HostNetwork, Network
from agent.adapters.http_proxy import Proxy, ProxySettings
from agent.adapters.http_retry import RetryPolicy
from agent.adapters.http_wire import Deadline, Wire
from agent.registry.messages import Request, Response
from agent.registry.urls import Origin

if TYPE_CHECKING:
    from agent.registry.hosts import HostTls

__all__ = ["BlockingTransport", "ProxySettings"]


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
        extra_cas: Sequence[bytes] = (),
        tls: "HostTls | None" = None,
        network: Network | None = None,
        retry_policy: RetryPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`deadline` is a time of `clock`; after it every request is `Unavailable(DEADLINE)`.

        `ca_bundle` is the path of the CA certificates to trust, "" for the host's own; `extra_cas` are more of them,
        each in DER.  `tls` is what is different for one origin.
        """
        self._deadline = Deadline(deadline, clock)
        self._proxies = proxies or ProxySettings()
        self._dialler = Dialler(
            deadline=self._deadline,
            ca_bundle=ca_bundle,
            extra_cas=extra_cas,
            network=network or HostNetwork(),
            tls=tls,
        )
        self._retry_policy = retry_policy or RetryPolicy()
        self._sleep = sleep
        self._idle: dict[Origin, Wire] = {}

    async def send(self, request: Request) -> Response:
        """See `adapters.registry.Transport.send`."""
        proxy = self._proxies.proxy_for(request.url.origin)
        try:
            return self._send(request, proxy)
        except (OSError, HTTPException) as error:
            raise http_rules.translated(error, request, proxy, late=self._deadline.over()) from error

    def close(self) -> None:
        """Close every connection."""
        while self._idle:
            self._idle.popitem()[1].close()

    def _send(self, request: Request, proxy: Proxy | None) -> Response:
        self._dialler.check(request, proxy)
        message = _message(request, proxy)
        retries = 0
        while True:
            lease = None
            try:
                lease = self._lease(request.url.origin, proxy)
                response = self._exchange(lease.wire, message, request)
            except (OSError, HTTPException) as error:
                if not http_rules.died(error):
                    raise
                if lease and lease.reused and not lease.wire.answered:  # closed while idle: says nothing of the server
                    continue
                wait = self._retry_policy.wait_after_loss(request, retries, self._deadline.left())
                if wait is None:
                    raise
            else:
                wait = self._retry_policy.wait_after(response, request, retries, self._deadline.left())
                if wait is None:
                    return response
            retries += 1
            self._sleep(wait)

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
        return _Lease(self._dialler.dial(origin, proxy), reused=False)


def _message(request: Request, proxy: Proxy | None) -> bytes:
    """The request as bytes.  Raises `Malformed`."""
    method = "GET" if request.body is None else "POST"
    lines = [
        f"{method} {http_rules.request_target(request, proxy)} HTTP/1.1",
        *(f"{name}: {value}" for name, value in http_rules.request_headers(request, proxy)),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (request.body or b"")
