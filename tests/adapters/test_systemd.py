"""Restarting services over D-Bus, against a manager that speaks the real wire format; and the real bus daemon."""

import pathlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from agent.adapters.hostroot import HostRoot
from agent.adapters.systemd import Systemd
from agent.errors import HostError
from tests.simulators import systemd

UNIT = "containerd.service"
PRIVATE = "run/systemd/private"
BUS = "run/dbus/system_bus_socket"


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A host's root."""
    return tmp_path_factory.mktemp("h")


@pytest.fixture(autouse=True)
def _ample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever serves may be kept from the processor."""
    monkeypatch.setattr("agent.adapters.systemd._CONNECT_SECONDS", 30.0)


def manager(root: pathlib.Path) -> Systemd:
    """The one of that host."""
    return Systemd(HostRoot(str(root)))


@pytest.mark.parametrize("where", [PRIVATE, BUS])
def test_unit_is_restarted_and_the_end_of_the_job_waited_for(root: pathlib.Path, where: str) -> None:
    ended: list[tuple[str, str]] = []

    def job(method: str, unit: str) -> str:
        time.sleep(0.2)
        ended.append((method, unit))
        return "done"

    with systemd.Systemd(root / where, job) as served:
        manager(root).restart(UNIT)
        assert ended == [("RestartUnit", UNIT)]
        said: list[str] = [member for member, _ in served.asked]
        hello = ["Hello", "AddMatch"] if where == BUS else []
        assert said == [*hello, "Subscribe", "RestartUnit"]
        assert (UNIT, "replace") in [words for _, words in served.asked]
        manager(root).stop(UNIT)
        manager(root).start(UNIT)
        manager(root).reload()
        assert [method for method, _ in ended] == ["RestartUnit", "StopUnit", "StartUnit"]
        assert [member for member, _ in served.asked][-1] == "Reload"


@pytest.mark.parametrize("result", ["failed", "timeout", "canceled", "dependency"])
def test_job_that_fails_is_an_error(root: pathlib.Path, result: str) -> None:
    wanted = f"got the result '{result}' of RestartUnit; expected done"
    served = systemd.Systemd(root / PRIVATE, lambda method, unit: result)
    with served, pytest.raises(HostError, match=wanted) as raised:
        manager(root).restart(UNIT)
    assert raised.value.hint == f"journalctl -u {UNIT}"


def test_refusal_is_told_in_its_own_words(root: pathlib.Path) -> None:
    said = "Unit x.service not\x1b[31m found."
    served = systemd.Systemd(root / PRIVATE, lambda method, unit: "done", refusal=said)
    with served, pytest.raises(HostError) as raised:
        manager(root).restart("x.service")
    assert "NoSuchUnit Unit x.service not\\x1b[31m found." in raised.value.message


def test_job_without_end_has_an_end(root: pathlib.Path) -> None:
    gate = threading.Event()

    def job(method: str, unit: str) -> str:
        gate.wait(60)
        return "done"

    with systemd.Systemd(root / PRIVATE, job):
        begin = time.monotonic()
        with pytest.raises(HostError, match="no answer in time|timed out"):
            manager(root).restart(UNIT, seconds=0.3)
        assert time.monotonic() - begin < 30
        gate.set()


def test_host_without_a_manager_has_none(root: pathlib.Path) -> None:
    assert not manager(root).is_there()
    with pytest.raises(HostError, match="got no systemd that listens"):
        manager(root).restart(UNIT)
    (root / PRIVATE).parent.mkdir(parents=True)
    (root / PRIVATE).write_text("no socket")
    assert not manager(root).is_there()
    with socket.socket(socket.AF_UNIX) as dead:  # bound and nobody listens
        (root / PRIVATE).unlink()
        dead.bind(str(root / PRIVATE))
        assert not manager(root).is_there()


@contextmanager
def saying(path: pathlib.Path, *answers: bytes) -> Iterator[None]:
    """A server that says this, one for each thing it is told, and hangs up."""
    path.parent.mkdir(parents=True)

    def body() -> None:
        connection, _ = server.accept()
        with connection, suppress(ConnectionError):
            for answer in answers:
                connection.recv(4096)
                connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=body)
        thread.start()
        try:
            yield
        finally:
            thread.join()


@pytest.mark.parametrize(
    "answers",
    [
        (b"",),
        (b"REJECTED EXTERNAL\r\n",),
        (b"OK 00\r\n", b"nonsense of some length, which is no message of D-Bus"),
        (b"OK 00\r\n", b"l\x02\x00\x01\xff\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff"),
        (b"\x00" * 4096,),
    ],
    ids=["nothing", "rejected", "nonsense", "huge", "zeroes"],
)
def test_server_that_talks_nonsense_is_an_error(root: pathlib.Path, answers: tuple[bytes, ...]) -> None:
    with saying(root / PRIVATE, *answers), pytest.raises(HostError):
        manager(root).restart(UNIT, seconds=30)


@pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="no dbus-daemon here")
def test_real_bus_takes_our_greeting(root: pathlib.Path) -> None:
    """The manager itself is not on it: the bus says so, in an error that is one of the manager's calls."""
    path = root / BUS
    path.parent.mkdir(parents=True)
    (root / "bus.conf").write_text(
        f"<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>"
        "<policy context='default'><allow user='*'/><allow own='*'/><allow send_destination='*'/>"
        "<allow receive_sender='*'/></policy></busconfig>"
    )
    daemon = subprocess.Popen(["dbus-daemon", f"--config-file={root}/bus.conf", "--nofork"], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while not manager(root).is_there() and time.monotonic() < end:
            time.sleep(0.02)
        with pytest.raises(HostError, match=r"Subscribe: got org\.freedesktop\.DBus\.Error\.ServiceUnknown"):
            manager(root).restart(UNIT)
    finally:
        daemon.terminate()
        daemon.wait()
