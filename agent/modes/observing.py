"""Where the daemon is watched: `/metrics`, `/healthz`, `/readyz`, on one address.

Nothing else hangs on it: an address that can't be had is told, in the log and by `nodeseal status`, and tried again.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from agent.adapters import http_server, ipc, reconciled
from agent.adapters.exposition import CONTENT_TYPE, Exposition
from agent.adapters.http_server import HttpServer, Page
from agent.adapters.ipc_server import Server
from agent.adapters.nodestate import moment
from agent.adapters.queued_log import QueuedLog
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.telemetry import Log
from agent.errors import HostError, Unavailable
from agent.model.address import Address
from agent.model.answer import printable, shortened
from agent.modes.ahead import Ahead
from agent.modes.figures import Answered, Following, Proving, Sight, Working, families
from agent.modes.publishing import Publisher
from agent.modes.survey import Survey
from agent.modes.telling import Telling
from agent.modes.warm import WarmDoor
from agent.modes.warmstate import Declined, State

if TYPE_CHECKING:
    from agent.modes.clustering import ClusterPublisher
    from agent.modes.proofs import Proofs

RETRY = 5.0
"""Seconds after which an address that can't be had is tried again."""

FRESH = 1.0
"""Seconds for which a page is given again as it is: whoever asks more often learns nothing and costs nothing."""

ANSWERING = 2.0
"""Seconds within which the daemon's own socket must answer."""

_MOST_TEXT = 300
_Value = TypeVar("_Value")


class Parts(NamedTuple):
    """What is watched.

    `publisher` and `cluster` are None where nothing of that kind is followed, `proofs` where no canary is pulled.
    """

    door: WarmDoor
    server: Server
    ahead: Ahead
    telling: Telling
    log: Log | QueuedLog
    bugs: Counter[str]
    publisher: Publisher | None
    cluster: "ClusterPublisher | None"
    proofs: "Proofs | None" = None


class Observing:
    """Serves the pages of one daemon."""

    def __init__(self, address: Address, parts: Parts, bug: Callable[[Exception], None]) -> None:
        """Nothing is served yet.  `bug` is told the exceptions that nobody foresaw."""
        self._asked_for = address
        self._parts = parts
        self._served: Address | None = None
        self._trouble = "not begun"
        self._survey = Survey(parts.door)
        self._exposition = Exposition()
        self._limiter = CapacityLimiter(1)
        self._ready = _Kept(self._unready)
        metrics = _Kept(self._metrics)
        self._server = HttpServer({"/metrics": metrics.get, "/healthz": _alive, "/readyz": self._readiness}, bug)
        self.works: tuple[Callable[[], Awaitable[None]], ...] = (self._serve, self._survey.run)
        """What is to run for as long as the daemon does."""

    def as_json(self) -> dict[str, str | None]:
        """For people: where it is served, or why not."""
        return {"address": str(self._served) if self._served else None, "trouble": self._trouble}

    async def _serve(self) -> None:
        """Listen, as soon as that can be had, and serve until cancelled."""
        while True:
            try:
                listener = await http_server.listening(self._asked_for)
            except OSError as error:
                trouble = f"{self._asked_for}: {error.strerror or error}"
                if trouble != self._trouble:
                    self._parts.log.warning("metrics not served", trouble=trouble, next_try=f"every {RETRY:g} s")
                self._trouble = trouble
                await anyio.sleep(RETRY)
                continue
            self._served, self._trouble = http_server.address_of(listener), ""
            self._parts.log.info("metrics served", address=str(self._served))
            try:
                await self._server.serve(listener)
            finally:
                self._served, self._trouble = None, "ended"

    async def _readiness(self) -> Page:
        trouble = await self._ready.get()
        return Page(503, f"{trouble}\n".encode("ascii", "replace")) if trouble else Page(200, b"ready\n")

    async def _unready(self) -> str:
        """Why the daemon is not ready; empty if it is."""
        state = await self._state()
        if state is None:
            return "the node's state can't be read now: no descriptor is left"
        if isinstance(state.node.config, Unavailable):
            return shortened(printable(state.node.config.message), _MOST_TEXT)
        try:
            said = await to_thread.run_sync(self._ask, limiter=self._limiter, abandon_on_cancel=True)
        except HostError as error:
            return shortened(printable(error.message), _MOST_TEXT)
        return "" if said else "nobody listens at the daemon's socket"

    def _ask(self) -> bool:
        """Whether our own socket answers.  Raises `HostError`."""
        return ipc.Client(self._parts.door.root).ask(ipc.STATUS, seconds=ANSWERING) is not None

    async def _state(self) -> State | None:
        try:
            return await self._parts.door.state()
        except Declined:
            return None

    async def _metrics(self) -> Page:
        trouble = await self._ready.get()
        sight = self._sight(await self._state(), is_ready=not trouble)
        content = await to_thread.run_sync(self._rendered, sight, limiter=self._limiter, abandon_on_cancel=True)
        return Page(200, content, CONTENT_TYPE)

    def _rendered(self, sight: Sight) -> bytes:
        since = SnapshotStore(self._parts.door.root).in_force_since()
        standing = self._parts.door.now(sight.state.node.standing) if sight.state else None
        wiring = reconciled.read(self._parts.door.root)
        return self._exposition.render(list(families(sight._replace(since=since, standing=standing, wiring=wiring))))

    def _sight(self, state: State | None, *, is_ready: bool) -> Sight:
        """What is seen now: a copy of all that changes."""
        door, server, ahead, telling, log, bugs, publisher, cluster, proofs = self._parts
        counters = telling.counters
        return Sight(
            now=moment(),
            answered=Answered(
                dict(counters.answers),
                dict(counters.decisions),
                dict(counters.causes),
                counters.stale,
                counters.would_deny,
                counters.gaps,
                counters.losses,
            ),
            working=Working(
                pulls={how.value: count for how, count in door.pulls.items()},
                latency=door.latency.seen(),
                running=door.turns.running,
                waiting=door.turns.waiting,
                refused=server.refused,
                cut_off=self._server.cut_off,
                ahead_waiting=ahead.waiting,
                ahead_done=ahead.done,
                ahead_dropped=ahead.dropped,
                lines_dropped=log.dropped,
                bugs=dict(bugs),
                is_ready=is_ready,
            ),
            found=self._survey.found,
            state=state,
            since=None,
            is_refused=publisher.is_refused if publisher else None,
            following=_following(cluster) if cluster else None,
            proving=Proving(proofs.proved, dict(proofs.counts)) if proofs else None,
        )


def _following(cluster: "ClusterPublisher") -> Following:
    counts = (cluster.accepted, cluster.quarantined, cluster.events_dropped)
    pods, secrets = cluster.pods, cluster.secrets.counts()
    return Following(cluster.progress, *counts, secrets, pods is not None, pods.progress if pods else None)


async def _alive() -> Page:
    """The event loop runs: nobody else could have said so."""
    return Page(200, b"ok\n")


class _Kept(Generic[_Value]):
    """Something that is found out by one at a time, and counts for `FRESH` seconds."""

    def __init__(self, find: Callable[[], Awaitable[_Value]]) -> None:
        self._find = find
        self._lock = anyio.Lock()
        self._kept: tuple[float, _Value] | None = None

    async def get(self) -> _Value:
        """What `find` gives, now or a moment ago."""
        async with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > FRESH:
                value = await self._find()
                self._kept = (time.monotonic(), value)
            return self._kept[1]
