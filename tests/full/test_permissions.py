"""daemonset.yaml and docs/manifests on the real API server: what the table names is allowed, and nothing else."""

import http.client
import itertools
import json
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from tests import permissions
from tests.permissions import ACCOUNT, BASE, NAMESPACE, Access
from tests.testbed.kube import NODE, KubeServer

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

OPTIONAL = sorted({each.file for each in permissions.table()} - {BASE})
IDENTITIES = [[BASE], *([BASE, each] for each in OPTIONAL), [BASE, *OPTIONAL]]
"""What is applied: nothing more, each of the others, all of them."""

VERBS = (
    "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind", "escalate",
    "impersonate", "*",
)  # fmt: skip
RESOURCES = (
    *(("", each) for each in (
        "configmaps", "secrets", "pods", "pods/log", "pods/exec", "pods/status", "pods/eviction", "nodes",
        "nodes/status", "nodes/proxy", "events", "namespaces", "serviceaccounts", "serviceaccounts/token", "services",
        "endpoints", "persistentvolumes", "users", "groups", "*",
    )),
    ("apps", "daemonsets"),
    ("coordination.k8s.io", "leases"),
    *(("rbac.authorization.k8s.io", each) for each in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("certificates.k8s.io", "certificatesigningrequests"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("*", "*"),
)  # fmt: skip
PLACES = (NAMESPACE, "kube-system", "default", "")
NAMES = ("", "pull", NODE, "nodeseal-restart-0")

OF_EVERYBODY = {
    Access("create", "authorization.k8s.io", resource, NAMESPACE, "")
    for resource in ("selfsubjectaccessreviews", "selfsubjectrulesreviews")
}
"""What Kubernetes itself grants to all who are logged in: to ask what they may do."""

Ask = tuple[str, str, int]
EVENTS = {
    f"/api/v1/namespaces/{NAMESPACE}/events": {
        "metadata": {"name": "e", "namespace": NAMESPACE},
        "involvedObject": {"kind": "ConfigMap", "namespace": NAMESPACE, "name": "any"},
    },
    "/api/v1/namespaces/default/events": {
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": NODE},
    },
}


LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
LEASE = "nodeseal-restart-0"


class Identity(NamedTuple):
    """The agent's service account, with what was applied."""

    files: Sequence[str]
    token: str

    @property
    def permissions(self) -> list[permissions.Permission]:
        """The rows that it has."""
        return [each for each in permissions.table() if each.file in self.files]


@pytest.fixture(scope="module", params=IDENTITIES, ids=lambda files: "+".join(files))
def identity(request: pytest.FixtureRequest, server: KubeServer) -> Iterator[Identity]:
    """As `kubectl apply -f` and `kubectl delete -f` make it."""
    files: list[str] = request.param
    for file in files:
        for value in permissions.objects(file):
            server.make(permissions.path(value), value)
    identity = Identity(files, server.token(NAMESPACE, ACCOUNT))
    wait_until_known(server, identity)
    yield identity
    for file in files:
        for value in permissions.objects(file):
            if value["kind"] not in ("Namespace", "ServiceAccount"):
                gone = server.ask("DELETE", f"{permissions.path(value)}/{value['metadata']['name']}")
                assert gone.status == 200


def rules(server: KubeServer, identity: Identity) -> set[Access]:
    """All that the server says the identity may do in our namespace."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = server.ask("POST", path, {"spec": {"namespace": NAMESPACE}}, token=identity.token)
    return permissions.accesses(answer.value["status"]["resourceRules"], NAMESPACE)


def known(identity: Identity) -> set[Access]:
    """What the server should say of our namespace."""
    here = [each.access for each in identity.permissions if each.access.namespace in ("", NAMESPACE)]
    return {each._replace(namespace=NAMESPACE) for each in here} | OF_EVERYBODY


def wait_until_known(server: KubeServer, identity: Identity) -> None:
    """The server's authorizer learns of roles by a watch of its own: a moment later."""
    expected = known(identity)
    end = time.monotonic() + 60
    while rules(server, identity) != expected:
        assert time.monotonic() < end, rules(server, identity) ^ expected
        time.sleep(0.05)


class Reviews:
    """Asks the server what the identity may do; over one connection, since it asks thousands of times."""

    def __init__(self, server: KubeServer, identity: Identity) -> None:
        """Connects when it asks."""
        host = server.url.removeprefix("https://")
        context = ssl.create_default_context(cafile=server.certificate)
        self._connection = http.client.HTTPSConnection(host, context=context, timeout=60)
        self._headers = {"Authorization": f"Bearer {identity.token}", "Content-Type": "application/json"}

    def allowed(self, asked: Access) -> bool:
        """What the server's authorizer says."""
        resource, _, subresource = asked.resource.partition("/")
        attributes = {
            "verb": asked.verb, "group": asked.group, "resource": resource, "subresource": subresource,
            "namespace": asked.namespace, "name": asked.name,
        }  # fmt: skip
        body = json.dumps({"spec": {"resourceAttributes": attributes}})
        self._connection.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body, self._headers)
        response = self._connection.getresponse()
        said: Mapping[str, Any] = json.loads(response.read())
        assert response.status == 201, said
        return bool(said["status"]["allowed"])

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def test_all_that_it_may_do_is_what_the_table_names(server: KubeServer, identity: Identity) -> None:
    """Waited for by the fixture; what is left of others' would be seen here, whatever it is called."""
    assert rules(server, identity) == known(identity)


def test_every_verb_on_every_resource_is_allowed_if_granted_and_else_refused(
    server: KubeServer, identity: Identity
) -> None:
    reviews = Reviews(server, identity)
    wrong, allowed = [], 0
    for verb, (group, resource), place, name in itertools.product(VERBS, RESOURCES, PLACES, NAMES):
        asked = Access(verb, group, resource, place, name)
        expected = any(each.allows(asked) for each in identity.permissions)
        allowed += expected
        if reviews.allowed(asked) != expected:
            wrong.append(asked)
    reviews.close()
    assert not wrong
    assert allowed >= len(identity.permissions)


BASE_ALLOWS: list[Ask] = [
    ("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps?labelSelector=nodeseal.dev%2Fconfig%3Dactive", 200),
    ("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps?watch=true&timeoutSeconds=1", 200),
    ("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/any", 404),
    ("POST", f"/api/v1/namespaces/{NAMESPACE}/events", 201),
    ("PATCH", f"/api/v1/namespaces/{NAMESPACE}/events/e", 200),
]
GET_NODE = ("GET", f"/api/v1/nodes/{NODE}", 200)
OPTIONAL_ALLOW: dict[str, list[Ask]] = {
    "rbac-node-labels.yaml": [GET_NODE],
    "rbac-node-condition.yaml": [
        GET_NODE,
        ("PATCH", f"/api/v1/nodes/{NODE}/status", 200),
        ("POST", "/api/v1/namespaces/default/events", 201),
    ],
    "rbac-restart-lease.yaml": [
        ("POST", LEASES, 201),
        ("GET", f"{LEASES}/{LEASE}", 200),
        ("PUT", f"{LEASES}/{LEASE}", 422),  # it says no resource version, and must
    ],
    "rbac-startup-taint.yaml": [GET_NODE, ("PATCH", f"/api/v1/nodes/{NODE}", 200)],
    "rbac-secrets.yaml": [
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/pull", 404),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets?fieldSelector=metadata.name%3Dpull", 200),
        (
            "GET",
            f"/api/v1/namespaces/{NAMESPACE}/secrets?fieldSelector=metadata.name%3Dpull&watch=1&timeoutSeconds=1",
            200,
        ),
    ],
    "rbac-pods.yaml": [
        ("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{NODE}", 200),
        ("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{NODE}&watch=true&timeoutSeconds=1", 200),
    ],
}
"""Real requests that each file is for, and what they come to if they are allowed."""

NEVER: list[tuple[str, str]] = [
    ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets"),
    ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/any"),
    ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets?fieldSelector=metadata.name%3Dany"),
    ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets?labelSelector=a%3Db"),
    ("GET", "/api/v1/namespaces/kube-system/secrets/pull"),
    ("GET", f"/api/v1/namespaces/{NAMESPACE}/events"),
    ("GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"),
    ("GET", "/api/v1/namespaces/kube-system/configmaps"),
    ("GET", "/api/v1/namespaces/default/configmaps"),
    ("GET", "/api/v1/configmaps"),
    ("GET", "/api/v1/nodes"),
    ("GET", f"/api/v1/nodes/{NODE}/proxy/pods"),
    ("GET", "/api/v1/namespaces"),
    ("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps"),
    ("PUT", f"/api/v1/namespaces/{NAMESPACE}/configmaps/any"),
    ("PATCH", f"/api/v1/namespaces/{NAMESPACE}/configmaps/any"),
    ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/configmaps/any"),
    ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/configmaps"),
    ("PUT", f"/api/v1/namespaces/{NAMESPACE}/events/e"),
    ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/events/e"),
    ("PATCH", "/api/v1/namespaces/default/events/e"),
    ("POST", "/api/v1/namespaces/kube-system/events"),
    ("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"),
    ("POST", f"/api/v1/namespaces/{NAMESPACE}/pods"),
    ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/any"),
    ("PUT", f"/api/v1/nodes/{NODE}/status"),
    ("PUT", f"/api/v1/nodes/{NODE}"),
    ("DELETE", f"/api/v1/nodes/{NODE}"),
    ("POST", "/api/v1/nodes"),
    ("PATCH", f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/nodeseal"),
    ("GET", LEASES),
    ("GET", f"{LEASES}/any"),
    ("PUT", f"{LEASES}/any"),
    ("PATCH", f"{LEASES}/{LEASE}"),
    ("DELETE", f"{LEASES}/{LEASE}"),
    ("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"),
    ("PUT", f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NODE}"),
    ("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles"),
    ("PATCH", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/nodeseal"),
    ("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings"),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
]


def status(server: KubeServer, identity: Identity, method: str, path: str, *, impersonate: str = "") -> int:
    """What a real request of the identity comes to."""
    body = None if method in ("GET", "DELETE") else EVENTS.get(path.removesuffix("/e"), {"metadata": {}})
    if path.startswith(LEASES) and body is not None:
        body = {"metadata": {"name": LEASE, "namespace": NAMESPACE}, "spec": {}}
    kind = "application/merge-patch+json" if method == "PATCH" else ""
    return server.ask(method, path, body, token=identity.token, kind=kind, impersonate=impersonate).status


def test_real_requests_are_answered_if_granted_and_else_refused(server: KubeServer, identity: Identity) -> None:
    for events in EVENTS:
        server.ask("DELETE", f"{events}/e")
    server.ask("DELETE", f"{LEASES}/{LEASE}")
    granted = [*BASE_ALLOWS, *(each for file in OPTIONAL if file in identity.files for each in OPTIONAL_ALLOW[file])]
    asked = {each for requests in OPTIONAL_ALLOW.values() for each in requests}
    for method, path, expected in dict.fromkeys(granted):
        assert status(server, identity, method, path) == expected, path
    for method, path, _ in asked - set(granted):
        assert status(server, identity, method, path) == 403, path


def test_every_optional_manifest_has_its_real_requests() -> None:
    assert sorted(OPTIONAL_ALLOW) == OPTIONAL


@pytest.mark.parametrize(("method", "path"), NEVER)
def test_what_no_manifest_grants_is_refused(server: KubeServer, identity: Identity, method: str, path: str) -> None:
    assert status(server, identity, method, path) == 403


def test_nobody_else_can_be_played(server: KubeServer, identity: Identity) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    for user in ("admin", f"system:node:{NODE}", "system:serviceaccount:kube-system:default"):
        assert status(server, identity, "GET", path, impersonate=user) == 403


def configmap(server: KubeServer, name: str) -> None:
    """One that a node would like to have."""
    labels = {"nodeseal.dev/config": "active"}
    server.make(f"/api/v1/namespaces/{NAMESPACE}/configmaps", {"metadata": {"name": name, "labels": labels}})


def test_a_kubelet_has_what_pods_on_its_node_mount_by_name_and_nothing_by_label(server: KubeServer) -> None:
    """Why the kubelet's own credentials do not do: the Node authorizer."""
    account = {"metadata": {"name": "default"}}
    server.make(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
    configmap(server, "mounted")
    configmap(server, "another")
    volume = {"name": "v", "configMap": {"name": "mounted"}}
    spec = {
        "nodeName": NODE, "automountServiceAccountToken": False, "volumes": [volume],
        "containers": [{"name": "c", "image": "i"}],
    }  # fmt: skip
    server.make(f"/api/v1/namespaces/{NAMESPACE}/pods", {"metadata": {"name": "mounts"}, "spec": spec})
    base = f"/api/v1/namespaces/{NAMESPACE}/configmaps"

    def asked(rest: str) -> tuple[int, str]:
        answer = server.ask("GET", f"{base}{rest}", token=server.node)
        return answer.status, answer.value.get("message", "")

    end = time.monotonic() + 60
    while asked("/mounted")[0] != 200:  # the authorizer learns of pods by a watch of its own
        assert time.monotonic() < end, asked("/mounted")
        time.sleep(0.05)
    assert asked("?fieldSelector=metadata.name%3Dmounted")[0] == 200
    for rest, said in (
        ("/another", "no relationship found between node"),
        ("?fieldSelector=metadata.name%3Danother", "no relationship found between node"),
        ("", "No Object name found"),
        ("?labelSelector=nodeseal.dev%2Fconfig%3Dactive", "No Object name found"),
        ("?labelSelector=nodeseal.dev%2Fconfig%3Dactive&watch=true", "No Object name found"),
    ):
        code, message = asked(rest)
        assert (code, said in message) == (403, True), (rest, message)
