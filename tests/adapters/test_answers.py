"""Answers that are given again: written with our modules, read by the fast path without them."""

import json
import os
import pathlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from agent import fastpath
from agent.adapters import answers, files
from agent.adapters.answers import FOLDER, AnswerFolder, Given
from agent.adapters.inline import run
from agent.adapters.nodestate import BEGUN, BOOTSTRAP, BREAK_GLASS
from agent.adapters.spool import FOLDER as SPOOL
from agent.adapters.spool import MAX_SIZE, Spool
from agent.adapters.verdicts import DOUBTS, VerdictFolder
from agent.errors import Code, Exit
from agent.model.answer import Answer, Ground
from agent.model.record import Record
from tests.fileclock import next_step

AT = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
WORDS = ["/opt/nodeseal", "-name", "r.example/a:1", "-digest", "sha256:00", "-stdin-media-type", "t"]
GENERATION = "snapshots/" + "a" * 64
STDIN = b'{"digest":"sha256:00"}\n'
ANSWER = Answer(Exit.ALLOW, Code.VERIFIED, "default", "1 of 1", 7, Ground.VERIFIED)
GIVEN = Given(
    0, b"allow NS-0001 rule=default ground=verified: 1 of 1\n", Record.of(ANSWER, now=AT, door="x", image="i", name="n")
)

Reading = tuple[int, bytes, bytes, bytes] | None


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A node's root with something in force."""
    state = tmp_path / "var/lib/nodeseal"
    (state / GENERATION).mkdir(parents=True)
    (state / GENERATION / "snapshot.json").write_text("{}")
    (state / "current").symlink_to(GENERATION)
    (tmp_path / "etc/nodeseal").mkdir(parents=True)
    return tmp_path


def keep(root: pathlib.Path, *, words: list[str] = WORDS, stdin: bytes = STDIN, until: datetime = AT + HOUR) -> None:
    """Keep an answer."""
    AnswerFolder(str(root), words, stdin).keep(GIVEN, AT, until)


def read(root: pathlib.Path, *, words: list[str] = WORDS, stdin: bytes = STDIN, now: datetime = AT) -> Reading:
    """What the fast path finds; it falls through on any error."""
    try:
        said = fastpath._words(words, stdin)
        return fastpath.answer(str(root), fastpath.key(str(root), said), now.timestamp())
    except (OSError, ValueError):
        return None


def the_file(root: pathlib.Path) -> pathlib.Path:
    """The only answer."""
    (path,) = (root / FOLDER).iterdir()
    return path


def test_both_sides_say_the_same_of_the_form() -> None:
    assert (f"/{answers.FOLDER}", answers._VERSION) == (fastpath.ANSWERS, fastpath.VERSION)
    assert (tuple(f"/{each}" for each in answers._SETTINGS), answers._PRIME) == (fastpath.SETTINGS, fastpath.PRIME)
    assert f"{fastpath.STATE}/{fastpath.BEGUN}" == f"/{answers._BEGUN}" == f"/{BEGUN}"
    assert (f"/{SPOOL}", MAX_SIZE) == (fastpath.SPOOL, fastpath._SPOOL_SIZE)
    assert (answers._SNAPSHOTS, answers._SNAPSHOT) == (fastpath.SNAPSHOTS, fastpath.SNAPSHOT)
    assert f"/{DOUBTS}" in fastpath.SETTINGS
    assert f"/{BOOTSTRAP}" in fastpath.SETTINGS
    assert f"/{BREAK_GLASS}" in fastpath.SETTINGS


def test_what_was_answered_to_the_same_words_is_found(root: pathlib.Path) -> None:
    keep(root)
    found = read(root)
    assert found is not None
    assert found[:2] == (0, GIVEN.line)
    record = Record(**json.loads(found[2] + b"2026-06-01T12:00:00.000+00:00" + found[3]))
    assert record == GIVEN.record._replace(time="2026-06-01T12:00:00.000+00:00", door="answer")
    assert found[3].endswith(b"\n")


@pytest.mark.parametrize(("seconds", "counts"), [(-1, False), (0, True), (3599, True), (3600, False)])
def test_it_counts_from_its_time_to_its_end(root: pathlib.Path, seconds: int, counts: bool) -> None:
    keep(root)
    assert (read(root, now=AT + timedelta(seconds=seconds)) is not None) is counts


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        ([*WORDS[:2], "r.example/b:1", *WORDS[3:]], STDIN),
        ([*WORDS[:4], "sha256:01", *WORDS[5:]], STDIN),
        ([*WORDS, ""], STDIN),
        (WORDS[:-1], STDIN),
        (WORDS, STDIN[:-1]),
        (WORDS, b'{"digest":"sha256:01"}\n'),
        ([*WORDS[:-1], "t\0" + STDIN.decode()], b""),
    ],
)
def test_other_words_are_another_question(root: pathlib.Path, words: list[str], stdin: bytes) -> None:
    keep(root)
    assert read(root, words=words, stdin=stdin) is None


def _relink(root: pathlib.Path) -> None:
    """Put another configuration in force and the first one again."""
    current = root / "var/lib/nodeseal/current"
    target = current.readlink()
    next_step(root)
    for each in ("snapshots/b", str(target)):
        files.replace_symlink(str(current), each)


SNAPSHOT = f"var/lib/nodeseal/{GENERATION}/snapshot.json"
CHANGES: dict[str, Callable[[pathlib.Path], object]] = {
    "another configuration": lambda root: files.replace_symlink(str(root / "var/lib/nodeseal/current"), "snapshots/b"),
    "a configuration that was in force before": _relink,
    "no configuration": lambda root: (root / "var/lib/nodeseal/current").unlink(),
    "a bootstrap document": lambda root: (root / BOOTSTRAP).write_text("{}"),
    "break-glass": lambda root: files.replace(str(root / BREAK_GLASS), b"{}"),
    "break-glass of the configuration": lambda root: (root / BEGUN).write_text("{}"),
    "a revoked certificate": lambda root: run(VerdictFolder(str(root)).doubt("g", "CN=build", AT)),
    "a configuration that is damaged": lambda root: (root / SNAPSHOT).write_text("{"),
    "a configuration that is lost": lambda root: (root / SNAPSHOT).unlink(),
    "a configuration that others may write to": lambda root: (root / SNAPSHOT).chmod(0o666),
    "a configuration's folder that others may write to": lambda root: (root / SNAPSHOT).parent.chmod(0o777),
    "configurations' folder that others may write to": lambda root: (root / SNAPSHOT).parents[1].chmod(0o777),
    "a state folder that others may write to": lambda root: (root / "var/lib/nodeseal").chmod(0o777),
    "a settings folder that others may write to": lambda root: (root / "etc/nodeseal").chmod(0o777),
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_on_the_node_nothing_is_given_again(root: pathlib.Path, change: str) -> None:
    keep(root)
    CHANGES[change](root)
    assert read(root) is None


@pytest.mark.parametrize("change", CHANGES)
def test_an_answer_is_not_kept_if_the_node_changed_while_it_was_sought(root: pathlib.Path, change: str) -> None:
    folder = AnswerFolder(str(root), WORDS, STDIN)
    CHANGES[change](root)
    folder.keep(GIVEN, AT, AT + HOUR)
    assert not (root / FOLDER).exists()


def test_a_second_doubt_on_a_ground_is_a_change_too(root: pathlib.Path) -> None:
    run(VerdictFolder(str(root)).doubt("g", "CN=build", AT))
    keep(root)
    assert read(root) is not None
    run(VerdictFolder(str(root)).doubt("g", "CN=other", AT))
    assert read(root) is None


def test_settings_behind_a_link_count_by_their_folder(root: pathlib.Path) -> None:
    (root / "etc/nodeseal").rename(root / "etc/elsewhere")
    (root / "etc/nodeseal").symlink_to("elsewhere")
    keep(root)
    assert read(root) is not None
    (root / "etc/elsewhere").chmod(0o777)
    assert read(root) is None


def test_a_break_glass_file_that_is_rewritten_in_place_is_a_change(root: pathlib.Path) -> None:
    (root / BREAK_GLASS).write_text("{}")
    keep(root)
    assert read(root) is not None
    next_step(root)
    (root / BREAK_GLASS).write_text("[]")
    assert read(root) is None


def _torn(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _altered(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"allow NS-0001", b"allow NS-0002"))


def _pipe(path: pathlib.Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: pathlib.Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: pathlib.Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


SPOILT: dict[str, Callable[[pathlib.Path], object]] = {
    "torn": _torn,
    "altered": _altered,
    "empty": lambda path: path.write_bytes(b""),
    "another version": lambda path: path.write_bytes(path.read_bytes().replace(b"answer 1", b"answer 2")),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "larger than any": lambda path: path.write_bytes(path.read_bytes() + bytes(20_000)),
    "writable by others": lambda path: path.chmod(0o602),
    "writable by the group": lambda path: path.chmod(0o620),
    "somebody else's": lambda path: os.chown(path, 12345, 0),
    "in somebody else's folder": lambda path: os.chown(path.parent, 12345, 0),
    "in a folder that others may write to": lambda path: path.parent.chmod(0o777),
    "a link": _link,
    "a pipe": _pipe,
    "a folder": _folder,
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_is_not_whole_or_not_ours_is_not_given(root: pathlib.Path, spoil: str) -> None:
    keep(root)
    SPOILT[spoil](the_file(root))
    assert read(root) is None


def test_answer_under_the_name_of_another_question_is_not_given(root: pathlib.Path) -> None:
    keep(root)
    other = fastpath.key(str(root), fastpath._words(WORDS, b"{}"))
    the_file(root).rename(root / FOLDER / fastpath.number(other))
    assert read(root, stdin=b"{}") is None


@pytest.mark.parametrize("until", [AT, AT - HOUR])
def test_an_answer_without_a_lifetime_is_not_kept(root: pathlib.Path, until: datetime) -> None:
    keep(root, until=until)
    assert not (root / FOLDER).exists()


def test_what_is_too_long_is_not_kept(root: pathlib.Path) -> None:
    keep(root, words=[*WORDS, "x" * 20_000])
    assert not (root / FOLDER).exists()


def test_what_cannot_be_written_is_passed_over(root: pathlib.Path) -> None:
    (root / "var/cache").write_text("no folder")
    keep(root)
    assert read(root) is None


def test_without_a_configuration_nothing_is_kept(tmp_path: pathlib.Path) -> None:
    keep(tmp_path)
    assert not (tmp_path / FOLDER).exists()


def test_the_oldest_go_first_and_what_a_killed_process_left(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_ENTRIES", 5)
    monkeypatch.setattr(files, "is_time_to_sweep", lambda most: True)
    (root / FOLDER).mkdir(parents=True, mode=0o700)
    left = root / FOLDER / f"{files.TEMPORARY}x"
    left.write_text("half")
    os.utime(left, (2 * 10**9, 10**9))
    for i in range(8):
        keep(root, stdin=b"%d" % i)
        key = fastpath.key(str(root), fastpath._words(WORDS, b"%d" % i))
        os.utime(root / FOLDER / fastpath.number(key), (10**9 + i, 10**9 + i))
    assert [i for i in range(8) if read(root, stdin=b"%d" % i)] == [3, 4, 5, 6, 7]
    assert not left.exists()


def test_clearing_lets_none_be_given_again_and_counts_them(root: pathlib.Path) -> None:
    assert answers.clear(str(root)) == 0
    keep(root)
    assert answers.clear(str(root)) == 1
    assert read(root) is None


LINE = b'{"time":"x"}\n'


def spooled(root: pathlib.Path) -> bytes:
    """What the spool holds."""
    return (root / SPOOL / "spool.jsonl").read_bytes()


def test_a_line_is_added_to_the_spool(root: pathlib.Path) -> None:
    Spool(str(root)).append(GIVEN.record)
    before = spooled(root)
    assert fastpath._told(str(root), LINE)
    assert spooled(root) == before + LINE


def test_a_line_that_was_torn_does_not_tear_the_next(root: pathlib.Path) -> None:
    Spool(str(root)).append(GIVEN.record)
    path = root / SPOOL / "spool.jsonl"
    path.write_bytes(b"torn")
    fastpath._told(str(root), LINE)
    assert spooled(root) == b"torn\n" + LINE


def test_a_spool_that_is_to_be_turned_is_left_to_the_program_behind(root: pathlib.Path) -> None:
    Spool(str(root)).append(GIVEN.record)
    os.truncate(root / SPOOL / "spool.jsonl", MAX_SIZE + 1)
    assert not fastpath._told(str(root), LINE)


def test_a_spool_whose_folder_is_missing_is_made_where_there_is_one_above_it(root: pathlib.Path) -> None:
    (root / SPOOL).parent.mkdir(parents=True)
    assert fastpath._told(str(root), LINE)
    assert spooled(root) == LINE
    assert (root / SPOOL).stat().st_mode & 0o777 == 0o700


def test_a_spool_that_nothing_is_there_for_is_not_told_and_does_not_keep_from_answering(root: pathlib.Path) -> None:
    assert fastpath._told(str(root), LINE)
    assert not (root / SPOOL).exists()


@pytest.mark.parametrize("spoil", ["others", "folder", "pipe", "link"])
def test_a_spool_that_is_not_ours_is_not_told_and_does_not_keep_from_answering(root: pathlib.Path, spoil: str) -> None:
    path = root / SPOOL / "spool.jsonl"
    Spool(str(root)).append(GIVEN.record)
    if spoil == "others":
        path.chmod(0o666)
    if spoil == "folder":
        path.parent.chmod(0o777)
    if spoil == "pipe":
        _pipe(path)
    if spoil == "link":
        _link(path)
    before = path.read_bytes() if spoil in ("others", "folder", "link") else b""
    assert fastpath._told(str(root), LINE)
    assert (path.read_bytes() if before else b"") == before


def test_time_is_written_as_the_spool_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1780315200.0456)
    assert fastpath._now() == b"2026-06-01T12:00:00.045+00:00"
