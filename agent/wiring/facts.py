"""What was found out about a node: bytes and names, read by an adapter, decided about here."""

from collections.abc import Mapping
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

MAIN = "/etc/containerd/config.toml"
"""The configuration that containerd reads unless it is told another."""

MAINS = {
    "/run/k3s/containerd/containerd.sock": (
        "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
        "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
    ),
    "/run/k0s/containerd.sock": ("/etc/k0s/containerd.toml",),
    "/var/snap/microk8s/common/run/containerd.sock": ("/var/snap/microk8s/current/args/containerd.toml",),
}
"""The one that it is told where it listens at such a socket, the first that is there."""


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


def os_release(content: bytes) -> dict[str, str]:
    """The words of an os-release file; what is no assignment is passed over."""
    words = {}
    for line in content[:65536].decode("utf-8", "replace").splitlines()[:200]:
        name, equals, value = line.strip().partition("=")
        if equals and name and not name.startswith("#"):
            words[name] = value.strip("\"'")
    return words
