"""`ports.RevocationSource` over HTTP, with a memory of its own, and a cache if it is given one.

OCSP requests go as GET where that is short enough, as RFC 5019, section 5, has it; a responder answers itself.  A
revocation list may have moved: redirects are followed, never to a worse scheme, never to this node, a metadata service
or a private network that the list is not at home in.
"""

from base64 import b64encode
from contextlib import AbstractContextManager
from typing import Callable

from agent.adapters.registry import Transport
from agent.adapters.revocation_cache import RevocationCache, name_of
from agent.errors import LimitExceeded, Malformed
from agent.model.inquiry import Confirmed, Fetched, RevocationQuery
from agent.registry import addresses, status
from agent.registry.messages import Request, Response
from agent.registry.urls import Url, quoted

MAX_REDIRECTS = 3
MAX_REMEMBERED = 1024 * 1024
"""Most bytes of an answer that is also kept in memory."""

_MAX_GET = 255  # RFC 5019, section 5


class RevocationClient:
    """Asks those whom certificates name."""

    def __init__(
        self, transport: Callable[[float], AbstractContextManager[Transport]], *, cache: RevocationCache | None = None
    ) -> None:
        """`transport` opens a transport that waits at most so many seconds for everything it is asked."""
        self._transport = transport
        self._cache = cache
        self._remembered: dict[str, bytes] = {}

    async def fetch(self, query: RevocationQuery) -> Fetched:
        """See `ports.RevocationSource.fetch`.  Raises `Malformed`, `Unavailable`."""
        if not query.fresh:
            kept = self._remembered.get(name_of(query)) or (self._cache.get(query) if self._cache else b"")
            if kept:
                return Fetched(kept, kept=True)
        url = Url.parse(query.url, "revocation source")
        what = f"{'OCSP' if query.body else 'revocation list'} of {url.origin.netloc}"
        with self._transport(query.seconds) as transport:
            if query.body:
                response = await transport.send(_ocsp_request(url, what, query))
            else:
                response = await _get_with_redirects(transport, url, what, query.limit)
        if response.status != status.OK:
            raise Malformed(f"{what}: got status {response.status}; expected 200")
        return Fetched(response.body)

    async def keep(self, confirmed: Confirmed) -> None:
        """See `ports.RevocationSource.keep`."""
        if len(confirmed.content) <= MAX_REMEMBERED:
            self._remembered[name_of(confirmed.query)] = confirmed.content
        if self._cache:
            self._cache.put(confirmed.query, confirmed.content)


def _ocsp_request(url: Url, what: str, query: RevocationQuery) -> Request:
    accept = ("Accept", "application/ocsp-response")
    path = f"{url.path.rstrip('/')}/{quoted(b64encode(query.body).decode('ascii'))}"
    if len(str(url._replace(path=path))) < _MAX_GET and not url.query:
        return Request(url._replace(path=path), what, query.limit, (accept,))
    return Request(url, what, query.limit, (accept, ("Content-Type", "application/ocsp-request")), body=query.body)


async def _get_with_redirects(transport: Transport, url: Url, what: str, limit: int) -> Response:
    home = url.origin
    for _ in range(MAX_REDIRECTS + 1):
        response = await transport.send(Request(url, what, limit, sent_by=None if url.origin == home else home))
        if response.status not in status.REDIRECTS:
            return response
        locations = response.values("location")
        if len(locations) != 1:
            raise Malformed(f"{what}: redirect: got {len(locations)} Location headers; expected one")
        target = url.join(locations[0], f"{what}: redirect")
        if target.origin.scheme != "https" and url.origin.scheme == "https":
            raise Malformed(f"{what}: redirect: got {target.origin}; expected https, as before it")
        addresses.check_host(target.origin.host, home.host, f"{what}: redirect", allow_private=True)
        url = target
    raise LimitExceeded(f"{what}: got more than {MAX_REDIRECTS} redirects")
