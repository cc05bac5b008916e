"""Registries that asked not to be asked for a while: noted on disk, for all processes of a node.

::

    var/cache/nodeseal/throttled/<of the origin>       until when, and what it said

A registry that answers 429 or 503 and says for how long (Retry-After), longer than the transport waited, is asked
nothing until then, and for five minutes at most: it chooses the time, and it must not choose more.  It says so of
itself alone: an answer of somewhere that it leads to (a redirect, a token server) is noted for nobody.  Until then
everybody gets `Unavailable(THROTTLED)` without a request.
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
from agent.registry.urls import Origin

KIND = Kind(
    name="throttled",
    folder="var/cache/nodeseal/throttled",
    version=1,
    largest=4096,
    most=1000,
    most_bytes=4 * 1024 * 1024,
)

MOST = timedelta(minutes=5)
"""How long a registry is left alone at most, whatever it asks for."""

_STATUS = frozenset({429, 503})


class ThrottledOrigins:
    """Who asked to be left alone, under one root.  Many processes may use it at once; nothing here fails."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/cache/nodeseal` is under, "/" on a node."""
        self._entries = Entries(root, KIND)

    def until(self, origin: Origin, now: datetime) -> datetime | None:
        """Until when an origin is not asked, None if it may be asked `now`."""
        value = self._entries.value(name_of(str(origin)))
        if value is None:
            return None
        try:
            until = datetime.fromisoformat(value["until"])
            if value["origin"] != str(origin) or until.tzinfo is None:
                raise ValueError("no note of ours")
        except (TypeError, LookupError, ValueError):
            self._entries.count(files.CORRUPT)
            return None
        if until > now + MOST:
            self._entries.count(FUTURE)
            return None
        if until <= now:
            self.forget(origin)
            return None
        return until

    def note(self, origin: Origin, now: datetime, seconds: float) -> None:
        """An origin asked to be left alone for so many seconds from `now` on."""
        until = now + timedelta(seconds=min(seconds, MOST.total_seconds()))
        value = {"origin": str(origin), "until": until.isoformat()}
        self._entries.keep(name_of(str(origin)), strictjson.canonical(value))

    def forget(self, origin: Origin) -> bool:
        """Ask an origin again; whether it was left alone."""
        return self._entries.drop(name_of(str(origin)))


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
        origin = request.url.origin
        until = self._throttled.until(origin, self._now()) if request.sent_by is None else None
        if until is not None:
            said = f"{origin.netloc} wants no requests until {until:%Y-%m-%dT%H:%M:%SZ}"
            raise Unavailable(f"{request.what}: not asked: {said}", cause=Cause.THROTTLED)
        response = await self._inner.send(request)
        if request.sent_by is None and response.status in _STATUS:
            now = self._now()
            seconds = asked_seconds(response, now.timestamp)
            if seconds:
                self._throttled.note(origin, now, seconds)
        return response
