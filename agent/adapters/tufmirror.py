"""Mirrors of a TUF repository: where its files are read, over HTTP or in a folder, each with a limit.

Nothing that comes from here is believed: `agent.adapters.tufrepository` verifies it.  So plain HTTP will do, and who
holds a mirror can at most keep what is new from us, until what is old expires.  Redirects stay at the origin.
"""

import os
import time
from typing import Protocol

from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.http_dial import HostNetwork, Network
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.inline import run
from agent.adapters.keyfetch import Elsewhere
from agent.errors import HostError, LimitExceeded, Malformed
from agent.registry import addresses, status
from agent.registry.messages import Request
from agent.registry.urls import Url

SECONDS = 30.0
"""For everything that one mirror is asked at once."""

MAX_REDIRECTS = 3

_MISSING = (403, 404)  # object stores say 403 for what is not there; python-tuf takes both for that, too


class Mirror(Protocol):
    """One mirror; `where` names it for people."""

    where: str

    def read(self, name: str, limit: int) -> bytes | None:
        """The file of that name below the mirror, None if there is none.

        Raises `Malformed`, `LimitExceeded` for more than `limit` bytes, `Unavailable`, `HostError`.
        """
        ...

    def close(self) -> None:
        """Give up what is open."""
        ...


class FolderMirror:
    """A mirror in a folder of this host; `file:///` for people."""

    def __init__(self, folder: str) -> None:
        """Nothing is opened yet."""
        self.where = f"file://{folder}"
        self._folder = folder

    def read(self, name: str, limit: int) -> bytes | None:
        """See `Mirror.read`."""
        path = os.path.join(self._folder, name)
        try:
            with open(path, "rb") as file:
                content = file.read(limit + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HostError(f"{path}: got {error.strerror}; expected to read a file of the mirror") from None
        if len(content) > limit:
            raise LimitExceeded(f"{path}: got more than {limit} bytes; expected a file of a TUF repository")
        return content

    def close(self) -> None:
        """See `Mirror.close`."""


class HttpMirror:
    """A mirror below a URL, over one transport with one deadline."""

    def __init__(
        self,
        url: Url,
        *,
        proxies: ProxySettings,
        local: bool = False,
        ca_bundle: str = "",
        cas: tuple[bytes, ...] = (),
        network: Network | None = None,
        seconds: float = SECONDS,
    ) -> None:
        """`local` lets it be on this node: otherwise its address must be elsewhere, as `keyfetch` has it.

        `cas` are CAs that its TLS is verified against beside those of `ca_bundle`, DER.  Raises `Malformed`.
        """
        self.where = str(url)
        self._base = url._replace(path=url.path.rstrip("/") + "/")
        network, host = network or HostNetwork(), url.origin.host
        if not local:
            addresses.check_elsewhere(host, (), self.where)  # a proxy would resolve it
            network = Elsewhere(network, host, self.where)
        self._transport = BlockingTransport(
            deadline=time.monotonic() + seconds, proxies=proxies, ca_bundle=ca_bundle, extra_cas=cas, network=network
        )

    def read(self, name: str, limit: int) -> bytes | None:
        """See `Mirror.read`."""
        url = home = self._base._replace(path=self._base.path + name)
        what = str(home)
        for _ in range(MAX_REDIRECTS + 1):
            response = run(self._transport.send(Request(url, what, limit)))
            if response.status == status.OK:
                return response.body
            if response.status in _MISSING:
                return None
            if response.status not in status.REDIRECTS:
                raise Malformed(f"{what}: got status {response.status}; expected 200, or 404")
            locations = response.values("location")
            if len(locations) != 1:
                raise Malformed(f"{what}: redirect: got {len(locations)} Location headers; expected one")
            url = url.join(locations[0], f"{what}: redirect")
            if url.origin != home.origin:
                raise Malformed(f"{what}: redirect: got {url.origin}; expected {home.origin}, as before it")
        raise LimitExceeded(f"{what}: got more than {MAX_REDIRECTS} redirects")

    def close(self) -> None:
        """See `Mirror.close`."""
        self._transport.close()
