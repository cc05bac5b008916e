"""The host as the commands `install` and `uninstall` ask it: its runtime, its service manager, its processes."""

import pathlib
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from agent.adapters import containerd, ipc
from agent.errors import HostError
from agent.modes import hostworld
from agent.modes.hostworld import HostWorld
from agent.wiring.proof import NOTHING_KNOWN
from tests.modes.test_install_command import MAIN
from tests.simulators.cri import CriSimulator
from tests.simulators.systemd import Systemd


@pytest.fixture
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[pathlib.Path, CriSimulator, Systemd]]:
    """A host whose runtime and service manager answer."""
    root = tmp_path_factory.mktemp("l")
    for path in ("run/containerd", "etc/containerd"):
        (root / path).mkdir(parents=True)
    (root / MAIN).write_text("version = 3\n")
    runtime = CriSimulator(root / "run/containerd/containerd.sock")
    with runtime, Systemd(root / "run/systemd/private", lambda method, unit: "done") as manager:
        yield root, runtime, manager


def test_host_that_runs_is_asked_and_restarted(live: tuple[pathlib.Path, CriSimulator, Systemd]) -> None:
    root, runtime, manager = live
    world = HostWorld(containerd.Asked(str(root)), sleep=lambda seconds: None)
    assert world.is_running()
    assert world.can_restart()
    assert world.wait_until_ready(60)
    assert world.prove(NOTHING_KNOWN).is_enforcing
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert HostWorld(containerd.Asked(str(root)), port=port).prove(NOTHING_KNOWN).is_enforcing
    assert runtime.pulls[-1].startswith(f"127.0.0.1:{port}/nodeseal-canary:")
    world.restart("containerd.service")
    assert ("RestartUnit", ("containerd.service", "replace")) in manager.asked
    with pytest.raises(HostError, match="no name of a unit"):
        world.restart("")
    told = world.facts()
    assert told.facts.socket == "/run/containerd/containerd.sock"
    assert 0 < world.started() <= world.now()


def test_host_that_does_not_run_is_asked_nothing(live: tuple[pathlib.Path, CriSimulator, Systemd]) -> None:
    world = HostWorld(containerd.Asked(str(live[0])), runs=False)
    assert not world.is_running()
    assert not world.can_restart()
    assert world.started() == 0.0


def test_runtime_that_does_not_come_is_waited_for_so_long(tmp_path: pathlib.Path) -> None:
    world = HostWorld(containerd.Asked(str(tmp_path)), sleep=lambda seconds: None)
    assert not world.wait_until_ready(0.05)


def test_program_is_called_as_containerd_calls_it() -> None:
    world = HostWorld(containerd.Asked("/"))
    done = world.call("/bin/sh", ("-c", "cat; pwd; tr '\\0' '\\n' < /proc/$$/environ"), b"a descriptor\n")
    assert done.stdout == b"a descriptor\n/\n"


def test_restart_by_itself_is_seen_by_another_process(
    live: tuple[pathlib.Path, CriSimulator, Systemd], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = HostWorld(containerd.Asked(str(live[0])), sleep=lambda seconds: None)
    world.facts()
    pids = iter([world._pid, None, 4711])
    monkeypatch.setattr(containerd, "listening", lambda *_: next(pids))
    world.wait_for_restart()
    assert world._pid == 4711


def test_units_are_stopped_read_anew_and_asked_about(live: tuple[pathlib.Path, CriSimulator, Systemd]) -> None:
    root, _, manager = live
    world = HostWorld(containerd.Asked(str(root)), sleep=lambda seconds: None)
    world.stop("nodeseal.service")
    world.reload()
    asked = [member for member, _ in manager.asked]
    assert ("StopUnit", ("nodeseal.service", "replace")) in manager.asked
    assert "Reload" in asked
    assert world.unit_runs("nodeseal.service")
    manager.properties["ActiveState"] = ("s", "failed")
    assert not world.unit_runs("nodeseal.service")
    assert not HostWorld(containerd.Asked(str(root)), runs=False).unit_runs("nodeseal.service")
    assert not HostWorld(containerd.Asked(str(root / "etc"))).unit_runs("nodeseal.service"), "nobody to ask"


def test_daemon_that_does_not_answer_is_waited_for_so_long(
    live: tuple[pathlib.Path, CriSimulator, Systemd], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    world = HostWorld(containerd.Asked(str(live[0])), sleep=slept.append)
    with monkeypatch.context() as patched:
        patched.setattr(hostworld, "time", SimpleNamespace(monotonic=lambda: sum(slept)))  # only sleeping takes time
        assert not world.serves(0.05)
    assert slept, "it was asked again"
    answers = iter([None, b"{}"])
    monkeypatch.setattr(ipc.Client, "ask", lambda *_, seconds: next(answers))
    assert world.serves(30)
    assert not HostWorld(containerd.Asked(str(live[0])), runs=False).serves(30)


def test_restart_that_nobody_sees_is_waited_for_so_long(
    live: tuple[pathlib.Path, CriSimulator, Systemd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostworld, "_NOTICE_SECONDS", 0.05)
    world = HostWorld(containerd.Asked(str(live[0])), sleep=lambda seconds: None)
    before = world.facts().facts.process
    world.wait_for_restart()
    assert world.facts().facts.process == before
