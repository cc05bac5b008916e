"""The fixtures as facts: one node of each distribution, and variants."""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from agent.wiring.bindir import Entry, Folder, Kind
from agent.wiring.distributions import Way
from agent.wiring.effective import DEFAULT_BIN_DIR
from agent.wiring.facts import MAIN, MARKERS, Facts, Process, os_release
from agent.wiring.version import Version, parse

FIXTURES = pathlib.Path(__file__).parent / "fixtures"

SOCKET = "/run/containerd/containerd.sock"
OURS = Entry("00-nodeseal", Kind.FILE, "/opt/nodeseal/0.1.0/nodeseal", link=True)


class Sample(NamedTuple):
    """A fixture: where it is, which containerd runs there with which main file and socket, and what is true of it."""

    folder: str
    name: str
    way: Way
    triggers: tuple[str, ...] = ()
    version: str = "2.1.9"
    main: str = MAIN
    socket: str = SOCKET

    def __str__(self) -> str:
        """How the test's case is called."""
        return self.folder


SAMPLES = (
    Sample("debian", "debian", Way.IMPORT),
    Sample("containerd-io", "containerd.io", Way.DROP_IN, version="2.2.5"),
    Sample("eks", "eks", Way.ADVISE, ("discard_unpacked_layers",)),
    Sample("eks-soci", "eks", Way.ADVISE, ("discard_unpacked_layers", "disable_snapshot_annotations")),
    Sample("bottlerocket", "bottlerocket", Way.ADVISE),
    Sample("aks", "aks", Way.IMPORT, version="2.3.3"),
    Sample("aks-streaming", "aks", Way.IMPORT, ("disable_snapshot_annotations",), version="2.2.4"),
    Sample("gke", "gke", Way.ADVISE, ("discard_unpacked_layers", "registry.mirrors")),
    Sample(
        "k3s", "k3s", Way.DROP_IN, ("use_local_image_pull",), version="2.3.4-k3s1.36",
        main="/var/lib/rancher/k3s/agent/etc/containerd/config.toml", socket="/run/k3s/containerd/containerd.sock",
    ),
    Sample(
        "k3s-older", "k3s", Way.ADVISE, ("use_local_image_pull", "registry.configs"), version="2.1.5-k3s1",
        main="/var/lib/rancher/k3s/agent/etc/containerd/config.toml", socket="/run/k3s/containerd/containerd.sock",
    ),
    Sample(
        "rke2", "rke2", Way.DROP_IN, ("use_local_image_pull",), version="2.1.5-k3s1",
        main="/var/lib/rancher/rke2/agent/etc/containerd/config.toml", socket="/run/k3s/containerd/containerd.sock",
    ),
    Sample(
        "k0s", "k0s", Way.DROP_IN, version="2.3.4", main="/etc/k0s/containerd.toml", socket="/run/k0s/containerd.sock"
    ),
    Sample("kind", "kind", Way.ADVISE, ("discard_unpacked_layers",), version="2.3.4"),
    Sample("minikube", "minikube", Way.ADVISE, ("discard_unpacked_layers",), version="2.3.4"),
    Sample("kubespray", "kubespray", Way.IMPORT, version="2.3.4"),
    Sample(
        "microk8s", "microk8s", Way.IMPORT, version="2.2.3",
        main="/var/snap/microk8s/current/args/containerd.toml", socket="/var/snap/microk8s/common/run/containerd.sock",
    ),
    Sample(
        "talos", "talos", Way.ADVISE, ("use_local_image_pull", "discard_unpacked_layers"), version="2.3.4",
        main="/etc/cri/containerd.toml",
    ),
    Sample("flatcar", "flatcar", Way.ADVISE, version="2.2.5", main="/usr/share/containerd/config.toml"),
    Sample("flatcar-copied", "flatcar", Way.IMPORT, version="2.2.5"),
    Sample("crio", "cri-o", Way.REFUSE, socket="/run/crio/crio.sock"),
)  # fmt: skip


def version(text: str) -> Version:
    """A version that is there."""
    parsed = parse(text)
    assert parsed is not None
    return parsed


def files_of(folder: str) -> dict[str, bytes]:
    """Every configuration file of a fixture by its path on the host."""
    root = FIXTURES / folder
    return {f"/{path.relative_to(root)}": path.read_bytes() for path in root.rglob("*.toml")}


def facts(sample: Sample, *, with_link: bool = False, extra: Mapping[str, bytes] | None = None) -> Facts:
    """A fixture's facts; `extra` are more files."""
    root = FIXTURES / sample.folder
    exe = "/usr/bin/crio" if "crio" in sample.socket else "/usr/bin/containerd"
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
