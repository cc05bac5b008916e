"""Which distribution of Kubernetes a node is, and how its containerd may be configured.

Four ways are enough; a node is told by what it shows (socket, command line, os-release, folders), never by what
somebody says it is.  Where each has its configuration, and who rewrites it, is from their published sources.
"""

import posixpath
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from agent.wiring.facts import Facts
from agent.wiring.loading import Loaded, matches
from agent.wiring.proof import INSTEAD

OWN_FILE = "zzz-nodeseal.toml"
"""Our configuration file: it sorts behind others, so that it has the last word."""


class Way(Enum):
    """How the configuration of a node's containerd may be changed."""

    DROP_IN = "drop-in"
    """A file of our own in a folder that the main file imports."""

    IMPORT = "main-file import line"
    """A file of our own, and one line in the main file, or its template, that imports it."""

    ADVISE = "declarative elsewhere"
    """What makes the node writes the file: it is told what to change there, nothing is changed here."""

    REFUSE = "unsupported"
    """Nothing is done."""


class Distribution(NamedTuple):
    """`rewritten` is who writes the main file, and when; `instead` is what to do where we may not change it.

    `keep` is what has to be done so that a change stays.  `unit` is what systemd calls the service that a restart
    restarts, empty if there is none.  `version_required` is a version that drop-ins must state, 0 for the one that is
    in force; `watched` is whether a change of them restarts containerd by itself.  With `hands_off` not even the
    verifier's folder is touched.
    """

    name: str
    title: str
    way: Way
    rewritten: str
    instead: str = ""
    keep: str = ""
    unit: str = "containerd.service"
    version_required: int = 0
    watched: bool = False
    hands_off: bool = False


class Placed(NamedTuple):
    """A node's distribution, and where our file and an import of it go.

    `drop_in` is our file's path, empty where we may write none; `template` is the file that gets the import line, empty
    if none is needed.  `why` is why the way is not the distribution's usual one.
    """

    distribution: Distribution
    way: Way
    drop_in: str = ""
    template: str = ""
    why: str = ""

    @property
    def advice(self) -> str:
        """What a person should know."""
        return self.why or self.distribution.instead


def _socket(part: str) -> Callable[[Facts], bool]:
    return lambda facts: part in facts.socket or part in _address(facts)


def _address(facts: Facts) -> str:
    return facts.process.option("-a", "--address") if facts.process else ""


def _is(*ids: str) -> Callable[[Facts], bool]:
    return lambda facts: facts.os_release.get("ID", "") in ids


def _marked(*paths: str) -> Callable[[Facts], bool]:
    return lambda facts: bool(facts.markers & set(paths))


def _crio(facts: Facts) -> bool:
    if "/crio" in facts.socket or (facts.process is not None and posixpath.basename(facts.process.exe) == "crio"):
        return True
    return facts.os_release.get("ID") in ("rhcos", "scos")  # OpenShift's and OKD's systems have nothing else


def _rke2(facts: Facts) -> bool:
    return "/rancher/rke2/" in facts.main or (_k3s_socket(facts) and bool(facts.markers & _RKE2))


_k3s_socket = _socket("/k3s/")
_RKE2 = frozenset({"/etc/rancher/rke2", "/var/lib/rancher/rke2"})


def _k3s(facts: Facts) -> bool:
    return "/rancher/k3s/" in facts.main or _k3s_socket(facts)


def _k0s(facts: Facts) -> bool:
    return facts.main.startswith("/etc/k0s/") or _socket("/k0s/")(facts)


def _microk8s(facts: Facts) -> bool:
    return "/snap/microk8s/" in facts.main or _socket("/snap/microk8s/")(facts)


def _eks(facts: Facts) -> bool:
    return facts.os_release.get("ID") == "amzn" and "/etc/eks" in facts.markers


def _minikube(facts: Facts) -> bool:
    return "/var/lib/minikube" in facts.markers


def _debian(facts: Facts) -> bool:
    family = {facts.os_release.get("ID", ""), *facts.os_release.get("ID_LIKE", "").split()}
    return "debian" in family


_EACH_BOOT = "every boot"
_RANCHER = "upgrade to a release whose configuration imports config-v3.toml.d, beside it"
RANCHER_TEMPLATES = ("config-v3.toml.tmpl", "config.toml.tmpl")
"""Templates of a node's own, beside the configuration that k3s and RKE2 make of the first one that is there."""

_BASE = b'template "base"'

DISTRIBUTIONS: tuple[tuple[Distribution, Callable[[Facts], bool]], ...] = (
    (
        Distribution(
            "cri-o",
            "CRI-O (OpenShift and others)",
            Way.REFUSE,
            "",
            INSTEAD["cri-o"],
            unit="",
        ),
        _crio,
    ),
    (
        Distribution(
            "talos",
            "Talos Linux",
            Way.ADVISE,
            "machined, at boot and when a configuration is applied",
            "use Talos' own ImageVerificationConfig, and nothing can be installed beside it: nodeseal install --print "
            "talos",
            unit="",
            hands_off=True,
        ),
        _is("talos"),
    ),
    (
        Distribution(
            "bottlerocket",
            "Bottlerocket",
            Way.ADVISE,
            "the settings API, at boot and when settings change",
            "put the verifier in place with a bootstrap container and set settings.image-verifier-plugins (in variants "
            "for Kubernetes 1.33 and newer): nodeseal install --print bottlerocket",
            hands_off=True,
        ),
        _is("bottlerocket"),
    ),
    (
        Distribution(
            "rke2",
            "RKE2",
            Way.DROP_IN,
            "every start of rke2-server or rke2-agent",
            _RANCHER,
            unit="",  # a server's host has the agent's unit, too: a guess could start it
        ),
        _rke2,
    ),
    (
        Distribution(
            "k3s",
            "k3s",
            Way.DROP_IN,
            "every start of k3s",
            _RANCHER,
            unit="k3s.service",
        ),
        _k3s,
    ),
    (
        Distribution(
            "k0s",
            "k0s",
            Way.DROP_IN,
            "every start of k0s, while its first line says k0s_managed=true",
            "have /etc/k0s/containerd.toml import /etc/k0s/containerd.d/*.toml, as k0s writes it",
            unit="k0sworker.service",
            version_required=3,
            watched=True,
        ),
        _k0s,
    ),
    (
        Distribution(
            "microk8s",
            "MicroK8s",
            Way.IMPORT,
            "every start of its containerd, from args/containerd-template.toml",
            "edit args/containerd-template.toml in the snap's data folder",
            unit="snap.microk8s.daemon-containerd.service",
        ),
        _microk8s,
    ),
    (
        Distribution(
            "minikube",
            "minikube",
            Way.ADVISE,
            "every minikube start",
            "set it in /etc/containerd/config.toml and restart containerd, each time minikube was started",
        ),
        _minikube,  # before kind: what it runs in containers has kind's folder too
    ),
    (
        Distribution(
            "kind",
            "kind",
            Way.ADVISE,
            "creation of the cluster",
            "set it with containerdConfigPatches when the cluster is created: nodeseal install --print kind",
        ),
        _marked("/kind"),
    ),
    (
        Distribution(
            "eks",
            "EKS on Amazon Linux 2023",
            Way.ADVISE,
            f"nodeadm, at {_EACH_BOOT}",
            "set it in spec.containerd.config of the NodeConfig (user data, or a file in /etc/eks/nodeadm.d): nodeseal "
            "install --print nodeadm",
        ),
        _eks,
    ),
    (
        Distribution(
            "gke",
            "GKE",
            Way.ADVISE,
            f"the node's bootstrap, at {_EACH_BOOT}; /etc is lost then",
            "GKE's own configuration of containerd knows no verifiers; what is written here has to be written again at "
            "every boot, with bin_dir under /home/kubernetes/bin, on COS the only place where programs may run",
            hands_off=True,
        ),
        lambda facts: _is("cos")(facts) or "/home/kubernetes/bin" in facts.markers,
    ),
    (
        Distribution(
            "aks",
            "AKS",
            Way.IMPORT,
            "provisioning of the node",
            keep="an upgrade of the node's image is a new disk: install again there, by a DaemonSet for example",
        ),
        _marked("/opt/azure/containers", "/etc/kubernetes/azure.json"),
    ),
    (
        Distribution(
            "flatcar",
            "Flatcar Container Linux",
            Way.IMPORT,
            "an update of the system, where it lies in /usr",
            "set CONTAINERD_CONFIG to a file in /etc/containerd that imports it, in a drop-in of containerd.service: "
            "nodeseal install --print flatcar",
        ),
        _is("flatcar"),
    ),
    (
        Distribution(
            "kubespray",
            "kubespray",
            Way.IMPORT,
            "every run of the playbook, with a restart",
            keep="put the import line into containerd_extra_args in the inventory, or the next run undoes it: nodeseal "
            "install --print kubespray",
        ),
        _marked("/usr/local/bin/kubernetes-scripts"),
    ),
    (
        Distribution("containerd.io", "Docker's package containerd.io", Way.IMPORT, "its administrator"),
        _marked("/usr/share/doc/containerd.io"),
    ),
    (Distribution("debian", "Debian's or Ubuntu's package containerd", Way.IMPORT, "its administrator"), _debian),
)
"""Each distribution with what tells it; the first that matches is it."""

OTHER = Distribution("other", "another distribution", Way.IMPORT, "its administrator")


def identify(facts: Facts) -> Distribution:
    """Which distribution a node is, `OTHER` if it is none that we know."""
    return next((known for known, tells in DISTRIBUTIONS if tells(facts)), OTHER)


def is_server(distribution: Distribution, unit: str) -> bool:
    """Whether a unit is, or may be, both containerd and the API server: those of k3s and RKE2 but their agents'."""
    return distribution.name in ("k3s", "rke2") and unit not in ("k3s-agent.service", "rke2-agent.service")


def place(facts: Facts, loaded: Loaded) -> Placed:
    """How this very node may be configured: an import that is really in the file counts, not the one that should be."""
    known = identify(facts)
    if known.way is Way.REFUSE or facts.version is None or not facts.version.calls_verifiers:
        return Placed(known, Way.REFUSE, why=_too_old(facts) if known.way is not Way.REFUSE else "")
    if known.way is Way.ADVISE:
        return Placed(known, Way.ADVISE)
    folder = _imported_folder(loaded)
    if folder:
        return Placed(known, Way.DROP_IN, f"{folder}/{OWN_FILE}")
    if known.way is Way.DROP_IN:
        return Placed(
            known, Way.ADVISE, why=f"{facts.main} imports no folder of drop-ins: {_without_folder(known, facts)}"
        )
    template = facts.main
    if known.name == "microk8s":
        template = posixpath.join(posixpath.dirname(facts.main), "containerd-template.toml")
    if template not in facts.files:
        missing = f"{template}: nothing there, so containerd runs on its built-in configuration and imports nothing; "
        return Placed(known, Way.ADVISE, why=missing + f"write its own first: containerd config default > {template}")
    if template.startswith("/usr/"):
        return Placed(known, Way.ADVISE, why=f"{template} is the system's: {known.instead}")
    return Placed(known, Way.IMPORT, f"{posixpath.dirname(facts.main)}/conf.d/{OWN_FILE}", template)


def _without_folder(known: Distribution, facts: Facts) -> str:
    """What to do where no folder is imported.  A template of k3s's is a program's: it is never edited here."""
    folder = posixpath.dirname(facts.main)
    own = next((name for name in RANCHER_TEMPLATES if f"{folder}/{name}" in facts.files), "")
    if not own or known.name not in ("k3s", "rke2"):
        return known.instead
    if _BASE in facts.files[f"{folder}/{own}"]:
        return f"{known.instead}; an import line in {own} would stand there twice then, and nothing would start"
    line = f"imports = ['{folder}/{own.removesuffix('.tmpl')}.d/*.toml']"
    return f"it is made of {folder}/{own}: put {line} at its top, above the first table"


def _too_old(facts: Facts) -> str:
    if facts.version is None:
        return "which version of containerd runs here can't be told: nothing is changed"
    return f"containerd {facts.version.text} calls no verifiers for the kubelet's pulls: upgrade to 2.1 or newer"


def _imported_folder(loaded: Loaded) -> str:
    """A folder whose files the main file imports by a pattern that takes ours; empty if there is none."""
    for pattern in loaded.main.imports if loaded.main else ():
        folder = posixpath.dirname(pattern)
        if "*" in posixpath.basename(pattern) and "*" not in folder and matches(pattern, f"{folder}/{OWN_FILE}"):
            return folder
    return ""
