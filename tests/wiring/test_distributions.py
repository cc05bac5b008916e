"""What is planned on other people's hosts, one by one: which files, and whether pulls are asked about then."""

import re
from typing import NamedTuple

import pytest

from agent.modes.installing import unsupported
from agent.wiring import bindir, triggers
from agent.wiring.bindir import Entry, Folder, Kind
from agent.wiring.declared import FORMS
from agent.wiring.distributions import DISTRIBUTIONS, OWN_FILE, Way
from agent.wiring.edits import EditFile, Link, WriteFile
from agent.wiring.facts import MAIN, Facts
from agent.wiring.planning import Changes, Options, Plan, node, plan, unexpected
from tests.wiring.nodes import K3S, OURS, RKE2, SAMPLES, Sample, facts
from tests.wiring.test_planning import after

ELSEWHERE = "/srv/verifiers"
CONF_D = f"/etc/containerd/conf.d/{OWN_FILE}"
MICROK8S = "/var/snap/microk8s/current/args"


class Expected(NamedTuple):
    """What becomes of a node whose verifier folder has to be another one, and whose pulls may be led past nothing.

    `file` is ours, empty if we write none; `edited` are other people's, with one line of ours.  `left` are triggers
    that stay, `says` are words of what a person is told, empty if nothing is to be told.
    """

    file: str = ""
    edited: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    says: str = ""


_NODEADM = "NodeConfig (user data, or a file in /etc/eks/nodeadm.d): nodeseal install --print nodeadm"
_OLD = "calls no verifiers for the kubelet's pulls: upgrade to 2.1 or newer"
_KEEP = "an upgrade of the node's image is a new disk"
_AKS = Expected(CONF_D, (MAIN,), says=_KEEP)
_DISCARD, _LOCAL = ("discard_unpacked_layers",), ("use_local_image_pull",)
_RANCHER = "upgrade to a release whose configuration imports config-v3.toml.d"
_MINIKUBE = Expected(left=_DISCARD, says="each time minikube was started")

EXPECTED = {
    "debian": Expected(CONF_D, (MAIN,)),
    "debian-12": Expected(says=_OLD),
    "ubuntu": Expected(says=f"write its own first: containerd config default > {MAIN}"),
    "containerd-io": Expected(CONF_D),
    "containerd-io-v4": Expected(CONF_D),
    "eks": Expected(left=_DISCARD, says=_NODEADM),
    "eks-soci": Expected(left=(*_DISCARD, "disable_snapshot_annotations"), says=_NODEADM),
    "bottlerocket": Expected(says="settings.image-verifier-plugins"),
    "aks": _AKS,
    "aks-azurelinux": _AKS,
    "aks-streaming": _AKS._replace(left=("disable_snapshot_annotations",)),
    "aks-ubuntu2204": Expected(says=_OLD),
    "gke": Expected(left=(*_DISCARD, "registry.mirrors"), says="every boot"),
    "gke-ubuntu": Expected(left=(*_DISCARD, "registry.mirrors"), says="every boot"),
    "k3s": Expected(f"{K3S.removesuffix('.toml')}-v3.toml.d/{OWN_FILE}"),
    "k3s-older": Expected(left=(*_LOCAL, "registry.configs"), says=_RANCHER),
    "k3s-base": Expected(left=_LOCAL, says="an import line in config-v3.toml.tmpl would stand there twice then"),
    "k3s-template": Expected(left=_LOCAL, says=f"put imports = ['{K3S.removesuffix('.toml')}-v3.toml.d/*.toml'] at"),
    "k3s-v2": Expected(f"{K3S}.d/{OWN_FILE}"),
    "rke2": Expected(f"{RKE2.removesuffix('.toml')}-v3.toml.d/{OWN_FILE}"),
    "rke2-template": Expected(f"{RKE2.removesuffix('.toml')}-v3.toml.d/{OWN_FILE}"),
    "k0s": Expected(f"/etc/k0s/containerd.d/{OWN_FILE}"),
    "k0s-older": Expected(says=_OLD),
    "kind": Expected(left=_DISCARD, says="containerdConfigPatches when the cluster is created"),
    "minikube": _MINIKUBE,
    "minikube-docker": _MINIKUBE,
    "kubespray": Expected(CONF_D, (MAIN,), says="put the import line into containerd_extra_args"),
    "microk8s": Expected(
        f"{MICROK8S}/conf.d/{OWN_FILE}", (f"{MICROK8S}/containerd-template.toml", f"{MICROK8S}/containerd.toml")
    ),
    "talos": Expected(left=(*_LOCAL, *_DISCARD), says="ImageVerificationConfig"),
    "flatcar": Expected(says="in a drop-in of containerd.service: nodeseal install --print flatcar"),
    "flatcar-copied": Expected(CONF_D, (MAIN,)),
    "flatcar-import": Expected(CONF_D),
    "crio": Expected(says="use /etc/containers/policy.json, or ClusterImagePolicy on OpenShift"),
}


_CERTS = "/etc/containerd/certs.d"
_BOTH = f"{_CERTS}:/etc/docker/certs.d"
_MCR = "mcr.microsoft.com/oss/v2/kubernetes/pause"
_K8S = "registry.k8s.io/pause"
_EKS = ("localhost/kubernetes/pause", _BOTH, "overlayfs")
_NEW_AKS, _OLD_GKE = (f"{_MCR}:3.10.1", _CERTS, "overlayfs"), ("gke.gcr.io/pause:3.8", "", "overlayfs")
_ON_K3S, _ON_RKE2 = (
    ("rancher/mirrored-pause:3.6", f"{main.rpartition('/')[0]}/certs.d", "overlayfs") for main in (K3S, RKE2)
)
_USUAL = (f"{_K8S}:3.10.1", _CERTS, "overlayfs")
_NOTHING_SET, _BY_DEFAULT = ("", "", "overlayfs"), ("", _BOTH, "overlayfs")  # up to containerd 2.1, and from 2.2 on

IN_FORCE = {
    **dict.fromkeys(("debian", "debian-12", "ubuntu", "crio"), _NOTHING_SET),
    **dict.fromkeys(("flatcar", "flatcar-copied", "flatcar-import"), _BY_DEFAULT),
    **dict.fromkeys(("aks", "aks-azurelinux"), _NEW_AKS),
    **dict.fromkeys(("gke", "gke-ubuntu"), _OLD_GKE),
    **dict.fromkeys(("k3s", "k3s-older", "k3s-base", "k3s-template", "k3s-v2"), _ON_K3S),
    **dict.fromkeys(("rke2", "rke2-template"), _ON_RKE2),
    **dict.fromkeys(("containerd-io-v4", "kubespray", "minikube", "minikube-docker"), _USUAL),
    "containerd-io": (f"{_K8S}:3.10.1", _BOTH, "overlayfs"),
    "eks": _EKS,
    "eks-soci": (*_EKS[:2], "soci"),
    "bottlerocket": ("", _CERTS, "overlayfs"),
    "aks-streaming": (*_NEW_AKS[:2], "overlaybd"),
    "aks-ubuntu2204": (f"{_MCR}:3.6", _CERTS, "overlayfs"),
    "k0s": (f"{_K8S}:3.10", _BOTH, "overlayfs"),
    "k0s-older": (f"{_K8S}:3.9", "", "overlayfs"),
    "kind": (f"{_K8S}:3.10", _CERTS, "overlayfs"),
    "microk8s": (f"{_K8S}:3.10", f"{MICROK8S}/certs.d", "overlayfs"),
    "talos": ("", "/etc/cri/conf.d/hosts", "overlayfs"),
}
"""What the files come to, whatever their version: image of sandboxes, where hosts.toml files are, and who unpacks."""


def past(given: Facts) -> tuple[str, ...]:
    """Why pulls go past our verifier on a node: names of the triggers, or what else is in the way."""
    found = node(given)
    if not found.version.calls_verifiers:
        return ("containerd is too old",)
    folder, limit = given.folder, found.effective.max_verifiers.value
    assert isinstance(limit, int)
    reasons = [each.trigger.name for each in triggers.find(found.effective)]
    if folder is None or folder.path != found.effective.bin_dir.value or not bindir.ours(bindir.judge(folder, limit)):
        reasons.append("not in the folder")
    return tuple(reasons)


def said(made: Plan) -> str:
    """All that a person is told of a plan."""
    return "\n".join((*made.advice, unsupported(made)))


def is_below(path: str, folders: tuple[str, ...]) -> bool:
    """Whether a path is in one of these folders."""
    return any(path == each or path.startswith(f"{each}/") for each in folders)


def test_there_is_an_expectation_for_each() -> None:
    assert {sample.folder for sample in SAMPLES} == set(EXPECTED)
    assert {sample.name for sample in SAMPLES} == {known.name for known, _ in DISTRIBUTIONS}


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_files_come_to_what_is_in_force_there(sample: Sample) -> None:
    found = node(facts(sample)).effective
    assert (found.sandbox.value, found.config_path.value, found.snapshotter.value) == IN_FORCE[sample.folder]
    assert (found.written.problems, found.written.lost) == ((), ())
    assert (found.bin_dir.value, found.max_verifiers.value) == ("/opt/containerd/image-verifier/bin", 10)
    assert tuple(each.trigger.name for each in triggers.find(found)) == sample.triggers


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_our_file_goes_where_it_is_read_and_pulls_are_asked_about_then(sample: Sample) -> None:
    given, expected = facts(sample), EXPECTED[sample.folder]
    made = plan(given, Options(Changes.PULL_PATH, bin_dir=ELSEWHERE))
    assert unexpected(given, made) == ()
    assert tuple(edit.path for edit in made.edits if isinstance(edit, WriteFile)) == (
        (expected.file,) * bool(expected.file)
    )
    edited = [edit for edit in made.edits if isinstance(edit, EditFile)]
    assert tuple(edit.path for edit in edited) == expected.edited
    for edit in edited:  # one line is added, or one name in a line: every comment stays
        (line,) = set(edit.after.splitlines()) - set(edit.before.splitlines())
        assert edit.after.replace(line + b"\n", b"", 1) == edit.before
    assert expected.says in said(made)
    if not expected.says:
        assert made.advice == ()
    if made.empty:
        assert unsupported(made)
        assert sample.way is Way.REFUSE or made.placed.distribution.hands_off
        return
    assert unsupported(made) == ""
    (link,) = (edit for edit in made.edits if isinstance(edit, Link))
    assert (link.path, link.target) == (f"{ELSEWHERE}/00-nodeseal", bindir.PROGRAM)
    assert not [edit.path for edit in made.edits if is_below(edit.path, sample.read_only)]
    assert not is_below(bindir.PROGRAM, sample.read_only)
    elsewhere = () if expected.file else ("not in the folder",)  # as long as nobody sets bin_dir there
    assert past(after(given, made)) == (*expected.left, *elsewhere)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_without_a_change_of_settings_only_what_was_set_before_leads_past(sample: Sample) -> None:
    given = facts(sample)
    for changes in (Changes.NONE, Changes.VERIFIER_ONLY):
        made = plan(given, Options(changes))
        assert not [edit for edit in made.edits if isinstance(edit, WriteFile | EditFile)]
        if sample.way is Way.REFUSE:
            assert made.empty
        elif not made.empty:
            assert past(after(given, made)) == sample.triggers
            assert past(given) == (*sample.triggers, "not in the folder")
            for name in sample.triggers:
                assert re.search(rf"^{name} = .*: ", said(made), re.MULTILINE)


@pytest.mark.parametrize("sample", [each for each in SAMPLES if each.way is Way.ADVISE], ids=str)
def test_what_is_to_be_set_elsewhere_is_named_as_it_stands_there(sample: Sample) -> None:
    made = plan(facts(sample), Options(Changes.PULL_PATH))
    wanted = re.search(r"^settings to make there: (.*)$", said(made), re.MULTILINE)
    if wanted is None:
        assert not sample.triggers or made.placed.distribution.hands_off
        return
    for setting in wanted[1].split("; "):
        key, value = setting.split(" = ")
        assert value in ("true", "false")
        plugin, name = re.fullmatch(r"plugins\.'([^']+)'\.([a-z_.]+)", key).groups()  # type: ignore[union-attr]
        content = facts(sample).files[sample.main].decode()
        assert plugin in content
        assert name.rpartition(".")[2] in content


def test_forms_that_people_are_told_to_print_are_there() -> None:
    told = {
        found
        for known, _ in DISTRIBUTIONS
        for found in re.findall(r"nodeseal install --print ([a-z0-9]+)", f"{known.instead} {known.keep}")
    }
    assert told == {"bottlerocket", "flatcar", "kind", "kubespray", "nodeadm", "talos"}
    assert told <= set(FORMS)


def test_minikube_in_a_container_is_told_from_kind() -> None:
    sample = next(each for each in SAMPLES if each.folder == "minikube-docker")
    assert {"/kind", "/var/lib/minikube"} <= facts(sample).markers


def test_a_file_in_the_folder_that_sorts_behind_ours_does_not_win_unnoticed() -> None:
    sample = next(each for each in SAMPLES if each.folder == "k3s")
    later = f"{K3S.removesuffix('.toml')}-v3.toml.d/zzzz.toml"
    content = b"version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\n"
    given = facts(sample, extra={later: content})._replace(
        folder=Folder("/opt/containerd/image-verifier/bin", Kind.FOLDER, (OURS, Entry("10-x", Kind.FILE, "/x")))
    )
    assert past(given) == ("use_local_image_pull",)
    assert unexpected(given, plan(given, Options(Changes.PULL_PATH)))
