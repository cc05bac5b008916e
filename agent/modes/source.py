"""Where the daemon's configurations come from."""

from typing import NamedTuple

from agent.config.discovery import LABEL


class Cluster(NamedTuple):
    """Whose ConfigMaps count.

    `kubeconfig` is empty for the pod's service account, `namespace` for the credentials' own.  `node` is this node's
    name in the cluster, empty for the host's.  `label` is the key of the label that says so.  `pods`: the images of its
    pods are verified ahead.
    """

    kubeconfig: str
    namespace: str
    node: str
    label: str = LABEL
    pods: bool = False


class Source(NamedTuple):
    """Where configurations come from: a folder (or file), a cluster, or whoever else publishes them."""

    folder: str | None = None
    cluster: Cluster | None = None
