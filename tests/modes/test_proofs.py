"""Canaries of a daemon: when, and what becomes of what they prove."""

import os
import pathlib
import threading
import time
from collections.abc import Callable

import anyio
import pytest

from agent import cli
from agent.modes import proofs, proving
from agent.modes.proofs import INTERVAL, LOOK, Looked, Proofs, Proved
from agent.modes.tasks import Proving
from agent.wiring.proof import NOT_PROVED, NOTHING_KNOWN, Known, Proof, Reason, State
from tests.modes.test_daemon import Running
from tests.simulators.cri import CriSimulator
from tests.warm import Told

GOOD = Proof(State.ENFORCING, Reason.ENFORCING, "good")
BAD = Proof(State.BYPASSED, Reason.NOT_CALLED, "bad")
SILENT = Proof(State.UNKNOWN, Reason.SILENT, "silent")


class Over(Exception):
    """The test has seen enough."""


class World:
    """Time that passes by sleeping alone, and proofs that a test gives, the last one for ever."""

    def __init__(self, root: pathlib.Path, *given: Proof) -> None:
        """Nothing happened yet."""
        self.at = 1000.0
        self.given = list(given)
        self.proved: list[tuple[float, str]] = []
        """When, and with which program."""
        self.known: list[Known] = []
        self.happens: dict[float, Callable[[], object]] = {}
        """What happens when so much time has passed."""
        self.until = 10_000.0
        self.log = Told()
        self.files = (str(root / "bin"), str(root / "config.toml"))
        self.entry = ""
        """What the folder of verifiers has of ours."""
        self.proofs = Proofs(
            str(root),
            Proving(str(root / "cri.sock")),
            self.log,
            look=lambda: Looked(Known(("x",)), self.files, str(root), self.entry),
            prove=self._prove,
            clock=lambda: self.at,
            now=lambda: self.at + 1e9,
            random=lambda: 0.5,
            sleep=self._sleep,
        )

    async def _prove(self, socket: str, known: Known, *, program: str, port: int) -> Proof:
        self.proved.append((self.at - 1000, program))
        self.known.append(known)
        return self.given.pop(0) if len(self.given) > 1 else self.given[0]

    async def _sleep(self, seconds: float) -> None:
        self.at += seconds
        for when in [each for each in self.happens if each <= self.at - 1000]:
            self.happens.pop(when)()
        if self.at - 1000 >= self.until:
            raise Over

    def run(self, seconds: float) -> list[float]:
        """Let so much time pass; when something was proved."""
        self.until = seconds
        with pytest.raises(Over):
            anyio.run(self.proofs.run)
        return [at for at, _ in self.proved]


def test_proves_at_the_start_and_each_minute(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path, GOOD)
    assert world.run(150) == [0, 60, 120]
    assert world.known[0] == Known(("x",))


def test_nodes_do_not_go_in_step(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path, GOOD)
    world.proofs._random = lambda: 0.0
    assert world.run(130) == [0, 54, 108]
    world = World(tmp_path, GOOD)
    world.proofs._random = lambda: 1.0
    assert world.run(70) == [0, 66]


def test_what_proved_nothing_is_tried_again_soon_and_then_more_rarely(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path, SILENT, BAD, SILENT, SILENT, SILENT, SILENT, GOOD)
    assert world.run(320) == [0, 6, 16, 36, 76, 136, 196, 256, 316]
    assert INTERVAL == 60


@pytest.mark.parametrize("what", ["bin", "config.toml", "cri.sock"])
def test_what_could_have_changed_it_is_noticed(tmp_path: pathlib.Path, what: str) -> None:
    (tmp_path / "bin").mkdir()
    world = World(tmp_path, GOOD)

    def change() -> None:
        path = tmp_path / what
        if path.is_dir():
            (path / "other").touch()
        elif path.exists():
            os.replace(_file(tmp_path / "new"), path)
        else:
            path.touch()

    world.happens = {10: change, 20: change if what != "bin" else (tmp_path / "bin/other").unlink}
    assert world.run(30) == [0, 10, 20]


def _file(path: pathlib.Path) -> pathlib.Path:
    path.write_text("new")
    return path


def test_something_that_changes_all_the_time_is_not_proved_all_the_time(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path, GOOD)
    number = iter(range(1000))
    sleep = world.proofs._sleep

    async def busy(seconds: float) -> None:
        (tmp_path / "config.toml").write_text(f"{next(number)}" * 9)
        await sleep(seconds)

    world.proofs._sleep = busy
    assert world.run(10) == [0, LOOK, 2 * LOOK, 3 * LOOK, 4 * LOOK]


def test_the_program_is_called_after_changes_and_once_an_hour(tmp_path: pathlib.Path) -> None:
    program = tmp_path / "opt/nodeseal/9/nodeseal"
    (program.parent / "_internal").mkdir(parents=True)
    program.touch(mode=0o755)
    (tmp_path / "opt/nodeseal/current").symlink_to("9")
    world = World(tmp_path, GOOD)
    world.happens = {100: (tmp_path / "config.toml").touch}
    world.run(4000)
    assert [at for at, called in world.proved if called] == [0, 100, 3700]
    assert world.proved[0][1] == str(program)
    world = World(tmp_path, BAD, GOOD)
    world.run(100)
    assert [bool(called) for _, called in world.proved] == [True, True, False]
    program.chmod(0o777)
    world = World(tmp_path, GOOD)
    world.run(2)
    assert world.proved == [(0, "")]


def test_the_program_that_is_called_is_the_one_that_containerd_calls(tmp_path: pathlib.Path) -> None:
    for place in ("opt/nodeseal/1", "usr/local/lib/nodeseal/1", "usr/local/lib/nodeseal/2"):
        (tmp_path / place / "_internal").mkdir(parents=True)
        (tmp_path / place / "nodeseal").touch(mode=0o755)
    (tmp_path / "opt/nodeseal/current").symlink_to("1")
    current = tmp_path / "usr/local/lib/nodeseal/current"
    current.symlink_to("1")
    entry = tmp_path / "bin/00-nodeseal"
    entry.parent.mkdir()
    entry.symlink_to("/usr/local/lib/nodeseal/current/nodeseal")  # of the host's, whose root is elsewhere for us
    world = World(tmp_path, GOOD)
    world.entry = "/bin/00-nodeseal"

    def upgrade() -> None:
        current.unlink()
        current.symlink_to("2")

    world.happens = {5: upgrade}
    world.run(4000)
    placed = tmp_path / "usr/local/lib/nodeseal"
    assert [called for _, called in world.proved if called] == [f"{placed}/1/nodeseal", f"{placed}/2/nodeseal"]
    entry.unlink()
    world = World(tmp_path, GOOD)
    world.entry = "/bin/00-nodeseal"
    world.run(2)
    assert world.proved == [(0, "")], "and never another one instead"


def test_configuration_is_read_again_only_after_changes_and_while_something_is_wrong(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path, GOOD)
    reads: list[float] = []
    look = world.proofs._look

    def counted() -> Looked:
        reads.append(world.at - 1000)
        return look()

    world.proofs._look = counted
    world.happens = {100: (tmp_path / "config.toml").touch}
    world.run(200)
    assert reads == [0, 100]
    world.given, world.at, reads[:] = [BAD], 1000.0, []
    world.run(50)
    assert reads == [0, 6, 16, 36]


def test_reading_that_hangs_explains_nothing_and_keeps_nothing_from_being_proved(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "READING", 0.1)
    world, hangs = World(tmp_path, BAD), threading.Event()
    world.proofs._look = lambda: Looked(Known(("x",)), ()) if hangs.wait(60) else Looked(NOTHING_KNOWN, ())
    try:
        assert world.run(20) == [0, 6, 16]
    finally:
        hangs.set()
    assert set(world.known) == {NOTHING_KNOWN}


def test_each_change_of_state_is_logged_once_and_counted(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path, GOOD, GOOD, BAD, BAD, SILENT, GOOD)
    world.run(220)
    assert [(level, event, fields["state"], fields["before"]) for level, event, fields in _enforcement(world.log)] == [
        ("info", "enforcement", "enforcing", "unknown"),
        ("error", "enforcement", "bypassed", "enforcing"),
        ("error", "enforcement", "unknown", "bypassed"),
        ("info", "enforcement", "enforcing", "unknown"),
    ]
    said = world.proofs.as_json()
    assert said["canaries"] == {"enforcing": 4, "bypassed": 2, "off": 0, "unknown": 1, "unsupported": 0}
    assert said["socket"] == str(tmp_path / "cri.sock")


def _enforcement(log: Told) -> list[tuple[str, str, dict[str, object]]]:
    return [each for each in log.events if each[1] == "enforcement"]


def test_since_when_and_when_last() -> None:
    first = Proved().then(GOOD, 10.0)
    again = first.then(GOOD, 20.0)
    lost = again.then(BAD, 30.0)
    other = lost.then(BAD._replace(reason=Reason.LOCAL_PULL), 40.0)
    assert Proved() == Proved(NOT_PROVED, None, None, None)
    assert (first.since, first.last, first.success) == (10, 10, 10)
    assert (again.since, again.last, again.success) == (10, 20, 20)
    assert (lost.since, lost.last, lost.success) == (30, 30, 20)
    assert (other.since, other.last, other.success) == (30, 40, 20)
    assert Proved().then(SILENT, 5.0).since == 5
    assert again.as_json() == {
        "state": "enforcing",
        "reason": "Enforcing",
        "message": "good",
        "since": "1970-01-01T00:00:10+00:00",
        "last": "1970-01-01T00:00:20+00:00",
        "lastSuccess": "1970-01-01T00:00:20+00:00",
    }


def test_whoever_waits_is_told_of_the_next_canary(tmp_path: pathlib.Path) -> None:
    world = World(tmp_path, GOOD, BAD)
    heard: list[Proof] = []

    async def body() -> None:
        async def listen() -> None:
            heard.append((await world.proofs.next()).proof)

        for _ in range(2):
            async with anyio.create_task_group() as group:
                group.start_soon(listen)
                await anyio.wait_all_tasks_blocked()
                await world.proofs.once(Looked(NOTHING_KNOWN, ()), anew=False)

    anyio.run(body)
    assert heard == [GOOD, BAD]


def test_socket_is_the_kubelets_own_where_there_are_two(tmp_path: pathlib.Path) -> None:
    root = str(tmp_path)
    assert proving.cri_socket(root) == f"{root}/run/containerd/containerd.sock"
    for place in ("run/containerd/containerd.sock", "run/k3s/containerd/containerd.sock"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).touch()
        assert proving.cri_socket(root) == f"{root}/{place}"
    assert Proofs(root, Proving(), Told()).socket == f"{root}/run/k3s/containerd/containerd.sock"


def status_text(root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["nodeseal", "status", "--root", str(root)])
    return capsys.readouterr().out


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cri-socket", "/x"], "expected --prove beside them"),
        (["--canary-port", "1"], "expected --prove beside them"),
        (["--prove", "--canary-port", "65536"], "expected a number below 65536"),
        (["--prove", "--canary-port", "-1"], "expected a number below 65536"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    tmp_path: pathlib.Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "watch", "--root", str(tmp_path), *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_daemon_proves_and_its_status_says_so(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    socket, root = tmp_path / "cri.sock", tmp_path / "host"
    words = ("--prove", "--cri-socket", str(socket))
    with CriSimulator(socket) as runtime, Running(root, *words) as running:
        until(lambda: _proof(running)["state"] == "enforcing")
        said = status_text(root, capsys)
        assert "enforcement    enforcing since " in said
        assert ": Enforcing\n  containerd asked 00-nodeseal, which refused the canary\n  last canary 20" in said
        runtime.verifies = False
        socket.touch()  # as good as another one
        until(lambda: _proof(running)["state"] == "bypassed")
        assert _proof(running)["reason"] == "VerifierNotCalled"
        assert _proof(running)["lastSuccess"]
        events = running.stopped()
    assert [each["state"] for each in events if each["event"] == "enforcement"] == ["enforcing", "bypassed"]
    assert all(each.split(":")[1].split("/")[1] == "nodeseal-canary" for each in runtime.pulls)


def _proof(running: Running) -> dict[str, object]:
    status = running.status()
    assert status is not None
    proof = status["proof"]
    assert isinstance(proof, dict)
    return proof


def test_interval_is_a_minute_and_looks_are_seconds_apart() -> None:
    assert (proofs.INTERVAL, proofs.LOOK, proofs.FIRST_AGAIN, proofs.THOROUGH) == (60, 2, 5, 3600)
