"""Folding: each line is told once, whoever appends, turns the file or is killed meanwhile; what is missing is said."""

import errno
import json
import os
import stat
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.adapters import files
from agent.adapters.folding import BATCH, POSITION, Behind, Folded, Lost, SpoolReader
from agent.adapters.spool import FOLDER, MAX_LINE, Spool
from agent.model.record import Record
from tests.adapters.test_spool import FOLDERS, OTHERS, TORN, before, current, line, record


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One with an empty spool."""
    (tmp_path / FOLDER).mkdir(parents=True, mode=0o700)
    return tmp_path


@pytest.fixture
def spool(root: Path) -> Spool:
    """The spool under it."""
    return Spool(str(root))


@pytest.fixture
def reader(root: Path) -> SpoolReader:
    """Whoever folds it."""
    return SpoolReader(str(root))


def position(root: Path) -> Path:
    """Where it is kept up to where everything was dealt with."""
    return root / FOLDER / POSITION


def turn(root: Path) -> None:
    """What the one who appends does at four mebibytes."""
    os.rename(current(root), before(root))


def told(spool: Spool, numbers: Iterable[int]) -> tuple[Record, ...]:
    """Records that were appended just now."""
    records = tuple(record(number) for number in numbers)
    for each in records:
        spool.append(each)
    return records


def all_of(reader: SpoolReader, limit: int = BATCH) -> list[Record]:
    """Everything that is new, dealt with."""
    found: list[Record] = []
    more = True
    while more:
        folded = reader.new(limit)
        assert (folded.gaps, folded.lost, folded.problems) == (0, None, ())
        found += folded.records
        more = folded.more
        reader.done()
    return found


def test_nobody_told_anything_yet(tmp_path: Path) -> None:
    reader = SpoolReader(str(tmp_path))
    assert reader.new() == Folded()
    reader.done()
    assert not list(tmp_path.iterdir())
    assert reader.behind() == Behind(False, 0, "")


def test_each_line_is_told_once_in_its_order(spool: Spool, reader: SpoolReader, root: Path) -> None:
    first = told(spool, range(3))
    assert reader.new() == Folded(first)
    reader.done()
    assert reader.new() == Folded()
    second = told(spool, range(3, 5))
    assert reader.new() == Folded(second)
    reader.done()
    assert stat.S_IMODE(position(root).stat().st_mode) == 0o600


def test_what_was_not_dealt_with_is_given_again(spool: Spool, reader: SpoolReader) -> None:
    first = told(spool, range(3))
    assert reader.new() == reader.new() == Folded(first)
    second = told(spool, range(3, 4))
    assert reader.new() == Folded(first + second)


def test_a_successor_goes_on_where_it_was_dealt_with(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, range(3))
    reader.new()
    reader.done()
    second = told(spool, range(3, 6))
    reader.new()
    assert SpoolReader(str(root)).new() == Folded(second)


def test_a_batch_is_bounded_and_says_that_there_is_more(spool: Spool, reader: SpoolReader, root: Path) -> None:
    lines = told(spool, range(100))
    first = reader.new(MAX_LINE)
    assert first.more
    assert 5 < len(first.records) < 20
    reader.done()
    assert (*first.records, *all_of(reader, MAX_LINE)) == lines


def test_a_batch_holds_one_line_at_least(spool: Spool, reader: SpoolReader) -> None:
    long = record(1, message="m" * 3_000)
    spool.append(long)
    assert reader.new(1).records == (long,)


def test_the_file_is_turned_in_between(spool: Spool, reader: SpoolReader, root: Path) -> None:
    first = told(spool, range(3))
    turn(root)
    second = told(spool, range(3, 6))
    assert reader.new() == Folded(first + second)
    reader.done()
    third = told(spool, range(6, 8))
    turn(root)
    assert reader.new() == Folded(third)
    reader.done()
    fourth = told(spool, range(8, 9))
    assert reader.new() == Folded(fourth)
    reader.done()
    assert reader.new() == Folded()


def test_bounded_batches_go_through_both_files(spool: Spool, reader: SpoolReader, root: Path) -> None:
    first = told(spool, range(50))
    turn(root)
    second = told(spool, range(50, 100))
    assert tuple(all_of(reader, MAX_LINE)) == first + second


def test_a_batch_over_both_files_is_bounded_as_well(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, range(5))
    turn(root)
    told(spool, range(5, 100))
    folded = reader.new(MAX_LINE)
    assert len(folded.records) > 5
    assert len(folded.records) * (before(root).stat().st_size // 5) <= MAX_LINE
    assert folded.more


def test_whoever_opened_the_file_before_it_was_turned_is_heard_as_well(
    spool: Spool, reader: SpoolReader, root: Path
) -> None:
    told(spool, range(2))
    with current(root).open("ab") as late:
        turn(root)
        told(spool, range(2, 4))
        assert len(all_of(reader)) == 4
        late.write(line(record(9)))
    told(spool, range(10, 11))
    assert all_of(reader) == [record(9), record(10)]
    assert all_of(reader) == []


def test_more_late_lines_than_a_batch_holds_have_none_told_twice(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, range(2))
    with current(root).open("ab") as late:
        turn(root)
        told(spool, range(2, 4))
        all_of(reader)
        late.write(b"".join(line(record(number)) for number in range(100, 150)))
    assert all_of(reader, MAX_LINE) == [record(number) for number in range(100, 150)]


def test_a_turn_while_the_files_are_opened_loses_nothing(
    spool: Spool, reader: SpoolReader, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = told(spool, range(1))
    turn(root)
    lines += told(spool, range(1, 2))
    all_of(reader)
    open_own = files.open_own
    turned: list[object] = []

    def open_late(name: str, folder: int) -> int:
        if name == "spool.1.jsonl" and not turned:
            turned.append(told(spool, range(2, 3)))
            turn(root)
            turned.append(told(spool, range(3, 4)))
        return open_own(name, folder)

    monkeypatch.setattr(files, "open_own", open_late)
    assert all_of(reader) == [record(2), record(3)]


def test_a_spool_that_is_turned_all_the_time_is_read_the_next_time(
    spool: Spool, reader: SpoolReader, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_own, numbers = files.open_own, iter(range(100))

    def open_late(name: str, folder: int) -> int:
        descriptor = open_own(name, folder)
        if name == "spool.jsonl":
            turn(root)
            told(spool, [next(numbers)])
        return descriptor

    told(spool, [99])
    with monkeypatch.context() as patch:
        patch.setattr(files, "open_own", open_late)
        assert reader.new() == Folded(more=True)
    reader.done()
    assert reader.new().records[-1] == record(2)


def test_lines_that_were_turned_away_unread_are_told_as_missing(spool: Spool, reader: SpoolReader, root: Path) -> None:
    spool.append(record(1, time="2026-06-01T00:00:01+00:00"))
    all_of(reader)
    told(spool, range(2, 4))
    turn(root)
    told(spool, range(4, 6))
    turn(root)
    spool.append(record(6, time="2026-06-01T00:00:06+00:00"))
    folded = reader.new()
    assert folded.lost == Lost(since="2026-06-01T00:00:01+00:00", until=record(4).time)
    assert [each.image for each in folded.records] == [record(number).image for number in (4, 5, 6)]
    reader.done()
    assert reader.new() == Folded()


def test_what_is_missing_is_told_after_a_restart_as_well(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, range(1))
    all_of(reader)
    for number in (1, 2, 3):
        turn(root)
        told(spool, [number])
    folded = SpoolReader(str(root)).new()
    assert folded.lost == Lost(record(0).time, record(2).time)


def test_what_was_read_and_then_turned_away_is_not_missing(spool: Spool, reader: SpoolReader, root: Path) -> None:
    for number in range(5):
        told(spool, [2 * number])
        turn(root)
        told(spool, [2 * number + 1])
        assert all_of(reader) == [record(2 * number), record(2 * number + 1)]


def test_the_rest_of_a_batch_that_was_turned_away_is_missing(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, range(50))
    turn(root)
    told(spool, range(50, 51))
    reader.new(MAX_LINE)
    reader.done()
    turn(root)
    told(spool, range(51, 52))
    assert reader.new().lost is not None


def test_another_file_with_the_number_of_the_one_before_is_read_from_its_beginning(
    spool: Spool, reader: SpoolReader, root: Path
) -> None:
    """File systems give numbers of files again."""
    told(spool, range(3))
    all_of(reader)
    with current(root).open("r+b") as file:
        file.truncate()
        file.write(b"".join(line(record(number)) for number in range(100, 120)))
    folded = reader.new()
    assert folded.records == tuple(record(number) for number in range(100, 120))
    assert folded.lost is not None


def test_a_file_that_got_shorter_is_read_again(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, range(3))
    all_of(reader)
    os.truncate(current(root), 10)
    assert reader.new() == Folded(lost=Lost(record(2).time, ""))


@pytest.mark.parametrize("torn", TORN)
def test_a_line_that_is_none_is_a_gap_and_spoils_no_other(
    spool: Spool, reader: SpoolReader, root: Path, torn: str
) -> None:
    told(spool, [1])
    with current(root).open("ab") as file:
        file.write(TORN[torn])
    told(spool, [2])
    assert reader.new() == Folded((record(1), record(2)), gaps=1)
    reader.done()
    assert reader.new() == Folded()


def test_a_line_is_not_read_before_it_ends(spool: Spool, reader: SpoolReader, root: Path) -> None:
    whole = line(record(2))
    told(spool, [1])
    with current(root).open("ab", buffering=0) as file:
        file.write(whole[:100])
        assert all_of(reader) == [record(1)]
        assert all_of(reader) == []
        file.write(whole[100:])
    assert all_of(reader) == [record(2)]


def test_a_line_that_the_next_one_shows_to_be_torn_is_a_gap(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, [1])
    with current(root).open("ab") as file:
        file.write(line(record(2))[:100])
    assert all_of(reader) == [record(1)]
    told(spool, [3])
    assert reader.new() == Folded((record(3),), gaps=1)


def test_a_line_torn_at_the_end_of_a_file_is_a_gap_once_that_is_gone(
    spool: Spool, reader: SpoolReader, root: Path
) -> None:
    told(spool, [1])
    with current(root).open("ab") as file:
        file.write(line(record(2))[:100])
    turn(root)
    told(spool, [3])
    assert all_of(reader) == [record(1), record(3)]
    assert all_of(reader) == []
    turn(root)
    told(spool, [4])
    assert reader.new() == Folded((record(4),), gaps=1)
    reader.done()
    assert reader.new() == Folded()


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 3 * BATCH])
def test_a_line_longer_than_any_is_one_gap(spool: Spool, reader: SpoolReader, root: Path, length: int) -> None:
    told(spool, [1])
    with current(root).open("ab", buffering=0) as file:
        file.write(b"x" * length)
        assert all_of(reader, MAX_LINE) == [record(1)]
        assert not reader.new().more
        file.write(b"\n")
    told(spool, [2])
    gaps, records, more = 0, list[Record](), True
    while more:
        folded = reader.new(MAX_LINE)
        gaps, records, more = gaps + folded.gaps, [*records, *folded.records], folded.more
        reader.done()
    assert (gaps, records) == (1, [record(2)])


def test_a_file_that_is_too_large_to_be_ours_is_said_to_be(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, [1])
    os.truncate(current(root), 10**12)
    folded = reader.new()
    assert folded.records == (record(1),)
    assert "12582912 bytes or more" in folded.problems[0]


@pytest.mark.parametrize("other", OTHERS)
def test_what_others_put_in_place_of_the_spool_is_told_and_not_read(
    spool: Spool, reader: SpoolReader, root: Path, other: str
) -> None:
    told(spool, [1])
    turn(root)
    OTHERS[other](current(root))
    folded = reader.new()
    assert folded.records == (record(1),)
    assert folded.problems[0].startswith(f"{current(root)}: got ")
    reader.done()
    assert reader.new() == Folded()  # said already
    if current(root).is_dir():
        current(root).rmdir()
    else:
        current(root).unlink()
    assert reader.new() == Folded()
    told(spool, [2])
    assert all_of(reader) == [record(2)]


def test_a_file_that_cannot_be_read_for_a_while_is_gone_on_with(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, [1])
    turn(root)
    told(spool, [2])
    assert all_of(reader) == [record(1), record(2)]
    for path in (before(root), current(root)):
        path.chmod(0o622)
        folded = reader.new()
        assert (folded.records, folded.lost) == ((), None)
        assert folded.problems[0].startswith(f"{path}: got ")
        reader.done()
        path.chmod(0o600)
        assert all_of(reader) == []
    told(spool, [3])
    assert all_of(reader) == [record(3)]


def test_a_file_that_fails_to_be_read_spoils_no_other_and_is_read_later(
    spool: Spool, reader: SpoolReader, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(spool, [1])
    turn(root)
    told(spool, [2])
    pread, broken = os.pread, current(root).stat().st_ino

    def fail(descriptor: int, size: int, offset: int) -> bytes:
        if size and os.fstat(descriptor).st_ino == broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, size, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        said = f"{current(root)}: got Input/output error; expected lines of the spool"
        assert reader.new() == Folded((record(1),), problems=(said,))
        reader.done()
        assert reader.new() == Folded()
    assert all_of(reader) == [record(2)]


@pytest.mark.parametrize("damage", FOLDERS)
def test_a_folder_that_is_not_ours_alone_is_neither_read_nor_written(
    spool: Spool, reader: SpoolReader, root: Path, damage: str
) -> None:
    told(spool, [1])
    FOLDERS[damage](root / FOLDER)
    folded = reader.new()
    assert folded.records == ()
    assert folded.problems[0].startswith(f"{root / FOLDER}: got ")
    reader.done()
    assert reader.behind().problems == folded.problems
    assert not list(root.rglob("*folded*"))


def test_a_folder_that_is_exchanged_before_the_position_is_written_stays_as_it_is(
    spool: Spool, reader: SpoolReader, root: Path
) -> None:
    told(spool, [1])
    reader.new()
    folder = root / FOLDER
    folder.rename(folder.with_name("x"))
    folder.symlink_to(folder.with_name("x"))
    reader.done()
    assert not list(root.rglob("*folded*"))
    assert "Not a directory" in reader.new().problems[0]


def test_how_far_it_is_behind(spool: Spool, reader: SpoolReader, root: Path) -> None:
    told(spool, [1])
    turn(root)
    told(spool, [2])
    size = before(root).stat().st_size + current(root).stat().st_size
    asked = SpoolReader(str(root))
    assert asked.behind() == Behind(False, size, "")
    all_of(reader)
    assert asked.behind() == Behind(True, 0, record(2).time)
    told(spool, [3])
    assert asked.behind() == Behind(
        True, len(line(record(3), time=record(3).time)) - _spaces(record(3)), record(2).time
    )
    files_before = sorted((root / FOLDER).iterdir())
    assert sorted((root / FOLDER).iterdir()) == files_before


def _spaces(value: Record) -> int:
    """By how much json.dumps is longer than the canonical form."""
    return len(json.dumps(value._asdict())) - len(json.dumps(value._asdict(), separators=(",", ":")))


@pytest.mark.unmeasured
def test_memory_is_bounded_however_much_there_is(reader: SpoolReader, root: Path) -> None:
    lines = [b"".join(line(record(number)) for number in range(i, i + 10_000)) for i in range(0, 40_000, 10_000)]
    total = 0
    tracemalloc.start()
    try:
        for content in lines:
            current(root).write_bytes(content)
            current(root).chmod(0o600)
            more = True
            while more:
                folded = reader.new()
                total, more = total + len(folded.records), folded.more
                reader.done()
            turn(root)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 40_000
    assert peak < 8 * 1024 * 1024
