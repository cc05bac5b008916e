"""What a host is found to need to come up: its sandbox image, and those of its static pods.

What networks run (CNI) can't be told from a host: a person adds it.  What can't be read is passed over: the list is
a help, and an installation must not fail for it.
"""

from collections.abc import Iterable

from agent.adapters.hostfiles import HostFiles
from agent.codec import manifestyaml
from agent.config.bootstrap import MAX_NEEDS
from agent.errors import HostError, UsageError
from agent.model.reference import Reference
from agent.rules.lists import PAUSE_DIGESTS

STATIC_PODS = ("/etc/kubernetes/manifests", "/var/lib/rancher/rke2/agent/pod-manifests")
"""Where kubelets look for static pods (`staticPodPath`): kubeadm's folder, and RKE2's."""

MAX_MANIFESTS = 100
"""Most files of one folder that are read."""

_PAUSE = "registry.k8s.io/pause"


def found(host: HostFiles, sandbox: str, own: str) -> tuple[str, ...]:
    """References, each once, at most `MAX_NEEDS`: the sandbox image, our own if somebody named it, static pods'."""
    named = (_reference(image) for image in (sandbox, own, *static_pods(host)))
    return tuple(dict.fromkeys(image for image in named if image))[:MAX_NEEDS]


def static_pods(host: HostFiles) -> Iterable[str]:
    """The images of static pods, as their manifests write them."""
    for folder in STATIC_PODS:
        try:
            names = [name for name in host.names(folder) if not name.startswith(".")][:MAX_MANIFESTS]
        except HostError:
            continue
        for name in names:
            try:
                content = host.read_bounded(f"{folder}/{name}", manifestyaml.MAX_SIZE)
            except HostError:
                continue
            yield from manifestyaml.images(content) if content else ()


def _reference(image: str) -> str:
    """An image as the runtime names it, by digest where everybody knows it; empty for what names none."""
    if not image:
        return ""
    try:
        reference = Reference.parse_short(image)
    except UsageError:
        return ""
    known = PAUSE_DIGESTS.get(reference.tag or "") if reference.repository.scope == _PAUSE else None
    return f"{reference}@{known}" if known and reference.digest is None else str(reference)
