"""Publishes what the labelled ConfigMaps of a namespace say, whenever one of them has changed.

Decisions are elsewhere: which ConfigMaps count (`agent.config.discovery`), what they come to together
(`agent.config.merging`), how to stay current (`agent.cluster.following`).  What can't be used changes nothing: the last
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
from agent.adapters.kube_follow import Follower
from agent.adapters.nodestate import NodeState, moment
from agent.adapters.snapshots import SnapshotStore
from agent.cluster import selections
from agent.cluster.notices import Notice, Reason
from agent.cluster.troubles import ApiError
from agent.config.config import Config
from agent.config.dialect import Node
from agent.config.discovery import LABEL, Discovery, discovered
from agent.config.documentset import NamedDocuments
from agent.config.merging import Merged, merged
from agent.errors import Cause, ConfigurationError, HostError, Problem, Unavailable
from agent.model.configmap import ConfigMap
from agent.modes import signing
from agent.modes.config import bootstrap_of
from agent.modes.podimages import PodsImages, Queue
from agent.modes.secrets import Secrets
from agent.modes.signing import Demand, Judged
from agent.modes.source import Cluster
from agent.ports import Log
from agent.rules.ruleset import WhenMissing

RETRY = 10.0
"""Seconds after which what failed on this host, or at the API server's credentials, is tried again."""

_MOST_TOLD = 5


class _Published(NamedTuple):
    """What a merge came to; `generation` is empty if nothing is in force by it."""

    merge: Merged
    generation: str


class ClusterPublisher:
    """Follows one namespace, for one root."""

    def __init__(
        self,
        root: str,
        cluster: Cluster,
        environment: Mapping[str, str],
        log: Log,
        queue: Queue = lambda _: 0,
    ) -> None:
        """`environment` tells a pod where its API server is; `queue` takes images that are to be verified ahead."""
        self._root = root
        self._cluster = cluster
        self._environment = environment
        self._log = log
        self._file = InForceFile(root)
        self._store = SnapshotStore(root)
        self._node = cluster.node or node_name(root)
        self._told: dict[str, str] = {}
        self._follower: Follower[ConfigMap] | None = None
        self.secrets = Secrets(root, log)
        self._pods = PodsImages(log, queue) if cluster.pods else None

    def as_json(self) -> dict[str, object]:
        """How following goes, for people."""
        beside = {"secrets": self.secrets.as_json(), "pods": self._pods.as_json() if self._pods else None}
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
            group.start_soon(events.run)
            self._follower = Follower(server, selections.configmaps(namespace, LABEL))
            self._log.info("following ConfigMaps", namespace=namespace, label=LABEL)

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
            if self._pods:
                group.start_soon(self._pods.run, server, self._node)
            await self._follower.follow(apply)

    def _configmap(self, owner: str) -> ConfigMap | None:
        """The ConfigMap `NAMESPACE/NAME`, if it is there."""
        namespace, _, name = owner.partition("/")
        state = self._follower.state if self._follower else None
        found = state.get(name) if state else None
        return found if found is not None and found.namespace == namespace else None

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
        self._tell(state, discovery, published, events)

    def _published(
        self, state: Mapping[str, ConfigMap], labels: Mapping[str, str] | None
    ) -> tuple[Discovery, _Published]:
        """Merge and publish.  Raises `HostError`, `ConfigurationError` for a floor that can't be believed."""
        node_state, signatures = NodeState(self._root), dict[str, Judged]()
        floor = bootstrap_of(node_state).floor
        demand = signing.demand(floor, self._root)
        discovery = discovered(state.values(), floor=floor, node_labels=labels)
        merge = merged(
            discovery.candidates,
            self._file.load(),
            node=Node(floor, moment().wall),
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

        generation = self._store.publish(merge.config, admit=admit)
        self._file.save(merge.in_force)
        return discovery, _Published(merge, generation)

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
