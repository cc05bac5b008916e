"""How to stay current with the objects that a selection names: what to ask next, when, and what an answer means.

Pure: time and chance come in, requests go out.  A driver does this, for ever (`agent.adapters.kube_follow`)::

    step = following.next()         wait, then ask
    following.asking, opened        when the request is sent, when a watch is taken
    following.page / change         for each answer
    following.closed / silent / failed      how the request ended

The rules:

1. A state is told only when it is complete: a list to its last page, then each event of a watch from the version of
   that list on.  Whatever fails, the last complete state stays.
2. A watch that ended goes on from where it was; a bookmark moves that place.  A list is asked for anew if the place is
   gone (410), if something was not understood, if the watch was refused three times, or if nothing has proved for an
   hour that we are current.
3. Whoever failed waits, twice as long each time, anything between nothing and that: thousands of nodes that lost one
   server don't come back at once.  Nobody begins, or lists anew, without such a wait.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple

from agent.cluster.messages import Change, Kind, Page
from agent.cluster.selections import Followed, Found
from agent.cluster.troubles import ApiError, Trouble

START_SPREAD = 2.0
"""Seconds over which those who start together begin."""

RELIST_SPREAD = 5.0
"""Seconds over which those who lost their place together list anew."""

AGAIN_SPREAD = 1.0
"""Seconds over which those whose watch ended in good order watch again."""

BACKOFF_FIRST = 1.0
BACKOFF_MOST = 60.0
"""Bounds of the wait after a failure, in seconds: the mean of the second is what an hour's outage ends with."""

WATCH_SHORTEST = 240.0
WATCH_SPREAD = 120.0
"""How long a watch is asked for, in seconds; API servers end them after five to ten minutes of their own accord."""

SILENCE = 130.0
"""Seconds without event or bookmark after which a connection counts as dead.

Bookmarks come once a minute, but older API servers (1.20) send none while no ConfigMap of the cluster changes.  Then a
quiet connection can't be told from a dead one, and a new watch costs one request.
"""

HEALTHY = 5.0
"""Seconds that a watch must have lived to count as one; shorter ones are failures."""

UNPROVEN = 3600.0
"""Seconds without proof of being current after which a list is asked for, where no bookmarks come."""

PAGE = 20
"""Objects of a page."""

MOST_OBJECTS = 500
MOST_BYTES = 64 * 1024 * 1024
"""Bounds of a state; of one that is larger nothing is taken."""

_REFUSED_WATCHES = 3
_GONE_WHILE_LISTING = 2
_DOUBLINGS = 10


class List(NamedTuple):
    """Ask for a page.  `limit` 0 is everything at once; `token` continues a list."""

    limit: int
    token: str


class Watch(NamedTuple):
    """Ask for changes since a version, for so many seconds, with bookmarks."""

    resource_version: str
    seconds: int


class Step(NamedTuple):
    """Wait so many seconds, then ask."""

    wait: float
    request: List | Watch


class Following(Generic[Found]):
    """What is known of one selection, and what to do next.  `now` is a clock in seconds that never jumps."""

    def __init__(self, random: Callable[[], float]) -> None:
        """`random` gives numbers from 0 up to 1."""
        self._random = random
        self._pages: dict[str, Found] = {}
        self._token = ""
        self._limit = PAGE
        self._version = ""
        self._wait = random() * START_SPREAD
        self._failing = 0
        self._refused_watches = 0
        self._gone_while_listing = 0
        self._opened: float | None = None
        self._list_began = 0.0
        self._listed = 0
        self.state: Mapping[str, Found] | None = None
        """By name, once complete; never changed in place."""
        self.proven: float | None = None
        """When we were last known to be current: a list's beginning, an event, a bookmark."""
        self.failures: Counter[Trouble] = Counter()
        self.lists = 0
        """Complete lists."""
        self.watches = 0
        self.trouble = ""
        """Why the last request ended, if it ended badly; "" once one has gone well."""

    def next(self) -> Step:
        """What to do now."""
        if self._version:
            return Step(self._wait, Watch(self._version, int(WATCH_SHORTEST + self._random() * WATCH_SPREAD)))
        return Step(self._wait, List(self._limit, self._token))

    def asking(self, now: float) -> None:
        """The request of `next` is sent now."""
        self._opened = None
        if self._version:
            self.watches += 1
        elif not self._token:
            self._list_began = now
            self._listed = 0
            self._pages = {}

    def opened(self, now: float) -> None:
        """The server took the watch: what comes from now on are events."""
        self._opened = now

    def page(self, page: Page[Found]) -> None:
        """A page of the list came.  Raises `ApiError` if it makes more than we take."""
        self._pages.update((each.name, each) for each in page.items)
        _bounded(self._pages)
        self._listed += 1
        if self._listed > MOST_OBJECTS:  # each has one new object at least, unless the list never ends
            raise ApiError(Trouble.TOO_LONG, f"got {self._listed} pages and more; expected at most {MOST_OBJECTS}")
        self._wait = 0.0
        self._token = page.token
        if page.token:
            return
        self._gone_while_listing = self._refused_watches = 0
        self._limit = PAGE
        self._version = page.resource_version
        self.lists += 1
        self.trouble = ""
        self.proven = self._list_began
        self._took(self._pages)
        self._pages = {}

    def change(self, change: Change[Found], now: float) -> None:
        """An event of the watch came.  Raises `ApiError` if it makes more than we take."""
        self._version = change.resource_version
        self._refused_watches = 0
        self.proven = now
        self.trouble = ""
        found = change.object
        if found is None:
            return
        state = dict(self.state or {})
        if change.kind is Kind.DELETED:  # it may live on without its label
            state.pop(found.name, None)
        else:
            state[found.name] = found
        _bounded(state)
        self._took(state)

    def closed(self, now: float) -> None:
        """The watch ended in good order."""
        if not self._lived(now):
            self._back_off(Trouble.UNAVAILABLE, "the API server ends each watch at once")
        else:
            self._well(now)

    def silent(self, now: float) -> None:
        """Nothing came for `SILENCE` seconds: the connection is as good as closed."""
        self.failures[Trouble.SILENT] += 1
        self._well(now)

    def failed(self, error: ApiError, now: float) -> None:
        """The request, or what came of it, was none."""
        listing = not self._version
        lived = self._lived(now)
        if lived:
            self._failing = 0
        self._back_off(error.trouble, error.message, error.retry_after)
        if error.trouble is Trouble.GONE:
            if self._failing == 1:
                self._wait = max(error.retry_after, self._random() * RELIST_SPREAD)
            self._gone_while_listing += listing
            if self._gone_while_listing >= _GONE_WHILE_LISTING:
                self._limit = 0  # tokens of pages don't last as long as a list here
            self._list_anew()
        elif listing:
            if error.trouble is Trouble.TOO_LONG and self._limit != 1:
                self._limit = 1  # twenty large objects are too much where one is not
            self._list_anew()
        elif error.trouble in (Trouble.MALFORMED, Trouble.TOO_LONG):
            self._list_anew()  # what was not understood may have been a change
        elif not lived:
            self._refused_watches += 1
            if self._refused_watches >= _REFUSED_WATCHES:
                self._list_anew()

    def _lived(self, now: float) -> bool:
        """Whether the request was a watch that had gone well for a while."""
        return self._opened is not None and now - self._opened >= HEALTHY

    def _well(self, now: float) -> None:
        self._failing = 0
        self._refused_watches = 0
        self.trouble = ""
        self._wait = self._random() * AGAIN_SPREAD
        if self.proven is None or now - self.proven > UNPROVEN:
            self._list_anew()

    def _list_anew(self) -> None:
        self._version = self._token = ""
        self._pages = {}

    def _back_off(self, trouble: Trouble, message: str, retry_after: float = 0.0) -> None:
        """Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/."""
        self.failures[trouble] += 1
        self.trouble = message
        most = min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(self._failing, _DOUBLINGS))
        self._failing += 1
        self._wait = retry_after + self._random() * most

    def _took(self, state: dict[str, Found]) -> None:
        if self.state is None or state != self.state:
            self.state = state


def _bounded(state: Mapping[str, Followed]) -> None:
    """Raises `ApiError` if `state` is more than we take."""
    if len(state) > MOST_OBJECTS:
        raise ApiError(Trouble.TOO_LONG, f"got {len(state)} objects and more; expected at most {MOST_OBJECTS}")
    size = sum(each.size for each in state.values())
    if size > MOST_BYTES:
        raise ApiError(Trouble.TOO_LONG, f"got objects of {size} bytes and more; expected at most {MOST_BYTES}")
