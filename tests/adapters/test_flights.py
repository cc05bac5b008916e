"""One verification at a time of one image, and few at once: over processes, with an end."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

from agent.adapters import files
from agent.adapters.flights import FOLDER, Flights

HOLD = """
import sys, time
from agent.adapters.flights import Flights
flights = Flights(sys.argv[1], slots=1)
lock = flights.alone(sys.argv[2], time.monotonic()) if sys.argv[2] else flights.slot(time.monotonic())
with lock:
    print("held", flush=True)
    sys.stdin.read()
"""


class Holder:
    """Another process that holds an image's lock, or the only slot."""

    def __init__(self, root: pathlib.Path, image: str) -> None:
        """It holds the lock from now on."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(root), image], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def end(self) -> None:
        """It lets go."""
        self.process.communicate(b"", timeout=60)


def soon(seconds: float = 0.2) -> float:
    """A time of the monotonic clock."""
    return time.monotonic() + seconds


def test_nobody_waits_for_an_image_that_nobody_is_at(tmp_path: pathlib.Path) -> None:
    flights = Flights(str(tmp_path), slots=1)
    for _ in range(2):
        with flights.alone("a", soon()) as waited, flights.slot(soon()):
            assert not waited
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["slot-0"]


def test_the_second_waits_for_the_first_and_is_told(tmp_path: pathlib.Path) -> None:
    holder = Holder(tmp_path, "a")
    flights = Flights(str(tmp_path), slots=1)
    with flights.alone("b", soon()) as waited:
        assert not waited
    subprocess.Popen(["/bin/sh", "-c", f"sleep 0.3; kill -9 {holder.process.pid}"]).wait(60)
    with flights.alone("a", soon(60)):
        pass
    holder.process.communicate()
    with flights.alone("a", soon(60)) as waited:
        assert not waited


def test_waiting_has_an_end(tmp_path: pathlib.Path) -> None:
    holder = Holder(tmp_path, "a")
    begun = time.monotonic()
    with Flights(str(tmp_path), slots=1).alone("a", soon(0.3)) as waited:
        assert waited
        assert 0.2 < time.monotonic() - begun < 30
    holder.end()


def test_who_has_to_wait_goes_on_as_soon_as_the_other_is_done(tmp_path: pathlib.Path) -> None:
    holder = Holder(tmp_path, "a")
    waiting = subprocess.Popen(
        [sys.executable, "-c", HOLD.replace("time.monotonic())", "time.monotonic() + 60)"), str(tmp_path), "a"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    time.sleep(0.3)
    assert waiting.poll() is None
    holder.end()
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == b"held\n"
    waiting.communicate(b"", timeout=60)


def test_slots_are_as_many_as_said(tmp_path: pathlib.Path) -> None:
    holder = Holder(tmp_path, "")
    begun = time.monotonic()
    with Flights(str(tmp_path), slots=2).slot(soon(60)):
        assert time.monotonic() - begun < 30
    with Flights(str(tmp_path), slots=1).slot(soon(0.2)):
        assert time.monotonic() - begun > 0.1
    holder.end()


def test_what_killed_processes_left_goes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "is_time_to_sweep", lambda most: True)
    (tmp_path / FOLDER).mkdir(parents=True, mode=0o700)
    for name in ("left", "slot-0", "young"):
        (tmp_path / FOLDER / name).touch()
    for name in ("left", "slot-0"):
        os.utime(tmp_path / FOLDER / name, (0, 0))
    with Flights(str(tmp_path), slots=1).alone("a", soon()):
        pass
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["slot-0", "young"]


@pytest.mark.parametrize("spoil", ["a file", "others'"])
def test_where_there_can_be_no_locks_nobody_waits(tmp_path: pathlib.Path, spoil: str) -> None:
    folder = tmp_path / FOLDER
    folder.parent.mkdir(parents=True)
    if spoil == "a file":
        folder.write_text("no folder")
    else:
        folder.mkdir(mode=0o777)
        (folder / "slot-0").symlink_to("/dev/null")
    with Flights(str(tmp_path), slots=1).slot(soon(5)), Flights(str(tmp_path), slots=1).alone("a", soon(5)) as waited:
        assert not waited
