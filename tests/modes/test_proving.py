"""One proof, from the runtime's word to the program's: each that can fail says what is not proved."""

import pathlib
import socket
from collections.abc import Iterator

import pytest

from agent.adapters import child
from agent.modes import proving
from agent.wiring.proof import Proof, Reason
from tests.simulators.cri import CriSimulator


@pytest.fixture
def runtime(tmp_path: pathlib.Path) -> Iterator[CriSimulator]:
    """A runtime that asks a verifier, which refuses the canary."""
    with CriSimulator(tmp_path / "cri.sock") as runtime:
        yield runtime


def proved(tmp_path: pathlib.Path, program: str = "", *, port: int = 0) -> Proof:
    """What is proved of it."""
    return proving.prove_now(str(tmp_path / "cri.sock"), program=program, port=port)


def program_in(tmp_path: pathlib.Path, script: str) -> str:
    """A program for containerd to call."""
    path = tmp_path / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_canary_that_is_refused_and_a_sandbox_that_is_let_in_prove_it(
    runtime: CriSimulator, tmp_path: pathlib.Path
) -> None:
    assert proved(tmp_path).is_enforcing
    script = f'[ "$2" = {proving.PAUSE.name} ] && [ "$4" = {proving.PAUSE.digest} ]'
    assert proved(tmp_path, program_in(tmp_path, script)).is_enforcing


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo deny NS-2001 no; exit 10", "exit code 10: deny NS-2001 no"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_a_program_that_refuses_what_every_pod_needs_is_no_proof(
    runtime: CriSimulator, tmp_path: pathlib.Path, script: str, said: str
) -> None:
    found = proved(tmp_path, program_in(tmp_path, script))
    assert found.reason is Reason.SANDBOX_REFUSED
    assert said in found.message


def test_a_program_that_hangs_is_ended(
    runtime: CriSimulator, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "SECONDS", 0.3)
    assert "exit code -9" in proved(tmp_path, program_in(tmp_path, "sleep 60")).message


def test_a_program_that_is_not_there_is_told(runtime: CriSimulator, tmp_path: pathlib.Path) -> None:
    found = proved(tmp_path, str(tmp_path / "none"))
    assert found.reason is Reason.SANDBOX_REFUSED
    assert "none: No such file or directory" in found.message


def test_a_program_is_not_asked_where_the_canary_passes(runtime: CriSimulator, tmp_path: pathlib.Path) -> None:
    runtime.verifies = False
    found = proved(tmp_path, program_in(tmp_path, f"touch {tmp_path}/asked"))
    assert found.reason is Reason.NOT_CALLED
    assert not (tmp_path / "asked").exists()


def test_runtime_that_is_silent_or_another_proves_nothing(runtime: CriSimulator, tmp_path: pathlib.Path) -> None:
    assert proving.prove_now(str(tmp_path / "none.sock")).reason is Reason.SILENT
    runtime.version = "1.7.20"
    assert proved(tmp_path).reason is Reason.TOO_OLD
    runtime.name = "cri-o"
    assert proved(tmp_path).reason is Reason.NOT_CONTAINERD
    assert runtime.pulls == []


def test_runtime_that_ends_no_pull_is_silent(
    runtime: CriSimulator, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.adapters.cri._PULL_SECONDS", 0.3)
    with runtime.lock:
        assert proved(tmp_path).reason is Reason.SILENT


def test_a_port_that_is_taken_is_told(runtime: CriSimulator, tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = proved(tmp_path, port=taken.getsockname()[1])
    assert found.reason is Reason.SILENT
    assert "no registry of our own on 127.0.0.1: " in found.message
