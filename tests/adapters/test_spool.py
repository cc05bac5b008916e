"""The spool: no answer is lost, however many tell at once; what can't be written or read fails nothing."""

import errno
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from agent.adapters import files
from agent.adapters import spool as module
from agent.adapters.spool import FOLDER, MAX_LINE, Spool, Told
from agent.errors import Code, Exit
from agent.model.answer import Answer, Ground
from agent.model.record import Record

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
ANSWER = Answer(Exit.ALLOW, Code.BREAK_GLASS, "-", "not verified", 3, Ground.BREAK_GLASS, entry="a1")


def record(number: int = 0, answer: Answer = ANSWER, **changes: object) -> Record:
    """A record that can be told from others by its image."""
    usual = Record.of(answer, now=NOW, door="plugin", image=f"r.example/x{number}@sha256:5", name="r.example/x:1")
    return usual._replace(**changes)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty one."""
    return tmp_path


@pytest.fixture
def spool(root: Path) -> Spool:
    """The spool under it, which is not there yet."""
    return Spool(str(root))


def current(root: Path) -> Path:
    """Where the last lines are."""
    return root / FOLDER / "spool.jsonl"


def before(root: Path) -> Path:
    """Where the lines before them are."""
    return root / FOLDER / "spool.1.jsonl"


def line(value: Record, **changes: object) -> bytes:
    """A line as it stands there, some of its members changed."""
    return json.dumps(value._asdict() | changes).encode() + b"\n"


def test_what_was_told_is_read_in_its_order(spool: Spool) -> None:
    assert spool.read() == Told()
    told = [record(1), record(2, ANSWER._replace(ground=Ground.AUDIT, would=Exit.DENY)), record(3)]
    for each in told:
        spool.append(each)
    assert spool.read() == Told(tuple(told))
    assert [each.would for each in spool.read().records] == [None, 10, None]


def test_files_are_their_owners_alone(spool: Spool, root: Path) -> None:
    spool.append(record())
    assert stat.S_IMODE((root / FOLDER).stat().st_mode) == 0o700
    assert stat.S_IMODE(current(root).stat().st_mode) == 0o600


def test_a_line_is_short_whatever_goes_into_it(spool: Spool, root: Path) -> None:
    hostile = "\U0001f600\x1b\n" * 5_000
    answer = ANSWER._replace(rule=hostile, message=hostile)
    spool.append(Record.of(answer, now=NOW, door="plugin", image=hostile, name=hostile))
    spool.append(record(2, message="m" * MAX_LINE))
    spool.append(record(3, image="i" * MAX_LINE))
    first, second = current(root).read_bytes().splitlines()
    assert max(len(first), len(second)) < MAX_LINE
    assert first.isascii()
    told = spool.read()
    assert [(each.entry, each.message) for each in told.records][1] == ("a1", "")
    assert told.gaps == 0


TORN = {
    "half of one": line(record())[:30],
    "another version's": line(record(), serial=5),
    "a member less": json.dumps({"time": NOW.isoformat()}).encode() + b"\n",
    "no object": b"[]\n",
    "no JSON": b"\x00\xff\n",
    "no time": line(record(), time="soon"),
    "a time without zone": line(record(), time="2026-06-01T12:00:00"),
    "a time that is none in UTC": line(record(), time="0001-01-01T00:00:00+23:00"),
    "a number as image": line(record(), image=5),
    "a text as exit code": line(record(), exit="0"),
    "no entry": line(record(), entry=None),
    "too long": line(record(), message="m" * MAX_LINE),
}


@pytest.mark.parametrize("torn", TORN)
def test_a_line_that_is_none_is_a_gap_and_spoils_no_other(spool: Spool, root: Path, torn: str) -> None:
    spool.append(record(1))
    with current(root).open("ab") as file:
        file.write(TORN[torn])
    spool.append(record(2))
    told = spool.read()
    assert told == Told((record(1), record(2)), gaps=1)


def test_lines_of_a_program_before_this_one_are_read(spool: Spool, root: Path) -> None:
    spool.append(record(1))
    value = json.loads(current(root).read_text())
    del value["entry"]
    current(root).write_text(json.dumps(value) + "\n\n")
    assert spool.read() == Told((record(1, entry=""),))


def test_a_new_file_is_begun_at_four_mebibytes(spool: Spool, root: Path) -> None:
    spool.append(record(1))
    filler = line(record(2, message="m" * 600))
    with current(root).open("ab") as file:
        file.write(filler * (module.MAX_SIZE // len(filler)))
    assert not before(root).exists()
    spool.append(record(3, message="m" * 600))
    assert current(root).exists() is False
    assert before(root).stat().st_size > module.MAX_SIZE
    spool.append(record(4))
    told = spool.read()
    assert (told.records[0], told.records[-1]) == (record(1), record(4))
    assert (told.begins, told.gaps, told.problems) == (record(1).time, 0, ())


def test_what_the_second_turn_leaves_out_is_told(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SIZE", 1_000)
    told = [record(i, time=f"2026-06-01T00:00:{i:02}+00:00") for i in range(60)]
    for each in told:
        spool.append(each)
    found = spool.read()
    assert found.records == tuple(told[-len(found.records) :])
    assert 4 < len(found.records) < 20
    assert found.begins == found.records[0].time
    assert found.gaps == 0


def test_lines_that_a_turn_moves_away_while_they_are_read_are_read_all_the_same(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [record(i) for i in range(3)]
    spool.append(told[0])
    os.rename(current(root), before(root))
    spool.append(told[1])
    read_own = files.read_own
    turned: list[bool] = []

    def read(name: str, limit: int, *, folder: int | None = None) -> bytes:
        if name == "spool.jsonl" and not turned:
            turned.append(True)
            os.rename(current(root), before(root))
            spool.append(told[2])
        return read_own(name, limit, folder=folder)

    monkeypatch.setattr(files, "read_own", read)
    assert spool.read().records == (told[1], told[2])


def test_a_spool_that_is_turned_all_the_time_is_read_at_last(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(record())
    numbers = iter(range(1_000))
    monkeypatch.setattr(module, "_number", lambda folder: next(numbers))
    assert spool.read().records == (record(),)


def test_a_file_that_another_process_turned_first_is_not_turned_again(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SIZE", 100)

    def turned_by_another(*_: object) -> None:
        os.rename(current(root), before(root))
        current(root).write_bytes(line(record(2)))

    monkeypatch.setattr(fcntl, "flock", turned_by_another)
    spool.append(record(1))
    assert spool.read().records == (record(1), record(2))


WRITER = """
import sys
from tests.adapters.test_spool import Spool, module, record
spool, first = Spool(sys.argv[1]), int(sys.argv[2])
module.MAX_SIZE = int(sys.argv[3])
sys.stdin.read()
for number in range(first, first + 200):
    spool.append(record(number))
"""


@pytest.mark.parametrize("size", [4 * 1024 * 1024, 200_000])
def test_many_processes_that_tell_at_once_lose_no_line(spool: Spool, root: Path, size: int) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(root), str(i * 1_000), str(size)], stdin=subprocess.PIPE)
        for i in range(5)
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0] * 5
    told = spool.read()
    expected = sorted(record(i * 1_000 + number).image for i in range(5) for number in range(200))
    assert sorted(each.image for each in told.records) == expected
    assert (told.gaps, told.problems) == (0, ())
    assert before(root).exists() is (size < 1_000_000)


def test_what_a_full_disk_tore_off_tears_no_other_line(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(record(1))
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:40]))
    spool.append(record(2))
    monkeypatch.undo()
    spool.append(record(3))
    assert spool.read() == Told((record(1), record(3)), gaps=1)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "open", "mkdir"])
def test_what_cannot_be_written_is_passed_over(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, call, fail)
    spool.append(record())
    monkeypatch.undo()
    assert spool.read() == Told()


def test_a_disk_that_is_really_full_fails_nothing(spool: Spool, root: Path) -> None:
    """A limit on the size of files stands in for it: the kernel writes what has room, then nothing."""
    script = (
        "import resource, signal, sys\nfrom tests.adapters.test_spool import Spool, record\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "most = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600, most[1]))\n"
        "for number in range(5): Spool(sys.argv[1]).append(record(number))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, most)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(root)], check=True, capture_output=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert current(root).stat().st_size == 600
    assert spool.read() == Told((record(0), record(1)), gaps=1)


def test_whoever_is_killed_lets_others_go_on(spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import os, signal, sys\nfrom tests.adapters.test_spool import Spool, module, record\n"
        "module.MAX_SIZE = 100\nos.rename = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Spool(sys.argv[1]).append(record(1))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(root)], check=False)
    assert done.returncode == -signal.SIGKILL
    monkeypatch.setattr(module, "MAX_SIZE", 100)
    spool.append(record(2))
    assert spool.read().records == (record(1), record(2))
    assert not current(root).exists()


def test_a_file_of_which_no_new_one_can_be_begun_does_not_fill_the_disk(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SIZE", 1_000)
    monkeypatch.setattr(module, "LARGEST", 2_000)
    (root / FOLDER).mkdir(parents=True, mode=0o700)
    before(root).mkdir()
    for number in range(100):
        spool.append(record(number))
    assert current(root).stat().st_size < 2_000 + MAX_LINE
    told = spool.read()
    assert told.records[0] == record(0)
    assert told.problems == (f"{before(root)}: got {told.problems[0].split(': got ')[1]}",)


def _open_to(mode: int) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.touch()
        path.chmod(mode)

    return spoil


OTHERS: dict[str, Callable[[Path], None]] = {
    "a link": lambda path: path.symlink_to(path.parent.parent / "target"),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "writable by others": _open_to(0o602),
    "writable by the group": _open_to(0o620),
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_others_put_in_its_place_is_neither_written_nor_read(spool: Spool, root: Path, other: str) -> None:
    target = root / "var" / "log" / "target"
    (root / FOLDER).mkdir(parents=True, mode=0o700)
    target.write_text("theirs")
    OTHERS[other](current(root))
    spool.append(record())
    assert target.read_text() == "theirs"
    if current(root).is_file() and not current(root).is_symlink():
        assert current(root).read_bytes() == b""
    told = spool.read()
    assert told.records == ()
    assert told.problems[0].startswith(f"{current(root)}: got ")


def _instead(put: Callable[[Path], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        folder.rename(folder.with_name("x"))
        put(folder)

    return spoil


FOLDERS: dict[str, Callable[[Path], None]] = {
    "writable by others": lambda folder: folder.chmod(0o777),
    "writable by the group": lambda folder: folder.chmod(0o770),
    "a link": _instead(lambda folder: folder.symlink_to(folder.with_name("x"))),
    "a file": _instead(Path.touch),
    "a pipe": _instead(os.mkfifo),
}


@pytest.mark.parametrize("damage", FOLDERS)
def test_a_folder_that_is_not_ours_alone_is_neither_written_nor_read(spool: Spool, root: Path, damage: str) -> None:
    spool.append(record())
    folder = root / FOLDER
    FOLDERS[damage](folder)
    spool.append(record(2))
    told = spool.read()
    assert told.records == ()
    assert told.problems[0].startswith(f"{folder}: got ")
    for left in (folder, folder.with_name("x")):
        if left.is_dir():
            assert (left / "spool.jsonl").read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("whose", [stat.S_ISDIR, stat.S_ISREG])
def test_what_belongs_to_someone_else_is_neither_written_nor_read(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch, whose: Callable[[int], bool]
) -> None:
    spool.append(record())
    fstat = os.fstat

    def foreign(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        return os.stat_result([12345 if i == 4 and whose(found.st_mode) else each for i, each in enumerate(found)])

    monkeypatch.setattr(os, "fstat", foreign)
    spool.append(record(2))
    told = spool.read()
    assert told.records == ()
    assert "12345" in told.problems[0] or "Permission" in told.problems[0]
    monkeypatch.undo()
    assert spool.read().records == (record(),)


def test_what_cannot_be_opened_is_a_problem(spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append(record())

    def fail(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", fail)
    told = spool.read()
    assert told.records == ()
    assert told.problems == (f"{root / FOLDER}: got Permission denied; expected the spool's folder",)
