"""`nodeseal cache prepare`, and what the daemon says of itself, with a daemon in a process of its own."""

import contextlib
import json
import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from agent import __version__, cli
from agent.adapters import ipc
from agent.errors import HostError
from tests.forked import Forked
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators.registry import RegistrySimulator

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command of the program's."""

    def run_it(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", *words])
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return run_it


@contextlib.contextmanager
def daemon(root: pathlib.Path, *words: str) -> Iterator[pathlib.Path]:
    """A daemon over `root` that is stopped at the end; its log."""
    log = root / "log"
    process = Forked(["watch", "--root", str(root), "--metrics", "off", *words], stderr=log)
    try:
        end = time.monotonic() + 60
        while not (root / ipc.FOLDER / ipc.NAME).exists():
            assert process.returncode is None, log.read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert not (root / ipc.FOLDER / ipc.NAME).exists()


def wait_for(log: pathlib.Path, event: str, number: int) -> list[dict[str, object]]:
    """The events of that name, once there are so many."""
    end = time.monotonic() + 60
    while True:
        whole, _, _ = log.read_text().rpartition("\n")
        events = [json.loads(line) for line in whole.splitlines()]
        found = [each for each in events if each["event"] == event]
        if len(found) >= number:
            return found
        assert time.monotonic() < end, events
        time.sleep(0.05)


def test_images_are_handed_over_verified_and_told_of(tmp_path: pathlib.Path, command: Command) -> None:
    trusted, root = usual_signer(), tmp_path / "host"
    root.mkdir()
    with RegistrySimulator() as registry:
        signed = registry.push_image("team/signed", "1", salt="signed")
        attach_signature(registry, "team/signed", signed, envelope(trusted, signed))
        unsigned = registry.push_image("team/unsigned", "1", salt="unsigned")
        listed = tmp_path / "images"
        listed.write_text(f"# what the node will pull\n\n{registry.host}/team/unsigned@{unsigned.digest}\n")
        with daemon(root, "--config", str(write_config(tmp_path / "config", trusted.root_pem))) as log:
            words = ["cache", "prepare", "--root", str(root), "--file", str(listed), f"{registry.host}/team/signed:1"]
            code, out, _ = command(*words)
            assert (code, out) == (0, "2 image(s) handed over: 2 queued, 2 waiting in all\n")
            told = wait_for(log, "verified ahead", 2)
            assert {(each["image"], each["exit"]) for each in told} == {
                (f"{registry.host}/team/signed@{signed.digest}", 0),
                (f"{registry.host}/team/unsigned@{unsigned.digest}", 10),
            }
            code, out, _ = command("status", "--root", str(root), "--format", "json")
            said = json.loads(out)["daemon"]
            assert (code, said["version"], said["ahead"]["done"], said["bugs"]) == (0, __version__, 2, {})
            assert said["pid"] != os.getpid()
            assert "  2 verified ahead of pulls, 0 to go, 0 dropped\n" in command("status", "--root", str(root))[1]


def test_a_second_daemon_is_refused_and_the_first_goes_on(
    tmp_path: pathlib.Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent.modes import daemon as composed

    monkeypatch.setattr(composed, "_LOCK_WAIT", 0.1)
    monkeypatch.setattr(composed, "_take_what_is_needed", lambda: None)  # this process has other tests to run
    with daemon(tmp_path):
        code, _, err = command("watch", "--root", str(tmp_path))
        assert code == 5
        assert "got another daemon that serves it" in err
        assert ipc.Client(str(tmp_path)).ask(ipc.STATUS, seconds=30)


def test_without_a_daemon_nothing_is_handed_over(tmp_path: pathlib.Path, command: Command) -> None:
    code, out, err = command("cache", "prepare", "--root", str(tmp_path), "a.example/x:1")
    assert (code, out) == (5, "")
    assert "next step: start it: nodeseal watch" in err
    assert json.loads(command("status", "--root", str(tmp_path), "--format", "json")[1])["daemon"] is None
    assert "daemon         none" in command("status", "--root", str(tmp_path))[1]


def test_a_stale_socket_is_no_daemon(tmp_path: pathlib.Path, command: Command) -> None:
    ipc.listening(str(tmp_path)).close()
    assert command("cache", "prepare", "--root", str(tmp_path), "a.example/x:1")[0] == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "got no image"),
        (["NO NAME"], "image name"),
        (["--file", "/nowhere/at/all"], "got nothing there"),
        (["--file", "/"], "expected to read images"),
        (["--file", "/dev/zero"], "got more than"),
    ],
)
def test_what_is_no_list_of_images_is_said(
    tmp_path: pathlib.Path, command: Command, words: list[str], told: str
) -> None:
    code, _, err = command("cache", "prepare", "--root", str(tmp_path), *words)
    assert code in (2, 5)
    assert told in err


def test_a_socket_that_others_may_replace_is_not_asked(tmp_path: pathlib.Path) -> None:
    (tmp_path / ipc.FOLDER).mkdir(parents=True)
    (tmp_path / ipc.FOLDER).chmod(0o777)
    with pytest.raises(HostError, match="others may write to"):
        ipc.Client(str(tmp_path)).ask(ipc.STATUS, seconds=1)
