"""Counting what was not believed: bounded, by many at once, and never an error."""

import concurrent.futures
import os
import pathlib

import pytest

from agent.adapters import misses
from agent.adapters.misses import BEFORE, CURRENT, FOLDER, MAX_SIZE, REASONS


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A root with a cache."""
    (tmp_path / FOLDER).mkdir(parents=True, mode=0o700)
    return tmp_path


def test_misses_are_counted_by_store_and_reason(root: pathlib.Path) -> None:
    for reason in REASONS:
        misses.note(str(root), "verdicts", reason)
    misses.note(str(root), "content", "corrupt")
    misses.note(str(root), "content", "corrupt")
    assert misses.counted(str(root)) == {"content": {"corrupt": 2}, "verdicts": dict.fromkeys(sorted(REASONS), 1)}
    assert misses.clear(str(root)) == 1
    assert misses.counted(str(root)) == {}
    assert misses.clear(str(root)) == 0


def test_where_nothing_is_remembered_nothing_was_missed(tmp_path: pathlib.Path) -> None:
    misses.note(str(tmp_path), "verdicts", "corrupt")
    assert misses.counted(str(tmp_path)) == {}
    assert list(tmp_path.iterdir()) == []


def test_the_count_is_bounded_and_the_lines_before_are_kept_once(root: pathlib.Path) -> None:
    line = b"verdicts corrupt\n"
    full = MAX_SIZE // len(line) + 1
    (root / FOLDER / CURRENT).write_bytes(line * full)
    misses.note(str(root), "content", "future")
    misses.note(str(root), "content", "future")
    assert misses.counted(str(root)) == {"content": {"future": 2}, "verdicts": {"corrupt": full}}
    (root / FOLDER / CURRENT).write_bytes(line * full)
    misses.note(str(root), "content", "future")
    assert sum(path.stat().st_size for path in (root / FOLDER).iterdir()) <= 2 * (MAX_SIZE + 100)


def test_what_is_no_line_of_ours_is_not_counted(root: pathlib.Path) -> None:
    lines = (
        b"verdicts corrupt\nverdicts\nverdicts perhaps\n\xff\x1b[31m corrupt\n"
        + b"x" * 30
        + b" corrupt\n../x corrupt\ncon"
    )
    (root / FOLDER / CURRENT).write_bytes(lines)
    assert misses.counted(str(root)) == {"verdicts": {"corrupt": 1}}


@pytest.mark.parametrize("spoil", ["link", "mode", "folder", "pipe", "folder mode"])
def test_a_file_of_somebody_elses_is_not_written_to(root: pathlib.Path, spoil: str) -> None:
    path, victim = root / FOLDER / CURRENT, root / "victim"
    victim.write_text("")
    if spoil == "link":
        path.symlink_to(victim)
    elif spoil == "mode":
        path.touch()
        path.chmod(0o666)
    elif spoil == "folder":
        path.mkdir()
    elif spoil == "pipe":
        os.mkfifo(path)
    else:
        path.parent.chmod(0o777)
    misses.note(str(root), "verdicts", "corrupt")
    assert victim.read_text() == ""
    assert not path.is_file() or path.stat().st_size == 0


def test_the_folder_may_be_a_link_to_another_disk(tmp_path: pathlib.Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "var/cache").mkdir(parents=True)
    (tmp_path / "var/cache/nodeseal").symlink_to(tmp_path / "disk")
    misses.note(str(tmp_path), "verdicts", "corrupt")
    assert misses.counted(str(tmp_path)) == {"verdicts": {"corrupt": 1}}


def test_many_at_once_lose_no_line(root: pathlib.Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: misses.note(str(root), "verdicts", "future"), range(400)))
    assert misses.counted(str(root)) == {"verdicts": {"future": 400}}
    assert not (root / FOLDER / BEFORE).exists()


def test_of_many_at_once_one_begins_the_new_file(root: pathlib.Path) -> None:
    full = MAX_SIZE // len(b"verdicts corrupt\n") + 1
    for _ in range(20):
        misses.clear(str(root))
        (root / FOLDER / CURRENT).write_bytes(b"verdicts corrupt\n" * full)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: misses.note(str(root), "content", "future"), range(16)))
        assert misses.counted(str(root))["verdicts"] == {"corrupt": full}
