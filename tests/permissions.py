"""What the agent may do in a cluster: the table of docs/kubernetes.md, the manifests that grant it, and RBAC's rules.

permissions = table()           what people read
objects("daemonset.yaml")       what they apply
"""

import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MANIFESTS = DOCS / "manifests"
BASE = "daemonset.yaml"
"""What every agent has; all other manifests are of one feature each, and off by default."""

NAMESPACE = "nodeseal"
ACCOUNT = "nodeseal"
"""The agent's, as the manifests have it."""

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "Role": f"{_RBAC}/namespaces/{{}}/roles",
    "RoleBinding": f"{_RBAC}/namespaces/{{}}/rolebindings",
    "ClusterRole": f"{_RBAC}/clusterroles",
    "ClusterRoleBinding": f"{_RBAC}/clusterrolebindings",
}
_ROW = re.compile(
    r"\| (?P<verbs>`[a-z`, ]+`) \| `(?P<resource>[a-z/]+)`(?: named `(?P<name>[a-z0-9-]+)`)? \| (?P<where>[a-z` ]+) \| "
    r".+ \| \[(?P<file>[a-z-]+\.yaml)\]\((?:manifests|\.\.)/(?P=file)\) \|"
)
_GROUPS = {"leases": "coordination.k8s.io"}
"""Of resources that are not in the core group."""

_WHERE = {"the namespace": NAMESPACE, "the cluster": "", "the namespace `default`": "default"}


class Access(NamedTuple):
    """One thing that is asked for.  Namespace "" is the whole cluster, name "" any."""

    verb: str
    group: str
    resource: str
    """With its subresource, after a slash."""
    namespace: str
    name: str


class Permission(NamedTuple):
    """One row: access, given by a file."""

    access: Access
    file: str

    def allows(self, asked: Access) -> bool:
        """As RBAC has it: what is granted for the cluster counts in each namespace, names only for who names them."""
        same = self.access[:3] == asked[:3] and self.access.namespace in ("", asked.namespace)
        return same and self.access.name in ("", asked.name)


def table() -> list[Permission]:
    """The rows of the table, one for each verb."""
    text = (DOCS / "kubernetes.md").read_text().partition("\n## Permissions\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    found = []
    for line in lines:
        row = _ROW.fullmatch(line)
        assert row, line
        place = (_GROUPS.get(row["resource"], ""), row["resource"], _WHERE[row["where"]], row["name"] or "")
        found += [Permission(Access(verb, *place), row["file"]) for verb in re.findall(r"[a-z]+", row["verbs"])]
    return found


def objects(file: str) -> list[dict[str, Any]]:
    """The objects of a manifest, in its order; one that is no name but a path is below the root."""
    folder = ROOT if file == BASE or "/" in file else MANIFESTS
    return list(yaml.safe_load_all((folder / file).read_text()))


def path(value: Mapping[str, Any]) -> str:
    """Where objects of this kind are made; for kinds that manifests here have."""
    return _PATHS[value["kind"]].format(value["metadata"].get("namespace", ""))


def granted(file: str) -> set[Access]:
    """What a manifest's roles allow; each is bound to the agent's account, and to nobody else."""
    values = objects(file)
    roles = {
        (each["kind"], each["metadata"]["name"]): each for each in values if each["kind"] in ("Role", "ClusterRole")
    }
    bindings = [each for each in values if each["kind"] in ("RoleBinding", "ClusterRoleBinding")]
    found: set[Access] = set()
    for each in bindings:
        assert each["subjects"] == [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}]
        role = roles.pop((each["roleRef"]["kind"], each["roleRef"]["name"]))
        assert each["kind"] == f"{role['kind']}Binding"
        assert each["metadata"].get("namespace") == role["metadata"].get("namespace")
        found |= accesses(role["rules"], role["metadata"].get("namespace", ""))
    assert not roles, "roles that nobody has"
    return found


def accesses(rules: Iterable[Mapping[str, Any]], namespace: str) -> set[Access]:
    """Every combination that rules name: of a Role, or of a review."""
    return {
        Access(verb, group, resource, namespace, name)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or [""]
    }
