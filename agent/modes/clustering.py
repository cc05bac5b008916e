"""Publishes what the labelled ConfigMaps of a namespace say, whenever one of them has changed.

Decisions are elsewhere: which ConfigMaps count (`agent.config.discovery`), what they come to together
(`agent.config.merging`), how to stay current (`agent.cluster.following`), for how long a configuration counts that
nobody has confirmed since (`agent.rules.age`).  What can't be used changes nothing: the last
good version of each document stays in force, and an event on its ConfigMap says why.
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import anyio
from anyio import to_thread

from agent.adapters.inforce import InForceFile
from agent.adapters.kube import ApiServer
from agent.adapters.kube_access import Credentials
from agent.adapters.kube_events import Events
from agent.adapters.kube_follow import Follower, Progress
from agent.adapters.nodestate import NodeState, moment
from agent.adapters.snapshots import SnapshotStore
from agent.cluster.notices import Notice, Reason
from agent.cluster.troubles import ApiError
from agent.config.config import Config
from agent.config.dialect import Node
from agent.config.discovery import LABEL, Discovery, discovered
from agent.config.documentset import NamedDocuments
from agent.config.inforce import InForce
from agent.config.keysources import KeySource
from agent.config.merging import Merged, merged
from agent.errors import ConfigurationError, HostError, Problem, Unavailable
from agent.model.configmap import ConfigMap
from agent.modes import signing
from agent.modes.aging import Noting
from agent.modes.config import bootstrap_of
from agent.modes.keys import Keys, sources_of
from agent.modes.signing import Demand, Judged
from agent.modes.source import Cluster
from agent.ports import Log
from agent.rules.ruleset import WhenMissing

RETRY = 10.0
"""Seconds after which what failed on this host, or at the API server's credentials, is tried again."""

NOTED_WITHIN = 1.0
"""Seconds after which it is noted that the API server has told everything, at the latest, where that is due."""

MOST_SOURCES = 256
"""Sources of keys that are followed."""

_MOST_TOLD = 5


class _Published(NamedTuple):
    """What a merge came to; `generation` is empty if nothing is in force by it."""

    merge: Merged
    generation: str


class ClusterPublisher:
    """Follows one namespace, for one root."""

    def __init__(self, root: str, cluster: Cluster, environment: Mapping[str, str], log: Log) -> None:
        """`environment` tells a pod where its API server is."""
        self._root = root
        self._cluster = cluster
        self._environment = environment
        self._log = log
        self._file = InForceFile(root)
        self._store = SnapshotStore(root)
        self._node = cluster.node or node_name(root)
        self._told: dict[str, str] = {}
        self._follower: Follower | None = None
        self._applied: Mapping[str, ConfigMap] | None = None
        self._noting = Noting(root, log)
        self._keys = Keys(root, environment, log)
        self._applying = anyio.Lock()
        self._events: Events | None = None
        self.accepted = 0
        """Documents in force, in their newest version."""
        self.quarantined = 0
        """Documents whose newest version is not in force."""

    @property
    def progress(self) -> Progress | None:
        """How following goes, None before it has begun."""
        return self._follower.progress() if self._follower else None

    @property
    def events_dropped(self) -> int:
        """Events that were too many."""
        return self._events.dropped if self._events else 0

    def as_json(self) -> dict[str, object]:
        """How following goes, for people."""
        if self._follower is None:
            return {"objects": None, "trouble": "not begun"}
        progress = self._follower.progress()
        complete = progress.last_complete.wall.isoformat(timespec="seconds") if progress.last_complete else None
        return {
            "objects": progress.objects,
            "lists": progress.lists,
            "watches": progress.watches,
            "failures": dict(progress.failures),
            "trouble": progress.trouble,
            "lastComplete": complete,
        }

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
            self._follower = Follower(server, namespace, LABEL)
            group.start_soon(self._note)
            self._log.info("following ConfigMaps", namespace=namespace, label=LABEL)

            async def apply(state: Mapping[str, ConfigMap]) -> None:
                """A complete state."""
                async with self._applying:
                    await self._apply(state, server, events)

            async def refresh() -> None:
                """Keys that are due, for ever."""
                while True:
                    await anyio.sleep(NOTED_WITHIN)
                    if self._keys.is_due() and await to_thread.run_sync(self._refreshed) and self._applied is not None:
                        await apply(self._applied)

            group.start_soon(refresh)
            await self._follower.follow(apply)

    def _refreshed(self) -> bool:
        """Whether keys are not what they were."""
        try:
            return self._keys.refresh()
        except HostError as error:
            self._log.error("keys not kept", problem=error.message)
            return False

    async def _apply(self, state: Mapping[str, ConfigMap], server: ApiServer, events: Events) -> None:
        """Publish a complete state; tried again until this host takes it: by then the newest one."""
        try:
            labels = await server.node_labels(self._node)
        except ApiError:
            labels = None  # then no document with a node selector counts
        while True:
            try:
                discovery, published = await to_thread.run_sync(self._published, state, labels)
                break
            except (HostError, ConfigurationError) as error:
                self._log.error("configuration refused", problem=error.message)
                await anyio.sleep(RETRY)
                state = (self._follower.state if self._follower else None) or state
        self._applied = state
        self.accepted, self.quarantined = len(published.merge.accepted), len(published.merge.quarantined)
        self._tell(state, discovery, published, events)

    async def _note(self) -> None:
        """Note for how long what is in force counts, as long as it is what the API server says."""
        while True:
            follower = self._follower
            if follower and follower.last_complete and follower.state is self._applied is not None:
                await to_thread.run_sync(self._noting.note, follower.last_complete)
            await anyio.sleep(NOTED_WITHIN)

    def _published(
        self, state: Mapping[str, ConfigMap], labels: Mapping[str, str] | None
    ) -> tuple[Discovery, _Published]:
        """Merge and publish.  Raises `HostError`, `ConfigurationError` for a floor that can't be believed."""
        node_state, signatures = NodeState(self._root), dict[str, Judged]()
        floor = bootstrap_of(node_state).floor
        demand = signing.demand(floor, self._root)
        discovery = discovered(state.values(), floor=floor, node_labels=labels)
        before = self._file.load()
        self._keys.use(self._sources(discovery, before, demand), local=floor.local_keys)
        merge = merged(
            discovery.candidates,
            before,
            node=Node(floor, moment().wall, self._keys.contents()),
            judge=lambda documents, config: _judged(demand, documents, config, signatures),
        )
        if merge.config is None:
            self._without_documents()
            self._file.save(merge.in_force)  # whatever comes under an old name must not bring back what was deleted
            return discovery, _Published(merge, "")
        node_state.begin(merge.config.ruleset.break_glass)
        judged = signatures.get(str(merge.config.ruleset.serial))

        def admit() -> None:
            """A last good version, which is not judged again, was admitted when it came."""
            if judged is not None:
                signing.admit(demand, judged)

        ruleset = merge.config.ruleset._replace(from_cluster=True)
        generation = self._store.publish(merge.config._replace(ruleset=ruleset), admit=admit)
        self._noting.greatest_age = ruleset.greatest_age
        self._file.save(merge.in_force)
        return discovery, _Published(merge, generation)

    def _sources(self, discovery: Discovery, before: InForce, demand: Demand) -> list[KeySource]:
        """The keys that documents name, those in force first; none for what nobody signed, where that counts.

        They are not fetched here: one that takes its time must not keep the others from being published.
        """
        found: list[KeySource] = []
        for accepted in before.documents:
            found += _sources_in(accepted.name, accepted.documents)
        for candidate in discovery.candidates:
            found += _sources_in(candidate.name, candidate.documents, demand)
        return found[:MOST_SOURCES]

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

    def _tell(
        self, state: Mapping[str, ConfigMap], discovery: Discovery, published: _Published, events: Events
    ) -> None:
        """Events and log, for what is new."""
        maps = {f"{each.namespace}/{each.name}": each for each in state.values()}
        merge, told = published.merge, dict[str, str]()
        grew = _listed(merge.trust_grew)

        def say(name: str, reason: Reason, message: str) -> None:
            said = f"{reason.value} {message}"
            told[name] = said
            if self._told.get(name) == said or name not in maps:
                return
            events.tell(Notice.of(maps[name], reason, message))
            log = self._log.info if reason is Reason.ACCEPTED else self._log.warning
            log(reason.value, configmap=name, message=message, generation=published.generation)
            if reason is Reason.ACCEPTED and grew:
                events.tell(Notice.of(maps[name], Reason.TRUST_GREW, f"trusted from now on: {grew}"))
                self._log.warning(Reason.TRUST_GREW.value, configmap=name, what=grew)

        for accepted in merge.accepted:
            say(accepted.name, Reason.ACCEPTED, f"in force, version {accepted.resource_version}")
        for each in merge.quarantined:
            kept = "its last good version stays in force: " if each.kept else "not in force: "
            fatal = [str(problem) for problem in each.problems if problem.fatal]
            say(each.name, Reason.REJECTED, kept + _listed(fatal))
        for ignored in discovery.ignored:
            say(ignored.name, Reason.LABEL_IGNORED, str(ignored.problem))
        self._told = told


def _sources_in(name: str, contents: Mapping[str, bytes], demand: Demand | None = None) -> list[KeySource]:
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


def _listed(texts: Sequence[str]) -> str:
    more = f" (and {len(texts) - _MOST_TOLD} more)" if len(texts) > _MOST_TOLD else ""
    return "; ".join(texts[:_MOST_TOLD]) + more


def node_name(root: str) -> str:
    """This node's name: what the bootstrap document says, else the host's."""
    return NodeState(root).bootstrap().node_name or os.uname().nodename
