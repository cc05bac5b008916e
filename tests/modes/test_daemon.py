"""`nodeseal watch`, from its command line to its end."""

import contextlib
import io
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from agent import __version__, cli
from agent.adapters import files, ipc
from agent.adapters.ipc import Client
from agent.adapters.telemetry import open_log
from agent.modes import daemon
from agent.modes.source import Source
from tests.forked import Forked
from tests.modes.glass import Node
from tests.signing import usual_signer, write_config


class Running:
    """The daemon in a process of its own, between `with` and its end."""

    def __init__(self, root: pathlib.Path, *words: str) -> None:
        """`words` are further ones of its command line; metrics are off unless one of them says where."""
        self.root = root
        self._folder = tempfile.TemporaryDirectory()
        self._log = pathlib.Path(self._folder.name, "log")
        words = words if "--metrics" in words else (*words, "--metrics", "off")
        self.process = Forked(["watch", "--root", str(root), *words], stderr=self._log)

    def __enter__(self) -> "Running":
        """Once it serves."""
        before = ipc.number(str(self.root))
        end = time.monotonic() + 60
        while self.status() is None or ipc.number(str(self.root)) == before:
            assert self.process.returncode is None and time.monotonic() < end, self._log.read_text()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        """Ended."""
        self.process.kill()
        self.process.wait()
        self._folder.cleanup()

    def status(self) -> dict[str, object] | None:
        """What it says of itself."""
        said = Client(str(self.root)).ask(ipc.STATUS, seconds=20)
        return None if said is None else json.loads(said)

    def logged(self, event: str) -> bool:
        """Whether it has logged that."""
        return f'"{event}"' in self._log.read_text()

    def stopped(self, number: signal.Signals = signal.SIGTERM) -> list[dict[str, object]]:
        """Stop it; what it has logged."""
        self.process.send_signal(number)
        self.process.wait()
        return [json.loads(line) for line in self._log.read_text().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_it_is_told_to_stop_and_takes_its_socket_away(node: Node, number: signal.Signals) -> None:
    with Running(node.root) as running:
        status = running.status()
        assert status is not None
        assert status.pop("pid") == running.process.pid
        assert abs(time.time() - float(str(status.pop("since")))) < 60
        memory = status.pop("memory")
        assert isinstance(memory, dict)
        assert {
            name: (each["held"], each["waiting"]) for name, each in memory.items() if name != "limit"
        } == dict.fromkeys(("working", "content", "told"), (0, 0))
        told = {"answers": [], "stale": 0, "wouldDeny": 0, "gaps": 0, "losses": 0}
        assert status == {
            "schemaVersion": "1", "version": __version__, "running": 0, "waiting": 0, "refused": 0, "bugs": {},
            "ahead": {"waiting": 0, "done": 0, "dropped": 0}, "told": told, "linesDropped": 0, "writesDropped": 0,
            "cluster": None, "metrics": None, "proof": None, "node": None,
        }  # fmt: skip
        events = running.stopped(number)
    assert running.process.returncode == 0
    assert [event["event"] for event in events] == ["serving", "generation", "stopping"]
    assert events[0]["generation"]
    assert os.listdir(node.root / ipc.FOLDER) == [ipc.LOCK]


def test_daemon_that_begins_short_of_descriptors_serves_and_loads_later(node: Node) -> None:
    script = f"""
import sys
from agent import cli
from agent.modes import warmstate
short = [False] * 3
warmstate._can_open = lambda _: short.pop() if short else True
cli.main(["nodeseal", "watch", "--root", {str(node.root)!r}, "--metrics", "off"])
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    try:
        lines: list[dict[str, object]] = []
        assert process.stderr is not None
        while not lines or lines[-1]["event"] != "generation":
            lines.append(json.loads(process.stderr.readline()))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert [line["event"] for line in lines] == ["serving", "generation"]
    assert lines[0]["generation"] == ""
    assert lines[1]["generation"]
    assert process.returncode == 0


def test_answers_pulls(node: Node) -> None:
    image = node.images["team/signed"]
    script = f"""
import sys
from agent import fastpath
from agent.adapters import answers
from tests.frozen.program import descriptor, plugin_words
fastpath._SILENCE = fastpath._PATIENCE = fastpath._END = 60.0  # a busy machine's daemon takes its time
words = ["x", *plugin_words({f"{node.registry.host}/team/signed:1"!r}, {str(image.digest)!r})]
print(fastpath.ask({str(node.root)!r}, b"", answers._words(words, descriptor({str(image.digest)!r}, {image.size}))))
"""
    with Running(node.root) as running:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        running.stopped()
    assert done.stdout.startswith("(0, b'allow NS-0001 ")


def test_daemon_after_one_that_was_killed_takes_its_place(node: Node) -> None:
    with Running(node.root) as first:
        first.process.kill()
        first.process.wait()
        assert ipc.number(str(node.root)) != 0
        assert first.status() is None
        with Running(node.root) as second:
            assert second.status() is not None
            second.stopped()
    assert ipc.number(str(node.root)) == 0


def test_socket_of_another_is_left_where_it_is(node: Node) -> None:
    with Running(node.root) as running, contextlib.closing(ipc.listening(str(node.root))):
        number = ipc.number(str(node.root))
        running.stopped()
        assert running.process.returncode == 0
        assert ipc.number(str(node.root)) == number


def test_configuration_of_a_folder_is_in_force_and_followed(tmp_path: pathlib.Path) -> None:
    folder = write_config(tmp_path / "config", usual_signer().root_pem)
    with Running(tmp_path / "host", "--config", str(folder)) as running:
        first = os.readlink(tmp_path / "host/var/lib/nodeseal/current")
        other = write_config(tmp_path / "other", usual_signer("other.example.com", number=4).root_pem)
        os.replace(other / "trusted.crt", folder / "trusted.crt")  # nobody sees it half written
        end = time.monotonic() + 60
        while os.readlink(tmp_path / "host/var/lib/nodeseal/current") == first:
            assert time.monotonic() < end
            time.sleep(0.05)
        events = [event["event"] for event in running.stopped()]
    assert events.count("configuration in force") == 2
    assert events.index("configuration in force") < events.index("serving")


def in_process(*words: str) -> int:
    """The command line in this process; its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "watch", *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def modest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a daemon takes for itself is not taken for the tests' process."""
    monkeypatch.setattr(daemon, "_take_what_is_needed", lambda: None)


@pytest.mark.usefixtures("modest")
def test_second_daemon_is_refused_after_a_while(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert daemon._LOCK_WAIT == 10.0
    monkeypatch.setattr(daemon, "_LOCK_WAIT", 0.3)
    files.make_private_folder(str(tmp_path / ipc.FOLDER))
    with files.locked(str(tmp_path / ipc.FOLDER / ipc.LOCK), wait=0):
        begun = time.monotonic()
        assert in_process("--root", str(tmp_path)) == 5
        assert time.monotonic() - begun > 0.2
    told = capsys.readouterr().err
    assert told.count("waiting for another daemon to end") == 1
    assert "got another daemon that serves it; expected none" in told


def test_end_of_the_process_that_makes_workers_is_told_and_the_daemon_goes_on(node: Node) -> None:
    with Running(node.root) as running:
        (maker,) = pathlib.Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
        os.kill(int(maker), signal.SIGKILL)
        end = time.monotonic() + 30
        while not running.logged("process for workers has ended"):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert running.status() is not None


@pytest.mark.usefixtures("modest")
def test_place_that_can_not_be_served_is_the_hosts_fault(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ipc.FOLDER / ipc.NAME).mkdir(parents=True)
    (tmp_path / ipc.FOLDER).chmod(0o700)
    assert in_process("--root", str(tmp_path)) == 5
    assert "expected to serve a socket there" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert in_process("--root", str(tmp_path / "file")) == 5


def test_bug_is_logged_by_kind_and_place_alone(tmp_path: pathlib.Path) -> None:
    log = io.StringIO()
    one = daemon._Daemon(str(tmp_path), Source(), {}, open_log(log, "json"))
    one._bug(KeyError("secret"))
    try:
        json.loads("secret")
    except ValueError as error:
        one._bug(error)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["kind"] for line in lines] == ["KeyError", "JSONDecodeError"]
    assert lines[1]["at"].startswith("json.decoder:")
    assert "secret" not in log.getvalue()
    assert one._bugs == {"KeyError": 1, "JSONDecodeError": 1}


def test_log_that_can_not_be_written_stops_nothing() -> None:
    with open("/dev/full", "w", encoding="ascii") as full:
        log = open_log(full, "json")
        log.info("x")
        log.warning("x")
        log.error("x")
        assert log.dropped == 3


def test_it_takes_descriptors_for_all_who_may_come_and_goes_before_others() -> None:
    script = "import os, resource\nfrom agent.modes import daemon\ndaemon._take_what_is_needed()\n"
    script += "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], os.getpriority(os.PRIO_PROCESS, 0))"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (64, hard):
        words = ["/usr/bin/prlimit", f"--nofile=64:{limit}", sys.executable, "-c", script]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        descriptors, priority = map(int, done.stdout.split())
        assert descriptors == min(limit, 4096)
        assert priority == (-5 if os.geteuid() == 0 else os.getpriority(os.PRIO_PROCESS, 0))
