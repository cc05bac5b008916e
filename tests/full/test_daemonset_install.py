"""The pod of daemonset.yaml on a host that nobody prepared: its init container installs, and pulls are verified then.

The containers run under one containerd of the node; the host that they are for is another one's.
"""

import json
import pathlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests import permissions, workload
from tests.full.test_daemonset import answers, host_paths, shipped, until
from tests.permissions import ACCOUNT, BASE, NAMESPACE, ROOT
from tests.signing import write_config
from tests.testbed.forward import Forward
from tests.testbed.inside import Inside
from tests.testbed.kube import NODE, KubeServer
from tests.testbed.node import REGISTRY, Node
from tests.testbed.pods import Pods
from tests.testbed.signatures import Signer
from tests.testbed.tools import fetch, unavailable
from tests.testbed.wholehost import WholeHost, whole_host

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def host() -> Iterator[WholeHost]:
    """A host with a containerd of its own."""
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Node(fetch()) as node, whole_host(node) as host:
        yield host


def test_the_pod_installs_and_then_pulls_are_verified(
    server: KubeServer, host: WholeHost, tmp_path: pathlib.Path
) -> None:
    node = host.node
    manifest = node.work / "daemonset.yaml"
    manifest.write_text((ROOT / BASE).read_text())
    reference = shipped(node, manifest)
    for value in [*permissions.objects(BASE), *permissions.objects("rbac-restart-lease.yaml")]:
        server.make(permissions.path(value), value)
    node.push_pause()
    assert node.cri_pull(reference).ok
    (tmp_path / "token").write_text(server.token(NAMESPACE, ACCOUNT))
    (tmp_path / "ca.crt").write_text(pathlib.Path(server.certificate).read_text())
    (tmp_path / "namespace").write_text(NAMESPACE)
    signer = Signer(node, "build.example.com")
    signer.sign("team/signed", node.push_image("team/signed"))
    node.push_image("team/other")
    paths = host_paths(host.root)

    with (
        Inside(node.pid) as inside,
        Forward(inside.listener(), urlsplit(server.url).port or 0) as forward,
        Pods(str(node.work / "containerd.sock"), node.work / "pods") as pods,
    ):
        assert host.pull(f"{REGISTRY}/team/other:1").ok
        ended = pods.start(reference, workload.workload("install", NODE, paths, tmp_path)).wait()
        assert ended.code == 0, ended.out
        assert "installed; pulls are verified" in ended.out
        bootstrap = json.loads((host.root / "etc/nodeseal/bootstrap.json").read_text())
        assert bootstrap["node"]["name"] == NODE
        again = pods.start(reference, workload.workload("install", NODE, paths, tmp_path)).wait()
        assert again.code == 0, again.out
        assert "wrote" not in again.out

        made = workload.workload("watch", NODE, paths, tmp_path)
        where = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(forward.port)}
        watching = pods.start(reference, made._replace(environment={**made.environment, **where}))
        until(lambda: answers(node, "readinessProbe"), watching)
        assert host.pull(f"{REGISTRY}/team/other:1").ok, "the example blocks nothing"

        folder = write_config(tmp_path / "own", signer.certificate)
        data = {path.name: path.read_text() for path in folder.iterdir()}
        configmaps = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
        server.make(
            configmaps, {"metadata": {"name": "own", "labels": {"nodeseal.dev/config": "active"}}, "data": data}
        )
        assert server.ask("DELETE", f"{configmaps}/example").status == 200
        until(lambda: not host.pull(f"{REGISTRY}/team/other:1").ok, watching)
        pulled = host.pull(f"{REGISTRY}/team/signed:1")
        assert pulled.ok, pulled.error
        until(lambda: '"state": "enforcing"' in watching.out, watching)
        assert watching.stop().code == 0
        assert not host.pull(f"{REGISTRY}/team/other:1").ok, "without the agent, too"
        done = host.uninstall()
        assert done.code == 0, done.err
        assert host.pull(f"{REGISTRY}/team/other:1").ok
