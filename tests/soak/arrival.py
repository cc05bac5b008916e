"""From a changed ConfigMap to the pull that is answered under it: the frozen daemon and a real API server.

The clock starts when the server has answered the write, and stops when `current` names another snapshot: every pull
that begins after that is under it, and one is made to show that.
"""

import json
import os
import pathlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tests import permissions
from tests.adapters.kube import ACTIVE
from tests.cluster.objects import NAMESPACE
from tests.frozen.daemon import Daemon
from tests.frozen.program import Program
from tests.signing import usual_signer
from tests.testbed.kube import NODE, KubeServer

_CONFIGMAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
_IMAGE, _DIGEST = "registry.example.com/shop:1", "sha256:" + 64 * "a"
_PATIENCE = 60.0
_LOOKING = 0.001


class Arrival(NamedTuple):
    """One change, in seconds: after the server's answer it was in force, and a pull that began then took so long."""

    published: float
    pull: float


def arrivals(server: KubeServer, program: Program, count: int) -> list[Arrival]:
    """`count` changes, one after another; the server has the agent's manifest.  Raises `AssertionError`."""
    current = program.root / "var/lib/nodeseal/current"
    kubeconfig = _kubeconfig(server, program.root.parent / "kubeconfig")
    found = []
    _put(server, "first")
    with Daemon(program, "--configmaps", "--node", NODE, "--kubeconfig", str(kubeconfig)) as daemon:
        _wait(lambda: current.is_symlink(), daemon)
        time.sleep(2)  # events, sweeping, and what else follows a start
        for number in range(count):
            found.append(_one(server, program, daemon, current, f"change-{number}"))
            time.sleep(0.5)
        assert daemon.stop() == 0
    return found


def _one(server: KubeServer, program: Program, daemon: Daemon, current: pathlib.Path, rule: str) -> Arrival:
    before = os.readlink(current)
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOKING):
            if os.readlink(current) != before:
                seen.append(time.monotonic())
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        _put(server, rule)
        answered = time.monotonic()
        _wait(lambda: bool(seen), daemon)
    finally:
        over.set()
        thread.join()
    pull = program.pull(_IMAGE, _DIGEST)
    assert f"rule=arriving/{rule} " in pull.out, f"{pull.out}{pull.err}"
    return Arrival(seen[0] - answered, pull.seconds)


def _put(server: KubeServer, rule: str) -> None:
    """A document that lets images pass, and says so under this rule's name: no registry is asked."""
    trust = {
        "version": "1.0",
        "trustPolicies": [
            {
                "name": "all", "registryScopes": ["*"], "signatureVerification": {"level": "strict"},
                "trustStores": ["ca:certs"], "trustedIdentities": ["*"],
            },
        ],
    }  # fmt: skip
    verifier = {"name": "signer", "type": "notation", "verificationCerts": ["root.pem"], "trustPolicyDoc": trust}
    named = {"name": rule, "match": ["registry.example.com/**"], "verifiers": ["signer"], "policy": {"any": ["signer"]}}
    section = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "verifiers": [verifier],
        "rules": [{**named, "enforcement": "Disabled"}],
    }
    data = {"nodeseal.yaml": json.dumps({"nodeseal": section}), "root.pem": usual_signer().root_pem.decode()}
    value: Mapping[str, object] = {"metadata": {"name": "arriving", "labels": ACTIVE}, "data": data}
    server.make(_CONFIGMAPS, value)


def _kubeconfig(server: KubeServer, path: pathlib.Path) -> pathlib.Path:
    """As a node has it: the agent's own service account."""
    user = {"token": server.token(permissions.NAMESPACE, permissions.ACCOUNT)}
    cluster = {"server": server.url, "certificate-authority": server.certificate}
    value = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(json.dumps(value))
    path.chmod(0o600)
    return path


def _wait(reached: Callable[[], bool], daemon: Daemon) -> None:
    end = time.monotonic() + _PATIENCE
    while not reached():
        assert daemon.is_alive() and time.monotonic() < end, daemon.log_file.read_text()
        time.sleep(0.005)
