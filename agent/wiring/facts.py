"""What was found out about a node: bytes and names, read by an adapter, decided about here."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from agent.wiring.bindir import Folder
from agent.wiring.version import Version

MARKERS = (
    "/etc/eks",
    "/etc/kubernetes/azure.json",
    "/etc/rancher/k3s",
    "/etc/rancher/rke2",
    "/home/kubernetes/bin",
    "/kind",
    "/opt/azure/containers",
    "/usr/local/bin/kubernetes-scripts",
    "/usr/share/doc/containerd.io",
    "/var/lib/minikube",
    "/var/lib/rancher/rke2",
    "/var/snap/microk8s",
)
"""Paths that only some distributions have."""

SOCKETS = (
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
)
"""Where runtimes listen for the kubelet; the special ones first: their nodes often run another containerd too."""

_VARIABLE = re.compile(r"\$\{(\w+)\}")

MAIN = "/etc/containerd/config.toml"
"""The configuration that containerd reads unless it is told another."""


class Own(NamedTuple):
    """Where a distribution that brings a containerd of its own has its configuration, its program, and its socket."""

    main: str
    program: str
    socket: str


_K3S_SOCKET = "/run/k3s/containerd/containerd.sock"
OWN = (
    Own(
        "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
        "/var/lib/rancher/k3s/data/current/bin/containerd",
        _K3S_SOCKET,
    ),
    Own("/var/lib/rancher/rke2/agent/etc/containerd/config.toml", "/var/lib/rancher/rke2/bin/containerd", _K3S_SOCKET),
    Own("/etc/k0s/containerd.toml", "/var/lib/k0s/bin/containerd", "/run/k0s/containerd.sock"),
    Own(
        "/var/snap/microk8s/current/args/containerd.toml",
        "/snap/microk8s/current/bin/containerd",
        "/var/snap/microk8s/common/run/containerd.sock",
    ),
)
"""Nodes of these often have another containerd too, for Docker, at the usual places."""

UNITS = ("/usr/lib/systemd/system/containerd.service", "/etc/systemd/system/containerd.service")
UNIT_FOLDERS = ("/usr/lib/systemd/system/containerd.service.d", "/etc/systemd/system/containerd.service.d")
"""The unit of a containerd of nobody's own, and folders with files that change it; each one before what outdoes it."""


class Process(NamedTuple):
    """The process that listens at the socket: its program's path, its command line, and the unit that it belongs to.

    `unit` is systemd's, of the process's control group; empty if it is in none.
    """

    pid: int
    exe: str
    arguments: tuple[str, ...]
    unit: str = ""

    def option(self, *names: str) -> str:
        """The value of a command-line option, empty if it has none.  Names with their dashes."""
        words = self.arguments[1:]
        for i, word in enumerate(words):
            name, equals, value = word.partition("=")
            if name in names:
                return value if equals else next(iter(words[i + 1 :]), "")
        return ""


class Facts(NamedTuple):
    """A node.

    `files` are the configuration files that containerd reads, and every file a plan looks at, by path; `dump` is what
    `containerd config dump` said, None if it was not asked.  `os_release` are the words of that file; `markers` those
    of `MARKERS` that are there; `folder` is the verifier folder that is in force.
    """

    version: Version | None
    main: str
    files: Mapping[str, bytes]
    dump: bytes | None = None
    process: Process | None = None
    socket: str = ""
    os_release: Mapping[str, str] = {}
    markers: frozenset[str] = frozenset()
    folder: Folder | None = None


def unit_of(cgroup: bytes) -> str:
    """The systemd service of a `/proc/PID/cgroup`, empty if it names none."""
    for line in cgroup.decode("utf-8", "replace").splitlines():
        for name in reversed(line.rpartition(":")[2].split("/")):
            if name.endswith(".service"):
                return name
    return ""


def main_of_unit(units: Iterable[bytes]) -> str:
    """The configuration that a unit starts containerd with; empty if it names none.

    `units` are the unit's file and those that change it, in systemd's order: the last command counts.  Variables are
    those of the unit itself (systemd.service(5), systemd.exec(5)).
    """
    environment, command = dict[str, str](), list[str]()
    for content in units:
        for line in content[:65536].decode("utf-8", "replace").splitlines():
            name, _, value = line.strip().partition("=")
            words = [word.strip("\"'") for word in value.split()]
            if name == "Environment":
                environment |= dict(word.split("=", 1) for word in words if "=" in word)
            elif name == "ExecStart":
                command = words
    named = Process(0, "", tuple(command)).option("-c", "--config")
    path = _VARIABLE.sub(lambda found: environment.get(found[1], ""), named)
    return path if path.startswith("/") else ""


def os_release(content: bytes) -> dict[str, str]:
    """The words of an os-release file; what is no assignment is passed over."""
    words = {}
    for line in content[:65536].decode("utf-8", "replace").splitlines()[:200]:
        name, equals, value = line.strip().partition("=")
        if equals and name and not name.startswith("#"):
            words[name] = value.strip("\"'")
    return words
