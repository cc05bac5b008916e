"""docs/manifests/admission.yaml: whom its rules let pass, and whom they refuse.

The expressions are evaluated by an implementation of CEL that is not the API server's own: none that runs here knows
ValidatingAdmissionPolicy (Kubernetes 1.30).  Variables and conditions are put together as its documentation says.
"""

import copy
import functools
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import celpy
import pytest
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

from agent.cluster import nodes
from agent.config.discovery import ACTIVE, LABEL
from tests import permissions
from tests.docs.test_startup_taint import KEY
from tests.permissions import ACCOUNT, NAMESPACE

pytestmark = pytest.mark.unmeasured  # what runs is none of ours

OBJECTS = permissions.objects("admission.yaml")
AGENT = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
CLAIM = "authentication.kubernetes.io/node-name"
NODE = "worker-3"
Json = dict[str, Any]


class Policy:
    """One policy, and what it says of a request."""

    def __init__(self, name: str) -> None:
        """Compile its expressions, each by itself."""
        (found,) = [each for each in OBJECTS if each["kind"] == "ValidatingAdmissionPolicy" if names(each) == name]
        self.spec = found["spec"]
        self._programs: dict[str, celpy.Runner] = {}

    def refuses(self, request: Json) -> list[str]:
        """The messages of what is not so.  What can't be evaluated is a refusal, too (`failurePolicy: Fail`)."""
        assert self.spec["failurePolicy"] == "Fail"
        bound = {"request": {name: value for name, value in request.items() if name not in ("object", "oldObject")}}
        bound |= {name: request[name] for name in ("object", "oldObject")}
        if not all(self._value(each["expression"], bound) for each in self.spec["matchConditions"]):
            return []
        variables: Json = {}
        for each in self.spec["variables"]:
            bound["variables"] = variables  # of those above alone
            variables[each["name"]] = self._value(each["expression"], bound)
        bound["variables"] = variables
        return [each["message"] for each in self.spec["validations"] if not self._holds(each["expression"], bound)]

    def _holds(self, expression: str, bound: Json) -> bool:
        try:
            return bool(self._value(expression, bound))
        except CELEvalError:
            return False

    @functools.cached_property
    def _environment(self) -> celpy.Environment:
        """Takes a second, which who only collects these tests need not wait for."""
        return celpy.Environment()

    def _value(self, expression: str, bound: Json) -> Any:
        if expression not in self._programs:
            self._programs[expression] = self._environment.program(self._environment.compile(expression))
        return self._programs[expression].evaluate({name: json_to_cel(value) for name, value in bound.items()})


def names(value: Mapping[str, Any]) -> str:
    """An object's name."""
    return str(value["metadata"]["name"])


CONFIGURATION, OF_NODE = Policy("nodeseal-configuration"), Policy("nodeseal-node")


@pytest.fixture(scope="module", autouse=True)
def recursion_limit() -> Iterator[None]:
    """As it was, once these tests are over: celpy raises it for the whole process."""
    before = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(before)


def configmap(**labels: str) -> Json:
    """A ConfigMap."""
    return {"metadata": {"name": "shop", "namespace": NAMESPACE, **({"labels": labels} if labels else {})}}


def by(user: str, *groups: str, extra: Json | None = None) -> Json:
    """Who asks."""
    return {"username": user, **({"groups": list(groups)} if groups else {}), **({"extra": extra} if extra else {})}


def asked(user: Json, old: Json | None, new: Json | None, *, status: bool = False) -> Json:
    """A request, as an AdmissionReview has it."""
    operation = "CREATE" if old is None else "DELETE" if new is None else "UPDATE"
    name = names(new or old or {})
    found: Json = {"operation": operation, "name": name, "userInfo": user, "object": new, "oldObject": old}
    return {**found, "subResource": "status"} if status else found


LABELLED, PLAIN = configmap(**{LABEL: ACTIVE}), configmap()
CHANGES = {"made": (None, LABELLED), "changed": (LABELLED, LABELLED), "labelled": (PLAIN, LABELLED),
           "unlabelled": (LABELLED, PLAIN), "deleted": (LABELLED, None)}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_who_is_listed_may_write_a_configuration(change: str) -> None:
    for user in (by("anna", "system:authenticated", "system:masters"),
                 by("system:serviceaccount:kube-system:namespace-controller")):  # fmt: skip
        assert CONFIGURATION.refuses(asked(user, *CHANGES[change])) == []


@pytest.mark.parametrize("change", CHANGES)
def test_who_is_not_may_not(change: str) -> None:
    for user in (by("system:serviceaccount:shop:deployer", "system:serviceaccounts"), by("system:anonymous"),
                 by("system:masters"), by("bob", "system:masters:not", "Masters")):  # fmt: skip
        assert len(CONFIGURATION.refuses(asked(user, *CHANGES[change]))) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_no_agent_writes_a_configuration_whatever_its_groups(change: str) -> None:
    refused = CONFIGURATION.refuses(asked(by(AGENT, "system:masters"), *CHANGES[change]))
    assert refused == ["an agent does not write what it reads"]


def test_what_is_no_configuration_is_not_looked_at() -> None:
    for old, new in ((None, PLAIN), (PLAIN, PLAIN), (PLAIN, None), (None, configmap(app="shop"))):
        assert CONFIGURATION.refuses(asked(by("anybody"), old, new)) == []


BEFORE: Json = {
    "metadata": {"name": NODE, "labels": {"zone": "a"}, "annotations": {"a": "b"}},
    "spec": {
        "podCIDR": "10.0.0.0/24", "providerID": "p://1",
        "taints": [{"key": "other", "effect": "NoSchedule"}, {"key": KEY, "effect": "NoSchedule"}],
    },
    "status": {
        "capacity": {"cpu": "4"}, "allocatable": {"cpu": "4"},
        "addresses": [{"type": "InternalIP", "address": "10.0.0.7"}],
        "images": [{"names": ["a"], "sizeBytes": 1}], "nodeInfo": {"kubeletVersion": "v1.33.0"},
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}],
    },
}  # fmt: skip
ITSELF = by(AGENT, "system:serviceaccounts", extra={CLAIM: [NODE]})
OURS = {"type": nodes.CONDITION, "status": "True", "reason": "Enforcing"}


def after(path: str, value: Any) -> Json:
    """The node with something else at a path; None takes it away."""
    node: Json = copy.deepcopy(BEFORE)
    *parts, last = path.split(".")
    place = node
    for part in parts:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return node


WITHOUT_TAINT = after("spec.taints", BEFORE["spec"]["taints"][:1])
WITH_CONDITION = after("status.conditions", [*BEFORE["status"]["conditions"], OURS])


def test_an_agent_takes_its_taint_from_its_node_and_keeps_its_condition() -> None:
    assert OF_NODE.refuses(asked(ITSELF, BEFORE, WITHOUT_TAINT)) == []
    only = {**BEFORE, "spec": {"taints": BEFORE["spec"]["taints"][1:]}}
    assert OF_NODE.refuses(asked(ITSELF, only, {**BEFORE, "spec": {}})) == []
    assert OF_NODE.refuses(asked(ITSELF, BEFORE, WITH_CONDITION, status=True)) == []
    changed = after("status.conditions", [*BEFORE["status"]["conditions"], {**OURS, "status": "False"}])
    assert OF_NODE.refuses(asked(ITSELF, WITH_CONDITION, changed, status=True)) == []
    first = after("status.conditions", [OURS])
    bare = after("status.conditions", None)
    assert OF_NODE.refuses(asked(ITSELF, bare, first, status=True)) == []


def test_the_patch_that_the_agent_makes_is_one_of_these() -> None:
    node = nodes.Node(tuple(BEFORE["spec"]["taints"]), "", "")
    removed = [each["path"] for each in nodes.without_taint(node, KEY) if each["op"] == "remove"]
    assert removed == ["/spec/taints/1"]
    assert OF_NODE.spec["variables"][0]["expression"] == f"'{KEY}'"
    assert OF_NODE.spec["variables"][1]["expression"] == f"'{nodes.CONDITION}'"


@pytest.mark.parametrize("status", [False, True])
@pytest.mark.parametrize(
    "user",
    [by(AGENT), by(AGENT, extra={CLAIM: ["worker-4"]}), by(AGENT, extra={CLAIM: [NODE, "worker-4"]}),
     by(AGENT, extra={CLAIM: []}), by(AGENT, extra={"other": [NODE]})],
    ids=["no claims", "another node", "two nodes", "no node", "another claim"],
)  # fmt: skip
def test_an_agent_of_another_node_writes_nothing(user: Json, status: bool) -> None:
    new = WITH_CONDITION if status else WITHOUT_TAINT
    assert OF_NODE.refuses(asked(user, BEFORE, new, status=status)) == ["an agent writes its own node alone"]


TAINTS = BEFORE["spec"]["taints"]
FOREIGN: dict[str, list[Any]] = {
    "metadata.labels": [{"zone": "b"}, {}, None, {"zone": "a", "node-role.kubernetes.io/control-plane": ""}],
    "metadata.annotations": [{}, None], "metadata.finalizers": [["a"]], "metadata.ownerReferences": [[{"uid": "1"}]],
}  # fmt: skip
IN_SPEC: dict[str, list[Any]] = {
    "spec.unschedulable": [True], "spec.podCIDR": ["10.0.1.0/24", None], "spec.podCIDRs": [["10.0.1.0/24"]],
    "spec.providerID": ["p://2"], "spec.configSource": [{}],
    "spec.taints": [
        TAINTS[1:], [], None, [*TAINTS, {"key": "more", "effect": "NoExecute"}],
        [{"key": "other", "effect": "PreferNoSchedule"}, TAINTS[1]],
        [{"key": "other", "effect": "NoSchedule", "value": "v"}],
        [*TAINTS, {"key": KEY, "effect": "NoExecute"}],
    ],
}  # fmt: skip
IN_STATUS: dict[str, list[Any]] = {
    **{
        f"status.{name}": [{"x": "y"}]
        for name in ("capacity", "allocatable", "phase", "addresses", "daemonEndpoints", "nodeInfo", "images",
                     "volumesInUse", "volumesAttached", "config", "runtimeHandlers", "features")
    },
    "status.images": [None, []],
    "status.conditions": [
        [OURS], [], None, [{"type": "Ready", "status": "False"}, {"type": "DiskPressure", "status": "False"}, OURS],
        [*BEFORE["status"]["conditions"], {"type": "Other", "status": "True"}], BEFORE["status"]["conditions"][:1],
    ],
}  # fmt: skip


def cases(*tables: Mapping[str, list[Any]]) -> list[tuple[str, Any]]:
    """Each path with each value."""
    return [(path, value) for table in tables for path, values in table.items() for value in values]


@pytest.mark.parametrize(("path", "value"), cases(FOREIGN, IN_SPEC))
def test_an_agent_changes_nothing_else_of_its_node(path: str, value: Any) -> None:
    assert len(OF_NODE.refuses(asked(ITSELF, BEFORE, after(path, value)))) == 1


@pytest.mark.parametrize(("path", "value"), cases(FOREIGN, IN_STATUS))
def test_an_agent_changes_nothing_else_of_its_nodes_status(path: str, value: Any) -> None:
    assert len(OF_NODE.refuses(asked(ITSELF, BEFORE, after(path, value), status=True))) == 1


def test_an_object_without_what_is_compared_is_refused() -> None:
    for status in (False, True):
        assert OF_NODE.refuses(asked(ITSELF, BEFORE, {"metadata": BEFORE["metadata"]}, status=status))


def test_others_write_nodes_as_ever() -> None:
    for user in (by(f"system:node:{NODE}", "system:nodes"), by("anna", "system:masters")):
        assert OF_NODE.refuses(asked(user, BEFORE, after("metadata.labels", {}))) == []


def test_each_policy_is_bound_and_denies() -> None:
    bindings = {each["spec"]["policyName"]: each["spec"] for each in OBJECTS if each["kind"].endswith("Binding")}
    policies = {names(each) for each in OBJECTS if each["kind"] == "ValidatingAdmissionPolicy"}
    assert set(bindings) == policies
    assert all("Deny" in each["validationActions"] for each in bindings.values())
    assert {each["apiVersion"] for each in OBJECTS} == {"admissionregistration.k8s.io/v1"}


def test_the_rules_reach_what_they_are_for() -> None:
    assert CONFIGURATION.spec["matchConstraints"] == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        "resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE", "DELETE"],
             "resources": ["configmaps", "secrets"]}
        ],
    }  # fmt: skip
    (rule,) = OF_NODE.spec["matchConstraints"]["resourceRules"]
    assert rule == {
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["nodes", "nodes/status"]
    }  # fmt: skip
