"""What a cluster says of its node: whether nothing can be installed there, and what to use instead.

For an agent in a pod, which sees neither its host's os-release nor, beside another runtime, a socket.
"""

from agent.wiring import proof
from agent.wiring.distributions import DISTRIBUTIONS
from agent.wiring.proof import Proof

_SYSTEMS = {"talos": "Talos", "bottlerocket": "Bottlerocket", "gke": "Container-Optimized OS"}
"""How PRETTY_NAME of os-release begins there, which kubelets tell as `osImage`; GKE's Ubuntu is called as any other."""


def elsewhere(runtime: str, system: str) -> Proof | None:
    """Why nothing can be installed on a node, None if something can.

    `runtime` and `system` are `containerRuntimeVersion` and `osImage` of the node's `nodeInfo`, both empty if unknown.
    Which version of containerd runs, its socket says: that may be another one by now.
    https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.33/#nodesysteminfo-v1-core
    """
    name = runtime.partition("://")[0]
    if name not in ("", "containerd"):
        return proof.unsupported(name, "")
    for known, _tells in DISTRIBUTIONS:
        if known.hands_off and known.name in _SYSTEMS and system.startswith(_SYSTEMS[known.name]):
            return proof.unsupported_distribution(f"{known.title}: {known.instead}")
    return None
