"""ConfigMaps of an API server become the configuration in force: a daemon in a process of its own, and a simulator."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent import cli
from agent.adapters import ipc
from agent.adapters.inforce import InForceFile
from agent.adapters.kube import ApiServer
from agent.adapters.kube_events import Events
from agent.adapters.kube_follow import Follower
from agent.adapters.nodestate import BOOTSTRAP, COMPLETE, NodeState, moment
from agent.adapters.snapshots import SnapshotStore
from agent.config import canonical, inforce
from agent.config.config import Config
from agent.config.discovery import ACTIVE, LABEL, NODE_SELECTOR
from agent.config.merging import Merged
from agent.errors import Cause, Unavailable
from agent.model.configmap import ConfigMap
from agent.modes import clustering, node
from agent.modes.clustering import ClusterPublisher
from agent.modes.source import Cluster
from agent.rules import age
from agent.rules.age import Stage
from agent.rules.ruleset import Denied
from tests.forked import Forked
from tests.modes import test_signing as signing
from tests.signing import usual_signer
from tests.simulators import kube_misbehaviour as does
from tests.simulators.certificates import Authority
from tests.simulators.keyserver import KeyServer
from tests.simulators.kube import ADMIN, NAMESPACE, KubeSimulator
from tests.trust.test_signedconfiguration import public
from tests.warm import Told

SECONDS = 30.0
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
    """A labelled ConfigMap."""
    value = server.put(NAMESPACE, name, {LABEL: ACTIVE}, documents)
    if annotations:
        with server.condition:
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


def test_labelled_configmaps_are_in_force_together_and_each_is_told_so(
    server: KubeSimulator, root: pathlib.Path
) -> None:
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"))
    server.put(NAMESPACE, "other", {LABEL: "no"}, {"nodeseal.yaml": section(default=DEFAULT)})
    with daemon(root, server) as log:
        until(lambda: names(root) == {"platform", "shop"}, log)
        put(server, "cart", tenant("cart", "r.example/cart/**"))
        until(lambda: names(root) == {"platform", "shop", "cart"}, log)
        until(lambda: len([each for each in events(server) if each[0] == "ConfigurationAccepted"]) >= 3, log)
        until(lambda: "TrustGrew" in {each[0] for each in events(server)}, log)
        said = json.loads(ipc.Client(str(root)).ask(ipc.STATUS, seconds=5) or b"")["cluster"]
    assert {each[1] for each in events(server) if each[0] == "ConfigurationAccepted"} == {"platform", "shop", "cart"}
    assert "LabelValueIgnored" in {each[0] for each in events(server) if each[1] == "other"}
    assert (said["objects"], said["trouble"]) == (4, "")


def test_what_another_version_put_in_force_is_put_in_force_again(server: KubeSimulator, root: pathlib.Path) -> None:
    put(server, "platform", platform())
    with daemon(root, server) as log:
        until(lambda: names(root) == {"platform"}, log)
    before = in_force(root)
    assert before is not None
    with pytest.MonkeyPatch.context() as other:
        for form in (canonical, inforce):
            other.setattr(form, "FORMAT_VERSION", 99)
        SnapshotStore(str(root)).publish(before)
        InForceFile(str(root)).save(InForceFile(str(root)).load())
    assert in_force(root) is None
    with daemon(root, server) as log:
        until(lambda: in_force(root) == before, log)


def test_junk_stops_nobody_and_its_last_good_version_stays(server: KubeSimulator, root: pathlib.Path) -> None:
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"))
    with daemon(root, server) as log:
        until(lambda: names(root) == {"platform", "shop"}, log)
        put(server, "shop", {"nodeseal.yaml": "rules: ["})
        put(server, "junk", {"config.json": "{"})
        put(server, "cart", tenant("cart", "r.example/cart/**"))
        until(lambda: names(root) == {"platform", "shop", "cart"}, log)
        until(lambda: {"shop", "junk"} <= {each[1] for each in events(server) if each[0].endswith("Rejected")}, log)
    rejected = {each[1]: each[2] for each in events(server) if each[0] == "ConfigurationRejected"}
    assert rejected["shop"].startswith("its last good version stays in force: nodeseal.yaml")
    assert rejected["junk"].startswith("not in force: config.json")
    assert {each.name for each in InForceFile(str(root)).load().documents} == {
        f"{NAMESPACE}/{name}" for name in ("platform", "shop", "cart")
    }


def test_a_document_for_other_nodes_does_not_count_here(server: KubeSimulator, root: pathlib.Path) -> None:
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"), **{NODE_SELECTOR: "pool=elsewhere"})
    with daemon(root, server) as log:
        until(lambda: in_force(root) is not None, log)
    assert names(root) == {"platform"}


def needing(root: pathlib.Path, *images: str) -> None:
    """A node that needs images to come up."""
    path = root / BOOTSTRAP
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"apiVersion": "nodeseal.dev/v1alpha1", "node": {"needs": images}}))
    path.chmod(0o600)


def test_what_locks_the_node_out_is_refused_alone_and_told(server: KubeSimulator, root: pathlib.Path) -> None:
    needing(root, "quay.io/cni/agent:1")
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**", deny=["quay.io/**", "r.example/bad/**"]))
    with daemon(root, server) as log:
        until(lambda: names(root) == {"platform"}, log)
        until(lambda: "shop" in {each[1] for each in events(server) if each[0] == "ConfigurationRejected"}, log)
        config = in_force(root)
        assert config is not None
        assert config.ruleset.deny == (Denied("r.example/bad/**"),)
        insisting = tenant("shop", "r.example/shop/**", deny=["quay.io/**"], allowLockout=True)
        put(server, "shop", insisting)
        until(lambda: names(root) == {"platform", "shop"}, log)
    assert any("quay.io/**, which refuses quay.io/cni/agent:1" in each[2] for each in events(server))


def test_documents_that_lock_the_node_out_together_change_nothing(server: KubeSimulator, root: pathlib.Path) -> None:
    needing(root, "quay.io/cni/agent:1")
    put(server, "shop", tenant("shop", "r.example/shop/**"))
    with daemon(root, server) as log:
        until(lambda: "all ConfigMaps together" in log.read_text(), log)
        assert in_force(root) is None
        until(lambda: any("no rule for quay.io/cni/agent:1" in each[2] for each in events(server)), log)


@pytest.mark.parametrize("when_missing", ["KeepLast", "FailurePolicy"])
def test_once_nothing_is_labelled_any_more_the_last_one_says_what_holds(
    server: KubeSimulator, root: pathlib.Path, when_missing: str
) -> None:
    put(server, "platform", platform(whenMissing=when_missing))
    with daemon(root, server) as log:
        until(lambda: in_force(root) is not None, log)
        server.put(NAMESPACE, "platform", {}, platform())
        until(lambda: "no ConfigMap counts" in log.read_text(), log)
        put(server, "late", platform(whenMissing="KeepLast"))
        if when_missing == "FailurePolicy":
            assert "configuration withdrawn" in log.read_text()
            until(lambda: in_force(root) is not None, log)
        else:
            assert "configuration kept" in log.read_text()
            assert in_force(root) is not None


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


def label_node(server: KubeSimulator, **labels: str) -> None:
    """The node, with these labels."""
    with server.condition:
        server.objects["nodes", "", "n1"] = {"kind": "Node", "metadata": {"name": "n1", "labels": labels}}


def test_labels_of_the_node_are_asked_for_only_if_a_selector_does_and_a_change_takes_effect(
    server: KubeSimulator, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "LOOK", 0.2)
    given = Given(root)
    put(server, "platform", platform())
    label_node(server, pool="blue")

    async def body() -> None:
        async with publishing(given, server):
            await soon(lambda: names(root) == {"platform"})
            await anyio.sleep(0.5)
            assert server.counts["get"] == 0
            put(server, "shop", tenant("shop", "r.example/shop/**"), **{NODE_SELECTOR: "pool=green"})
            await soon(lambda: server.counts["get"] > 2)
            assert names(root) == {"platform"}
            label_node(server, pool="green")
            await soon(lambda: names(root) == {"platform", "shop"})
            server.behave("get", *[does.status(503)] * 3)  # nobody says: nothing changes
            seen = server.counts["get"]
            await soon(lambda: server.counts["get"] > seen + 4)
            assert names(root) == {"platform", "shop"}
            label_node(server)
            await soon(lambda: names(root) == {"platform"})

    anyio.run(body)


def test_a_node_that_nobody_tells_of_takes_nothing_out_of_force(
    server: KubeSimulator, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "RETRY", 0.1)
    given = Given(root)
    selector = {NODE_SELECTOR: "pool=blue"}
    put(server, "platform", platform(), **selector)
    label_node(server, pool="blue")

    async def body() -> None:
        async with publishing(given, server):
            await soon(lambda: names(root) == {"platform"})
        server.behave("get", *[does.status(503)] * 3)
        async with publishing(given, server) as publisher:
            await soon(lambda: publisher.as_json()["publishFailures"] == 3)
            assert names(root) == {"platform"}
            await soon(lambda: publisher.as_json()["accepted"] == 1)
        assert names(root) == {"platform"}

    anyio.run(body)


def test_a_floor_that_is_changed_counts_without_a_change_of_a_configmap(
    server: KubeSimulator, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "LOOK", 0.1)
    put(server, "platform", platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"))

    async def body() -> None:
        async with publishing(Given(root), server):
            await soon(lambda: names(root) == {"platform", "shop"})
            folder = root / "etc/nodeseal"
            folder.mkdir(parents=True)
            floor = {"configMaps": [{"name": "platform"}]}
            (folder / "bootstrap.json").write_text(json.dumps({"apiVersion": "nodeseal.dev/v1alpha1", "floor": floor}))
            await soon(lambda: names(root) == {"platform"})

    anyio.run(body)


def test_another_label_may_say_which_configmaps_count(server: KubeSimulator, root: pathlib.Path) -> None:
    mine = "example.com/trust"
    server.put(NAMESPACE, "platform", {mine: ACTIVE}, platform())
    put(server, "shop", tenant("shop", "r.example/shop/**"))

    async def body() -> None:
        async with publishing(Given(root), server, label=mine):
            await soon(lambda: names(root) == {"platform"})

    anyio.run(body)
    assert server.seen[0].query["labelSelector"] == mine


@pytest.mark.parametrize("key", ["a b", "/x", "nodeseal.dev/", "a=b", "x" * 64, "é"])
def test_a_key_that_no_label_can_have_is_refused(
    root: pathlib.Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "watch", "--root", str(root), "--configmaps", "--label", key])
    assert ended.value.code == 2
    assert "expected the key of a label" in capsys.readouterr().err


def test_a_withdrawn_configuration_is_missing_and_its_rules_hold(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    for name, content in platform().items():
        (folder / name).write_text(content)
    with pytest.raises(SystemExit):
        cli.main(["nodeseal", "config", "apply", str(folder), "--root", str(root)])
    store = SnapshotStore(str(root))
    store.withdraw()
    store.withdraw()
    with pytest.raises(Unavailable) as told:
        store.load()
    assert told.value.cause is Cause.CONFIGURATION_MISSING
    assert store.last_rules() is not None


def test_an_api_server_that_is_away_changes_nothing_and_is_followed_again(
    server: KubeSimulator, root: pathlib.Path
) -> None:
    put(server, "platform", platform())
    with daemon(root, server) as log:
        until(lambda: in_force(root) is not None, log)
        server.behave("watch", does.status(500), does.status(500))
        server.hang_up()
        put(server, "shop", tenant("shop", "r.example/shop/**"))
        until(lambda: names(root) == {"platform", "shop"}, log)


def test_it_is_noted_when_the_api_server_last_told_everything_though_nothing_changes(
    server: KubeSimulator, root: pathlib.Path
) -> None:
    put(server, "platform", platform(maxSnapshotAge="2h"))
    begun = moment()
    with daemon(root, server) as log:
        until(lambda: (root / COMPLETE).exists(), log)
        config = in_force(root)
        assert config is not None
        assert (config.ruleset.from_cluster, config.ruleset.greatest_age) == (True, 7200)
    first = NodeState(str(root)).complete()
    assert first.boot_id == begun.boot_id
    assert first.boot_seconds >= begun.boot_seconds
    old = first._replace(wall=first.wall - timedelta(hours=2), boot_seconds=0.0, boot_id="")
    NodeState(str(root)).note_complete(old)
    assert age.stage(node.opened(str(root)).standing) is Stage.STALE
    generation = config.generation
    with daemon(root, server) as log:
        until(lambda: age.stage(node.opened(str(root)).standing) is Stage.CURRENT, log)
        until(lambda: "configuration stale" in log.read_text(), log)
    config = in_force(root)
    assert config is not None
    assert config.generation == generation


def test_keys_are_fetched_beside_publishing_and_the_document_follows(
    server: KubeSimulator, root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    bootstrap = root / BOOTSTRAP
    bootstrap.parent.mkdir(parents=True)
    bootstrap.write_text(json.dumps({"apiVersion": "nodeseal.dev/v1alpha1", "floor": {"localKeys": True}}))
    ca = Authority(tmp_path)
    with KeyServer(ca) as pki:
        documents = dict(tenant("shop", "r.example/shop/**"))
        value = json.loads(documents.pop("nodeseal.yaml"))
        (verifier,) = value["nodeseal"]["verifiers"]
        del verifier["verificationCerts"]
        verifier["verificationCertStores"] = {"certs": ["corp"]}
        given = {"name": "corp", "type": "url", "url": f"{pki.url}/roots", "caBundle": "root.pem"}
        documents["root.pem"] = pathlib.Path(ca.bundle).read_text()
        section, rest = value.pop("nodeseal"), {"keyManagementProvider": {"plugins": [given]}}
        documents["config.json"] = json.dumps(rest | {"nodeseal": section})
        put(server, "platform", platform())
        put(server, "shop", documents)
        with daemon(root, server) as log:
            until(lambda: names(root) == {"platform"}, log)
            until(lambda: "keys not fetched" in log.read_text(), log)
        assert names(root) == {"platform"}
        pki.serve("/roots", PEM.encode())
        with daemon(root, server) as log:
            until(lambda: names(root) == {"platform", "shop"}, log)
    config = in_force(root)
    assert config is not None
    assert {rule.name: [used.name for used in rule.keys] for rule in config.rules} == {
        "platform/platform": [],
        "shop/shop": ["corp"],
    }


def test_an_api_server_that_does_not_answer_proves_nothing(server: KubeSimulator, root: pathlib.Path) -> None:
    put(server, "platform", platform())
    with daemon(root, server) as log:
        until(lambda: (root / COMPLETE).exists(), log)
    (root / COMPLETE).unlink()
    server.behave("list", *[does.status(500)] * 50)
    with daemon(root, server) as log:
        until(lambda: len([each for each in server.seen if each.verb == "list"]) >= 3, log)
        assert not (root / COMPLETE).exists()


def test_what_this_host_does_not_take_is_not_noted(server: KubeSimulator, root: pathlib.Path) -> None:
    put(server, "platform", platform())
    with daemon(root, server) as log:
        until(lambda: (root / COMPLETE).exists(), log)
    (root / COMPLETE).unlink()
    (root / "var/lib/nodeseal/rules.json").unlink()
    (root / "var/lib/nodeseal/rules.json").mkdir()
    with daemon(root, server) as log:
        until(lambda: "configuration refused" in log.read_text(), log)
        time.sleep(2.5)
        assert not (root / COMPLETE).exists()


def test_a_host_that_takes_no_snapshot_is_tried_again(server: KubeSimulator, root: pathlib.Path) -> None:
    state = root / "var/lib/nodeseal"
    state.parent.mkdir(parents=True)
    state.write_text("in the way")
    put(server, "platform", platform())
    with daemon(root, server) as log:
        until(lambda: "configuration refused" in log.read_text(), log)
        state.unlink()
        until(lambda: in_force(root) is not None, log)


def test_words_that_need_others_beside_them_are_refused(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "watch", "--root", str(root), "--namespace", "x"])
    assert ended.value.code == 2
    assert "expected --configmaps beside them" in capsys.readouterr().err


def test_without_credentials_the_daemon_serves_and_says_so(root: pathlib.Path) -> None:
    log = root / "log"
    command = [sys.executable, "-m", "agent", "watch", "--root", str(root), "--configmaps", "--metrics", "off"]
    with log.open("ab") as stream:
        process = subprocess.Popen([*command, "--kubeconfig", str(root / "none")], stderr=stream, env=dict(os.environ))
    try:
        until(lambda: "API server unknown" in log.read_text(), log)
        assert ipc.Client(str(root)).ask(ipc.STATUS, seconds=5)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


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


def contents(folder: pathlib.Path) -> Mapping[str, bytes]:
    """A folder's documents, as a ConfigMap holds them."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_who_writes_anothers_serial_stops_nobody_and_a_last_good_version_needs_no_new_admission(
    root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    key, given = ec.generate_private_key(ec.SECP256R1()), Given(root)
    signing.ask(root, public(key))
    given.put("platform", contents(signing.sign(signing.write(tmp_path / "good", 7), key)))
    given.put("tenant", contents(signing.write(tmp_path / "unsigned", 7, extra="junk")))
    assert [each.name for each in given.publish().accepted] == [f"{NAMESPACE}/platform"]
    noted = signing.serial_in_force(root)
    assert noted == 7
    given.put("platform", contents(signing.write(tmp_path / "broken", 8)))
    merge = given.publish()
    assert {each.name: each.kept for each in merge.quarantined}[f"{NAMESPACE}/platform"]
    assert (signing.serial_in_force(root), in_force(root) is not None) == (7, True)


def test_where_signatures_are_asked_for_one_document_has_a_place_and_its_serial_goes_on(
    root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    key, given = ec.generate_private_key(ec.SECP256R1()), Given(root)
    signing.ask(root, public(key))

    def put_signed(name: str, serial: int) -> None:
        folder = tmp_path / f"{name}-{serial}"
        folder.mkdir(exist_ok=True)
        for document, text in tenant(name, f"r.example/{name}/**", serial=serial).items():
            (folder / document).write_text(text)
        given.put(name, contents(signing.sign(folder, key)))

    put_signed("shop", 7)
    put_signed("cart", 8)
    merge = given.publish()
    assert [each.name for each in merge.accepted] == [f"{NAMESPACE}/cart"]  # of new ones, the name decides
    (refused,) = merge.quarantined
    assert "another serial than nodeseal/cart" in str(refused.problems[-1])
    put_signed("cart", 9)
    assert [each.name for each in given.publish().accepted] == [f"{NAMESPACE}/cart"]
    given.drop("cart")
    assert given.publish().config is None  # 7 is behind 9: a replay
    put_signed("shop", 10)
    assert [each.name for each in given.publish().accepted] == [f"{NAMESPACE}/shop"]
    assert (names(root), signing.serial_in_force(root)) == ({"shop"}, 10)
    given.put("loose", {name: text.encode() for name, text in tenant("loose", "r.example/loose/**").items()})
    assert [each.name for each in given.publish().quarantined] == [f"{NAMESPACE}/loose"]
    assert names(root) == {"shop"}


def test_what_was_deleted_does_not_come_back_under_its_name(root: pathlib.Path) -> None:
    given = Given(root)
    given.put("shop", {name: text.encode() for name, text in platform().items()})
    assert given.publish().config is not None
    given.drop("shop")
    assert given.publish().config is None
    given.put("shop", {"nodeseal.yaml": b"rules: ["})
    merge = given.publish()
    assert (merge.config, [each.kept for each in merge.quarantined]) == (None, [False])


def test_a_state_that_waited_is_not_put_in_force_once_there_is_a_newer_one(root: pathlib.Path) -> None:
    given = Given(root)
    given.put("shop", {name: text.encode() for name, text in platform().items()})
    before, publisher = given.state, given.publisher()
    given.put("shop", {name: text.encode() for name, text in platform(deny=["r.example/bad"]).items()})
    follower = SimpleNamespace(state=given.state, last_complete=moment())
    publisher._follower = cast("Follower[ConfigMap]", follower)
    server = cast("ApiServer", None)

    async def both() -> None:
        """The newer one, and the one that waited meanwhile: because of other keys, say."""
        for state in (follower.state, before):
            await publisher._apply(state, server, Events(server, "n1"))

    anyio.run(both)
    config = in_force(root)
    assert config is not None
    assert config.ruleset.deny == (Denied("r.example/bad"),)
    assert publisher._applied is follower.state


def test_changes_that_never_end_do_not_make_a_configuration_old(root: pathlib.Path) -> None:
    given = Given(root)
    given.put("shop", {name: text.encode() for name, text in platform().items()})
    follower = SimpleNamespace(state=given.state, last_complete=moment())
    publisher = given.publisher(published=lambda: setattr(follower, "state", given.state))  # another one by then
    publisher._follower = cast("Follower[ConfigMap]", follower)
    server = cast("ApiServer", None)
    assert publisher._complete_now() is None
    anyio.run(publisher._apply, follower.state, server, Events(server, "n1"))
    first = follower.last_complete
    follower.last_complete = moment()
    assert publisher._complete_now() == first
    follower.state = publisher._applied
    assert publisher._complete_now() == follower.last_complete
