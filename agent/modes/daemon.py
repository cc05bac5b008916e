"""The daemon, the process of `nodeseal watch`: its parts are made here and put together (a composition root).

Nothing on the node depends on it: a child that asks and gets no answer does the work alone.
"""

import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TextIO

import anyio
from anyio import to_thread

from agent import __version__
from agent.adapters import files, ipc, reconciled, spool
from agent.adapters.budget import USUAL, Budget, divided, is_too_low, limit_here
from agent.adapters.forkserver import ForkServer
from agent.adapters.ipc_server import Pending, Server
from agent.adapters.pull_secrets import PullSecretFiles
from agent.adapters.queued_log import QueuedLog
from agent.adapters.telemetry import Log, open_log
from agent.errors import HostError
from agent.modes.aging import Aging
from agent.modes.ahead import Ahead, Why
from agent.modes.publishing import Publisher
from agent.modes.source import Cluster, Source
from agent.modes.tasks import Proving
from agent.modes.telling import Telling
from agent.modes.warm import WarmDoor
from agent.modes.warm_access import Connections
from agent.modes.warmstate import Declined, State
from agent.rules.precedence import Standing

if TYPE_CHECKING:
    from agent.model.address import Address
    from agent.modes.clustering import ClusterPublisher
    from agent.modes.nodekeeping import NodeKeeper
    from agent.modes.observing import Observing
    from agent.modes.proofs import Proofs

SCHEMA_VERSION = "1"
"""Version of what the daemon says to people's commands."""

_LOCK_WAIT = 10.0  # seconds for which an earlier daemon may take to end
_LOOK = 0.5  # seconds between two looks for another configuration
_REST = 1.0  # seconds before work that ended by a bug, or for lack of something, begins anew
_DESCRIPTORS = 4096  # children's connections, twice, and registries'
_PRIORITY = -5  # children that hear nothing for a second do the work alone, which costs a busy node more


def run(
    root: str,
    source: Source,
    environment: Mapping[str, str],
    *,
    log: tuple[TextIO, str],
    metrics: "Address | None",
    proving: Proving | None = None,
    memory: int | None = None,
    server: ForkServer | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.  Raises `HostError` if another daemon serves, or if there can be no socket.

    `root` is what the node's folders are under.  `log` is a stream and the form of its lines.  `metrics` is where they
    are served, None for nowhere.  `proving` is how it is proved that pulls are verified, None for not.  `memory` is the
    most bytes to take, None for the kernel's limit or the usual one.  `server` makes worker processes; without it they
    are copies of this process.
    """
    _take_what_is_needed()
    told = QueuedLog(open_log(*log))
    budget = _budget(memory, told)
    daemon = _Daemon(root, source, environment, told, metrics=metrics, proving=proving, budget=budget, server=server)
    folder = os.path.join(root, ipc.FOLDER)
    try:
        files.make_private_folder(folder)
        waiting = partial(told.info, "waiting for another daemon to end", folder=folder, seconds=_LOCK_WAIT)
        with files.locked(f"{folder}/{ipc.LOCK}", wait=_LOCK_WAIT, waiting=waiting):
            anyio.run(daemon.run)
    except TimeoutError:
        raise HostError(f"{folder}: got another daemon that serves it; expected none", hint="stop that one") from None
    except OSError as error:
        message = f"{folder}: got {error.strerror or error}; expected to serve a socket there"
        raise HostError(message, hint=files.next_step(error)) from error
    finally:
        told.close()


def _take_what_is_needed() -> None:
    """As many descriptors as connections may want, and the processor before those who stand still until we answer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _DESCRIPTORS)), hard))
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)


def _budget(memory: int | None, log: QueuedLog) -> Budget:
    """The shares of memory below the lower of the option's limit and the kernel's; warn if that is too low."""
    limits = [each for each in (memory, limit_here()) if each is not None]
    limit = min(limits, default=USUAL)
    if is_too_low(limit):
        log.warning("memory limit too low", limit=limit, needed=divided(limit).total)
    return divided(limit)


class _Daemon:
    """The parts of one process."""

    def __init__(
        self,
        root: str,
        source: Source,
        environment: Mapping[str, str],
        log: Log | QueuedLog,
        *,
        metrics: "Address | None" = None,
        proving: Proving | None = None,
        budget: Budget | None = None,
        server: ForkServer | None = None,
    ) -> None:
        self._root = root
        self._fork_server = server
        self._budget = budget or divided(USUAL)
        self._source = source
        self._cluster: ClusterPublisher | None = None
        self._metrics = metrics
        self._observing: Observing | None = None
        self._proving = proving
        self._proofs: Proofs | None = None
        self._keeper: NodeKeeper | None = None
        self._environment = environment
        self._log = log
        self._since = time.time()
        self._bugs: Counter[str] = Counter()
        self._published = anyio.Event()
        self._state: State | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, from now on.  Raises `OSError` if there can be no socket."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            await self._serve(signals)

    async def _serve(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Listen, make the parts, and have them work until a signal comes."""
        folder = self._source.folder
        told = (self._log, self._bug, self._environment, self._look)
        publisher = Publisher(folder, self._root, *told) if folder else None
        if publisher:
            await publisher.publish()
        with suppress(OSError):  # then nothing is told, as with every other process
            files.make_private_folder(os.path.join(self._root, spool.FOLDER))
        listening = ipc.listening(self._root)  # whoever comes before we serve waits for as long
        which = ipc.number(self._root)
        run_job = self._fork_server.run_job if self._fork_server else None
        async with Connections(self._root, self._environment) as connections, anyio.create_task_group() as group:
            self._door = WarmDoor(self._root, connections, group, self._bug, self._budget, run_job)
            self._server = Server(self._answer, self._bug)
            self._ahead = Ahead(self._door, self._log)
            self._telling = Telling(self._root, self._log, lambda image: self._ahead.queue(Why.LET_IN, [image]))
            generation = await self._first_state()
            if not self._source.cluster:
                await to_thread.run_sync(self._without_secrets)
            memory = self._budget.limit
            self._log.info("serving", version=__version__, root=self._root, generation=generation, memory=memory)
            group.start_soon(self._server.serve, listening)
            aging = Aging(self._standing, self._log)
            always = (self._ahead.run, self._telling.run, self._follow, aging.run)
            for work in (*always, *self._optional_works(publisher)):
                group.start_soon(self._lasting, work)
            async for _ in signals:
                break
            ipc.take_away(self._root, which)
            self._log.info("stopping")
            group.cancel_scope.cancel()

    def _optional_works(self, publisher: Publisher | None) -> Iterator[Callable[[], Awaitable[None]]]:
        """The work of those parts that only some daemons have; makes them."""
        cluster = self._source.cluster
        if self._fork_server:
            yield partial(self._watch_fork_server, self._fork_server)
        if publisher:
            yield publisher.run
        if cluster:
            self._cluster = self._make_cluster_publisher(cluster)
            yield self._cluster.run
        if self._proving:
            self._proofs = self._make_proofs(self._proving)
            yield self._proofs.run
            if cluster:
                self._keeper = self._make_node_keeper(cluster, self._proofs)
                yield partial(self._keeper.follow, cluster, self._environment)
        if self._metrics:
            self._observing = self._make_observing(self._metrics, publisher)
            yield from self._observing.works

    def _make_cluster_publisher(self, cluster: Cluster) -> "ClusterPublisher":
        from agent.modes.clustering import ClusterPublisher  # and Kubernetes' library, which nobody else needs

        world = (self._root, cluster, self._environment, self._log)
        queue = partial(self._ahead.queue, Why.POD)
        return ClusterPublisher(*world, published=self._look, bug=self._bug, queue=queue)

    async def _first_state(self) -> str:
        """Load what is in force, and return its generation; if that can't be done now, `_follow` does so later."""
        try:
            state = await self._door.state()
        except Declined:
            return ""
        self._state = state
        await self._warm_up(state)
        return state.generation

    def _standing(self) -> Standing | None:
        """What holds now; None before anything was read."""
        return self._door.now(self._state.node.standing) if self._state else None

    def _look(self) -> None:
        """A configuration was published: have `_follow` load it now."""
        self._published.set()

    def _make_observing(self, address: "Address", publisher: Publisher | None) -> "Observing":
        from agent.modes.observing import Observing, Parts  # and Prometheus' library, and HTTP's other side

        parts = (self._door, self._server, self._ahead, self._telling, self._log, self._bugs, publisher, self._cluster)
        return Observing(address, Parts(*parts, self._proofs), self._bug)

    def _make_proofs(self, proving: Proving) -> "Proofs":
        from agent.modes.looking import look  # and what reads containerd's configuration, and speaks to it
        from agent.modes.proofs import Proofs

        return Proofs(self._root, proving, self._log, look=partial(look, self._root, proving.cri_socket))

    def _make_node_keeper(self, cluster: Cluster, proofs: "Proofs") -> "NodeKeeper":
        from agent.modes.clustering import node_name
        from agent.modes.nodekeeping import NodeKeeper
        from agent.modes.sweeping import sweep

        name, taint = cluster.node or node_name(self._root), self._proving.taint if self._proving else None
        swept = partial(sweep, proofs, self._door, self._ahead, self._log)
        wiring = partial(reconciled.trouble, self._root)
        return NodeKeeper(name, proofs, self._log, taint=taint, sweep=swept, wiring=wiring)

    async def _lasting(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do work that has no end; after a bug, which is told, it begins anew."""
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the rest of the daemon goes on
                self._bug(error)
            await anyio.sleep(_REST)

    async def _watch_fork_server(self, server: ForkServer) -> None:
        """Log the end of the fork server: from then on workers are copies of this process, and take more memory."""
        descriptor = os.pidfd_open(server.pid)
        try:
            await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)
        self._log.error("process for workers has ended", hint="restart the daemon: it has workers of its own till then")
        await anyio.sleep_forever()

    async def _follow(self) -> None:
        """Notice another configuration before a pull does: at once if this process published it."""
        generation = ""
        while True:
            try:
                state = await self._door.state()
            except Declined:  # it is short of something; a pull that comes now does without it
                await anyio.sleep(_REST)
                continue
            self._state = state
            if self._cluster:
                self._cluster.want_secrets(state.node.config)
            if state.generation and state.generation != generation:
                self._log.info("generation", generation=state.generation, before=generation)
                generation = state.generation
                await self._warm_up(state)
                await self._ahead.changed(state)
            with anyio.move_on_after(_LOOK):
                await self._published.wait()
            self._published = anyio.Event()

    def _without_secrets(self) -> None:
        """Remove pull secrets that an earlier daemon kept: without a cluster nobody would ever renew or remove them."""
        try:
            PullSecretFiles(self._root).keep_only(())
        except OSError as error:
            self._log.error("credentials not removed", problem=str(error))

    async def _warm_up(self, state: State) -> None:
        """Load what pulls will need.  What can't be loaded is told, and tried again by the pull that needs it."""
        try:
            await to_thread.run_sync(self._door.warm_up, state)
        except Exception as error:  # noqa: BLE001 - pulls are answered without it
            self._bug(error)

    def _answer(self, question: ipc.Question) -> Pending:
        """What answers a question, by its kind."""
        if question.kind == ipc.PULL:
            return self._door.pull(question)
        if question.kind == ipc.AHEAD:
            return _Immediate(self._queue_named(question.body))
        return _Immediate(self._status())

    def _queue_named(self, body: bytes) -> dict[str, object]:
        """Queue images that somebody named."""
        images = body.decode("utf-8", "replace").split("\n")
        return {"queued": self._ahead.queue(Why.NAMED, images), "waiting": self._ahead.waiting}

    def _status(self) -> dict[str, object]:
        """What the daemon says of itself."""
        turns = self._door.turns
        return {
            "version": __version__,
            "pid": os.getpid(),
            "since": self._since,
            "running": turns.running,
            "waiting": turns.waiting,
            "refused": self._server.refused,
            "memory": self._door.rooms.as_json(),
            "ahead": {"waiting": self._ahead.waiting, "done": self._ahead.done, "dropped": self._ahead.dropped},
            "told": self._telling.counters.as_json(),
            "linesDropped": self._log.dropped,
            "writesDropped": self._door.beside.dropped,
            "cluster": self._cluster.as_json() if self._cluster else None,
            "metrics": self._observing.as_json() if self._observing else None,
            "proof": self._proofs.as_json() if self._proofs else None,
            "node": self._keeper.as_json() if self._keeper else None,
            "bugs": dict(self._bugs),
        }

    def _bug(self, error: Exception) -> None:
        """Tell of an exception that nobody foresaw, by its kind and place: its text may hold secrets."""
        self._bugs[type(error).__name__] += 1
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        at = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
        self._log.error("bug", kind=type(error).__name__, at=at)


class _Immediate:
    """`ipc_server.Pending` for an answer that is known at once."""

    def __init__(self, value: dict[str, object]) -> None:
        self._content = json.dumps({"schemaVersion": SCHEMA_VERSION, **value}).encode()

    def is_busy(self) -> bool:
        """It never waits."""
        return False

    async def message(self) -> bytes:
        """The content."""
        return ipc.said(self._content)

    def told(self) -> None:
        """Nothing is left to do."""
