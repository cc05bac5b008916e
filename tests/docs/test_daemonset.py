"""daemonset.yaml: it says what the program understands, and gives the agent no more than it needs.

That a real API server takes it and a real containerd runs it: tests/full/test_daemonset.py.
"""

import pathlib
import re
import sys
from typing import Any

import push
import pytest

from agent.adapters.cri import SOCKETS
from agent.adapters.systemd import SECONDS
from agent.config.discovery import ACTIVE, LABEL
from agent.model.address import Address
from agent.model.reference import Reference
from agent.modes import watch
from agent.modes.world import READY_SECONDS
from tests import permissions, workload
from tests.commands import Done, run

RECONCILE = "docs/manifests/reconcile.yaml"
CONTAINERS = ("install", "watch")
PROBES = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
WRITABLE = {"/var/lib/nodeseal", "/var/cache/nodeseal", "/var/log/nodeseal", "/run/nodeseal"}


def agent(*words: str) -> Done:
    """Run the program from source."""
    environment = {"COLUMNS": "100", "PYTHONPATH": str(permissions.ROOT)}
    return run([sys.executable, "-m", "agent", *words], environment=environment)


def volumes() -> dict[str, dict[str, Any]]:
    """The pod's volumes, by name."""
    return {each["name"]: each for each in workload.pod()["volumes"]}


def test_there_is_one_of_each() -> None:
    kinds = [each["kind"] for each in permissions.objects(permissions.BASE)]
    assert sorted(kinds) == ["ConfigMap", "DaemonSet", "Namespace", "Role", "RoleBinding", "ServiceAccount"]
    assert kinds[0] == "Namespace"  # kubectl applies in this order


def test_the_namespace_lets_the_pod_in() -> None:
    labels = workload.the("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


@pytest.mark.parametrize(
    ("name", "file"), [*((name, permissions.BASE) for name in CONTAINERS), ("reconcile", RECONCILE)]
)
def test_the_program_knows_each_option(name: str, file: str) -> None:
    command, *words = workload.container(name, file)["args"]
    known = set(re.findall(r"--[a-z-]+", agent(command, "--help").out))
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert options
    assert options <= known


def test_the_probes_ask_where_the_program_answers_by_default() -> None:
    address = Address.parse(watch.METRICS)
    watching = workload.container("watch")
    assert not [word for word in watching["args"] if word.startswith("--metrics")]
    for probe, path in PROBES.items():
        assert watching[probe]["httpGet"] == {"host": address.host, "port": address.port, "path": path}


def test_the_first_apply_touches_no_node_and_a_labelled_one_is_never_left_out() -> None:
    pod = workload.pod()
    selector = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "nodeseal.dev/install": "true"}
    assert pod["nodeSelector"] == selector
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["priorityClassName"] == "system-node-critical"


def test_two_agents_never_run_on_one_node() -> None:
    assert workload.the("DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}


def test_the_daemon_may_do_nothing_that_it_does_not_need() -> None:
    assert workload.container("watch")["securityContext"] == {
        "runAsUser": 0,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        "seLinuxOptions": {"type": "spc_t"},
    }
    assert not workload.pod().get("hostIPC")


def test_the_daemon_sees_of_the_host_what_it_works_with_and_writes_its_own() -> None:
    mounts = workload.container("watch")["volumeMounts"]
    assert {each["mountPath"] for each in mounts if not each.get("readOnly")} == WRITABLE
    host = {
        each["mountPath"]: volumes()[each["name"]]["hostPath"]["path"] for each in mounts if each["name"] != "token"
    }
    assert host == {path: path for path in (*WRITABLE, "/etc/nodeseal", "/run/containerd")}


def test_a_node_without_containerd_starts_the_pod_and_is_told_so() -> None:
    types = {each["hostPath"]["path"]: each["hostPath"]["type"] for each in volumes().values() if "hostPath" in each}
    assert types.pop("/") == "Directory"
    assert set(types.values()) == {"DirectoryOrCreate"}, "what is missing must keep no pod waiting"


def test_who_asks_the_api_server_has_a_token_and_it_is_read_only() -> None:
    assert workload.pod()["automountServiceAccountToken"] is False
    holders = [
        (name, each["readOnly"])
        for name in CONTAINERS
        for each in workload.container(name)["volumeMounts"]
        if "projected" in volumes()[each["name"]]
    ]
    assert holders == [("install", True), ("watch", True)]
    assert "--in-turn" in workload.container("install")["args"]


def test_the_socket_is_one_that_kubelets_use_and_its_folder_is_mounted() -> None:
    (path,) = [word.partition("=")[2] for word in workload.container("watch")["args"] if "--cri-socket" in word]
    assert path.lstrip("/") in SOCKETS
    assert str(pathlib.PurePath(path).parent) in [
        each["mountPath"] for each in workload.container("watch")["volumeMounts"]
    ]


@pytest.mark.parametrize("name", CONTAINERS)
def test_memory_is_bounded_and_the_processor_is_not(name: str) -> None:
    resources = workload.container(name)["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}


def images(file: str) -> list[str]:
    """Every image of a file, and what its containers are told to be their own."""
    spec = workload.pod(file)
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    own = [each["value"] for value in containers for each in value["env"] if each["name"] == "NODESEAL_IMAGE"]
    return [*(each["image"] for each in containers), *own]


@pytest.mark.parametrize(("file", "count"), [(permissions.BASE, 3), (RECONCILE, 2)])
def test_pushing_rewrites_each_image_and_what_install_is_told_and_nothing_else(file: str, count: int) -> None:
    (before,) = set(images(file))
    text = (permissions.ROOT / file).read_text()
    reference = "registry.example.com:5000/team/nodeseal@sha256:" + "a" * 64
    rewritten = push.rewritten(text, reference)
    assert len(images(file)) == count
    assert rewritten == text.replace(before, reference)
    assert rewritten.count(reference) == count
    assert file in push.MANIFESTS


def test_who_installs_is_told_its_own_image() -> None:
    for name, file in (("install", permissions.BASE), ("reconcile", RECONCILE)):
        value = workload.container(name, file)
        own = [each["value"] for each in value["env"] if each["name"] == "NODESEAL_IMAGE"]
        assert own == [value["image"]]
        Reference.parse(own[0])


def test_reconcile_does_what_install_does_and_stays() -> None:
    install, keep = workload.container("install"), workload.container("reconcile", RECONCILE)
    assert [word for word in keep["args"] if word not in ("--reconcile", "--format", "json")] == install["args"]
    assert "--reconcile" in keep["args"]
    for same in ("image", "env", "securityContext", "volumeMounts"):
        assert keep[same] == install[same]
    assert set(workload.pod(RECONCILE)) == {"terminationGracePeriodSeconds", "containers"}
    assert workload.pod(RECONCILE)["terminationGracePeriodSeconds"] >= SECONDS + READY_SECONDS


def test_the_example_can_be_used_blocks_nothing_and_gives_way(tmp_path: pathlib.Path) -> None:
    example = workload.the("ConfigMap")
    assert example["metadata"]["labels"] == {LABEL: ACTIVE}
    for name, text in example["data"].items():
        (tmp_path / name).write_text(text)
    checked = agent("config", "check", str(tmp_path))
    assert checked.code == 0, checked.out
    assert "0 errors, 0 warnings" in checked.out
    assert "Enforce" not in example["data"]["nodeseal.yaml"]
    assert example["metadata"]["annotations"] == {"nodeseal.dev/priority": "-1000"}
    assert example["immutable"] is True
