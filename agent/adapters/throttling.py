"""Repositories that are not to be asked for a while: noted on disk, for all processes of a node.

::

    var/cache/nodeseal/throttled/<of origin and repository>       until when

Of whom a registry answers 429 or 503 and says for how long (Retry-After), longer than the transport waited, it is asked
nothing until then, and for five minutes at most: it chooses the time, and it must not choose more.  It is said of that
repository alone: one whose upstream is somebody else's must not close the registry to all the others, nor, at a mirror
of many registries, what they call the same.  An answer of somewhere that a registry leads to (a redirect, a token
server) is noted for nobody.  Until then everybody gets `Unavailable(THROTTLED)` without a request.
"""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from agent.adapters import files
from agent.adapters.entries import FUTURE, Entries, Kind, name_of
from agent.adapters.http_retry import asked_seconds
from agent.adapters.registry import Transport
from agent.codec import strictjson
from agent.errors import Cause, Unavailable
from agent.registry.messages import Request, Response
from agent.registry.urls import Origin, Url

KIND = Kind(
    name="throttled",
    folder="var/cache/nodeseal/throttled",
    version=2,
    largest=4096,
    most=1000,
    most_bytes=4 * 1024 * 1024,
)

MOST = timedelta(minutes=5)
"""How long a registry is left alone at most, whatever it asks for."""

_STATUS = frozenset({429, 503})
_MEANT = "ns="  # how a mirror is told which registry is meant: `agent.registry.hosts`


class ThrottledOrigins:
    """What is to be left alone, under one root.  Many processes may use it at once; nothing here fails."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/cache/nodeseal` is under, "/" on a node."""
        self._entries = Entries(root, KIND)

    def until(self, url: Url, now: datetime) -> datetime | None:
        """Until when nothing of the repository at `url` is asked for, None if it may be `now`."""
        place = _place(url)
        value = self._entries.value(name_of(place))
        if value is None:
            return None
        try:
            until = datetime.fromisoformat(value["until"])
            if value["place"] != place or until.tzinfo is None:
                raise ValueError("no note of ours")
        except (TypeError, LookupError, ValueError):
            self._entries.count(files.CORRUPT)
            return None
        if until > now + MOST:
            self._entries.count(FUTURE)
            return None
        if until <= now:
            self._entries.drop(name_of(place))
            return None
        return until

    def note(self, url: Url, now: datetime, seconds: float) -> None:
        """Who was asked for `url` asked to be left alone for so many seconds from `now` on."""
        until = now + timedelta(seconds=min(seconds, MOST.total_seconds()))
        value = {"place": _place(url), "until": until.isoformat()}
        self._entries.keep(name_of(_place(url)), strictjson.canonical(value))

    def forget(self, origin: Origin, path: str) -> bool:
        """Ask for a repository again; whether it was left alone."""
        return self._entries.drop(name_of(_place(Url(origin, f"/v2/{path}/manifests/x"))))


def _place(url: Url) -> str:
    """What is left alone together, a repository: the URL without its last two segments, and which registry's it is."""
    meant = next((f"?{each}" for each in url.query[1:].split("&") if each.startswith(_MEANT)), "")
    return f"{url.origin}{url.path.rsplit('/', 2)[0]}{meant}"


def _now() -> datetime:
    return datetime.now(timezone.utc)


class ConsiderateTransport:
    """`adapters.registry.Transport` around another one: asks nobody who asked to be left alone."""

    def __init__(self, inner: Transport, throttled: ThrottledOrigins, *, now: Callable[[], datetime] = _now) -> None:
        """`inner` waits and tries again as `http_retry` says; what it returns in the end is noted."""
        self._inner = inner
        self._throttled = throttled
        self._now = now

    async def send(self, request: Request) -> Response:
        """See `adapters.registry.Transport.send`.  Raises `Unavailable` also for who is not asked."""
        until = self._throttled.until(request.url, self._now()) if request.sent_by is None else None
        if until is not None:
            said = f"{request.url.origin.netloc} wants no requests until {until:%Y-%m-%dT%H:%M:%SZ}"
            raise Unavailable(f"{request.what}: not asked: {said}", cause=Cause.THROTTLED)
        response = await self._inner.send(request)
        if request.sent_by is None and response.status in _STATUS:
            now = self._now()
            seconds = asked_seconds(response, now.timestamp)
            if seconds:
                self._throttled.note(request.url, now, seconds)
        return response
