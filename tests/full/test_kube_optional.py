"""What the agent may do besides, on the real API server: Secrets by name, and the pods of one node."""

import json
import os
import pathlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import anyio
import pytest
from anyio import to_thread

from agent.adapters.kube import ApiServer
from agent.adapters.kube_follow import Follower
from agent.adapters.pull_secrets import FOLDER, READY
from agent.cluster.selections import pods_of
from agent.model.podimages import PodImages
from agent.modes.podimages import PodsImages
from agent.modes.secrets import FORBIDDEN, Secrets
from tests.adapters.kube import ACTIVE, until
from tests.cluster.objects import NAMESPACE
from tests.full.test_kube import BASE, kubeconfig
from tests.testbed.kube import NODE, KubeServer, rule
from tests.warm import Told

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

READS = ("get", "list", "watch")
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
CONTENT = json.dumps({"auths": {"r.example": {"username": "u", "password": "planted"}}}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    """One for all."""
    if os.geteuid() != 0 or not os.access("/usr/bin/apt-get", os.X_OK):
        pytest.skip("kube-apiserver is built from Debian's packages, which takes root")
    with KubeServer(tmp_path_factory.mktemp("kube")) as running:
        running.namespace(NAMESPACE)
        running.make("/api/v1/nodes", {"metadata": {"name": NODE}})
        running.make(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
        yield running


def secret(server: KubeServer, name: str, labels: Mapping[str, str] = ACTIVE, content: bytes = CONTENT) -> None:
    """Create or replace a Secret with credentials."""
    data = {".dockerconfigjson": b64encode(content).decode()}
    value = {"metadata": {"name": name, "labels": dict(labels)}, "type": "kubernetes.io/dockerconfigjson"}
    server.make(SECRETS, {**value, "data": data})


def pod(server: KubeServer, name: str, *images: str, node: str = NODE) -> None:
    """Create a pod that is bound to a node."""
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    spec: dict[str, Any] = {"nodeName": node, "containers": containers, "automountServiceAccountToken": False}
    server.make(PODS, {"metadata": {"name": name}, "spec": spec})


def test_a_role_that_names_a_secret_lets_it_be_followed_and_no_other(
    server: KubeServer, tmp_path: pathlib.Path
) -> None:
    token = server.service_account(NAMESPACE, "named", [*BASE, rule("secrets", *READS, names=["pull"])])
    secret(server, "pull")
    secret(server, "other")
    file = tmp_path / FOLDER / "pull/config.json"

    async def body() -> None:
        found = Secrets(str(tmp_path), Told())
        told: list[tuple[str, str]] = []

        def tell(owner: str, message: str) -> bool:
            """Keep it."""
            told.append((owner, message))
            return True

        credentials = kubeconfig(tmp_path / "kubeconfig", server, token=token)
        async with ApiServer(credentials) as api, anyio.create_task_group() as group:
            found.want({"pull": ("o",), "other": ("o",), "none": ("o",)})
            group.start_soon(found.run, api, NAMESPACE, tell)
            expected = {"none": FORBIDDEN, "other": FORBIDDEN, "pull": READY}
            await until(lambda: found.as_json() == expected and len(told) == 2, lambda: str(found.as_json()))
            assert file.read_bytes() == CONTENT
            await to_thread.run_sync(secret, server, "pull", ACTIVE, CONTENT.replace(b"planted", b"changed"))
            await until(lambda: b"changed" in file.read_bytes())
            await to_thread.run_sync(secret, server, "pull", {}, CONTENT)
            await until(lambda: not file.exists())
            await to_thread.run_sync(secret, server, "pull")
            await until(file.exists)
            await to_thread.run_sync(server.ask, "DELETE", f"{SECRETS}/pull")
            await until(lambda: not file.exists())
            group.cancel_scope.cancel()

    anyio.run(body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SECRETS),
        ("GET", f"{SECRETS}?labelSelector=nodeseal.dev%2Fconfig%3Dactive"),
        ("GET", f"{SECRETS}?fieldSelector=metadata.name%3Dother"),
        ("GET", f"{SECRETS}/other"),
        ("GET", "/api/v1/secrets?fieldSelector=metadata.name%3Dpull"),
        ("GET", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dpull"),
        ("PUT", f"{SECRETS}/pull"),
        ("DELETE", f"{SECRETS}/pull"),
    ],
)
def test_such_a_role_allows_nothing_more(server: KubeServer, method: str, path: str) -> None:
    token = server.service_account(NAMESPACE, "named", [*BASE, rule("secrets", *READS, names=["pull"])])
    value = {"metadata": {"name": "pull"}} if method == "PUT" else None
    assert server.ask(method, path, value, token=token).status == 403
    assert server.ask("GET", f"{SECRETS}?fieldSelector=metadata.name%3Dpull", token=token).status == 200


def test_pods_of_this_node_and_their_changes(server: KubeServer, tmp_path: pathlib.Path) -> None:
    server.make(
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        {"metadata": {"name": "nodeseal-pods"}, "rules": [rule("pods", *READS)]},
    )
    token = server.service_account(NAMESPACE, "pods", BASE)
    subject = {"kind": "ServiceAccount", "namespace": NAMESPACE, "name": "pods"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "nodeseal-pods"}
    binding = {"metadata": {"name": "nodeseal-pods"}, "subjects": [subject], "roleRef": role}
    server.make("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    pod(server, "here", "r.example/a:1", "r.example/b:1")
    pod(server, "there", "r.example/c:1", node="n2")
    told: list[Mapping[str, PodImages]] = []

    async def apply(state: Mapping[str, PodImages]) -> None:
        """Keep it."""
        told.append(state)

    def last() -> Mapping[str, Sequence[str]]:
        """The images of the last state."""
        return {name: each.images for name, each in told[-1].items()} if told else {"": ()}

    async def body() -> None:
        credentials = kubeconfig(tmp_path / "kubeconfig", server, token=token)
        async with ApiServer(credentials) as api, anyio.create_task_group() as group:
            group.start_soon(Follower(api, pods_of(NODE), random=lambda: 0.0).follow, apply)
            here = f"{NAMESPACE}/here"
            await until(lambda: last() == {here: ("r.example/a:1", "r.example/b:1")}, lambda: str(last()))
            pulled = [
                {"name": "c0", "image": "x", "imageID": "r.example/a@sha256:00", "restartCount": 0, "ready": True}
            ]
            status = {"phase": "Running", "containerStatuses": pulled}
            await to_thread.run_sync(change_status, server, "here", status)
            await until(lambda: last() == {here: ("r.example/b:1",)}, lambda: str(last()))
            await to_thread.run_sync(pod, server, "second", "r.example/d:1")
            await until(lambda: last().get(f"{NAMESPACE}/second") == ("r.example/d:1",), lambda: str(last()))
            await to_thread.run_sync(change_status, server, "here", {"phase": "Succeeded"})
            await until(lambda: here not in last(), lambda: str(last()))
            group.cancel_scope.cancel()

    anyio.run(body)


def change_status(server: KubeServer, name: str, status: Mapping[str, object]) -> None:
    """What a kubelet tells of a pod."""
    kind = "application/merge-patch+json"
    answer = server.ask("PATCH", f"{PODS}/{name}/status", {"status": dict(status)}, kind=kind)
    assert answer.status == 200, answer


def test_without_a_cluster_role_pods_are_not_followed_and_it_is_told(
    server: KubeServer, tmp_path: pathlib.Path
) -> None:
    token = server.service_account(NAMESPACE, "base", BASE)

    async def body() -> None:
        log = Told()
        pods = PodsImages(log, len)
        credentials = kubeconfig(tmp_path / "kubeconfig", server, token=token)
        async with ApiServer(credentials) as api, anyio.create_task_group() as group:
            group.start_soon(pods.run, api, NODE)
            await until(lambda: len(log.of("pods not followed")) == 1)
            assert "status 403" in str(pods.as_json()["trouble"])
            group.cancel_scope.cancel()

    anyio.run(body)
