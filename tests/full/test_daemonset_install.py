"""The pod of daemonset.yaml on a host that nobody prepared: its init container installs, and pulls are verified then.

The containers run under one containerd of the node; the host that they are for is another one's.  And an init container
that is killed while it holds its node's turn to restart.
"""

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import anyio
import pytest

from agent.adapters import state
from agent.adapters.kube import ApiServer
from agent.cluster import leases
from agent.modes import inturn
from agent.modes.turns import NoTurn
from tests import permissions, workload
from tests.full.test_daemonset import answers, host_paths, shipped, until
from tests.full.test_kube import kubeconfig
from tests.permissions import ACCOUNT, BASE, NAMESPACE, ROOT
from tests.signing import write_config
from tests.testbed.forward import Forward
from tests.testbed.inside import Inside
from tests.testbed.kube import NODE, KubeServer
from tests.testbed.node import REGISTRY, Node
from tests.testbed.pods import Pods, Started
from tests.testbed.signatures import Signer
from tests.testbed.tools import fetch, unavailable
from tests.testbed.wholehost import CONFIG, WholeHost, whole_host

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
CONFIGMAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
NONE_ARE_RUN = CONFIG + "[plugins.'io.containerd.image-verifier.v1.bindir']\n  max_verifiers = 0\n"


class Cluster(NamedTuple):
    """A node of a cluster, its host, and how a container of the DaemonSet's pod is started there."""

    server: KubeServer
    host: WholeHost
    image: str
    start: Callable[..., Started]
    url: str
    """The API server's, from the node."""

    def lease(self) -> Mapping[str, Any]:
        """What stands in the Lease of turns; nothing if there is none."""
        spec: Mapping[str, Any] = self.server.ask("GET", f"{LEASES}/nodeseal-restart-0").value.get("spec", {})
        return spec


@pytest.fixture(scope="module")
def cluster(server: KubeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With a containerd of the host's own, our image, and what is applied; nothing is installed."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    token = tmp_path_factory.mktemp("token")
    with Node(fetch()) as node, whole_host(node) as host:
        base, patch = node.work / "daemonset.yaml", node.work / "reconcile.yaml"
        base.write_text((ROOT / BASE).read_text())
        patch.write_text((ROOT / "docs/manifests/reconcile.yaml").read_text())
        reference = shipped(node, base, patch)
        for value in [*permissions.objects(BASE), *permissions.objects("rbac-restart-lease.yaml")]:
            server.make(permissions.path(value), value)
        node.push_pause()
        assert node.cri_pull(reference).ok
        (token / "token").write_text(server.token(NAMESPACE, ACCOUNT))
        (token / "ca.crt").write_text(pathlib.Path(server.certificate).read_text())
        (token / "namespace").write_text(NAMESPACE)
        paths = host_paths(host.root)
        with (
            Inside(node.pid) as inside,
            Forward(inside.listener(), urlsplit(server.url).port or 0) as forward,
            Pods(str(node.work / "containerd.sock"), node.work / "pods") as pods,
        ):
            where = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(forward.port)}

            def start(name: str, *more: str) -> Started:
                file = str(patch if name == "reconcile" else base)
                made = workload.workload(name, NODE, paths, token, file)
                environment = {**made.environment, **where}
                return pods.start(reference, made._replace(environment=environment, words=[*made.words, *more]))

            yield Cluster(server, host, reference, start, f"https://127.0.0.1:{forward.port}")


def test_the_pod_installs_and_then_pulls_are_verified(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    server, host, node = cluster.server, cluster.host, cluster.host.node
    signer = Signer(node, "build.example.com")
    signer.sign("team/signed", node.push_image("team/signed"))
    node.push_image("team/other")
    assert host.pull(f"{REGISTRY}/team/other:1").ok
    ended = cluster.start("install").wait()
    assert ended.code == 0, ended.out
    assert "installed; pulls are verified" in ended.out
    bootstrap = json.loads((host.root / "etc/nodeseal/bootstrap.json").read_text())
    assert bootstrap["node"]["name"] == NODE
    assert cluster.image in bootstrap["node"]["needs"]
    again = cluster.start("install").wait()
    assert again.code == 0, again.out
    assert "wrote" not in again.out

    keeping = cluster.start("reconcile")
    watching = cluster.start("watch")
    until(lambda: answers(node, "readinessProbe"), watching)
    assert host.pull(f"{REGISTRY}/team/other:1").ok, "the example blocks nothing"

    folder = write_config(tmp_path / "own", signer.certificate)
    data = {path.name: path.read_text() for path in folder.iterdir()}
    labels = {"nodeseal.dev/config": "active"}
    server.make(CONFIGMAPS, {"metadata": {"name": "own", "labels": labels}, "data": data})
    assert server.ask("DELETE", f"{CONFIGMAPS}/example").status == 200
    until(lambda: not host.pull(f"{REGISTRY}/team/other:1").ok, watching)
    pulled = host.pull(f"{REGISTRY}/team/signed:1")
    assert pulled.ok, pulled.error
    until(lambda: '"state": "enforcing"' in watching.out, watching)

    # Its own image is known by digest: nobody denies it by accident.
    denied = {"apiVersion": "nodeseal.dev/v1alpha1", "deny": [cluster.image]}
    data = {"nodeseal.yaml": json.dumps({"nodeseal": denied})}
    server.make(CONFIGMAPS, {"metadata": {"name": "denies", "labels": labels}, "data": data})
    said = f"which refuses {cluster.image}: this node needs it to come up"
    until(lambda: any(each.startswith("denies: ") and said in each for each in rejected(server)), watching)
    assert "NS-2002" not in host.pull(cluster.image).error
    assert server.ask("DELETE", f"{CONFIGMAPS}/denies").status == 200

    until(lambda: '"state": "settled"' in keeping.out, keeping)
    kept = keeping.stop()
    assert (kept.code, "mending" in kept.out) == (0, False), kept.out
    assert watching.stop().code == 0
    assert not host.pull(f"{REGISTRY}/team/other:1").ok, "without the agent, too"
    done = host.uninstall()
    assert done.code == 0, done.err
    assert host.pull(f"{REGISTRY}/team/other:1").ok


def rejected(server: KubeServer) -> list[str]:
    """Name and message of each event that says that a ConfigMap is not in force."""
    found = server.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/events").value["items"]
    return [
        f"{each['involvedObject']['name']}: {each['message']}"
        for each in found
        if each["reason"] == "ConfigurationRejected"
    ]


def test_a_turn_whose_holder_was_killed_is_its_node_s_at_once_and_another_s_in_time(
    cluster: Cluster, tmp_path: pathlib.Path
) -> None:
    host, node = cluster.host, cluster.host.node
    main, tried, hold = (host.root / path for path in ("etc/containerd/config.toml", state.TRIED[1:], "var/log/hold"))
    main.write_text(NONE_ARE_RUN)
    tried.unlink(missing_ok=True)
    hold.write_text("")
    installing = cluster.start("install")
    until(lambda: "restarting containerd.service" in installing.out, installing)
    assert cluster.lease()["holderIdentity"] == NODE
    node.must(["ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", installing.id])
    assert installing.wait().code == 137
    assert cluster.lease()["holderIdentity"] == NODE, "nobody could give it back"
    assert other_waits(cluster, tmp_path, leases.DURATION - 1.0) is None
    hold.unlink()

    main.write_text(NONE_ARE_RUN)  # once more a restart is due, and an hour has passed
    (host.root / "etc/containerd/conf.d/zzz-nodeseal.toml").unlink(missing_ok=True)
    tried.unlink(missing_ok=True)
    before = cluster.lease()
    ended = cluster.start("install").wait()
    assert ended.code == 0, ended.out
    assert "waiting for this node's turn" not in ended.out
    assert "it is this node's turn to restart: nodeseal-restart-0" in ended.out
    assert "installed; pulls are verified" in ended.out
    assert cluster.lease()["holderIdentity"] == ""
    assert cluster.lease()["leaseTransitions"] == before["leaseTransitions"]

    token = cluster.server.token(NAMESPACE, ACCOUNT)
    kubeconfig(host.node.work / "kubeconfig", cluster.server, token=token)
    own = host.node.work / "kubeconfig"
    own.write_text(own.read_text().replace(cluster.server.url, cluster.url))
    done = host.uninstall("--in-turn", "--kubeconfig", str(own))
    assert done.code == 0, done.err
    assert "it is this node's turn to restart: nodeseal-restart-0\n" in done.out, "it knows its name"
    assert main.read_text() == NONE_ARE_RUN
    assert cluster.lease()["holderIdentity"] == ""

    dead = {**cluster.server.ask("GET", f"{LEASES}/nodeseal-restart-0").value}
    dead["spec"]["holderIdentity"] = "dead"
    assert cluster.server.ask("PUT", f"{LEASES}/nodeseal-restart-0", dead).status == 200
    after = other_waits(cluster, tmp_path, 2 * leases.DURATION)
    assert after is not None
    assert leases.DURATION <= after <= leases.DURATION + leases.MOST_PAUSE


def other_waits(cluster: Cluster, folder: pathlib.Path, longest: float) -> float | None:
    """After how many seconds another node has the turn, by a clock that only waiting moves; None if not so long."""
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] >= longest:
            raise NoTurn("long enough")

    async def one() -> float | None:
        token = cluster.server.token(NAMESPACE, ACCOUNT)
        async with ApiServer(kubeconfig(folder / "other", cluster.server, token=token)) as api:
            world = inturn.World(clock=lambda: now[0], sleep=sleep)
            try:
                await inturn.acquired(api, inturn.Queue("n2", 1, NAMESPACE), lambda line: None, world)
            except NoTurn:
                return None
            return now[0]

    return anyio.run(one)
