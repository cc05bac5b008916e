"""Whether what is recorded of a host in its bootstrap document is still so: record and host in, findings out.

No finding has a proxy's value: it may be a password.
"""

import os
from collections.abc import Iterator, Mapping

from agent.adapters import hostfacts, trustedcas
from agent.adapters.containerd import Asked, Told
from agent.adapters.hostroot import HostRoot
from agent.adapters.nodestate import NodeState
from agent.errors import HostError, Unavailable
from agent.modes import recording
from agent.rules.floor import HostFacts
from agent.wiring.findings import Finding, Severity
from agent.wiring.planning import Plan, node

_AGAIN = "record it: nodeseal doctor --fix, or nodeseal install"


def of_host(asked: Asked, root: str, told: Told) -> Iterator[Finding]:
    """What is to be said of the node under `root` and the host that it runs on; nothing without a document."""
    state = NodeState(root)
    try:
        content = state.bootstrap_content()
    except HostError:
        return
    if content is None:
        return
    where, facts = state.bootstrap_path, state.bootstrap().host
    found, written = recording.recorded(content)
    yield from _of_bundle(facts, root, where)
    if told.facts.version is None:
        return
    if not found:
        yield Finding(
            "host.not-recorded", Severity.INFO, "nothing of what an installation finds on the host",
            "CA bundle, proxy and deadline, so that child and daemon use the same", where, _AGAIN,
        )  # fmt: skip
        return
    now = recording.found(HostRoot(asked.host), told, Plan(node(told.facts).placed), written)
    yield from _of_source(now, found, root, where)
    if "proxy" not in written:
        yield from _of_proxy(found, now.value, where)
    if "registries" not in written:
        yield from _of_registries(found, now, where)


def _of_bundle(facts: HostFacts, root: str, where: str) -> Iterator[Finding]:
    """Without it no registry can be told from another."""
    path = facts.bundle(root)
    if not path:
        return
    try:
        trustedcas.find(path)
    except Unavailable:
        yield Finding(
            "host.ca-bundle", Severity.ERROR, f"{path} can't be read", "the CA bundle that the document names", where,
            "put it there again: nodeseal install; until then no registry is believed",
        )  # fmt: skip


def _of_source(now: recording.Found, found: Mapping[str, object], root: str, where: str) -> Iterator[Finding]:
    if found.get("caBundle") != recording.BUNDLE:
        return
    source = found.get("caBundleFrom")
    if not now.bundle:
        got = f"no CA bundle at {source}" if source else "no CA bundle"
    else:
        try:
            with open(os.path.join(root, recording.BUNDLE.lstrip("/")), "rb") as file:
                if file.read(hostfacts.MAX_BUNDLE + 1) == now.bundle:
                    return
        except OSError:
            return  # that is told already
        got = f"{now.value.get('caBundleFrom')} has changed since it was copied"
    yield Finding(
        "host.ca-bundle", Severity.WARNING, ascii(got)[1:-1], "the host's CA bundle, as the copy has it", where,
        f"{_AGAIN}; until then the copy counts",
    )  # fmt: skip


def _of_proxy(found: Mapping[str, object], now: Mapping[str, object], where: str) -> Iterator[Finding]:
    before, after = _texts(found.get("proxy")), _texts(now.get("proxy"))
    names = ", ".join(hostfacts.differing(before, after))
    if names:
        yield Finding(
            "host.proxy", Severity.WARNING, f"containerd has another value of {names} than is recorded",
            "the proxy of containerd's service, as it was recorded", where,
            f"{_AGAIN}; or write it under host.proxy of the document, if it is to be another",
        )  # fmt: skip


def _of_registries(found: Mapping[str, object], now: recording.Found, where: str) -> Iterator[Finding]:
    before, after = (each.get("registries", {}) for each in (found, now.value))
    if before != after:
        yield Finding(
            "host.registries", Severity.WARNING, "containerd's certs.d is not as it is recorded",
            "mirrors, certificates and headers as they were recorded", where,
            f"{_AGAIN}; until then what is recorded counts",
        )  # fmt: skip
    if now.left_out:
        got = f"{len(now.left_out)} folders that can't be used: {', '.join(now.left_out[:4])}"
        yield Finding(
            "host.registries", Severity.WARNING, got,
            "fewer or smaller hosts.toml files, with URLs and headers that can be sent", "containerd's certs.d",
            "correct them, and install again; until then these registries are asked without mirrors",
        )  # fmt: skip


def _texts(value: object) -> Mapping[str, str]:
    return {str(name): str(each) for name, each in value.items()} if isinstance(value, dict) else {}
