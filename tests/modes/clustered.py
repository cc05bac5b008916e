"""ConfigMaps of a simulated API server, and who follows them: a daemon of its own, or a publisher in this process."""

import contextlib
import json
import pathlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import anyio
import pytest

from agent.adapters import ipc
from agent.adapters.snapshots import SnapshotStore
from agent.config.config import Config
from agent.config.discovery import ACTIVE, LABEL
from agent.config.merging import Merged
from agent.errors import Unavailable
from agent.model.configmap import ConfigMap
from agent.modes.clustering import ClusterPublisher
from agent.modes.source import Cluster
from tests.forked import Forked
from tests.signing import usual_signer
from tests.simulators.kube import ADMIN, NAMESPACE, KubeSimulator
from tests.warm import Told

SECONDS = 60.0
DEFAULT = {"enforcement": "Audit", "failurePolicy": "Fail"}


@pytest.fixture
def server() -> Iterator[KubeSimulator]:
    """An API server."""
    with KubeSimulator() as found:
        yield found


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A node's root."""
    (tmp_path / "host").mkdir()
    return tmp_path / "host"


def kubeconfig(root: pathlib.Path, server: KubeSimulator, token: str = ADMIN) -> pathlib.Path:
    """A file that lets its administrator in, unless it is somebody else's token."""
    path = root / "kubeconfig"
    cluster, user = {"server": server.url}, {"token": token}
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
                "current-context": "x",
            }
        )
    )
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def daemon(root: pathlib.Path, server: KubeSimulator, *words: str, token: str = ADMIN) -> Iterator[pathlib.Path]:
    """A daemon that follows the server's ConfigMaps; its log."""
    log = root / "log"
    words = words if "--metrics" in words else (*words, "--metrics", "off")
    credentials = str(kubeconfig(root, server, token))
    command = ["watch", "--root", str(root), "--configmaps", "--node", "n1", "--kubeconfig", credentials, *words]
    process = Forked(command, stderr=log)
    try:
        until(lambda: (root / ipc.FOLDER / ipc.NAME).exists(), log)
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0, log.read_text()
    assert '"event": "bug"' not in log.read_text()


def until(reached: Callable[[], bool], log: pathlib.Path) -> None:
    """Wait for something to be true."""
    end = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def section(**nodeseal: object) -> str:
    """A document of our own form."""
    return json.dumps({"nodeseal": {"apiVersion": "nodeseal.dev/v1alpha1", **nodeseal}})


def put(server: KubeSimulator, name: str, documents: Mapping[str, str], **annotations: str) -> None:
    """A labelled ConfigMap, which nobody is told of before it has its annotations."""
    with server.condition:
        value = server.put(NAMESPACE, name, {LABEL: ACTIVE}, documents)
        if annotations:
            value["metadata"]["annotations"] = annotations


def in_force(root: pathlib.Path) -> Config | None:
    """The configuration, None if there is none."""
    try:
        return SnapshotStore(str(root)).load()
    except Unavailable:
        return None


def names(root: pathlib.Path) -> set[str]:
    """The rules in force, by the names that their documents give them."""
    config = in_force(root)
    return {rule.name.partition("/")[2] for rule in config.rules} if config else set()


def events(server: KubeSimulator) -> list[tuple[str, str, str]]:
    """Reason, ConfigMap and message of each event that was written."""
    found = [json.loads(each.body) for each in server.seen if each.verb == "create" and each.kind == "events"]
    return [(each["reason"], each["involvedObject"]["name"], each["message"]) for each in found]


def rule(name: str, *match: str) -> dict[str, object]:
    """A rule that trusts the usual signer."""
    return {"name": name, "match": list(match), "verifiers": ["signer"], "policy": {"any": ["signer"]}}


def platform(**more: object) -> Mapping[str, str]:
    """A document with the default, and a rule for what nobody pulls."""
    return tenant("platform", "platform.example/**", default=DEFAULT, **more)


def tenant(name: str, *match: str, **more: object) -> Mapping[str, str]:
    """A document with a rule, a verifier and its certificate."""
    policy = {
        "version": "1.0",
        "trustPolicies": [
            {
                "name": "all",
                "registryScopes": ["*"],
                "signatureVerification": {"level": "strict"},
                "trustStores": ["ca:certs"],
                "trustedIdentities": ["*"],
            }
        ],
    }
    verifier = {
        "name": "signer",
        "type": "notation",
        "verificationCerts": ["root.pem"],
        "trustPolicyDoc": policy,
    }
    return {"nodeseal.yaml": section(verifiers=[verifier], rules=[rule(name, *match)], **more), "root.pem": PEM}


PEM = usual_signer().root_pem.decode()


@contextlib.asynccontextmanager
async def publishing(given: "Given", server: KubeSimulator, label: str = LABEL) -> AsyncIterator[ClusterPublisher]:
    """A publisher in this process, that follows the server."""
    cluster = Cluster(str(kubeconfig(given.root, server)), "", "n1", label)
    bugs: list[Exception] = []
    publisher = ClusterPublisher(str(given.root), cluster, {}, given.log, bug=bugs.append)
    async with anyio.create_task_group() as group:
        group.start_soon(publisher.run)
        yield publisher
        group.cancel_scope.cancel()
    assert bugs == []


async def soon(reached: Callable[[], bool]) -> None:
    """Wait for something to be true."""
    with anyio.fail_after(SECONDS):
        while not reached():
            await anyio.sleep(0.02)


class Given:
    """ConfigMaps that a publisher is given without a server."""

    def __init__(self, root: pathlib.Path) -> None:
        """None yet."""
        self.root = root
        self.log = Told()
        self._versions = 0
        self._maps: dict[str, ConfigMap] = {}

    def on(self, root: pathlib.Path) -> "Given":
        """The same ones, for another root."""
        found = Given(root)
        found._versions, found._maps = self._versions, dict(self._maps)
        return found

    def put(self, name: str, documents: Mapping[str, bytes], uid: str = "", **annotations: str) -> None:
        """A labelled one, new or in place of what it was."""
        self._versions += 1
        created = datetime(2026, 1, 1, tzinfo=timezone.utc)
        where = (NAMESPACE, name, uid or f"uid-{name}", str(self._versions), created)
        self._maps[name] = ConfigMap(*where, {LABEL: ACTIVE}, annotations, {}, documents)

    def drop(self, name: str) -> None:
        """Delete one."""
        del self._maps[name]

    @property
    def state(self) -> Mapping[str, ConfigMap]:
        """All of them."""
        return dict(self._maps)

    def publisher(self, **more: Any) -> ClusterPublisher:
        """One that knows nothing yet."""
        return ClusterPublisher(str(self.root), Cluster("", NAMESPACE, "n1"), {}, self.log, **more)

    def publish(self) -> Merged:
        """Publish all of them."""
        return self.publisher()._published(self.state, None)[1].merge


def encoded(documents: Mapping[str, str]) -> Mapping[str, bytes]:
    """Documents as a ConfigMap holds them."""
    return {name: text.encode() for name, text in documents.items()}


def contents(folder: pathlib.Path) -> Mapping[str, bytes]:
    """A folder's documents, as a ConfigMap holds them."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
