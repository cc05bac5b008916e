"""An API server with ConfigMaps, one of which is changed again and again: how long until a pull is answered under it.

`python -m tests.bench.configmaps ROOT COUNT ROUNDS`, on the node: writes a kubeconfig, prints its path, waits until the
daemon under ROOT has put all of them in force, and prints the milliseconds of each round as JSON.  What is asked for is
an image that the change denies, or no longer denies: no registry is in it.
"""

import json
import pathlib
import sys
import time

from agent.adapters import ipc
from agent.config.discovery import ACTIVE, LABEL
from agent.modes.node import opened
from tests.bench.measure import Call
from tests.bench.warm import ask
from tests.frozen.program import descriptor, plugin_words
from tests.modes.clustered import kubeconfig, tenant
from tests.simulators.kube import NAMESPACE, KubeSimulator

DIGEST = "sha256:" + "a" * 64
IMAGE = "denied.example/app"
DENIED, ALLOWED = 10, 0

_STARTING = 60.0
_ANSWERING = 20.0
_PAUSE = 0.3
_STEP = 0.037  # so that rounds fall on different moments of whatever looks now and then
_BETWEEN = 0.002


def main(root: pathlib.Path, count: int, rounds: int) -> None:
    """Serve, and measure."""
    with KubeSimulator() as server:
        put(server, "platform", deny=[])
        for i in range(count - 1):
            server.put(NAMESPACE, f"tenant-{i}", {LABEL: ACTIVE}, tenant(f"tenant-{i}", f"r.example/tenant-{i}/**"))
        print(kubeconfig(root, server), flush=True)
        end = time.monotonic() + _STARTING
        while len(opened(str(root)).standing.ruleset.rules) < count:
            if time.monotonic() > end:
                raise AssertionError("the ConfigMaps did not come into force")
            time.sleep(_PAUSE)
        print(json.dumps([changed(server, root / ipc.FOLDER / ipc.NAME, i) for i in range(rounds)]), flush=True)


def changed(server: KubeSimulator, socket: pathlib.Path, number: int) -> float:
    """Milliseconds from the API server's event to the first answer under it."""
    time.sleep(_PAUSE + _STEP * (number % 16))
    deny = number % 2 == 0
    words = plugin_words(f"{IMAGE}:1", DIGEST)
    asked: Call = {"argv": ["nodeseal", *words], "stdin": descriptor(DIGEST, 100).decode()}
    begin = time.monotonic()
    put(server, "platform", deny=[f"{IMAGE}@{DIGEST}"] if deny else [])
    while ask(socket, asked) != (DENIED if deny else ALLOWED):
        if time.monotonic() > begin + _ANSWERING:
            raise AssertionError("the change did not come into force")
        time.sleep(_BETWEEN)
    return (time.monotonic() - begin) * 1000


def put(server: KubeSimulator, name: str, *, deny: list[str]) -> None:
    """The ConfigMap that is changed."""
    default = {"enforcement": "Disabled", "failurePolicy": "Fail"}
    server.put(NAMESPACE, name, {LABEL: ACTIVE}, tenant(name, "platform.example/**", default=default, deny=deny))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
