"""Certificates of a key provider, over HTTPS: by the transport that registries are asked with, and its rules.

Redirects stay at the origin.  Whoever writes a configuration chooses the address, so it must be elsewhere: not this
node, no cloud's metadata service, whatever the name resolves to, unless the node's floor says so.
"""

import socket
import time
from collections.abc import Sequence
from hashlib import sha256

from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.http_dial import Endpoint, HostNetwork, Network
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.inline import run
from agent.codec import pem
from agent.config.keysources import KeySource
from agent.errors import LimitExceeded, Malformed
from agent.registry import addresses, status
from agent.registry.messages import Request
from agent.registry.urls import Url

SECONDS = 20.0
"""For everything that one provider is asked."""

MAX_SIZE = 256 * 1024
"""Most bytes of what a provider holds."""

MAX_REDIRECTS = 3


class Elsewhere:
    """A network in which one host must not be this node."""

    def __init__(self, network: Network, host: str, what: str) -> None:
        """`host` is judged, on each address that it has; a proxy is the owner's to choose."""
        self._network = network
        self._host = host
        self._what = what

    def resolve(self, host: str, port: int) -> Sequence[Endpoint]:
        """See `Network.resolve`.  Raises `Malformed` too."""
        found = self._network.resolve(host, port)
        if host == self._host:
            addresses.check_elsewhere(host, [each.address for each in found], self._what)
        return found

    def connect(self, endpoint: Endpoint, timeout: float) -> socket.socket:
        """See `Network.connect`."""
        return self._network.connect(endpoint, timeout)


def fetch(
    source: KeySource,
    *,
    proxies: ProxySettings,
    local: bool = False,
    ca_bundle: str = "",
    network: Network | None = None,
    seconds: float = SECONDS,
) -> bytes:
    """What the source holds: certificates, at least one.  Raises `Malformed`, `Unavailable`.

    `local` lets it be on this node.
    """
    what = f"keys of {ascii(source.name)[1:-1][:80]}"
    network, host = network or HostNetwork(), source.url.origin.host
    if not local:
        addresses.check_elsewhere(host, (), what)  # a proxy would resolve it
        network = Elsewhere(network, host, what)
    transport = BlockingTransport(
        deadline=time.monotonic() + seconds, proxies=proxies, ca_bundle=ca_bundle, extra_cas=source.cas, network=network
    )
    try:
        content = _got(transport, source.url, what)
    finally:
        transport.close()
    found = sha256(content).hexdigest()
    if source.pin and found != source.pin:
        raise Malformed(f"{what}: got content with SHA-256 {found}; expected {source.pin}")
    count(content, what)
    return content


def count(content: bytes, what: str) -> int:
    """How many certificates a content has.  Raises `Malformed` for one that has none, or anything else in it."""
    certificates, defects = pem.contents(content)
    if defects or not certificates:
        got = ", ".join(defects) or "no certificate"
        raise Malformed(f"{what}: got {got}; expected nothing but certificates, as PEM or DER")
    return len(certificates)


def _got(transport: BlockingTransport, url: Url, what: str) -> bytes:
    home = url.origin
    for _ in range(MAX_REDIRECTS + 1):
        response = run(transport.send(Request(url, what, MAX_SIZE)))
        if response.status == status.OK:
            return response.body
        if response.status not in status.REDIRECTS:
            raise Malformed(f"{what}: got status {response.status} from {home.netloc}; expected 200")
        locations = response.values("location")
        if len(locations) != 1:
            raise Malformed(f"{what}: redirect: got {len(locations)} Location headers; expected one")
        url = url.join(locations[0], f"{what}: redirect")
        if url.origin != home:
            raise Malformed(f"{what}: redirect: got {url.origin}; expected {home}, as before it")
    raise LimitExceeded(f"{what}: got more than {MAX_REDIRECTS} redirects")
