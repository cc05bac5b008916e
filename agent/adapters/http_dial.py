"""Connections: names resolved once and judged, sockets connected to the judged address, TLS, proxies.

A name is resolved once per process, so that what was checked is what is connected to, and a second answer (DNS
rebinding) is never asked for.  TLS is verified against one bundle, at least 1.2, under the name that was asked for,
whatever address it has.  The environment is not read.  Name resolution is the one thing here that no deadline ends: the
process's watchdog does.
"""

import socket
from typing import TYPE_CHECKING, Generator, NamedTuple, Protocol, Sequence

from agent.adapters import trustedcas
from agent.adapters.http_proxy import Proxy, check_tunnel, tunnel_request
from agent.adapters.http_wire import Deadline, Wire
from agent.errors import Cause, Unavailable
from agent.registry import addresses
from agent.registry.messages import Request
from agent.registry.urls import Origin

if TYPE_CHECKING:
    from ssl import SSLContext

    from agent.registry.hosts import HostTls


class Endpoint(NamedTuple):
    """Where a socket can connect to."""

    family: int
    address: str
    port: int


class Network(Protocol):
    """Names and sockets; tests put their own in its place."""

    def resolve(self, host: str, port: int) -> Sequence[Endpoint]:
        """The addresses of `host`.  Raises `OSError`."""
        ...

    def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
        """A connected TCP socket.  Raises `OSError`."""
        ...


class HostNetwork:
    """The network of this host."""

    def resolve(self, host: str, port: int) -> Sequence[Endpoint]:
        """See `Network.resolve`."""
        # As bytes: a str would import the IDNA codec and its tables, and hosts are ASCII.
        found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
        return tuple(Endpoint(family, str(address[0]), port) for family, _, _, _, address in found)

    def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
        """See `Network.connect`."""
        connecting = socket.socket(endpoint.family, socket.SOCK_STREAM)
        try:
            connecting.settimeout(timeout)
            connecting.connect((endpoint.address, endpoint.port))
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            connecting.close()
            raise
        return connecting


Judging = Generator[Origin, Sequence[Endpoint], None]
"""Yields the origins whose addresses it has to know, and is sent them; `OSError` is thrown in."""


def judge(request: Request, proxy: Proxy | None) -> Judging:
    """Judge where the registry sends us.  Raises `Malformed`, and what is thrown in.

    Behind a proxy names are the proxy's to resolve, and only addresses written as such are judged.
    """
    home = request.sent_by
    host = request.url.origin.host
    if home is None or home.host == host:
        return
    if proxy is not None:
        addresses.check_host(host, home.host, request.what, allow_private=False)
        return
    found = [each.address for each in (yield request.url.origin)]
    try:
        at_home = [each.address for each in (yield home)]
    except OSError:  # a registry behind a proxy may have no address here: then it counts as a public one
        at_home = []
    addresses.check_addresses(host, found, home.host, at_home)


class Dialler:
    """Opens connections for requests, under one deadline."""

    def __init__(
        self,
        *,
        deadline: Deadline,
        ca_bundle: str,
        extra_cas: Sequence[bytes],
        network: Network,
        tls: "HostTls | None" = None,
    ) -> None:
        """See `tls_context`, which is built when TLS is first needed; `tls` counts for its origin alone."""
        self._tls = tls
        self._of_host: SSLContext | None = None
        self._deadline = deadline
        self._ca_bundle = ca_bundle
        self._extra_cas = extra_cas
        self._network = network
        self._resolved: dict[str, Sequence[Endpoint]] = {}
        self._context: SSLContext | None = None

    def check(self, request: Request, proxy: Proxy | None) -> None:
        """Judge where the registry sends us.  Raises `Malformed`, `OSError`."""
        steps = judge(request, proxy)
        try:
            origin = next(steps)
            while True:
                try:
                    found = self._endpoints(origin)
                except OSError as error:
                    origin = steps.throw(error)
                else:
                    origin = steps.send(found)
        except StopIteration:
            return

    def dial(self, origin: Origin, proxy: Proxy | None) -> Wire:
        """A connection on which requests to `origin` can be sent.  Raises `Unavailable`, `OSError`, `HTTPException`."""
        if proxy is None:
            wire = Wire(self._connect(self._endpoints(origin)), self._deadline)
        else:
            wire = Wire(self._connect(self._endpoints(proxy.origin)), self._deadline)
        try:
            if origin.scheme == "https":
                if proxy is not None:
                    check_tunnel(wire.tunnel(tunnel_request(origin, proxy)), origin, proxy)
                wire.socket = self._wrap(wire.socket, origin)
        except BaseException:
            wire.close()
            raise
        return wire

    def _endpoints(self, origin: Origin) -> Sequence[Endpoint]:
        """What the host resolved to when it was first asked for."""
        found = self._resolved.get(origin.host)
        if found is None:
            self._deadline.remaining()
            found = self._resolved[origin.host] = self._network.resolve(origin.host, origin.port)
        return [each._replace(port=origin.port) for each in found]

    def _connect(self, endpoints: Sequence[Endpoint]) -> socket.socket:
        """The first that answers; each has a share of the time, so that a silent one leaves some to the next."""
        failure: OSError = OSError("no address")
        for i, endpoint in enumerate(endpoints):
            try:
                return self._network.connect(endpoint, self._deadline.remaining() / (len(endpoints) - i))
            except OSError as error:
                failure = error
        raise failure

    def _wrap(self, plain: socket.socket, origin: Origin) -> socket.socket:
        context = self._context_for(origin)
        plain.settimeout(self._deadline.remaining())
        # As bytes: see HostNetwork.resolve.
        return context.wrap_socket(plain, server_hostname=origin.host.encode("ascii"))

    def _context_for(self, origin: Origin) -> "SSLContext":
        if self._tls is not None and self._tls.origin == origin:
            if self._of_host is None:
                self._of_host = tls_context(self._ca_bundle, self._extra_cas, self._tls)
            return self._of_host
        if self._context is None:
            self._context = tls_context(self._ca_bundle, self._extra_cas)
        return self._context


def tls_context(ca_bundle: str, extra_cas: Sequence[bytes] = (), host: "HostTls | None" = None) -> "SSLContext":
    """A context that trusts the CAs of `ca_bundle` (see `trustedcas.find`), `extra_cas` in DER, and nothing else.

    For a `host` its own CAs count as well, its client certificates are shown, and it may be one that is not verified.
    Built from nothing: the module's own default would read SSL_CERT_FILE and write to SSLKEYLOGFILE.  Raises
    `Unavailable`.
    """
    from ssl import CERT_NONE, PROTOCOL_TLS_CLIENT, VERIFY_X509_PARTIAL_CHAIN, SSLContext, SSLError, TLSVersion

    path = trustedcas.find(ca_bundle)
    context = SSLContext(PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
    context.minimum_version = TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.verify_flags |= VERIFY_X509_PARTIAL_CHAIN  # a CA that is trusted need not be a root
    what = path
    try:
        context.load_verify_locations(cafile=path)
        for i, certificate in enumerate(extra_cas, 1):
            what = f"number {i} of those given besides {path}"
            context.load_verify_locations(cadata=certificate)
        for what in host.cas if host is not None else ():
            context.load_verify_locations(cafile=what)
        for what in host.clients if host is not None else ():
            context.load_cert_chain(what, password=_no_password)
    except (OSError, SSLError, ValueError) as error:
        raise Unavailable(
            f"CA certificates: {what} can't be read ({ascii(str(error))[1:120]})", cause=Cause.REGISTRY_UNAVAILABLE
        ) from error
    if host is not None and host.skip_verify:
        context.check_hostname = False
        context.verify_mode = CERT_NONE
    return context


def _no_password() -> str:
    """Without it OpenSSL would ask for one at a terminal."""
    return ""
