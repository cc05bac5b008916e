"""Programs of the host: what they get, and that nothing of them is left."""

import os
import pathlib
import sys
import time

import pytest

from agent.adapters import host
from agent.errors import HostError
from tests.commands import processes_naming

SHELL = "/bin/sh"
LONG = f"sleep 8639.{os.getpid()}"
"""Of nobody else on this machine."""


def test_program_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/frozen")
    done = host.run("/usr/bin/env", environment={"A": "b"})
    assert (done.code, set(done.stdout.decode().split())) == (0, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "A=b"})


def test_program_has_no_input_no_file_of_ours_and_the_root_for_a_folder(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "secret").open("wb") as file:
        os.set_inheritable(file.fileno(), True)
        done = host.run(SHELL, ["-c", f"cat; pwd; ls /proc/$$/fd | grep -x {file.fileno()}; echo oops >&2; exit 3"])
    assert (done.code, done.stdout, done.stderr, done.said) == (3, b"/\n", b"oops\n", "oops")


def test_program_is_called_by_the_name_that_it_looks_at() -> None:
    assert host.run(SHELL, ["-c", "cat /proc/$$/cmdline"], name="containerd").stdout.startswith(b"containerd\0")


@pytest.mark.parametrize("script", ["{sleep}", "{sleep} & {sleep}", "trap '' TERM; {sleep}; {sleep}"])
def test_program_that_takes_too_long_goes_with_all_that_it_started(script: str) -> None:
    start = time.monotonic()
    with pytest.raises(HostError, match="got no end of it in time"):
        host.run(SHELL, ["-c", script.format(sleep=LONG)], seconds=0.3)
    assert time.monotonic() - start < 30
    gone_in_time(LONG)


def test_what_a_program_leaves_behind_goes_too() -> None:
    done = host.run(SHELL, ["-c", f"{LONG} >/dev/null 2>&1 & echo done"], seconds=60)
    assert done.stdout == b"done\n"
    gone_in_time(LONG)


def test_child_that_keeps_the_output_open_does_not_hold_us_for_ever() -> None:
    with pytest.raises(HostError, match="in time"):
        host.run(SHELL, ["-c", f"{LONG} & exit 0"], seconds=0.3)
    gone_in_time(LONG)


def test_output_has_a_bound() -> None:
    with pytest.raises(HostError, match="got more than 1000 bytes of output"):
        host.run(sys.executable, ["-c", "print('x' * 10**7)"], limit=1000, seconds=60)


@pytest.mark.parametrize("program", ["sh", "./sh", "/nowhere/sh", "/etc/passwd", "/bin/sh\0"])
def test_what_is_no_program_is_said(program: str) -> None:
    with pytest.raises(HostError, match=r"expected (a program that can be run|an absolute one)"):
        host.run(program)


def gone_in_time(command: str) -> None:
    end = time.monotonic() + 30
    while processes_naming(command) and time.monotonic() < end:
        time.sleep(0.02)
    assert processes_naming(command) == []
