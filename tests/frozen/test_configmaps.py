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
from tests.modes.clustered import in_force, kubeconfig, platform, tenant
from tests.simulators.kube import NAMESPACE, KubeSimulator

pytestmark = pytest.mark.frozen

SECONDS = 60.0


def test_verdicts_that_rest_on_the_same_ground_survive_a_change(setting: Setting, tmp_path: pathlib.Path) -> None:
    host, image = setting.registry.host, setting.signed
    program = Program(tmp_path / "host")
    plain = {"store": {"version": "1.0.0", "plugins": [{"name": "oras", "useHttp": True}]}}
    trusted = {"root.pem": setting.trusted.root_pem.decode(), "config.json": json.dumps(plain)}
    with KubeSimulator() as server:
        server.put(NAMESPACE, "team", {LABEL: ACTIVE}, {**tenant("team", f"{host}/team/**"), **trusted})
        words = ("--configmaps", "--kubeconfig", str(kubeconfig(program.root, server)), "--node", "n1")
        with Daemon(program, *words) as daemon:

            def wait_for(rules: set[str]) -> None:
                end = time.monotonic() + SECONDS
                while (config := in_force(program.root)) is None or {each.name for each in config.rules} != rules:
                    assert time.monotonic() < end, daemon.log_file.read_text()[-2000:]
                    time.sleep(0.05)

            wait_for({"team/team"})
            pulled = program.pull(setting.signed_name, str(image.digest), image.size)
            assert pulled.code == 0, pulled.out
            asked = sum(setting.registry.counts.values())
            server.put(NAMESPACE, "other", {LABEL: ACTIVE}, tenant("team", "r.example/other/**"))
            wait_for({"other/team", "team/team"})
            again = program.pull(setting.signed_name, str(image.digest), image.size)
            assert again.code == 0
            assert "rule=team/team ground=verified" in again.out
            assert sum(setting.registry.counts.values()) == asked
            assert doors(setting._replace(program=program)) == ["daemon", "daemon"]


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
