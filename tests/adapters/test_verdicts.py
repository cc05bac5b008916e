"""What is remembered of verified images: what comes back, what does not, and that nothing ever fails."""

import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent.adapters import files, verdicts
from agent.adapters.inline import run
from agent.adapters.verdicts import FOLDER, NoVerdicts, VerdictFolder
from agent.model.verdict import Remembered

AT = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
FOUND = Remembered(AT, AT + timedelta(days=30))
IMAGE = "r.example/shop/cart@sha256:" + "5" * 64


@pytest.fixture
def store(tmp_path: Path) -> VerdictFolder:
    """An empty one."""
    return VerdictFolder(str(tmp_path))


def remember(store: VerdictFolder, remembered: Remembered = FOUND, *, ground: str = "g", image: str = IMAGE) -> None:
    """Remember an image."""
    run(store.remember(ground, image, remembered))


def the_file(root: Path) -> Path:
    """The only entry."""
    (entry,) = (root / FOLDER).glob("*.json")
    return entry


@pytest.mark.parametrize("end", [None, AT + timedelta(seconds=1)])
def test_what_was_remembered_comes_back(store: VerdictFolder, end: datetime | None) -> None:
    remember(store, Remembered(AT, end))
    assert run(store.recall("g", IMAGE)) == Remembered(AT, end)


def test_another_ground_or_image_is_not_known(store: VerdictFolder) -> None:
    remember(store)
    assert run(store.recall("h", IMAGE)) is None
    assert run(store.recall("g", IMAGE[:-1] + "6")) is None
    assert run(store.recall("g", IMAGE.replace("cart", "card"))) is None


def test_the_last_one_stands_and_a_refusal_wipes_it_out(store: VerdictFolder) -> None:
    remember(store)
    remember(store, FOUND._replace(verified_at=AT + timedelta(hours=1)))
    found = run(store.recall("g", IMAGE))
    assert found is not None
    assert found.verified_at == AT + timedelta(hours=1)
    run(store.forget("g", IMAGE))
    assert run(store.recall("g", IMAGE)) is None
    run(store.forget("g", IMAGE))


def test_files_are_their_owners_alone(store: VerdictFolder, tmp_path: Path) -> None:
    remember(store)
    assert (tmp_path / FOLDER).stat().st_mode & 0o777 == 0o700
    assert the_file(tmp_path).stat().st_mode & 0o777 == 0o600


def _other(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


SPOILT = {
    "torn": lambda path: os.truncate(path, 20),
    "empty": lambda path: os.truncate(path, 0),
    "no object": lambda path: path.write_text("[]"),
    "another version": lambda path: _other(path, formatVersion=2),
    "another image": lambda path: _other(path, image="r.example/x@sha256:0"),
    "another ground": lambda path: _other(path, ground="h"),
    "no time": lambda path: _other(path, verifiedAt="soon"),
    "a time without zone": lambda path: _other(path, verifiedAt="2026-06-01T12:00:00"),
    "a number": lambda path: _other(path, usableUntil=5),
    "huge": lambda path: path.write_text(" " * 5000),
    "writable by others": lambda path: path.chmod(0o602),
    "a link": lambda path: (path.rename(path.with_suffix(".x")), path.symlink_to(path.with_suffix(".x"))),
    "a pipe": _pipe,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "in a folder that others may write to": lambda path: path.parent.chmod(0o777),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_is_not_whole_or_not_ours_is_not_there(store: VerdictFolder, tmp_path: Path, spoil: str) -> None:
    remember(store)
    SPOILT[spoil](the_file(tmp_path))  # type: ignore[no-untyped-call]
    assert run(store.recall("g", IMAGE)) is None


def test_what_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("no folder")
    store = VerdictFolder(str(tmp_path))
    remember(store)
    run(store.forget("g", IMAGE))
    assert run(store.recall("g", IMAGE)) is None


def test_the_ones_verified_longest_ago_go_first(
    store: VerdictFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "MAX_ENTRIES", 5)
    monkeypatch.setattr(verdicts, "_SWEEP_EVERY", "")
    for i in range(8):
        remember(store, image=f"{IMAGE}{i}")
        newest = max((tmp_path / FOLDER).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (i, i))
    assert [i for i in range(8) if run(store.recall("g", f"{IMAGE}{i}"))] == [3, 4, 5, 6, 7]


def test_what_a_killed_process_left_goes_too(
    store: VerdictFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "_SWEEP_EVERY", "")
    remember(store)
    left = tmp_path / FOLDER / f"{files.TEMPORARY}x"
    left.write_text("half")
    os.utime(left, (0, 0))
    remember(store, image=f"{IMAGE}2")
    assert not left.exists()


@pytest.mark.parametrize(
    ("remembered", "now", "counts"),
    [
        (Remembered(AT, None), AT, True),
        (Remembered(AT, None), AT - timedelta(seconds=1), False),
        (FOUND, AT + timedelta(days=29), True),
        (FOUND, AT + timedelta(days=30), False),
    ],
)
def test_a_memory_counts_from_its_time_to_its_end(remembered: Remembered, now: datetime, counts: bool) -> None:
    assert remembered.counts(now) is counts


def test_nothing_is_remembered_for_a_configuration_that_is_only_tried() -> None:
    store = NoVerdicts()
    run(store.remember("g", IMAGE, FOUND))
    run(store.forget("g", IMAGE))
    assert run(store.recall("g", IMAGE)) is None
