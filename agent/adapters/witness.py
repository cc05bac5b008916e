"""A registry on 127.0.0.1 that has nothing: it says that one manifest is there, gives it to nobody, and notes who asks.

It lives for one canary (`agent.wiring.proof`).  It speaks HTTP and HTTPS at one port, because containerd does: TLS is
what it tries first on loopback, with a certificate that it doesn't check there; unless its settings for registries are
of the old form (`registry.mirrors` and the like), which mean plain HTTP.  Everything is bounded: connections at once
and in all, bytes, time.
"""

import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

import anyio
from anyio.abc import ByteStream, SocketListener, SocketStream
from anyio.streams.buffered import BufferedByteStream
from anyio.streams.tls import TLSStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.wiring.proof import Canary, Witnessed

MOST_REQUESTS = 32
"""Connections that are answered; containerd needs two."""

_AT_ONCE = 8
_SECONDS = 5.0
_MOST_HEAD = 16 * 1024
_LIFETIME = timedelta(hours=1)
_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
_TLS_RECORD = b"\x16"  # of a handshake; no method of HTTP begins so
_SIZE = 512  # of a manifest that nobody gets


class Witness:
    """What was asked about one canary."""

    def __init__(self, canary: Canary) -> None:
        """Nothing yet."""
        self.canary = canary
        self._asked = 0
        self._fetched = 0
        self._connections = 0
        self._limit = anyio.CapacityLimiter(_AT_ONCE)
        self._context = _context()

    def witnessed(self) -> Witnessed:
        """What was asked until now."""
        return Witnessed(self._asked, self._fetched)

    async def answer(self, stream: SocketStream) -> None:
        """One request of one connection.  Whatever is wrong with it ends it alone."""
        self._connections += 1
        async with stream:
            if self._connections > MOST_REQUESTS:
                return
            try:
                async with self._limit:
                    with anyio.fail_after(_SECONDS):
                        await self._one_request(stream)
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                return  # TimeoutError is an OSError, ssl's errors are

    async def _one_request(self, stream: SocketStream) -> None:
        first = await stream.receive(_MOST_HEAD)
        buffered = BufferedByteStream(stream)
        buffered.feed_data(first)
        spoken: ByteStream = buffered
        if first.startswith(_TLS_RECORD):
            spoken = await TLSStream.wrap(
                buffered, server_side=True, ssl_context=self._context, standard_compatible=False
            )
        await spoken.send(self._answered(await _head(spoken)))

    def _answered(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if path not in self.canary.paths or method not in ("HEAD", "GET"):
            return _response("404 Not Found")
        if method == "GET":
            self._fetched += 1
            return _response("404 Not Found")
        self._asked += 1
        said = {"Content-Type": _MEDIA_TYPE, "Docker-Content-Digest": self.canary.digest}
        return _response("200 OK", {**said, "Content-Length": str(_SIZE)})


@asynccontextmanager
async def witness(listening: socket.socket | None = None, *, port: int = 0) -> AsyncIterator[Witness]:
    """A witness that answers until the end; on a socket that listens already, if one is given.  Raises `OSError`.

    `port` 0 is any that is free.
    What is raised inside comes out in a group.
    """
    if listening is None:
        listening = socket.create_server(("127.0.0.1", port), backlog=_AT_ONCE)
    seen = Witness(Canary(listening.getsockname()[1], os.urandom(16).hex()))
    async with await SocketListener.from_socket(listening) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, seen.answer)
        yield seen
        group.cancel_scope.cancel()


def _context() -> ssl.SSLContext:
    """TLS with a key and a certificate that nobody has seen before; neither touches a disk."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nodeseal-canary")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFETIME)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    content = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    memory = os.memfd_create("canary", os.MFD_CLOEXEC)
    try:
        os.write(memory, content)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
    return context


async def _head(stream: ByteStream) -> bytes:
    """A request without its body.  Raises `anyio.EndOfStream` if it never ends."""
    head = b""
    while b"\r\n\r\n" not in head:
        if len(head) > _MOST_HEAD:
            raise anyio.EndOfStream
        head += await stream.receive(_MOST_HEAD)
    return head


def _response(status: str, headers: "dict[str, str] | None" = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {"Content-Length": "0"}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
