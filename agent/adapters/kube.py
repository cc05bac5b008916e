"""Requests to a Kubernetes API server: each bounded in time and bytes; over aiohttp, under anyio.

None is tried again, but that aiohttp sends a read anew, once, whose connection was closed without a word.  It follows
nothing, unpacks nothing, keeps no cookies, reads no environment.  Credentials are read for each request, and
connections made anew when the files behind them have changed.  Every exception of the outside world ends here as
`ApiError`.  What to ask when is decided in `agent.cluster`.
"""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Generic, Protocol, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import anyio
from anyio import to_thread
from yarl import URL

from agent import __version__
from agent.adapters.kube_access import Access
from agent.cluster import leases, messages, nodes
from agent.cluster.following import SILENCE, List, Watch
from agent.cluster.messages import Change, Page
from agent.cluster.selections import Found, Selection
from agent.cluster.troubles import ApiError, Trouble, refusal

CONNECT = 10.0
"""Seconds to reach the server, TLS included."""

ANSWER = 30.0
"""Seconds for a whole answer that is no watch: a page of 32 MB takes its time."""

MOST_CONNECTIONS = 24
"""One watches, one lists, one tells events, one looks after the node; one for each Secret that is watched by name."""

JSON_PATCH = "application/json-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
_KINDS = {"POST": "application/json", "PUT": "application/json", "PATCH": "application/merge-patch+json"}

Body = Mapping[str, object] | Sequence[Mapping[str, object]]

_CHUNK = 256 * 1024
_LARGE = 64 * 1024
_Told = TypeVar("_Told")
_ERRORS = (aiohttp.ClientError, OSError, ValueError, EOFError)  # TimeoutError is an OSError, ssl's errors are


class Reads(Protocol):
    """What credentials come from: `kube_access.Credentials`."""

    async def read(self) -> Access:
        """What is configured now.  Raises `ApiError`."""
        ...


class Silent(Exception):
    """Nothing came for too long."""


class Changes(Generic[Found]):
    """A watch that the server took: its events, one after another."""

    def __init__(self, content: aiohttp.StreamReader, read: Callable[[object], Found], silence: float) -> None:
        """`read` is the selection's; `silence` is how long to wait for one event, in seconds."""
        self._content = content
        self._read = read
        self._silence = silence
        self._line = bytearray()

    async def next(self) -> Change[Found] | None:
        """The next event; None if the server ended the watch in good order.  Raises `ApiError`, `Silent`."""
        with anyio.move_on_after(self._silence):
            line = await self._next_line()
            return await _beside(messages.change, line, self._read) if line else None
        raise Silent

    async def _next_line(self) -> bytes:
        """Without its end; empty for none.  A line is searched once, however it comes."""
        searched = 0
        while True:
            end = self._line.find(b"\n", searched)
            if end >= 0:
                line = bytes(self._line[:end])
                del self._line[: end + 1]
                if line.strip():
                    return line
                searched = 0
                continue
            searched = len(self._line)
            if searched > messages.MAX_LINE:
                raise ApiError(Trouble.TOO_LONG, f"an event: got more than {messages.MAX_LINE} bytes")
            try:
                part = await self._content.read(_CHUNK)
            except _ERRORS as error:
                raise _lost(error) from None
            if not part:
                if self._line.strip():
                    raise ApiError(Trouble.UNAVAILABLE, "the connection ended within an event")
                return b""
            self._line += part


class _Session:
    """Connections made with one set of credentials, closed once they are retired and nothing runs on them any more."""

    def __init__(self, access: Access, context: ssl.SSLContext | None) -> None:
        """As `Access.context` gives it."""
        self.access = access
        self.client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS, ssl=True if context is None else context),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            timeout=aiohttp.ClientTimeout(),  # each request has its own
            auto_decompress=False,
            trust_env=False,
        )
        self._uses = 0
        self._retired = False

    @asynccontextmanager
    async def used(self) -> AsyncIterator[aiohttp.ClientSession]:
        """For one request."""
        self._uses += 1
        try:
            yield self.client
        finally:
            self._uses -= 1
            with anyio.CancelScope(shield=True):
                await self._close_if_done()

    async def retire(self) -> None:
        """No request begins on them any more."""
        self._retired = True
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self._retired and not self._uses:
            await self.client.close()


class ApiServer:
    """One API server, in one event loop; closed by `async with`."""

    def __init__(self, credentials: Reads, *, answer: float = ANSWER, silence: float = SILENCE) -> None:
        """No connection is made yet.  See `ANSWER` and `following.SILENCE`."""
        self._credentials = credentials
        self._answer = answer
        self._silence = silence
        self._made: _Session | None = None
        self._changing = anyio.Lock()
        self.credentials_trouble = ""
        """Why credentials could not be read last; the ones before them are used as long as they do."""

    async def __aenter__(self) -> "ApiServer":
        """Give it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection; no request is under way."""
        if self._made is not None:
            await self._made.retire()

    async def page(self, selection: Selection[Found], asked: List) -> Page[Found]:
        """A page of what is selected.  Raises `ApiError`."""
        query = {**selection.query, "limit": str(asked.limit), "continue": asked.token}
        content = await self.send("GET", selection.path, _given(query), limit=messages.MAX_PAGE)
        return await _beside(messages.page, content, selection.read)

    @asynccontextmanager
    async def changes(self, selection: Selection[Found], asked: Watch) -> AsyncIterator[Changes[Found]]:
        """A watch, with bookmarks.  Raises `ApiError`."""
        query = {
            **selection.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": asked.resource_version,
            "timeoutSeconds": str(asked.seconds),
        }
        total = asked.seconds + self._answer  # the server ends it; this is for one that doesn't
        async with self._response("GET", selection.path, query, total=total) as response:
            yield Changes(response.content, selection.read, self._silence)

    async def node_labels(self, name: str) -> Mapping[str, str] | None:
        """The labels of a node; None if we may not know, or there is none.  Raises `ApiError`."""
        try:
            content = await self.send("GET", _node(name), {}, limit=messages.MAX_NODE)
        except ApiError as error:
            if error.trouble in (Trouble.FORBIDDEN, Trouble.NOT_FOUND):
                return None
            raise
        return messages.node_labels(content)

    async def node(self, name: str) -> nodes.Node:
        """A node's taints and our condition.  Raises `ApiError`."""
        return nodes.read(await self.send("GET", _node(name), {}, limit=messages.MAX_NODE))

    async def change_node(self, name: str, patch: Sequence[nodes.Json]) -> None:
        """Apply a JSON patch (RFC 6902) to a node.  Raises `ApiError`."""
        await self.send("PATCH", _node(name), {}, body=patch, kind=JSON_PATCH, limit=messages.MAX_NODE)

    async def change_node_status(self, name: str, body: nodes.Json) -> None:
        """Merge `body` into a node's status, conditions by their type.  Raises `ApiError`."""
        path = f"{_node(name)}/status"
        await self.send("PATCH", path, {}, body=body, kind=STRATEGIC_MERGE_PATCH, limit=messages.MAX_NODE)

    async def create_event(self, namespace: str, body: Mapping[str, object]) -> None:
        """Write an event.  Raises `ApiError`."""
        path = f"/api/v1/namespaces/{_part(namespace)}/events"
        await self.send("POST", path, {}, body=body, limit=messages.MAX_NODE)

    async def change_event(self, namespace: str, name: str, body: Mapping[str, object]) -> None:
        """Merge `body` into an event (RFC 7386).  Raises `ApiError`."""
        path = f"/api/v1/namespaces/{_part(namespace)}/events/{_part(name)}"
        await self.send("PATCH", path, {}, body=body, limit=messages.MAX_NODE)

    async def lease(self, namespace: str, name: str) -> leases.Lease | None:
        """A Lease; None if there is none.  Raises `ApiError`."""
        try:
            return leases.read(await self.send("GET", _lease(namespace, name), {}, limit=messages.MAX_NODE))
        except ApiError as error:
            if error.trouble is Trouble.NOT_FOUND:
                return None
            raise

    async def create_lease(self, namespace: str, body: leases.Json) -> leases.Lease:
        """Create a Lease; as it stands then.  Raises `ApiError`: `CONFLICT` if there is one."""
        path = _lease(namespace)
        return leases.read(await self.send("POST", path, {}, body=body, limit=messages.MAX_NODE))

    async def update_lease(self, namespace: str, name: str, body: leases.Json) -> leases.Lease:
        """Replace a Lease; as it stands then.  Raises `ApiError`: `CONFLICT` if it changed since `body`'s version."""
        path = _lease(namespace, name)
        return leases.read(await self.send("PUT", path, {}, body=body, limit=messages.MAX_NODE))

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        limit: int,
        body: Body | None = None,
        kind: str = "",
    ) -> bytes:
        """Ask, and read the whole answer of at most `limit` bytes; `kind` is a patch's.  Raises `ApiError`."""
        async with self._response(method, path, query, total=self._answer, body=body, kind=kind) as response:
            return await _read(response, limit)

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        total: float,
        body: Body | None = None,
        kind: str = "",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer with status 2xx.  Raises `ApiError`."""
        async with AsyncExitStack() as stack:
            access, made = await self._current()
            session = await stack.enter_async_context(made.used())
            try:
                request = session.request(
                    method,
                    URL(f"{access.url}{path}{'?' if query else ''}{urlencode(query)}", encoded=True),
                    headers=_headers(access, method, kind),
                    data=None if body is None else json.dumps(body).encode(),
                    proxy=access.proxy or None,
                    server_hostname=access.server_name or None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=total, connect=CONNECT, sock_read=self._answer + self._silence),
                )
                response = await stack.enter_async_context(request)
                stack.callback(_abort_unfinished, response)
                if not 200 <= response.status < 300:
                    content = await _start(response)
                    raise refusal(response.status, messages.reason(content), response.headers.get("Retry-After", ""))
            except _ERRORS as error:
                raise _lost(error) from None
            yield response

    async def _current(self) -> tuple[Access, _Session]:
        """Credentials as they are now, and connections for them; the last ones while they can't be read."""
        async with self._changing:
            try:
                access = await self._credentials.read()
                if self._made is None or access.connection != self._made.access.connection:
                    made = _Session(access, await to_thread.run_sync(access.context))
                    before, self._made = self._made, made
                    if before is not None:
                        await before.retire()  # a watch may run on it until it ends
                self._made.access = access
                self.credentials_trouble = ""
            except ApiError as error:
                self.credentials_trouble = error.message
                if self._made is None:
                    raise
            return self._made.access, self._made


def _headers(access: Access, method: str, kind: str) -> Mapping[str, str]:
    kind = kind or _KINDS.get(method, "")
    return _given(
        {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"nodeseal/{__version__}",
            "Content-Type": kind,
            "Authorization": access.authorization,
        }
    )


def _given(values: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in values.items() if value}


def _node(name: str) -> str:
    return f"/api/v1/nodes/{_part(name)}"


def _lease(namespace: str, name: str = "") -> str:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{_part(namespace)}/leases"
    return f"{path}/{_part(name)}" if name else path


def _part(name: str) -> str:
    return quote(name, safe="")


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit + 1
    try:
        while left and (part := await response.content.read(min(left, _CHUNK))):
            parts.append(part)
            left -= len(part)
    except _ERRORS as error:
        raise _lost(error) from None
    if not left:
        raise ApiError(Trouble.TOO_LONG, f"an answer: got more than {limit} bytes")
    return b"".join(parts)


async def _beside(
    read: Callable[[bytes, Callable[[object], Found]], _Told], content: bytes, read_one: Callable[[object], Found]
) -> _Told:
    """What is read of an answer; in a thread if it takes its time, and of a page it may take seconds."""
    if len(content) < _LARGE:
        return read(content, read_one)
    return await to_thread.run_sync(read, content, read_one)


def _abort_unfinished(response: aiohttp.ClientResponse) -> None:
    """End the connection of a response that was not read whole: the other side may never take leave of it."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


async def _start(response: aiohttp.ClientResponse) -> bytes:
    """The first bytes of a refusal: its reason, if the connection lasts as long."""
    start = b""
    while len(start) < messages.MAX_REASON:
        part = await response.content.read(messages.MAX_REASON - len(start))
        if not part:
            break
        start += part
    return start


def _lost(error: Exception) -> ApiError:
    """What is said of it is its kind: texts of the library hold URLs, and those may hold a proxy's password."""
    return ApiError(Trouble.UNAVAILABLE, f"no answer of the API server: {_kind(error)}")


def _kind(error: BaseException) -> str:
    named = getattr(error, "os_error", error)
    text = getattr(named, "strerror", None)
    return f"{type(error).__name__}{f' ({text})' if isinstance(text, str) else ''}"
