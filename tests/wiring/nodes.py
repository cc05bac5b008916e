"""The fixtures as facts: one node of each distribution, and variants."""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from agent.wiring.bindir import Entry, Folder, Kind
from agent.wiring.distributions import Way
from agent.wiring.effective import DEFAULT_BIN_DIR
from agent.wiring.facts import MAIN, MARKERS, OWN, Facts, Process, os_release
from agent.wiring.version import Version, parse

FIXTURES = pathlib.Path(__file__).parent / "fixtures"

SOCKET = "/run/containerd/containerd.sock"
OURS = Entry("00-nodeseal", Kind.FILE, "/opt/nodeseal/0.1.0/nodeseal", link=True)


K3S = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml"
RKE2 = "/var/lib/rancher/rke2/agent/etc/containerd/config.toml"
K3S_SOCKET = "/run/k3s/containerd/containerd.sock"
PROGRAMS = {own.main: own.program for own in OWN}


class Sample(NamedTuple):
    """A fixture: where it is, which containerd runs there with which main file and socket, and what is true of it.

    `read_only` are folders that can't be written to there, or where no program may run.
    """

    folder: str
    name: str
    way: Way
    triggers: tuple[str, ...] = ()
    version: str = "2.1.9"
    main: str = MAIN
    socket: str = SOCKET
    read_only: tuple[str, ...] = ()
    program: str = ""

    @property
    def containerd(self) -> str:
        """Where its program is."""
        return self.program or PROGRAMS.get(self.main, "/usr/bin/containerd")

    def __str__(self) -> str:
        """How the test's case is called."""
        return self.folder


_LOCAL, _DISCARD = ("use_local_image_pull",), ("discard_unpacked_layers",)
_GKE = (*_DISCARD, "registry.mirrors")
_USR, _LOCKED = ("/usr",), ("/usr", "/opt", "/etc", "/var/lib", "/srv")

SAMPLES = (
    Sample("debian", "debian", Way.IMPORT),
    Sample("debian-12", "debian", Way.REFUSE, version="1.6.20"),
    Sample("ubuntu", "debian", Way.ADVISE, version="2.1.3"),
    Sample("containerd-io", "containerd.io", Way.DROP_IN, version="2.2.5"),
    Sample("containerd-io-v4", "containerd.io", Way.DROP_IN, ("max_concurrent_downloads",), version="2.3.4"),
    Sample("eks", "eks", Way.ADVISE, _DISCARD),
    Sample("eks-soci", "eks", Way.ADVISE, (*_DISCARD, "disable_snapshot_annotations")),
    Sample("bottlerocket", "bottlerocket", Way.ADVISE, read_only=_LOCKED),
    Sample("aks", "aks", Way.IMPORT, version="2.3.3"),
    Sample("aks-streaming", "aks", Way.IMPORT, ("disable_snapshot_annotations",), version="2.2.4"),
    Sample("aks-azurelinux", "aks", Way.IMPORT, version="2.2.4"),
    Sample("aks-ubuntu2204", "aks", Way.REFUSE, version="1.7.34"),
    Sample("gke", "gke", Way.ADVISE, _GKE, read_only=_LOCKED),
    Sample("gke-ubuntu", "gke", Way.ADVISE, _GKE),
    Sample("k3s", "k3s", Way.DROP_IN, _LOCAL, "2.3.4-k3s1.36", K3S, K3S_SOCKET),
    Sample("k3s-older", "k3s", Way.ADVISE, (*_LOCAL, "registry.configs"), "2.1.5-k3s1", K3S, K3S_SOCKET),
    Sample("k3s-base", "k3s", Way.ADVISE, _LOCAL, "2.1.5-k3s1", K3S, K3S_SOCKET),
    Sample("k3s-template", "k3s", Way.ADVISE, _LOCAL, "2.1.5-k3s1", K3S, K3S_SOCKET),
    Sample("k3s-v2", "k3s", Way.DROP_IN, (), "2.3.4-k3s1.36", K3S, K3S_SOCKET),
    Sample("rke2", "rke2", Way.DROP_IN, _LOCAL, "2.1.5-k3s1", RKE2, K3S_SOCKET),
    Sample("rke2-template", "rke2", Way.DROP_IN, _LOCAL, "2.1.5-k3s1", RKE2, K3S_SOCKET, ("/usr",)),
    Sample("k0s", "k0s", Way.DROP_IN, (), "2.3.4", "/etc/k0s/containerd.toml", "/run/k0s/containerd.sock"),
    Sample("k0s-older", "k0s", Way.REFUSE, (), "1.7.30", "/etc/k0s/containerd.toml", "/run/k0s/containerd.sock"),
    Sample("kind", "kind", Way.ADVISE, _DISCARD, version="2.3.4", program="/usr/local/bin/containerd"),
    Sample("minikube", "minikube", Way.ADVISE, _DISCARD, version="2.3.4"),
    Sample("minikube-docker", "minikube", Way.ADVISE, _DISCARD, version="2.2.5"),
    Sample("kubespray", "kubespray", Way.IMPORT, version="2.3.4", program="/usr/local/bin/containerd"),
    Sample(
        "microk8s", "microk8s", Way.IMPORT, version="2.2.3", read_only=("/snap",),
        main="/var/snap/microk8s/current/args/containerd.toml", socket="/var/snap/microk8s/common/run/containerd.sock",
    ),
    Sample(
        "talos", "talos", Way.ADVISE, (*_LOCAL, *_DISCARD), version="2.3.4",
        main="/etc/cri/containerd.toml", read_only=_LOCKED,
    ),
    Sample("flatcar", "flatcar", Way.ADVISE, (), "2.2.5", "/usr/share/containerd/config.toml", read_only=_USR),
    Sample("flatcar-copied", "flatcar", Way.IMPORT, version="2.2.5", read_only=_USR),
    Sample("flatcar-import", "flatcar", Way.DROP_IN, version="2.2.5", read_only=_USR),
    Sample("crio", "cri-o", Way.REFUSE, socket="/run/crio/crio.sock", program="/usr/bin/crio", read_only=_USR),
)  # fmt: skip


def version(text: str) -> Version:
    """A version that is there."""
    parsed = parse(text)
    assert parsed is not None
    return parsed


def files_of(folder: str) -> dict[str, bytes]:
    """Every configuration file of a fixture, and what it is made of, by its path on the host."""
    root = FIXTURES / folder
    paths = (path for pattern in ("*.toml", "*.toml.tmpl") for path in root.rglob(pattern))
    return {f"/{path.relative_to(root)}": path.read_bytes() for path in paths}


def facts(sample: Sample, *, with_link: bool = False, extra: Mapping[str, bytes] | None = None) -> Facts:
    """A fixture's facts; `extra` are more files."""
    root = FIXTURES / sample.folder
    exe = sample.containerd
    return Facts(
        version(sample.version),
        sample.main,
        files_of(sample.folder) | dict(extra or {}),
        process=Process(100, exe, (exe, "--config", sample.main)),
        socket=sample.socket,
        os_release=os_release((root / "etc/os-release").read_bytes()),
        markers=frozenset(marker for marker in MARKERS if (root / marker[1:]).exists()),
        folder=Folder(DEFAULT_BIN_DIR, Kind.FOLDER, (OURS,) if with_link else ()),
    )


def simple(main: str, *more: tuple[str, str], of: str = "2.1.9", folder: Folder | None = None) -> Facts:
    """A Debian node with this main file, and more files by path."""
    files = {MAIN: main.encode(), **{path: text.encode() for path, text in more}}
    folder = folder or Folder(DEFAULT_BIN_DIR, Kind.FOLDER, (OURS,))
    return Facts(version(of), MAIN, files, os_release={"ID": "debian"}, folder=folder, socket=SOCKET)
