"""The declarative form of an installation, where that is the durable one: what makes the node is told what to set.

Plain text for people to put into their own configuration.  Where each distribution takes it from is from its published
documentation and sources.
"""

from agent.wiring.effective import DEFAULT_BIN_DIR
from agent.wiring.merging import CRI, IMAGES, VERIFIER

_VERIFIER = f"[plugins.'{VERIFIER}']\nbin_dir = '{DEFAULT_BIN_DIR}'\nper_verifier_timeout = '10s'\n"
_PULL_PATH = f"[plugins.'{IMAGES}']\ndiscard_unpacked_layers = false\nuse_local_image_pull = false\n"
_SETTINGS = f"{_VERIFIER}\n{_PULL_PATH}"
_KIND = f"[plugins.'{CRI}'.containerd]\ndiscard_unpacked_layers = false\n"
_FLATCAR = "version = 2\nimports = ['/usr/share/containerd/config.toml', '/etc/containerd/conf.d/zzz-nodeseal*.toml']\n"
_LOCAL = f"[plugins.'{IMAGES}']\nuse_local_image_pull = false\n"

TAINT = "startup-taint.cluster-autoscaler.kubernetes.io/nodeseal"
"""The startup taint unless somebody wants another: the Cluster Autoscaler takes this prefix for what goes by itself."""


def _indented(text: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}" if line.strip() else line for line in text.splitlines(keepends=True))


_NODE_CONFIG = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  containerd:\n    config: |\n" + _indented(
    f"version = 3\n\n{_SETTINGS}", 6
)
_MIME = (
    'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="//"\n\n'
    f"--//\nContent-Type: application/node.eks.aws\n\n{_NODE_CONFIG}\n--//--\n"
)

FORMS = {
    "nodeadm": (
        "user data of a node group, or a file in /etc/eks/nodeadm.d of an image that has the program installed "
        "(nodeseal install --root); nodeadm writes containerd's configuration at every boot; where it loads images "
        "lazily (FastImagePull, SOCI) no verifier is asked all the same, so leave that off",
        _NODE_CONFIG,
    ),
    "karpenter": (
        "a patch for an EC2NodeClass; for its NodePool there is a startup taint: nodeseal install --print karpenter "
        "--startup-taint",
        "apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata:\n  name: default\nspec:\n  userData: |\n"
        + _indented(_MIME, 4),
    ),
    "aks": (
        "nothing must be set: a DaemonSet installs again on each new disk; with artifact streaming no verifier is "
        "asked, so leave that off",
        '{\n  "artifactStreamingProfile": {"enabled": false}\n}\n',
    ),
    "k3s": (
        "/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/zzz-nodeseal.toml, in releases whose configuration "
        "imports that folder",
        f"version = 3\n\n{_LOCAL}",
    ),
    "rke2": (
        "/var/lib/rancher/rke2/agent/etc/containerd/config-v3.toml.d/zzz-nodeseal.toml, in releases whose "
        "configuration imports that folder",
        f"version = 3\n\n{_LOCAL}",
    ),
    "k0s": (
        "/etc/k0s/containerd.d/zzz-nodeseal.toml; k0s restarts containerd by itself",
        f"version = 3\n\n{_VERIFIER}",
    ),
    "kind": (
        "the configuration of a cluster, for kind create cluster --config; put your own nodes in",
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\ncontainerdConfigPatches:\n  - |-\n" + _indented(_KIND, 4),
    ),
    "flatcar": (
        "a Butane configuration, for settings that the system's own file in /usr lacks; what it imports of that stays "
        "as updates bring it",
        "variant: flatcar\nversion: 1.0.0\nstorage:\n  files:\n    - path: /etc/containerd/config.toml\n"
        "      contents:\n        inline: |\n" + _indented(_FLATCAR, 10) + "systemd:\n  units:\n"
        "    - name: containerd.service\n      dropins:\n        - name: 10-own-configuration.conf\n"
        "          contents: |\n            [Service]\n"
        "            Environment=CONTAINERD_CONFIG=/etc/containerd/config.toml\n",
    ),
    "kubespray": (
        "group_vars of the inventory; the next run of the playbook would undo an import line that is not there",
        "containerd_extra_args: |\n  imports = ['/etc/containerd/conf.d/zzz-nodeseal*.toml']\n",
    ),
    "talos": (
        "a machine configuration document of Talos' own verification, which takes the place of this program: nothing "
        "can be installed on Talos; put your own rules in",
        "apiVersion: v1alpha1\nkind: ImageVerificationConfig\nrules:\n  - image: registry.example.com/*\n"
        "    keyless:\n      issuer: https://issuer.example.com\n      subject: release@example.com\n",
    ),
    "bottlerocket": (
        "user data, in variants for Kubernetes 1.33 and newer whose releases take verifiers of one's own; a bootstrap "
        "container has to put the program in place, and a link to it into /opt/civ/bin",
        "[settings.image-verifier-plugins]\nenabled = true\n",
    ),
}
"""By name: where it goes, and what it is."""


_LISTED = "- key: KEY\n  effect: NoSchedule\n"
TAINTS = {
    "kubeadm": (
        "a JoinConfiguration; taints replaces the defaults, which for workers are none, so leave control planes out",
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\nnodeRegistration:\n  taints:\n"
        + _indented(_LISTED, 2),
    ),
    "nodeadm": (
        "user data of a node group, as a part of the type application/node.eks.aws",
        "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  kubelet:\n    config:\n"
        "      registerWithTaints:\n" + _indented(_LISTED, 6),
    ),
    "karpenter": (
        "a patch for a NodePool; startupTaints, not taints: Karpenter knows that these go away",
        "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata:\n  name: default\nspec:\n  template:\n    spec:\n"
        "      startupTaints:\n" + _indented(_LISTED, 6),
    ),
    "aks": (
        "the properties of an agent pool; AKS puts ordinary node taints back when they are taken away",
        '{\n  "properties": {\n    "nodeInitializationTaints": ["KEY=:NoSchedule"]\n  }\n}\n',
    ),
    "k3s": (
        "/etc/rancher/k3s/config.yaml of an agent, before it registers for the first time",
        "node-taint:\n- KEY=:NoSchedule\n",
    ),
}
"""How new nodes register with a startup taint, by name: where that goes, and what it is, with `KEY` for the taint's."""

NAMES = tuple(dict.fromkeys((*FORMS, *TAINTS)))
"""Whatever has a form of either kind."""


def form(name: str) -> str:
    """The form of that name, with a comment on where it goes where its language has comments."""
    return _commented(name, *FORMS[name])


def taint_form(name: str, key: str = TAINT) -> str:
    """The form by which nodes of that name register with the taint `key`, commented likewise."""
    where, text = TAINTS[name]
    return _commented(name, where, text.replace("KEY", key))


def _commented(name: str, where: str, text: str) -> str:
    return text if name == "aks" else f"# {where}\n{text}"
