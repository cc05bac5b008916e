"""The whole program follows the ConfigMaps of an API server, and a pull is answered under what they say."""

import json
import pathlib
import time

import pytest

from agent.adapters import ipc
from agent.config.discovery import ACTIVE, LABEL
from tests.frozen.conftest import Setting
from tests.frozen.daemon import Daemon
from tests.frozen.program import Program
from tests.frozen.test_again import doors
from tests.modes.test_clustering import kubeconfig, platform, tenant
from tests.simulators.kube import NAMESPACE, KubeSimulator

pytestmark = pytest.mark.frozen

SECONDS = 20.0


def test_a_configmap_is_put_in_force_and_a_pull_is_answered_under_it(setting: Setting, tmp_path: pathlib.Path) -> None:
    host, image = setting.registry.host, setting.signed
    program = Program(tmp_path / "host")
    plain = {"store": {"version": "1.0.0", "plugins": [{"name": "oras", "useHttp": True}]}}
    trusted = {"root.pem": setting.trusted.root_pem.decode(), "config.json": json.dumps(plain)}
    team = {**tenant("team", f"{host}/team/**"), **trusted}

    def code() -> int:
        return program.pull(setting.signed_name, str(image.digest), image.size).code

    def until(expected: int) -> None:
        end = time.monotonic() + SECONDS
        while code() != expected:
            assert time.monotonic() < end, daemon.log_file.read_text()[-2000:]
            time.sleep(0.1)

    with KubeSimulator() as server:
        server.put(NAMESPACE, "platform", {LABEL: ACTIVE}, platform())
        server.put(NAMESPACE, "team", {LABEL: ACTIVE}, team)
        words = ("--configmaps", "--kubeconfig", str(kubeconfig(program.root, server)), "--node", "n1")
        with Daemon(program, *words) as daemon:
            until(0)
            denied = [f"{host}/team/signed@{image.digest}"]
            server.put(NAMESPACE, "platform", {LABEL: ACTIVE}, platform(deny=denied))
            until(10)
            assert daemon.stop() == 0
    assert not [each for each in daemon.events() if each["event"] == "bug"]
    assert code() == 10  # it is in force without the daemon, too
    assert {"daemon"} <= set(doors(setting._replace(program=program)))
    assert not (program.root / ipc.FOLDER / ipc.NAME).exists()
