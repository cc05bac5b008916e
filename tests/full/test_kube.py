"""The real API server: it keeps the simulator's contract, and lets each identity do what the manifests say, no more."""

import json
import os
import pathlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence

import anyio
import pytest
from anyio import to_thread

from agent.adapters.kube import ApiServer
from agent.adapters.kube_access import Credentials
from agent.adapters.kube_events import Events
from agent.adapters.kube_follow import Follower
from agent.cluster.following import List
from agent.cluster.nodes import CONDITION
from agent.cluster.notices import Notice
from agent.cluster.notices import Reason as Why
from agent.cluster.troubles import ApiError
from agent.modes.nodekeeping import NodeKeeper
from agent.modes.proofs import Looked, Proofs
from agent.modes.tasks import Proving, Taint
from agent.wiring.proof import NOTHING_KNOWN, Proof, Reason, State
from tests.adapters.kube import ACTIVE, Told, until
from tests.adapters.kube_contract import CONTRACT, Check
from tests.cluster.objects import NAMESPACE, SELECTOR
from tests.testbed.kube import NODE, KubeServer, rule
from tests.warm import Told as Log

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

BASE = [rule("configmaps", "get", "list", "watch"), rule("events", "create", "patch")]
"""What the agent's Role grants, in its own namespace."""

CONFIGMAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeServer]:
    """One for all."""
    if os.geteuid() != 0 or not os.access("/usr/bin/apt-get", os.X_OK):
        pytest.skip("kube-apiserver is built from Debian's packages, which takes root")
    with KubeServer(tmp_path_factory.mktemp("kube")) as running:
        running.namespace(NAMESPACE)
        running.make("/api/v1/nodes", {"metadata": {"name": NODE, "labels": {"zone": "a"}}})
        yield running


class Real:
    """`kube_contract.Cluster` of a real server."""

    def __init__(self, server: KubeServer, folder: pathlib.Path) -> None:
        """Writes kubeconfigs into `folder`."""
        self._server = server
        self._folder = folder
        self._tokens = {"admin": server.admin, "reader": server.service_account(NAMESPACE, "reader", BASE)}

    def credentials(self, who: str) -> Credentials:
        """See there."""
        return kubeconfig(self._folder / who, self._server, token=self._tokens.get(who, "nobody"))

    def put(
        self, name: str, labels: Mapping[str, str], data: Mapping[str, str], binary: Mapping[str, bytes] | None = None
    ) -> None:
        """See there."""
        put(self._server, name, labels, data, binary)

    def delete(self, name: str) -> None:
        """See there."""
        assert self._server.ask("DELETE", f"{CONFIGMAPS}/{name}").status == 200

    def forget(self) -> None:
        """See there."""
        self._server.compact()

    def event(self, name: str) -> Mapping[str, object]:
        """See there."""
        found: Mapping[str, object] = self._server.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/events/{name}").value
        return found

    def taint(self, taints: Sequence[Mapping[str, str]]) -> None:
        """See there."""
        body, kind = {"spec": {"taints": list(taints)}}, "application/merge-patch+json"
        answer = self._server.ask("PATCH", f"/api/v1/nodes/{NODE}", body, kind=kind)
        assert answer.status == 200, answer


def put(
    server: KubeServer,
    name: str,
    labels: Mapping[str, str],
    data: Mapping[str, str],
    binary: Mapping[str, bytes] | None = None,
) -> None:
    """Create or replace a ConfigMap."""
    value = {"metadata": {"name": name, "labels": dict(labels)}, "data": dict(data)}
    if binary:
        value["binaryData"] = {key: b64encode(each).decode() for key, each in binary.items()}
    server.make(CONFIGMAPS, value)


def kubeconfig(path: pathlib.Path, server: KubeServer, **user: str) -> Credentials:
    """A kubeconfig of a user."""
    value = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
        "clusters": [{"name": "c", "cluster": {"server": server.url, "certificate-authority": server.certificate}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(value))
    path.chmod(0o600)
    return Credentials({}, kubeconfig=str(path))


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_real_server_keeps_the_contract(server: KubeServer, tmp_path: pathlib.Path, check: Check) -> None:
    anyio.run(check, Real(server, tmp_path))


def test_the_base_role_suffices_for_a_pod_and_its_token_is_read_anew(
    server: KubeServer, tmp_path: pathlib.Path
) -> None:
    """As in a pod: service account, its token, its CA, where the server is by environment; list, watch, event."""
    (tmp_path / "token").write_text(server.service_account(NAMESPACE, "agent", BASE))
    (tmp_path / "ca.crt").write_text(pathlib.Path(server.certificate).read_text())
    host, _, port = server.url.removeprefix("https://").partition(":")
    where = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}

    async def body() -> None:
        told = Told()
        async with (
            ApiServer(Credentials(where, service_account=str(tmp_path))) as api,
            anyio.create_task_group() as group,
        ):
            follower, events = (
                Follower(api, NAMESPACE, SELECTOR, random=lambda: 0.0),
                Events(api, NODE, random=lambda: 0.0),
            )
            group.start_soon(follower.follow, told.apply)
            group.start_soon(events.run)
            await told.until({})
            (tmp_path / "token").write_text(await to_thread.run_sync(server.token, NAMESPACE, "agent"))
            await to_thread.run_sync(put, server, "pod", ACTIVE, {"v": "1"})
            await told.until({"pod": "1"})
            events.tell(Notice.of(told.states[-1]["pod"], Why.ACCEPTED, "generation 1"))
            await until(lambda: events.written == 1, lambda: str(events.failures))
            assert not follower.progress().failures
            group.cancel_scope.cancel()

    anyio.run(body)
    server.ask("DELETE", f"{CONFIGMAPS}/pod")


def test_a_client_certificate_that_was_rotated_is_shown_at_the_next_request(
    server: KubeServer, tmp_path: pathlib.Path
) -> None:
    server.grant(NAMESPACE, {"kind": "User", "name": "second"}, BASE)
    pem = tmp_path / "client.pem"
    files = {"client-certificate": str(pem), "client-key": str(pem)}
    credentials = kubeconfig(tmp_path / "kubeconfig", server, **files)

    async def body() -> None:
        async with ApiServer(credentials) as api:
            os.replace(server.users.issue(["first"]), pem)
            with pytest.raises(ApiError, match='User "first" cannot list'):
                await api.page(NAMESPACE, SELECTOR, List(1, ""))
            os.replace(server.users.issue(["second"]), pem)
            await api.page(NAMESPACE, SELECTOR, List(1, ""))
            pem.write_text("half of a certif")
            await api.page(NAMESPACE, SELECTOR, List(1, ""))  # with the last one that could be read

    anyio.run(body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/any"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/events"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
        ("GET", "/api/v1/namespaces/kube-system/configmaps"),
        ("GET", "/api/v1/namespaces/default/configmaps"),
        ("GET", "/api/v1/configmaps"),
        ("GET", "/api/v1/nodes"),
        ("GET", f"/api/v1/nodes/{NODE}"),
        ("GET", "/api/v1/namespaces"),
        ("POST", CONFIGMAPS),
        ("PUT", f"{CONFIGMAPS}/any"),
        ("PATCH", f"{CONFIGMAPS}/any"),
        ("DELETE", f"{CONFIGMAPS}/any"),
        ("DELETE", CONFIGMAPS),
        ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/events/any"),
        ("POST", "/api/v1/namespaces/default/events"),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/agent/token"),
        ("PATCH", f"/api/v1/nodes/{NODE}/status"),
    ],
)
def test_the_base_role_allows_nothing_more(server: KubeServer, method: str, path: str) -> None:
    token = server.service_account(NAMESPACE, "agent", BASE)
    value = {"metadata": {"name": "any"}} if method in ("POST", "PUT", "PATCH") else None
    kind = "application/merge-patch+json" if method == "PATCH" else ""
    assert server.ask(method, path, value, token=token, kind=kind).status == 403


def _events_on_the_node(server: KubeServer) -> list[str]:
    """The reasons of those that a keeper wrote."""
    events = server.ask("GET", "/api/v1/namespaces/default/events").value["items"]
    found = [each["reason"] for each in events if each["involvedObject"]["name"] == NODE]
    return [each for each in found if each != "LocalPullFallback"]  # the contract's


def test_the_grants_for_the_node_suffice_for_its_condition_and_its_taint(
    server: KubeServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/kubernetes.md has them; without them nothing is written, and nothing breaks."""
    monkeypatch.setattr("agent.cluster.nodes.MOST_AGAIN", 2.0)
    group, rbac = "rbac.authorization.k8s.io", "/apis/rbac.authorization.k8s.io/v1"
    token = server.service_account(NAMESPACE, "keeper", BASE)
    keeper = {"kind": "ServiceAccount", "name": "keeper", "namespace": NAMESPACE}
    rules = [rule("nodes", "get", "patch"), rule("nodes/status", "patch")]
    other, ours = ({"key": key, "effect": "NoSchedule"} for key in ("other", "k"))
    node = f"/api/v1/nodes/{NODE}"
    body, kind = {"spec": {"taints": [ours, other]}}, "application/merge-patch+json"
    assert server.ask("PATCH", node, body, kind=kind).status == 200

    def grant() -> None:
        server.make(f"{rbac}/clusterroles", {"metadata": {"name": "node"}, "rules": rules})
        role = {"apiGroup": group, "kind": "ClusterRole", "name": "node"}
        bound = {"metadata": {"name": "node"}, "subjects": [keeper], "roleRef": role}
        server.make(f"{rbac}/clusterrolebindings", bound)
        server.grant("default", keeper, [rule("events", "create")])

    async def sweep() -> Mapping[str, int]:
        return {}

    async def proved(*_: object, **__: object) -> Proof:
        return Proof(State.ENFORCING, Reason.ENFORCING, "good")

    async def body_of_it() -> None:
        log = Log()
        proofs = Proofs("/nowhere", Proving("/nowhere/s"), log, prove=proved)
        at_once = {"random": lambda: 0.0, "sleep": lambda seconds: anyio.sleep(seconds / 100)}
        keeping = NodeKeeper(NODE, proofs, log, taint=Taint("k", 60), sweep=sweep, **at_once)  # type: ignore[arg-type]
        credentials = kubeconfig(tmp_path / "keeper", server, token=token)
        async with ApiServer(credentials) as api, anyio.create_task_group() as group:
            group.start_soon(keeping.run, api)
            await proofs.once(Looked(NOTHING_KNOWN, ()), anew=False)
            await until(lambda: bool(log.of("node condition not written")))
            await to_thread.run_sync(grant)
            await until(lambda: keeping.taint == "removed" and keeping.condition is not None, lambda: str(log.events))
            while not await to_thread.run_sync(_events_on_the_node, server):
                await anyio.sleep(0.1)
            group.cancel_scope.cancel()
        assert not log.of("event on the node not written")

    anyio.run(body_of_it)
    found = server.ask("GET", node).value
    assert found["spec"]["taints"] == [other]
    said = next(each for each in found["status"]["conditions"] if each["type"] == CONDITION)
    assert (said["status"], said["reason"]) == ("True", "Enforcing")
    assert _events_on_the_node(server) == ["Enforcing"]
    for method, path in (("DELETE", node), ("GET", "/api/v1/pods"), ("PATCH", f"{node}/proxy")):
        assert server.ask(method, path, {}, token=token, kind=kind).status == 403


def test_a_kubelets_own_credentials_do_not_suffice(server: KubeServer) -> None:
    """The Node authorizer lets it have what its pods refer to, by name, and no lists by label."""
    asked = f"{CONFIGMAPS}?labelSelector=nodeseal.dev%2Fconfig%3Dactive"
    listed = server.ask("GET", asked, token=server.node)
    watched = server.ask("GET", f"{asked}&watch=true", token=server.node)
    assert (listed.status, watched.status) == (403, 403)
    assert "No Object name found" in listed.value["message"]
    put(server, "named", ACTIVE, {})
    named = server.ask("GET", f"{CONFIGMAPS}/named", token=server.node)
    assert named.status == 403
    assert "no relationship found between node" in named.value["message"]


def test_an_api_server_that_restarts_is_followed_on(server: KubeServer, tmp_path: pathlib.Path) -> None:
    real = Real(server, tmp_path)
    put(server, "before", ACTIVE, {"v": "1"})

    async def body() -> None:
        told = Told()
        async with ApiServer(real.credentials("reader")) as api, anyio.create_task_group() as group:
            follower = Follower(api, NAMESPACE, "nodeseal.dev/config=active,app=restart", random=lambda: 0.1)
            group.start_soon(follower.follow, told.apply)
            await told.until({})
            await to_thread.run_sync(server.stop)
            await to_thread.run_sync(server.start)
            await to_thread.run_sync(put, server, "after", {**ACTIVE, "app": "restart"}, {"v": "2"})
            await told.until({"after": "2"})
            assert follower.progress().failures
            group.cancel_scope.cancel()

    anyio.run(body)
