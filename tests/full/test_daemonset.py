"""daemonset.yaml as a cluster has it: a real API server, and its pod on a real containerd, made as a kubelet would."""

import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import image
import pytest

from agent.modes import reconciling
from tests import permissions, workload
from tests.frozen.program import BUILT, Program
from tests.permissions import ACCOUNT, BASE, NAMESPACE
from tests.signing import write_config
from tests.testbed.forward import Forward
from tests.testbed.inside import Inside
from tests.testbed.kube import NODE, KubeServer
from tests.testbed.node import REGISTRY, Node
from tests.testbed.pods import Pods, Started
from tests.testbed.signatures import Signer
from tests.testbed.tools import fetch, unavailable

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUIET = 2 * reconciling.AGAIN + 60.0
"""Seconds without a word after which nothing more is expected of a container.

On a full machine a first look, or canary, may fail; the next one comes a minute later, the one after that after two.
"""
LATER_THAN_THIS_SERVER = ("maxSurge",)
"""Fields that Kubernetes has had since 1.22; older servers drop what they don't know."""


def lost(written: Any, stored: Any, at: str = "") -> list[str]:
    """What the server did not keep of an object, or keeps otherwise."""
    if isinstance(written, Mapping) and isinstance(stored, Mapping):
        pairs = [(each, stored.get(name), f"{at}.{name}") for name, each in written.items()]
    elif isinstance(written, list) and isinstance(stored, list) and len(written) == len(stored):
        pairs = [(a, b, f"{at}[{index}]") for index, (a, b) in enumerate(zip(written, stored, strict=True))]
    else:
        return [] if written == stored else [at]
    return [each for pair in pairs for each in lost(*pair)]


@pytest.mark.parametrize("value", permissions.objects(BASE), ids=lambda value: str(value["kind"]))
def test_the_api_server_takes_each_object_and_knows_each_field(server: KubeServer, value: Mapping[str, Any]) -> None:
    place = permissions.path(value)
    answer = server.ask("POST", f"{place}?dryRun=All", value)
    if answer.status == 409:  # the namespace, which all tests have
        answer = server.ask("PUT", f"{place}/{value['metadata']['name']}?dryRun=All", value)
    assert answer.status in (200, 201), answer.value
    unknown = [each for each in lost(value, answer.value) if each.rpartition(".")[2] not in LATER_THAN_THIS_SERVER]
    assert not unknown


def test_the_api_server_merges_the_patch_and_leaves_all_else_as_it_is(server: KubeServer) -> None:
    (base,) = [each for each in permissions.objects(BASE) if each["kind"] == "DaemonSet"]
    (patch,) = permissions.objects("reconcile.yaml")
    place = permissions.path(base)
    server.make(place, base)
    before = server.ask("GET", f"{place}/nodeseal").value["spec"]["template"]["spec"]
    strategic = "application/strategic-merge-patch+json"
    answer = server.ask("PATCH", f"{place}/nodeseal?dryRun=All", patch, kind=strategic)
    assert answer.status == 200, answer.value
    after = answer.value["spec"]["template"]["spec"]
    (added,) = [each for each in after["containers"] if each["name"] == "reconcile"]
    assert not lost(patch["spec"]["template"]["spec"]["containers"][0], added)
    assert after.pop("terminationGracePeriodSeconds") > before.pop("terminationGracePeriodSeconds")
    after["containers"].remove(added)
    assert after == before


class Cluster(NamedTuple):
    """A cluster of one node; `host` is that node's root."""

    server: KubeServer
    node: Node
    pods: Pods
    program: Program
    signer: Signer
    image: str
    agent: Callable[[], Started]


@pytest.fixture(scope="module")
def cluster(server: KubeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """As `kubectl apply -f` has made it, with the node's condition granted too; our image is on the node."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with (
        Node(fetch()) as node,
        Inside(node.pid) as inside,
        Forward(inside.listener(), urlsplit(server.url).port or 0) as forward,
        Pods(str(node.work / "containerd.sock"), node.work / "pods") as pods,
    ):
        manifest = node.work / "daemonset.yaml"
        manifest.write_text((ROOT / BASE).read_text())
        reference = shipped(node, manifest)
        for value in [*permissions.objects(BASE), *permissions.objects("rbac-node-condition.yaml")]:
            server.make(permissions.path(value), value)
        node.push_pause()
        assert node.cri_pull(reference).ok
        token = tmp_path_factory.mktemp("token")
        (token / "token").write_text(server.token(NAMESPACE, ACCOUNT))
        (token / "ca.crt").write_text(pathlib.Path(server.certificate).read_text())
        (token / "namespace").write_text(NAMESPACE)
        where = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(forward.port)}

        def agent() -> Started:
            paths = {**host_paths(node.root), "/run/containerd": node.work}
            made = workload.workload("watch", NODE, paths, token)
            return pods.start(reference, made._replace(environment={**made.environment, **where}))

        yield Cluster(server, node, pods, Program(node.root), Signer(node, "build.example.com"), reference, agent)


def shipped(node: Node, manifest: pathlib.Path, *more: pathlib.Path) -> str:
    """Our image, pushed to the node's registry as people push it; each manifest gets its reference."""
    layout = node.work / "image" / "layout"
    layout.parent.mkdir()
    image.main(BUILT, layout)
    written = [str(each) for each in (manifest, *more)]
    node.must([sys.executable, str(ROOT / "build" / "push.py"), f"{REGISTRY}/nodeseal", str(layout), *written])
    lines = [line.split()[1] for line in manifest.read_text().splitlines() if line.strip().startswith("image:")]
    (reference,) = set(lines)
    assert len(lines) == 2
    assert manifest.read_text().count(reference) == 3, "install is told, too"
    return reference


def host_paths(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Where the hostPaths of the pod are below a root, made as a kubelet makes them before the first container."""
    found = {}
    for each in workload.pod()["volumes"]:
        if "hostPath" in each:
            path = each["hostPath"]["path"]
            found[path] = root / path.lstrip("/")
            if each["hostPath"]["type"] == "DirectoryOrCreate":
                found[path].mkdir(parents=True, exist_ok=True, mode=0o755)
    return found


def until(what: Callable[[], object], started: Started) -> None:
    """Wait until something is so, for as long as the container says something new now and then."""
    said, end = "", time.monotonic() + QUIET
    while not what():
        assert started.is_running, started.out
        if started.out != said:
            said, end = started.out, time.monotonic() + QUIET
        assert time.monotonic() < end, said[-4000:]
        time.sleep(0.2)


def answers(node: Node, probe: str) -> bool:
    """Whether a probe succeeds, asked from the node, as a kubelet asks."""
    asked = workload.container("watch")[probe]["httpGet"]
    script = "import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=20)"
    url = f"http://{asked['host']}:{asked['port']}{asked['path']}"
    return node.run([sys.executable, "-I", "-S", "-c", script, url]).code == 0


@pytest.fixture(scope="module")
def running(cluster: Cluster) -> Iterator[Started]:
    """The container `watch`, started, with the example configuration alone."""
    started = cluster.agent()
    until(lambda: answers(cluster.node, "startupProbe"), started)
    yield started
    ended = started.stop()
    assert ended.code == 0, ended.out
    assert '"bug"' not in ended.out


def pid_of(cluster: Cluster, started: Started) -> str:
    """The process of a container, as the node sees it."""
    lines = cluster.node.must(["ctr", "--namespace", "k8s.io", "tasks", "ls"]).splitlines()
    (pid,) = [line.split()[1] for line in lines if line.startswith(started.id)]
    return pid


def status(cluster: Cluster) -> Any:
    """What `nodeseal status` says on the node."""
    command = [str(cluster.program.path), "status", "--root", str(cluster.node.root), "--format", "json"]
    return json.loads(cluster.node.run(command).out)


def test_it_becomes_ready_with_the_example_alone(cluster: Cluster, running: Started) -> None:
    until(lambda: answers(cluster.node, "readinessProbe"), running)
    assert answers(cluster.node, "livenessProbe")


def test_it_has_no_capability_and_can_get_none(cluster: Cluster, running: Started) -> None:
    lines = cluster.node.must(["cat", f"/proc/{pid_of(cluster, running)}/status"]).splitlines()
    said = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert {said[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert said["NoNewPrivs"] == "1"
    assert said["Seccomp"] == "2"  # SECCOMP_MODE_FILTER
    assert said["Uid"].split() == ["0"] * 4


@pytest.mark.parametrize("folder", ["/", "/opt/nodeseal", "/tmp", "/etc/nodeseal", "/run/containerd"])
def test_nothing_can_be_written_but_what_is_mounted_for_it(cluster: Cluster, running: Started, folder: str) -> None:
    done = cluster.node.run(["mkdir", f"/proc/{pid_of(cluster, running)}/root{folder}/written"])
    assert done.code != 0
    assert "Read-only file system" in done.err or (folder == "/tmp" and "No such file" in done.err)


def test_pulls_are_answered_through_it_and_the_example_blocks_none(cluster: Cluster, running: Started) -> None:
    cluster.node.install_verifier(cluster.program.path)
    doors: list[str] = []
    while len(doors) < 5 and "daemon" not in doors:  # one that is kept from the processor for a second is done without
        repository = f"team/unsigned-{len(doors)}"
        cluster.node.push_image(repository)
        pulled = cluster.node.cri_pull(f"{REGISTRY}/{repository}:1")
        assert pulled.ok, pulled.error
        lines = (cluster.node.root / "var/log/nodeseal/spool.jsonl").read_text().splitlines()
        doors.append(json.loads(lines[-1])["door"])
    assert doors[-1] == "daemon"


def test_it_proves_that_images_are_verified_and_says_so_on_its_node(cluster: Cluster, running: Started) -> None:
    until(lambda: status(cluster)["daemon"]["proof"]["state"] == "enforcing", running)
    assert status(cluster)["daemon"]["proof"]["reason"] == "Enforcing"

    def condition() -> Mapping[str, str]:
        found = cluster.server.ask("GET", f"/api/v1/nodes/{NODE}").value["status"].get("conditions", [])
        return next((each for each in found if each["type"] == "nodeseal.dev/ImageVerificationEnforced"), {})

    until(lambda: condition().get("status") == "True", running)


def test_an_own_configuration_in_place_of_the_example_is_enforced(cluster: Cluster, running: Started) -> None:
    node, server = cluster.node, cluster.server
    folder = write_config(node.work / "own", cluster.signer.certificate)
    data = {path.name: path.read_text() for path in folder.iterdir()}
    labels = {"nodeseal.dev/config": "active"}
    configmaps = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    server.make(configmaps, {"metadata": {"name": "own", "labels": labels}, "data": data})
    assert server.ask("DELETE", f"{configmaps}/example").status == 200
    signed = node.push_image("team/signed")
    cluster.signer.sign("team/signed", signed)
    node.push_image("team/other")
    until(lambda: not node.cri_pull(f"{REGISTRY}/team/other:1").ok, running)
    assert "NS-2001" in node.cri_pull(f"{REGISTRY}/team/other:1").error
    pulled = node.cri_pull(f"{REGISTRY}/team/signed:1")
    assert pulled.ok, pulled.error

    # Applied again, the example is new and the other's word stands.
    (example,) = [each for each in permissions.objects(BASE) if each["kind"] == "ConfigMap"]
    server.make(configmaps, example)
    until(lambda: "ConfigurationRejected" in events_about(server, "example"), running)
    assert not node.cri_pull(f"{REGISTRY}/team/other:1").ok


def events_about(server: KubeServer, name: str) -> list[str]:
    """The reasons of the events on a ConfigMap."""
    found = server.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/events").value["items"]
    return [each["reason"] for each in found if each["involvedObject"]["name"] == name]
