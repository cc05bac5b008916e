"""What is remembered of verified images: what comes back, what does not, and that nothing ever fails."""

import errno
import json
import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from agent.adapters import answers, files, misses, verdicts
from agent.adapters.entries import Entries, Kind
from agent.adapters.inline import run
from agent.adapters.verdicts import DOUBTS, FOLDER, NoVerdicts, VerdictFolder
from agent.config import canonical
from agent.errors import Cause, Code
from agent.model.verdict import NOTHING, Decision, Known, Memory, Remembered, Verdict

AT = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
VERIFIED = Remembered(AT, AT + timedelta(days=30))
ALLOWED = Verdict(Decision.ALLOW, Code.VERIFIED, "1 of 1", usable_until=AT + timedelta(days=30))
FOUND = Memory(VERIFIED, Known(ALLOWED, AT, AT + timedelta(hours=1)))
IMAGE = "r.example/shop/cart@sha256:" + "5" * 64


@pytest.fixture
def store(tmp_path: Path) -> VerdictFolder:
    """An empty one."""
    return VerdictFolder(str(tmp_path))


def remember(store: VerdictFolder, memory: Memory = FOUND, *, ground: str = "g", image: str = IMAGE) -> None:
    """Remember an image."""
    run(store.remember(ground, image, memory))


def the_file(root: Path) -> Path:
    """The only entry."""
    (entry,) = (root / FOLDER).iterdir()
    return entry


def known(verdict: Verdict, repeats: int = 0) -> Known:
    """A verdict of `AT`, fresh for a minute."""
    return Known(verdict, AT, AT + timedelta(minutes=1), repeats)


@pytest.mark.parametrize(
    "memory",
    [
        FOUND,
        NOTHING,
        Memory(Remembered(AT, None)),
        Memory(VERIFIED, known(Verdict(Decision.CANNOT_TELL, Code.DEADLINE, "slow", (Cause.DEADLINE,)))),
        Memory(last=known(Verdict(Decision.DENY, Code.NO_EVIDENCE, "none"), 4)),
        Memory(VERIFIED, known(ALLOWED._replace(fresh_for=60.0, told_until=AT + timedelta(days=1)))),
    ],
)
def test_what_was_remembered_comes_back(store: VerdictFolder, memory: Memory) -> None:
    remember(store, memory)
    assert run(store.recall("g", IMAGE)) == memory


def test_another_ground_or_image_is_not_known(store: VerdictFolder) -> None:
    remember(store)
    assert run(store.recall("h", IMAGE)) == NOTHING
    assert run(store.recall("g", IMAGE[:-1] + "6")) == NOTHING
    assert run(store.recall("g", IMAGE.replace("cart", "card"))) == NOTHING


def test_an_image_is_listed_and_forgotten_whatever_its_descriptor_said(store: VerdictFolder, tmp_path: Path) -> None:
    remember(store, image=f"{IMAGE} 411 application/a")
    catalogue = verdicts.VerdictCatalogue(str(tmp_path))
    assert [entry.image for entry in catalogue.entries()] == [IMAGE]
    assert catalogue.forget(IMAGE[:-1]) == 0
    assert catalogue.forget(IMAGE) == 1


def test_another_descriptor_of_the_same_digest_is_not_known(store: VerdictFolder) -> None:
    remember(store, image=f"{IMAGE} 411 application/a")
    assert run(store.recall("g", f"{IMAGE} 411 application/a")) == run(store.recall("g", IMAGE)) == FOUND
    for other in ("411 application/b", "412 application/a"):
        assert run(store.recall("g", f"{IMAGE} {other}")) == NOTHING


def test_the_last_one_stands(store: VerdictFolder) -> None:
    remember(store)
    later = Memory(VERIFIED._replace(verified_at=AT + timedelta(hours=1)))
    remember(store, later)
    assert run(store.recall("g", IMAGE)) == later


def test_what_was_said_before_a_revocation_was_seen_is_not_believed(store: VerdictFolder) -> None:
    remember(store)
    remember(store, ground="h")
    run(store.doubt("g", "CN=build", AT + timedelta(seconds=1)))
    assert run(store.recall("g", IMAGE)) == NOTHING
    assert run(store.recall("h", IMAGE)) == FOUND
    after = Memory(VERIFIED._replace(verified_at=AT + timedelta(seconds=1)))
    remember(store, after)
    assert run(store.recall("g", IMAGE)) == after


def test_the_same_revocation_seen_again_casts_no_new_doubt(store: VerdictFolder) -> None:
    run(store.doubt("g", "CN=build", AT))
    remember(store)
    run(store.doubt("g", "CN=build", AT + timedelta(hours=1)))
    assert run(store.recall("g", IMAGE)) == FOUND
    run(store.doubt("g", "CN=other", AT + timedelta(hours=1)))
    assert run(store.recall("g", IMAGE)) == NOTHING


def test_doubts_are_bounded(store: VerdictFolder) -> None:
    for i in range(verdicts.MAX_DOUBTS + 20):
        run(store.doubt("g", f"CN={i}", AT + timedelta(seconds=i)))
    remember(store, Memory(Remembered(AT + timedelta(hours=1), None)))
    run(store.doubt("g", f"CN={verdicts.MAX_DOUBTS + 19}", AT + timedelta(days=1)))
    assert run(store.recall("g", IMAGE)) != NOTHING
    run(store.doubt("g", "CN=0", AT + timedelta(days=1)))
    assert run(store.recall("g", IMAGE)) == NOTHING


def test_files_are_their_owners_alone(store: VerdictFolder, tmp_path: Path) -> None:
    remember(store)
    assert (tmp_path / FOLDER).stat().st_mode & 0o777 == 0o700
    assert the_file(tmp_path).stat().st_mode & 0o777 == 0o600


def _sealed(path: Path, content: str, kind: Kind = verdicts.KIND) -> None:
    path.write_bytes(Entries("/", kind).sealed(content.encode()))


def _value(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_bytes().partition(b"\n")[2])
    assert isinstance(value, dict)
    return value


def _other(path: Path, **changes: object) -> None:
    _sealed(path, json.dumps(_value(path) | changes))


def _last(path: Path, **changes: object) -> None:
    _other(path, last=_value(path)["last"] | changes)


def _version(path: Path, version: int) -> None:
    _sealed(path, json.dumps(_value(path)), verdicts.KIND._replace(version=version))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_other_way_of_judging_makes_what_was_remembered_another_form() -> None:
    assert verdicts.KIND.version == verdicts.FORMAT_VERSION + canonical.GROUND_VERSION


SPOILT = {
    "torn": lambda path: os.truncate(path, 20),
    "empty": lambda path: os.truncate(path, 0),
    "no object": lambda path: _sealed(path, "[]"),
    "no JSON": lambda path: _sealed(path, "{"),
    "the version before": lambda path: _version(path, verdicts.KIND.version - 1),
    "a version to come": lambda path: _version(path, verdicts.KIND.version + 1),
    "another store's": lambda path: _sealed(path, json.dumps(_value(path)), verdicts.DOUBTS_KIND),
    "altered": lambda path: path.write_bytes(path.read_bytes().replace(b"1 of 1", b"1 of 2")),
    "another image": lambda path: _other(path, image="r.example/x@sha256:0"),
    "another ground": lambda path: _other(path, ground="h"),
    "no time": lambda path: _other(path, verified=["soon", None]),
    "a time without zone": lambda path: _other(path, verified=["2026-06-01T12:00:00", None]),
    "a number": lambda path: _other(path, verified=5),
    "no end": lambda path: _other(path, verified=["2026-06-01T12:00:00Z"]),
    "no verdict": lambda path: _last(path, decision="perhaps"),
    "no code": lambda path: _last(path, code="NS-0000"),
    "no text": lambda path: _last(path, message=5),
    "an allowance with a cause": lambda path: _last(path, causes=["deadline"]),
    "cannot tell without a cause": lambda path: _last(path, decision="cannot tell"),
    "no such cause": lambda path: _last(path, causes=["internal"], decision="cannot tell"),
    "no number of repeats": lambda path: _last(path, repeats="1"),
    "without a part": lambda path: _sealed(path, json.dumps({"ground": "g", "image": IMAGE})),
    "huge": lambda path: path.write_text(" " * 20_000),
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
    assert run(store.recall("g", IMAGE)) == NOTHING


@pytest.mark.parametrize("content", ["[]", "{}", '{"ground":"g","at":"x","of":[]}', '{"ground":"h","at":"x","of":[]}'])
def test_nothing_counts_on_a_ground_whose_doubt_is_damaged(store: VerdictFolder, tmp_path: Path, content: str) -> None:
    run(store.doubt("g", "CN=build", AT - timedelta(hours=1)))
    (entry,) = (tmp_path / DOUBTS).iterdir()
    _sealed(entry, content, verdicts.DOUBTS_KIND)
    remember(store)
    remember(store, ground="h")
    assert run(store.recall("g", IMAGE)) == NOTHING
    assert run(store.recall("h", IMAGE)) == FOUND
    run(store.doubt("g", "CN=other", AT - timedelta(hours=1)))
    assert run(store.recall("g", IMAGE)) == FOUND


SPOILT_DOUBTS = {
    "torn": lambda path: os.truncate(path, 20),
    "another version's": lambda path: _sealed(path, "{}", verdicts.DOUBTS_KIND._replace(version=2)),
    "writable by others": lambda path: path.chmod(0o606),
    "a link": lambda path: (path.rename(path.with_suffix(".x")), path.symlink_to(path.with_suffix(".x"))),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nothing")),
    "of a time to come": lambda path: os.utime(path, (time.time() + 60,) * 2),
    "in a folder that others may write to": lambda path: path.parent.chmod(0o777),
    "gone from a folder that others may write to": lambda path: (path.unlink(), path.parent.chmod(0o777)),
    "in a folder that is a link": lambda path: (
        path.parent.rename(path.parent.with_name("elsewhere")),
        path.parent.symlink_to(path.parent.with_name("elsewhere")),
    ),
    "gone with its folder, for which there is a link": lambda path: (
        path.unlink(),
        path.parent.rename(path.parent.with_name("elsewhere")),
        path.parent.symlink_to(path.parent.with_name("elsewhere")),
    ),
}


@pytest.mark.parametrize("spoil", SPOILT_DOUBTS)
def test_nothing_counts_where_somebody_else_may_have_removed_a_doubt(
    store: VerdictFolder, tmp_path: Path, spoil: str
) -> None:
    remember(store)
    run(store.doubt("g", "CN=build", AT - timedelta(hours=1)))
    assert run(store.recall("g", IMAGE)) == FOUND
    (entry,) = (tmp_path / DOUBTS).iterdir()
    SPOILT_DOUBTS[spoil](entry)  # type: ignore[no-untyped-call]
    assert run(store.recall("g", IMAGE)) == NOTHING


def test_a_verdict_of_a_time_to_come_is_not_known_and_is_counted(tmp_path: Path) -> None:
    ahead = VerdictFolder(str(tmp_path), now=lambda: AT + timedelta(days=1))
    late = Memory(VERIFIED._replace(verified_at=AT + timedelta(hours=12)))
    remember(ahead, late)
    behind = VerdictFolder(str(tmp_path), now=lambda: AT)
    assert run(behind.recall("g", IMAGE)) == NOTHING
    assert misses.counted(str(tmp_path)) == {"verdicts": {"future": 1}}
    assert run(ahead.recall("g", IMAGE)) == late
    last = Memory(last=known(ALLOWED)._replace(at=AT + timedelta(seconds=1)))
    remember(ahead, last)
    assert run(behind.recall("g", IMAGE)) == NOTHING


def test_a_verdict_that_was_begun_by_a_clock_that_was_put_right_since_is_not_remembered(tmp_path: Path) -> None:
    behind = VerdictFolder(str(tmp_path), now=lambda: AT - timedelta(seconds=1))
    remember(behind)
    assert run(VerdictFolder(str(tmp_path)).recall("g", IMAGE)) == NOTHING


def test_no_verdict_of_a_time_to_come_stands_behind_a_doubt(store: VerdictFolder, tmp_path: Path) -> None:
    """The clock was a day ahead when the image was judged; it was put right, and then a certificate was revoked."""
    remember(store)
    first = the_file(tmp_path)
    written = first.stat().st_mtime
    remember(store, image=f"{IMAGE}2")
    early = next(path for path in (tmp_path / FOLDER).iterdir() if path != first)
    os.utime(early, (written - 3600,) * 2)
    right = VerdictFolder(str(tmp_path), now=lambda: datetime.fromtimestamp(written - 60, timezone.utc))
    run(right.doubt("g", "CN=build", AT - timedelta(days=1)))
    assert run(store.recall("g", IMAGE)) == NOTHING
    assert run(store.recall("g", f"{IMAGE}2")) == FOUND


def test_where_a_verdict_of_a_time_to_come_cannot_be_removed_everything_is_forgotten(
    store: VerdictFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(store)
    os.utime(the_file(tmp_path), (time.time() + 1000,) * 2)
    with monkeypatch.context() as patched:
        patched.setattr(Entries, "names", _refuse)
        run(store.doubt("g", "CN=build", AT))
    assert not (tmp_path / FOLDER).exists()


def _refuse(*_: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_doubt_of_somebody_who_began_earlier_takes_nothing_back(store: VerdictFolder) -> None:
    run(store.doubt("g", "CN=build", AT + timedelta(seconds=5)))
    run(store.doubt("g", "CN=other", AT - timedelta(seconds=5)))
    remember(store)
    assert run(store.recall("g", IMAGE)) == NOTHING


def test_long_names_keep_no_other_certificate_from_casting_doubt(store: VerdictFolder) -> None:
    for i in range(verdicts.MAX_DOUBTS):
        run(store.doubt("g", f"CN={i}{'x' * 500}", AT - timedelta(days=1)))
    remember(store)
    run(store.doubt("g", "CN=another", AT + timedelta(seconds=1)))
    assert run(store.recall("g", IMAGE)) == NOTHING


def test_where_no_doubt_can_be_written_everything_is_forgotten(
    store: VerdictFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    remember(store)
    (tmp_path / answers.FOLDER).mkdir()
    (tmp_path / answers.FOLDER / "x").write_text("an answer")
    monkeypatch.setattr(files, "replace", full)
    run(store.doubt("g", "CN=build", AT + timedelta(seconds=1)))
    assert run(store.recall("g", IMAGE)) == NOTHING
    assert not (tmp_path / answers.FOLDER).exists()


def test_a_doubt_waits_for_the_disk(store: VerdictFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    remember(store)
    assert synced == []
    run(store.doubt("g", "CN=build", AT))
    assert len(synced) == 2


def test_folder_of_doubts_is_another_one_than_a_moment_before_the_doubt_was_there(
    store: VerdictFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer may be kept between the temporary file and its renaming: it must not be found afterwards.

    Files' clock moves in steps, so both may have the same time.
    """
    seen: list[int] = []
    rename = os.rename

    def renamed(source: str, target: str) -> None:
        rename(source, target)
        seen.append((tmp_path / verdicts.DOUBTS).stat().st_ctime_ns)

    monkeypatch.setattr(os, "rename", renamed)
    run(store.doubt("g", "CN=build", AT))
    assert (tmp_path / verdicts.DOUBTS).stat().st_ctime_ns > seen[-1]


def test_what_is_too_long_is_not_remembered(store: VerdictFolder) -> None:
    remember(store, Memory(last=known(ALLOWED._replace(message="m" * 20_000))))
    assert run(store.recall("g", IMAGE)) == NOTHING


def test_what_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("no folder")
    store = VerdictFolder(str(tmp_path))
    remember(store)
    run(store.doubt("g", "CN=build", AT))
    assert run(store.recall("g", IMAGE)) == NOTHING


def test_the_ones_verified_longest_ago_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "KIND", verdicts.KIND._replace(most=5))
    store = VerdictFolder(str(tmp_path))
    monkeypatch.setattr(files, "is_time_to_sweep", lambda most: True)
    for i in range(8):
        remember(store, image=f"{IMAGE}{i}")
        newest = max((tmp_path / FOLDER).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (i, i))
    assert [i for i in range(8) if run(store.recall("g", f"{IMAGE}{i}")) != NOTHING] == [3, 4, 5, 6, 7]


def test_what_a_killed_process_left_goes_too(
    store: VerdictFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "is_time_to_sweep", lambda most: True)
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
        (VERIFIED, AT + timedelta(days=29), True),
        (VERIFIED, AT + timedelta(days=30), False),
    ],
)
def test_a_memory_counts_from_its_time_to_its_end(remembered: Remembered, now: datetime, counts: bool) -> None:
    assert remembered.counts(now) is counts


def test_nothing_is_remembered_for_a_configuration_that_is_only_tried() -> None:
    store = NoVerdicts()
    run(store.remember("g", IMAGE, FOUND))
    run(store.doubt("g", "CN=build", AT))
    assert run(store.recall("g", IMAGE)) == NOTHING
