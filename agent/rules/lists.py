"""Lists: images about which nobody is asked, because somebody wrote down what happens to them.

Decided before any network, by repository and digest alone.  Entries are `agent.rules.ruleset`'s; their patterns are in
their one spelling.  Some exemptions are built in: see `BUILT_IN`.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from agent.model.reference import Repository
from agent.rules import matching
from agent.rules.rule import EVERYTHING
from agent.rules.ruleset import Allowed, Denied, Exemption

_PAUSE = "the sandbox of every pod"
PAUSE_DIGESTS: Mapping[str, str] = {
    "3.5": "sha256:1ff6c18fbef2045af6b9c16bf034cc421a29027b800e4f9b68ae9b1cb3e9ae07",
    "3.6": "sha256:3d380ca8864549e74af4b29c10f9cb0956236dfb01c40ca076fb6c37253234db",
    "3.7": "sha256:bb6ed397957e9ca7c65ada0db5c5d1c707c9c8afc80a94acbe69f3ae76988f0c",
    "3.8": "sha256:9001185023633d17a2f98ff69b6ff2615b8ea02a825adffa40422f51dfdcde9d",
    "3.9": "sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097",
    "3.10": "sha256:ee6521f290b2168b6e0935a181d4cff9be1ac3f505666ef0e3c98fae8199917a",
    "3.10.1": "sha256:278fb9dbcca9518083ad1e11276933a2e96f23de604a3a08cc3c80002767d24c",
    "3.10.2": "sha256:f548e0e8e3dc1896ca956272154dde3314e8cc4fde0a57577ee9fa1c63f5baf4",
}
"""Releases of the sandbox image of the Kubernetes project, by tag."""

USUAL_SANDBOX = f"registry.k8s.io/pause:3.10@{PAUSE_DIGESTS['3.10']}"
"""The sandbox image that containerd 2.1 uses without a setting."""

_CONTROL_PLANE = "control planes that kubeadm starts"

BUILT_IN: tuple[Exemption, ...] = (
    Exemption("registry.k8s.io/pause", tuple(PAUSE_DIGESTS.values()), why=_PAUSE),
    *(
        Exemption(f"registry.k8s.io/{name}", why=_CONTROL_PLANE)
        for name in (
            "coredns/coredns",
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
        )
    ),
)
"""What a node needs to come up: without them a rule that can't be met keeps a cluster from starting.

Digests are those that the Kubernetes project's image promotion (kubernetes/k8s.io, `registry.k8s.io/images`) gives
to the tags; 3.10.2's is what nodes report.  A floor that lets nothing lack digests switches the others off.
"""

_LOCAL_NAMES = frozenset(
    {
        "localhost", "localhost4", "localhost6", "localhost.localdomain", "localhost4.localdomain4",
        "localhost6.localdomain6", "ip6-localhost", "ip6-loopback",
    }
)  # fmt: skip
"""Names that distributions write into /etc/hosts for this machine."""

_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")


def denied(entries: Iterable[Denied], repository: Repository, digest: str) -> Denied | None:
    """The entry that refuses this image, None if none does."""
    for entry in entries:
        if entry.digest in ("", digest) and matching.matches(entry.match, repository):
            return entry
    return None


def allowed(entries: Iterable[Allowed], repository: Repository, digest: str, now: datetime) -> Allowed | None:
    """The entry that lets this very image pass, None if none does or its time is over."""
    for entry in entries:
        if entry.repository == repository.scope and entry.digest == digest and now < entry.until:
            return entry
    return None


def exempted(
    entries: Iterable[Exemption], repository: Repository, digest: str, without_digest: Iterable[str]
) -> Exemption | None:
    """The exemption of this image, None if there is none.

    One without digests counts only for repositories that `without_digest`, the floor's patterns, name; and for a
    registry on loopback only if it says `insecure`.
    """
    for entry in entries:
        if not matching.matches(entry.match, repository):
            continue
        if is_loopback(repository.host) and not entry.insecure:
            continue
        if digest in entry.digests:
            return entry
        if not entry.digests and any(matching.matches(pattern, repository) for pattern in without_digest):
            return entry
    return None


def is_loopback(host: str) -> bool:
    """Whether `host`, with or without a port, is this machine however it is written, or may be.

    A name of numbers alone (`127.1`, `0x7f000001`) is one: resolvers take it for an IPv4 address.
    """
    if host.startswith("["):
        return True  # an IPv6 address has too many spellings to tell
    name = host.partition(":")[0].lower()
    labels = name.split(".")
    return (
        labels[-1] == "localhost"
        or name in _LOCAL_NAMES
        or (all(map(_NUMBER.match, labels)) and _may_be_loopback(labels))
    )


def _may_be_loopback(labels: list[str]) -> bool:
    """Whether a name of numbers is none of the plain dotted addresses outside of 127.0.0.0/8 and 0.0.0.0/8."""
    plain = len(labels) == 4 and all(
        label.isdigit() and str(int(label)) == label and int(label) < 256 for label in labels
    )
    return not plain or labels[0] in ("0", "127")


def may_be_insecure(pattern: str) -> bool:
    """Whether a pattern includes registries on loopback."""
    return pattern == EVERYTHING or is_loopback(pattern.partition("/")[0])
