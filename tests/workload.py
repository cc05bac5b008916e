"""daemonset.yaml's containers, as a kubelet would have the runtime make them: words, environment, mounts, powers.

Of the kubelet's translation, what that file uses, and no more: anything else is an error here, not left out.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tests import permissions

_KNOWN = {
    "name", "image", "args", "env", "securityContext", "resources", "volumeMounts",
    "startupProbe", "livenessProbe", "readinessProbe",
}  # fmt: skip
_POWERS = {
    "privileged", "runAsUser", "allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities", "seccompProfile",
    "seLinuxOptions",
}  # fmt: skip


class Bound(NamedTuple):
    """One mount: where it is in the container, what of the host it is, and whether nothing may be written there."""

    inside: str
    outside: pathlib.Path
    readonly: bool


class Powers(NamedTuple):
    """What a container may do, in a `securityContext`'s words."""

    privileged: bool
    user: int | None
    no_new_privileges: bool
    readonly_root: bool
    added: Sequence[str]
    dropped: Sequence[str]
    seccomp: str
    """`RuntimeDefault`, or empty."""
    selinux_type: str


class Workload(NamedTuple):
    """One container."""

    words: Sequence[str]
    environment: Mapping[str, str]
    mounts: Sequence[Bound]
    powers: Powers
    memory: int
    """Its limit, in bytes."""
    host_pid: bool = False
    """Whether its pod is among the node's processes."""


def the(kind: str, file: str = permissions.BASE) -> dict[str, Any]:
    """The one object of a kind in daemonset.yaml, or in another file."""
    (found,) = [each for each in permissions.objects(file) if each["kind"] == kind]
    return found


def pod(file: str = permissions.BASE) -> dict[str, Any]:
    """The pod of the DaemonSet, or what a patch has of it."""
    spec: dict[str, Any] = the("DaemonSet", file)["spec"]["template"]["spec"]
    return spec


def container(name: str, file: str = permissions.BASE) -> dict[str, Any]:
    """One of its containers, of both kinds."""
    spec = pod(file)
    (found,) = [each for each in (*spec.get("initContainers", []), *spec["containers"]) if each["name"] == name]
    assert set(found) <= _KNOWN, set(found) - _KNOWN
    return dict(found)


def workload(
    name: str, node: str, host: Mapping[str, pathlib.Path], token: pathlib.Path, file: str = permissions.BASE
) -> Workload:
    """A container on the node of that name; `host` is where its hostPaths are, `token` is the projected volume.

    `file` is where it stands, if not in daemonset.yaml: in that file as it was pushed, or in a patch of it.
    """
    value = container(name, file)
    environment = {}
    for each in value["env"]:
        if "value" in each:
            environment[each["name"]] = each["value"]
            continue
        assert each["valueFrom"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}, each
        environment[each["name"]] = node
    words = []
    for word in value["args"]:
        for variable, content in environment.items():
            word = word.replace(f"$({variable})", content)
        assert "$(" not in word, word
        words.append(word)
    mounts = [_bound(each, host, token) for each in value["volumeMounts"]]
    limits = value["resources"]["limits"]
    assert set(limits) == {"memory"} and limits["memory"].endswith("Mi")
    memory = int(limits["memory"].removesuffix("Mi")) << 20
    return Workload(words, environment, mounts, _powers(value["securityContext"]), memory, pod().get("hostPID", False))


def _bound(mount: Mapping[str, Any], host: Mapping[str, pathlib.Path], token: pathlib.Path) -> Bound:
    assert set(mount) <= {"name", "mountPath", "readOnly"}, mount
    (volume,) = [each for each in pod()["volumes"] if each["name"] == mount["name"]]
    outside = token if "projected" in volume else host[volume["hostPath"]["path"]]
    return Bound(mount["mountPath"], outside, mount.get("readOnly", False))


def _powers(value: Mapping[str, Any]) -> Powers:
    assert set(value) <= _POWERS, set(value) - _POWERS
    capabilities = value.get("capabilities", {})
    return Powers(
        value.get("privileged", False),
        value.get("runAsUser"),
        value.get("allowPrivilegeEscalation") is False,
        value.get("readOnlyRootFilesystem", False),
        capabilities.get("add", []),
        capabilities.get("drop", []),
        value.get("seccompProfile", {}).get("type", ""),
        value.get("seLinuxOptions", {}).get("type", ""),
    )
