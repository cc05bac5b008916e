"""Where folding goes on: a position that can't be believed, kept or written loses nothing and stops nothing."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.adapters.folding import Folded, SpoolReader
from agent.adapters.spool import FOLDER, Spool
from tests.adapters.test_folding import all_of, position, reader, root, spool, told, turn
from tests.adapters.test_spool import OTHERS, record

__all__ = ["reader", "root", "spool"]


def test_a_position_is_written_only_if_something_was_told(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, [1])
    all_of(reader)
    number = position(root).stat().st_ino, position(root).stat().st_mtime_ns
    for each in (reader, SpoolReader(str(root))):
        all_of(each)
        assert (position(root).stat().st_ino, position(root).stat().st_mtime_ns) == number


def _content(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return spoil


def _written(**changes: object) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def _place(**changes: object) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        value = json.loads(path.read_text())
        value["places"] = [place | changes for place in value["places"]]
        path.write_text(json.dumps(value))

    return spoil


def _instead(other: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.unlink()
        OTHERS[other](path)

    return spoil


POSITIONS: dict[str, Callable[[Path], None]] = {
    "empty": _content(lambda old: b""),
    "torn": lambda path: os.truncate(path, 20),
    "no JSON": _content(lambda old: b"\0" * 50),
    "no object": _content(lambda old: b"[]"),
    "too large": _content(lambda old: b" " * 5_000 + old),
    "of another version": _written(version="2"),
    "with more": _written(more=1),
    "no time": _written(last=5),
    "no places": _written(places={}),
    "too many places": _written(places=[{}] * 5),
    "a place that is a number": _written(places=[5]),
    "a place without words": _written(places=[{}]),
    "an offset below zero": _place(offset=-1),
    "an offset of text": _place(offset="1"),
    "an offset that is true": _place(offset=True),
    "an offset beyond all": _place(offset=10**15),
    "writable by others": lambda path: path.chmod(0o602),
    **{f"{other} instead": _instead(other) for other in OTHERS},
}


@pytest.mark.parametrize("damage", POSITIONS)
def test_a_position_that_cannot_be_believed_is_told_and_all_is_read(
    spool: Spool, reader: SpoolReader, root: Path, damage: str
) -> None:
    lines = told(spool, range(2))
    turn(root)
    lines += told(spool, range(2, 4))
    all_of(reader)
    POSITIONS[damage](position(root))
    successor = SpoolReader(str(root))
    folded = successor.new()
    assert (folded.records, folded.lost) == (lines, None)
    assert [each.startswith(f"{position(root)}: got ") for each in folded.problems] == [True]
    assert folded.problems[0].endswith("all of it is read again")
    assert SpoolReader(str(root)).behind().problems == folded.problems
    successor.done()
    if position(root).is_dir():
        assert "Is a directory" in successor.new().problems[0]
    else:
        assert SpoolReader(str(root)).new() == Folded()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "rename"])
def test_a_position_that_cannot_be_written_is_told_once_and_folding_goes_on(
    spool: Spool, reader: SpoolReader, root: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    said = f"{position(root)}: got {os.strerror(error)}; expected to keep up to where the spool was read"
    for number in range(3):
        told(spool, [number])
        folded = reader.new()
        assert folded == Folded((record(number),), problems=(said,) if number == 1 else ())
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            reader.done()
    assert not list(root.rglob("*folded*"))
    assert reader.new() == Folded()
    reader.done()  # there is room again
    assert SpoolReader(str(root)).new() == Folded()


def test_a_disk_that_is_really_full_stops_nothing(spool: Spool, reader: SpoolReader, root: Path) -> None:
    """A limit on the size of files stands in for it."""
    told(spool, range(3))
    script = (
        "import resource, signal, sys\nfrom agent.adapters.folding import SpoolReader\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "most = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "reader = SpoolReader(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, most[1]))\n"
        "found = []\n"
        "for _ in range(3): found.append(reader.new()); reader.done()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, most)\n"
        "print([len(each.records) for each in found], [len(each.problems) for each in found])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(root)], check=True, capture_output=True, text=True)
    assert done.stdout == "[3, 0, 0] [0, 1, 0]\n"
    assert not list(root.rglob("*folded*"))


def test_what_a_killed_one_left_of_a_position_is_removed(spool: Spool, root: Path) -> None:
    told(spool, [1])
    script = (
        "import os, signal, sys\nfrom agent.adapters.folding import SpoolReader\n"
        "os.rename = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "reader = SpoolReader(sys.argv[1]); reader.new(); reader.done()\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(root)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((root / FOLDER).glob(".tmp-*"))) == 1
    assert SpoolReader(str(root)).new() == Folded((record(1),))
    assert not list((root / FOLDER).glob(".tmp-*"))
