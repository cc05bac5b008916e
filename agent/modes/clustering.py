"""Publishes what the labelled ConfigMaps of a namespace say, whenever one of them has changed.

Decisions are elsewhere: which ConfigMaps count (`agent.config.discovery`), what they come to together
(`agent.config.merging`), how to stay current (`agent.cluster.following`), for how long a configuration counts that
nobody has confirmed since (`agent.rules.age`).  What can't be used changes nothing: the last good version of each
document stays in force, and an event on its ConfigMap says why (`agent.modes.clustertelling`).

Putting in force is a transaction.  What is in force of each document is written under the lock of publishing, before
the switch: killed anywhere, a node has the old snapshot or the new one, and comes to the new one when it merges again.
"""

import os
import random as chance
import time
from collections.abc import Callable, Mapping, Sequence

import anyio
from anyio import to_thread

from agent.adapters.inforce import InForceFile
from agent.adapters.kube import ApiServer
from agent.adapters.kube_access import Credentials
from agent.adapters.kube_events import Events
from agent.adapters.kube_follow import Follower, Progress
from agent.adapters.nodestate import NodeState, moment
from agent.adapters.policy_worker import Trials
from agent.adapters.snapshots import SnapshotStore
from agent.cluster import selections
from agent.cluster.notices import Notice, Reason
from agent.cluster.troubles import ApiError, Trouble
from agent.config.config import Config
from agent.config.dialect import Node
from agent.config.discovery import Discovery, discovered, has_selectors
from agent.config.documentset import NamedDocuments
from agent.config.inforce import InForce
from agent.config.joining import in_turn
from agent.config.merging import Merged, merged
from agent.config.reading import Reading
from agent.errors import Cause, ConfigurationError, HostError, Problem, Unavailable
from agent.model.configmap import ConfigMap
from agent.modes import signing
from agent.modes.aging import Noting
from agent.modes.clustertelling import ClusterTelling, Published
from agent.modes.config import bootstrap_of
from agent.modes.keys import Keys, Source, sources_of
from agent.modes.podimages import PodsImages, Queue
from agent.modes.secrets import Secrets
from agent.modes.signing import Demand, Judged
from agent.modes.source import Cluster
from agent.ports import Log
from agent.rules import lockout
from agent.rules.breakglass import Moment
from agent.rules.floor import Floor
from agent.rules.ruleset import WhenMissing

RETRY = 10.0
"""Seconds after which what failed on this host, or at the API server's credentials, is tried again."""

NOTED_WITHIN = 1.0
"""Seconds after which it is noted that the API server has told everything, at the latest, where that is due."""

MOST_SOURCES = 256
"""Sources of keys that are followed."""

LOOK = 60.0
"""Mean seconds between two looks at this node: its labels, if a selector asks for them, and its bootstrap document."""

KNOWN_FOR = 600.0
"""Seconds for which documents that have not changed are not read again; some of what is said of them ends by time."""

MOST_REST = 10.0
"""Most seconds of rest after a merge, which else are as many as the merge took.

So whoever changes a ConfigMap all the time takes at most half of the processor's and the disk's time: pulls go on.
"""

_UNKNOWN_FOR_NOW = (
    Trouble.CREDENTIALS,
    Trouble.SILENT,
    Trouble.THROTTLED,
    Trouble.UNAUTHORIZED,
    Trouble.UNAVAILABLE,
)
"""Troubles that pass: the node's labels are asked for again before anything is published."""


class _Known:
    """A cache of readings, so that the next merge does not make them again; valid for one floor, and for a while."""

    def __init__(self) -> None:
        self._readings: Mapping[bytes, Reading] = {}
        self._floor: Floor | None = None
        self._since = 0.0

    def under(self, floor: Floor, clock: float) -> Mapping[bytes, Reading]:
        """The readings that still count: none where signatures are demanded, as these depend on serials."""
        if floor != self._floor or floor.signed_by or clock - self._since > KNOWN_FOR:
            self._readings, self._floor, self._since = {}, floor, clock
        return self._readings

    def keep(self, readings: Mapping[bytes, Reading]) -> None:
        """Keep the readings of the last merge, and no others."""
        self._readings = readings


class ClusterPublisher:
    """Follows one namespace, for one root."""

    def __init__(
        self,
        root: str,
        cluster: Cluster,
        environment: Mapping[str, str],
        log: Log,
        *,
        published: Callable[[], None] = lambda: None,
        bug: Callable[[Exception], None] = lambda error: None,
        queue: Queue = lambda _: 0,
        random: Callable[[], float] = chance.random,
    ) -> None:
        """`environment` tells a pod where its API server is.

        `published` is called, in the event loop, when something has been put in force or withdrawn; `bug` is told the
        exceptions that nobody foresaw; `queue` takes images that are to be verified ahead; `random` gives numbers from
        0 up to 1.
        """
        self._random = random
        self._root = root
        self._cluster = cluster
        self._environment = environment
        self._log = log
        self._when_published = published
        self._bug = bug
        self._file = InForceFile(root)
        self._in_force: InForce | None = None
        self._store = SnapshotStore(root)
        self._node = cluster.node or node_name(root)
        self._labels: Mapping[str, str] | None = None
        self._labels_known = False
        self._bootstrap: bytes | None = None
        self._known = _Known()
        self._telling = ClusterTelling(log)
        self._follower: Follower[ConfigMap] | None = None
        self._events: Events | None = None
        self._applied: Mapping[str, ConfigMap] | None = None
        self._complete: Moment | None = None
        self._applying = anyio.Lock()
        self._rested = 0.0  # from when on the next merge may begin
        self._noting = Noting(root, log)
        self._keys = Keys(root, environment, log, random=random)
        self.secrets = Secrets(root, log)
        self.pods = PodsImages(log, queue) if cluster.pods else None

    @property
    def progress(self) -> Progress | None:
        """How following goes, None before it has begun."""
        return self._follower.progress() if self._follower else None

    @property
    def events_dropped(self) -> int:
        """Events that were too many."""
        return self._events.dropped if self._events else 0

    @property
    def accepted(self) -> int:
        """Documents in force, in their newest version."""
        return self._telling.accepted

    @property
    def quarantined(self) -> int:
        """Documents whose newest version is not in force."""
        return self._telling.quarantined

    def as_json(self) -> dict[str, object]:
        """How following and publishing go, for people and for metrics."""
        beside = {
            **self._telling.as_json(),
            "secrets": self.secrets.as_json(),
            "pods": self.pods.as_json() if self.pods else None,
        }
        if self._follower is None:
            return {"objects": None, "trouble": "not begun", **beside}
        progress = self._follower.progress()
        complete = progress.last_complete.wall.isoformat(timespec="seconds") if progress.last_complete else None
        return {
            "objects": progress.objects,
            "lists": progress.lists,
            "watches": progress.watches,
            "failures": dict(progress.failures),
            "trouble": progress.trouble,
            "lastComplete": complete,
            **beside,
        }

    def want_secrets(self, in_force: Config | Unavailable) -> None:
        """Have the Secrets that the configuration in force names; one that can't be read does not say."""
        if isinstance(in_force, Config):
            self.secrets.want(in_force.secrets)
        elif in_force.cause is Cause.CONFIGURATION_MISSING:
            self.secrets.want({})

    async def run(self) -> None:
        """Follow until cancelled."""
        credentials = Credentials(self._environment, kubeconfig=self._cluster.kubeconfig)
        while True:
            try:
                namespace = self._cluster.namespace or await credentials.namespace()
                break
            except ApiError as error:
                self._log.error("API server unknown", reason=str(error))
                await anyio.sleep(RETRY)
        async with ApiServer(credentials) as server, anyio.create_task_group() as group:
            events = Events(server, self._node)
            self._events = events
            group.start_soon(events.run)
            label = self._cluster.label
            self._follower = Follower(server, selections.configmaps(namespace, label))
            self._log.info("following ConfigMaps", namespace=namespace, label=label)
            for work in (self._look_for_ever, self._refresh_for_ever):
                group.start_soon(work, server, events)
            group.start_soon(self._note_for_ever)

            async def apply(state: Mapping[str, ConfigMap]) -> None:
                """A complete state."""
                await self._apply(state, server, events)

            def tell(owner: str, message: str) -> bool:
                """Write an event about a Secret on the ConfigMap that names it."""
                found = self._configmap(owner)
                if found is not None:
                    events.tell(Notice.of(found, Reason.SECRET_UNAVAILABLE, message))
                return found is not None

            group.start_soon(self.secrets.run, server, namespace, tell)
            if self.pods:
                group.start_soon(self.pods.run, server, self._node)
            await self._follower.follow(apply)

    def _configmap(self, owner: str) -> ConfigMap | None:
        """The ConfigMap `NAMESPACE/NAME`, if it is there."""
        namespace, _, name = owner.partition("/")
        state = self._follower.state if self._follower else None
        found = state.get(name) if state else None
        return found if found is not None and found.namespace == namespace else None

    async def _refresh_for_ever(self, server: ApiServer, events: Events) -> None:
        """Fetch keys when they are due, and publish again if they are others."""
        while True:
            await anyio.sleep(NOTED_WITHIN)
            if self._keys.is_due() and await to_thread.run_sync(self._refreshed) and self._applied is not None:
                await self._apply(self._applied, server, events)

    def _refreshed(self) -> bool:
        """Fetch the keys that are due; whether any are not what they were."""
        try:
            return self._keys.refresh()
        except HostError as error:
            self._log.error("keys not kept", problem=error.message)
            return False

    async def _note_for_ever(self) -> None:
        """Note for how long what is in force counts, as long as it is what the API server says."""
        while True:
            complete = self._complete_now()
            if complete is not None:
                await to_thread.run_sync(self._noting.note, complete)
            await anyio.sleep(NOTED_WITHIN)

    def _complete_now(self) -> Moment | None:
        """When the API server last said all of what is in force; None if it has not.

        Who changes his ConfigMap all the time keeps what is in force from being the newest, not from having been it.
        """
        follower = self._follower
        if follower and follower.last_complete and follower.state is self._applied is not None:
            self._complete = follower.last_complete
        return self._complete

    async def _look_for_ever(self, server: ApiServer, events: Events) -> None:
        """Look now and then at what no watch tells of: the node's labels, and its bootstrap document."""
        while True:
            await anyio.sleep(self._about(LOOK))
            self._telling.remind(events, time.monotonic())
            state = self._follower.state if self._follower else None
            if state is not None and await self._node_changed(state, server):
                await self._apply(state, server, events)

    async def _node_changed(self, state: Mapping[str, ConfigMap], server: ApiServer) -> bool:
        """Whether the node's bootstrap document has changed, or its labels, where a selector asks for them."""
        if await to_thread.run_sync(self._bootstrap_now) != self._bootstrap:
            return True
        if not has_selectors(state.values(), label=self._cluster.label):
            return False
        try:
            labels = await server.node_labels(self._node)
        except ApiError:
            return False
        before, self._labels = self._labels, labels
        return labels != before

    async def _apply(self, state: Mapping[str, ConfigMap], server: ApiServer, events: Events) -> None:
        """Publish a complete state, or the newest one that has come meanwhile; tried again until this host takes it."""
        async with self._applying:
            await anyio.sleep(max(self._rested - time.monotonic(), 0.0))
            while True:
                state = (self._follower.state if self._follower else None) or state
                complete = self._follower.last_complete if self._follower else None
                try:
                    await self._know_labels(state, server)
                    begun = time.monotonic()
                    discovery, published = await to_thread.run_sync(self._published, state, self._labels)
                    self._rested = time.monotonic() + min(time.monotonic() - begun, MOST_REST)
                    break
                except (HostError, ConfigurationError, ApiError) as error:
                    reason = error.message
                except Exception as error:  # noqa: BLE001 - what is in force stays, and the rest of the daemon goes on
                    self._bug(error)
                    reason = f"an unexpected {type(error).__name__}"
                before = self._in_force or InForce()
                self._telling.failed(reason, state, before, events, moment().wall)
                await anyio.sleep(self._about(RETRY))
            self._applied, self._complete = state, complete
            self._when_published()
            now, clock = moment().wall, time.monotonic()
            self._telling.published(state, discovery, published, events, at=now, clock=clock)
            if published.merge.trust_grew:
                await to_thread.run_sync(self._note_trust, published.merge.in_force)

    def _about(self, seconds: float) -> float:
        """`seconds`, a quarter more or less: nodes that began together must not all ask together."""
        return seconds * (0.75 + self._random() / 2)

    async def _know_labels(self, state: Mapping[str, ConfigMap], server: ApiServer) -> None:
        """Ask for the labels of this node if a selector does; `_look_for_ever` asks again.

        None if we may not know them: then a document with a selector does not count.  Raises `ApiError` while nobody
        says: what is in force must not go because of that.
        """
        if not has_selectors(state.values(), label=self._cluster.label):
            self._labels_known = False
            return
        if self._labels_known:
            return
        try:
            self._labels = await server.node_labels(self._node)
        except ApiError as error:
            if error.trouble in _UNKNOWN_FOR_NOW:
                raise
            self._labels = None
        self._labels_known = True

    def _bootstrap_now(self) -> bytes | None:
        """The bootstrap document; empty if it can't be read."""
        try:
            return NodeState(self._root).bootstrap_content()
        except HostError:
            return b""

    def _published(
        self, state: Mapping[str, ConfigMap], labels: Mapping[str, str] | None
    ) -> tuple[Discovery, Published]:
        """Merge and publish.  Raises `HostError`, `ConfigurationError` for a floor that can't be believed."""
        node_state, signatures = NodeState(self._root), dict[str, Judged]()
        self._bootstrap = self._bootstrap_now()
        bootstrap = bootstrap_of(node_state)
        floor = bootstrap.floor
        demand = signing.demand(floor, self._root)
        discovery = discovered(state.values(), floor=floor, node_labels=labels, label=self._cluster.label)
        if self._in_force is None:
            self._in_force = self._file.load()
        before = self._in_force
        self._keys.use(self._sources(discovery, before, demand), local=floor.local_keys)
        trials = Trials()
        merge = merged(
            discovery.candidates,
            before,
            node=Node(floor, moment().wall, self._keys.contents(), lockout.needs(bootstrap), trials, trials.labour),
            judge=lambda documents, config: _judged(demand, documents, config, signatures),
            known=self._known.under(floor, time.monotonic()),
        )
        self._known.keep(merge.known)
        if merge.refused:
            raise ConfigurationError(f"all ConfigMaps together: {merge.refused[0]}", problems=merge.refused)
        if merge.config is None:
            self._file.save(merge.in_force)  # whatever comes under an old name must not bring back what was deleted
            self._without_documents()
            self._in_force = merge.in_force
            return discovery, Published(merge, "", before)
        node_state.begin(merge.config.ruleset.break_glass)
        judged = signatures.get(str(merge.config.ruleset.serial))

        def admit() -> None:
            """A last good version, which is not judged again, was admitted when it came.  Then the switch follows."""
            if judged is not None:
                signing.admit(demand, judged)
            self._save(merge, before)

        ruleset = merge.config.ruleset._replace(from_cluster=True)
        generation = self._store.publish(merge.config._replace(ruleset=ruleset), admit=admit)
        self._noting.greatest_age = ruleset.greatest_age
        self._in_force = merge.in_force
        return discovery, Published(merge, generation, before)

    def _save(self, merge: Merged, before: InForce) -> None:
        """What is trusted anew is noted once it was told: `_note_trust`.  Raises `HostError`."""
        noted = merge.in_force
        if merge.trust_grew:
            noted = noted._replace(trusted=noted.trusted & before.trusted)
        if noted != before:
            self._file.save(noted)

    def _note_trust(self, in_force: InForce) -> None:
        """Note what is trusted, once that was told; if it can't be noted, the next process tells it again."""
        try:
            self._file.save(in_force)
        except HostError as error:
            self._log.warning("trust not noted", problem=error.message)

    def _sources(self, discovery: Discovery, before: InForce, demand: Demand) -> list[Source]:
        """The keys that documents name, those in force first; none for what nobody signed, where that counts.

        Of too many, one of each document after another.  They are not fetched here: one that takes its time must not
        keep the others from being published.
        """
        in_force = [_sources_in(each.name, each.documents) for each in before.documents]
        newest = [_sources_in(each.name, each.documents, demand) for each in discovery.candidates]
        return list(dict.fromkeys([*in_turn(in_force), *in_turn(newest)]))[:MOST_SOURCES]

    def _without_documents(self) -> None:
        """No document has a place: what was in force says what becomes of it (`whenMissing`).  Raises `HostError`."""
        try:
            before = self._store.load().ruleset
        except Unavailable:
            return
        if before.when_missing is WhenMissing.FAILURE_POLICY:
            self._store.withdraw()
            self._log.warning("configuration withdrawn", reason="no ConfigMap counts, and whenMissing is FailurePolicy")
        else:
            self._log.warning("configuration kept", reason="no ConfigMap counts, and whenMissing is KeepLast")


def _sources_in(name: str, contents: Mapping[str, bytes], demand: Demand | None = None) -> list[Source]:
    try:
        documents = NamedDocuments.of(contents, name)
    except ConfigurationError:
        return []
    if demand and any(problem.fatal for problem in signing.judged(demand, documents, None).problems):
        return []
    return sources_of(documents)


def _judged(
    demand: Demand, documents: NamedDocuments, config: Config | None, found: dict[str, Judged]
) -> Sequence[Problem]:
    """What is wrong with a document's signatures; `found` keeps, by serial, what came of those that are signed well.

    Of no others: who may write a ConfigMap may write another's serial into it.
    """
    judged = signing.judged(demand, documents, config)
    if config is not None and judged.key is not None and not any(problem.fatal for problem in judged.problems):
        found[str(config.ruleset.serial)] = judged
    return judged.problems


def node_name(root: str) -> str:
    """This node's name: what the bootstrap document says, else the host's."""
    return NodeState(root).bootstrap().node_name or os.uname().nodename
