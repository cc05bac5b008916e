"""The log: one line for each event, whatever is in it; and it stops nobody, whatever becomes of who reads it."""

import errno
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.telemetry import FORMS, MAX_FIELDS, MAX_TEXT, Log, level_of, open_log
from agent.errors import Code, Exit
from agent.model.answer import Answer, Ground
from agent.model.record import Record

NOW = datetime(2026, 6, 1, 12, 30, tzinfo=timezone.utc)
IMAGE = "r.example/x@sha256:" + "5" * 64
HOSTILE = 'x\x1b[2J\n{"level":"info"}\r\x00\u202e\ud800" level=info \x9b'


def record(answer: Answer, **changes: object) -> Record:
    """The record of an answer."""
    usual = Record.of(answer, now=NOW, door="plugin", image=IMAGE, name="r.example/x:1")
    return usual._replace(**changes)  # type: ignore[arg-type]


def logged(text: str) -> list[dict[str, Any]]:
    """The lines of a log in JSON."""
    assert not text or text.endswith("\n")
    return [json.loads(each) for each in text[:-1].split("\n")] if text else []


@pytest.fixture
def stream() -> io.StringIO:
    """Where lines go."""
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> Log:
    """A log for programs, at a fixed time."""
    return open_log(stream, "json", now=lambda: NOW)


def test_an_event_is_one_line_of_json(log: Log, stream: io.StringIO) -> None:
    log.info("started", socket="/run/x", workers=4, ratio=0.5, warm=True, until=None, names=("a", "b"))
    log.warning("slow")
    log.error("stopped", cause=Ground.STALE, exit=Exit.BUG)
    time = "2026-06-01T12:30:00.000+00:00"
    expected = {"socket": "/run/x", "workers": 4, "ratio": 0.5, "warm": True, "until": None, "names": ["a", "b"]}
    assert logged(stream.getvalue()) == [
        {"timestamp": time, "level": "info", "event": "started", **expected},
        {"timestamp": time, "level": "warning", "event": "slow"},
        {"timestamp": time, "level": "error", "event": "stopped", "cause": "stale", "exit": 70},
    ]
    assert stream.getvalue().startswith('{"timestamp": "2026-06-01T12:30:00.000+00:00", "level": "info", "event": ')


def test_an_event_is_one_line_for_people(stream: io.StringIO) -> None:
    open_log(stream, "console", now=lambda: NOW).warning("slow", image="a b", seconds=3)
    words = stream.getvalue().split()
    assert words[0] == "2026-06-01T12:30:00.000+00:00"
    assert words[1:4] == ["[warning", "]", "slow"]
    assert " ".join(words[4:]) == "image='a b' seconds=3"


def test_the_time_is_the_present_in_utc(stream: io.StringIO) -> None:
    before = datetime.now(timezone.utc)
    open_log(stream, "json").info("started")
    told = datetime.fromisoformat(logged(stream.getvalue())[0]["timestamp"])
    assert told.utcoffset() == timezone.utc.utcoffset(None)
    assert abs((told - before).total_seconds()) < 60


@pytest.mark.parametrize("form", FORMS)
def test_whatever_comes_from_outside_is_one_printable_line(stream: io.StringIO, form: str) -> None:
    log = open_log(stream, form, now=lambda: NOW)
    log.warning(HOSTILE, **{HOSTILE: HOSTILE})
    log.warning("listed", names=[HOSTILE, HOSTILE.encode("utf-8", "surrogatepass"), Path("/" + HOSTILE[:-3])])
    log.answer(record(Answer(Exit.DENY, Code.NO_RULE, HOSTILE, HOSTILE, 7), image=HOSTILE, name=HOSTILE, door=HOSTILE))
    told = stream.getvalue()
    assert told.count("\n") == 3
    assert all(" " <= character <= "~" for line in told[:-1].split("\n") for character in line)
    if form == "json":
        assert [each["level"] for each in logged(told)] == ["warning"] * 3


@pytest.mark.parametrize("form", FORMS)
def test_a_line_is_bounded(stream: io.StringIO, form: str) -> None:
    log = open_log(stream, form, now=lambda: NOW)
    log.info("x" * 10**6, **{f"field{i}": "\x1b" * 10**6 for i in range(1_000)})
    assert len(stream.getvalue()) < (MAX_FIELDS + 2) * (2 * MAX_TEXT + 100)
    log.info("listed", names=["x"] * 10**6)
    assert len(stream.getvalue().splitlines()[1]) < MAX_FIELDS * 20


ODD: dict[str, object] = {
    "nan": float("nan"),
    "infinite": float("inf"),
    "large": 10**30,
    "bytes": b"x",
    "nested": [["a"]],
    "none": {},
}


def test_what_is_no_json_is_a_text(log: Log, stream: io.StringIO) -> None:
    log.info("odd", **ODD)
    (told,) = logged(stream.getvalue())
    assert [told[name] for name in ("nan", "infinite", "large", "bytes")] == ["nan", "inf", "1" + "0" * 30, "b'x'"]
    assert told["nested"] == ["['a']"]


@pytest.mark.parametrize("form", FORMS)
def test_no_field_can_stand_for_another(stream: io.StringIO, form: str) -> None:
    log = open_log(stream, form, now=lambda: NOW)
    names = {"level": "x", "timestamp": "x", "exc_info": "x", "stack": "x", "exception": "x", "logger": "x"}
    log.error("told", **names, method_name="x", self_="x")
    assert stream.getvalue().count("\n") == 1
    if form == "json":
        (told,) = logged(stream.getvalue())
        assert (told["level"], told["level_"], told["exc_info_"], told["method_name"]) == ("error", "x", "x", "x")


LEVELS = [
    (Answer(Exit.ALLOW, Code.VERIFIED, "r", "", 7, Ground.VERIFIED), "info"),
    (Answer(Exit.ALLOW, Code.EXEMPT, "r", "", 5, Ground.EXEMPT), "info"),
    (Answer(Exit.ALLOW, Code.ALLOWED_BY_DIGEST, "r", "", 4, Ground.ALLOWED_BY_DIGEST), "info"),
    (Answer(Exit.ALLOW, Code.NOT_VERIFIED, "r", "", 6, Ground.DISABLED), "info"),
    (Answer(Exit.ALLOW, Code.BREAK_GLASS, "r", "", 3, Ground.BREAK_GLASS), "warning"),
    (Answer(Exit.ALLOW, Code.NO_EVIDENCE, "r", "", 7, Ground.AUDIT, would=Exit.DENY), "warning"),
    (Answer(Exit.ALLOW, Code.THROTTLED, "r", "", 8, Ground.STALE), "warning"),
    (Answer(Exit.ALLOW, Code.THROTTLED, "r", "", 8, Ground.FAILURE_POLICY), "warning"),
    (Answer(Exit.DENY, Code.NO_EVIDENCE, "r", "", 7), "warning"),
    (Answer(Exit.CANNOT_TELL, Code.DEADLINE, "r", "", 8), "warning"),
    (Answer(Exit.BUG, Code.BUG, "r", "", 0), "error"),
]


@pytest.mark.parametrize(("answer", "level"), LEVELS)
def test_an_answer_has_the_level_of_what_it_rests_on(answer: Answer, level: str) -> None:
    assert level_of(record(answer)) == level


def test_no_ground_is_without_a_level() -> None:
    assert {answer.ground for answer, _ in LEVELS} == {*Ground, None}


def test_a_ground_alone_makes_no_answer_a_matter_of_course() -> None:
    assert level_of(record(LEVELS[0][0], exit=10)) == "warning"


def test_an_answer_is_told_with_what_the_spool_says_of_it(log: Log, stream: io.StringIO) -> None:
    log.answer(record(Answer(Exit.ALLOW, Code.NO_EVIDENCE, "shop", "would deny: x", 7, Ground.AUDIT, would=Exit.DENY)))
    log.answer(record(Answer(Exit.DENY, Code.NO_EVIDENCE, "shop", "x", 7)))
    audited, denied = logged(stream.getvalue())
    common: dict[str, object] = {
        "timestamp": NOW.isoformat(timespec="milliseconds"),
        "level": "warning",
        "event": "answer",
    }
    common |= {"at": NOW.isoformat(timespec="milliseconds"), "door": "plugin", "image": IMAGE, "name": "r.example/x:1"}
    common |= {"code": "NS-2001", "rule": "shop", "precedence": 7}
    assert audited == common | {
        "decision": "allow", "exit": 0, "ground": "audit", "would": 10, "message": "would deny: x"
    }  # fmt: skip
    assert denied == common | {"decision": "deny", "exit": 10, "message": "x"}


@pytest.fixture
def ends() -> Iterator[list[int]]:
    """A pipe's ends: read, write."""
    descriptors = list(os.pipe())
    yield descriptors
    for each in descriptors:
        os.close(each)


def all_there_is(descriptor: int) -> str:
    """What is in a pipe now."""
    os.set_blocking(descriptor, False)
    found = b""
    try:
        while chunk := os.read(descriptor, 65536):
            found += chunk
    except BlockingIOError:
        pass
    return found.decode()


def test_nobody_reads(ends: list[int]) -> None:
    log = open_log(os.fdopen(ends[1], "w", closefd=False), "json")
    os.close(ends[0])
    for _ in range(3):
        log.info("told")
    assert log.dropped == 3
    ends[0] = os.dup(0)


def test_a_closed_stream(tmp_path: Path) -> None:
    stream = (tmp_path / "log").open("w")
    log = open_log(stream, "json")
    stream.close()
    other = (tmp_path / "other").open("w")  # gets the number that is free now
    log.info("told")
    other.close()
    assert log.dropped == 1
    assert (tmp_path / "other").read_text() == ""
    closed = open_log(stream, "json")
    closed.info("told")
    assert closed.dropped == 1
    text = io.StringIO()
    log = open_log(text, "json")
    text.close()
    log.info("told")
    assert log.dropped == 1


@pytest.mark.parametrize("blocking", [True, False])
def test_who_reads_too_slowly_is_not_waited_for_and_is_told_what_is_missing(ends: list[int], blocking: bool) -> None:
    os.set_blocking(ends[1], blocking)
    log = open_log(os.fdopen(ends[1], "w", closefd=False), "json", now=lambda: NOW)
    begin = time.monotonic()
    for number in range(2_000):
        log.info("told", number=number, text="x" * 500)
    assert time.monotonic() - begin < 30
    first = all_there_is(ends[0])
    log.info("last")
    second = all_there_is(ends[0])
    whole = [json.loads(each) for each in (first + second).split("\n") if each.endswith("}")]
    missing = [each["lines"] for each in whole if each["event"] == "linesDropped"]
    numbers = [each["number"] for each in whole if each["event"] == "told"]
    assert numbers == list(range(len(numbers)))
    assert log.dropped == missing[0] == 2_000 - len(numbers)
    assert whole[-1]["event"] == "last"


def test_a_line_longer_than_a_pipe_takes_at_once_is_whole(ends: list[int]) -> None:
    log = open_log(os.fdopen(ends[1], "w", closefd=False), "json")
    log.info("told", **{f"field{i}": "x" * MAX_TEXT for i in range(MAX_FIELDS)})
    assert len(logged(all_there_is(ends[0]))[0]) == MAX_FIELDS + 3


def test_lines_longer_than_a_pipe_takes_at_once_are_not_waited_for(ends: list[int]) -> None:
    log = open_log(os.fdopen(ends[1], "w", closefd=False), "json")
    for _ in range(20):
        log.info("told", **{f"field{i}": "x" * MAX_TEXT for i in range(MAX_FIELDS)})
    assert log.dropped > 10
    all_there_is(ends[0])
    log.info("last")
    assert json.loads(all_there_is(ends[0]).split("\n")[-2])["event"] == "last"


def test_a_line_torn_by_a_full_disk_tears_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    left = [150]

    def full(descriptor: int, content: bytes) -> int:
        taken = min(left[0], len(content))
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= taken
        return write(descriptor, content[:taken])

    with (tmp_path / "log").open("w") as stream:
        log = open_log(stream, "json", now=lambda: NOW)
        monkeypatch.setattr(os, "write", full)
        for number in range(4):
            log.info("told", number=number)
        left[0] = 10_000
        log.info("told", number=4)
        log.info("told", number=5)
    lines = (tmp_path / "log").read_text().split("\n")
    assert [json.loads(each).get("number") for each in (lines[0], lines[3], lines[4])] == [0, 4, 5]
    assert json.loads(lines[2])["lines"] == 3
    assert lines[1] and lines[0].startswith(lines[1])
    assert log.dropped == 3


def test_threads_share_it(ends: list[int]) -> None:
    log = open_log(os.fdopen(ends[1], "w", closefd=False), "json")

    def tell() -> None:
        for _ in range(20):
            log.info("told", text="x" * 100)

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(logged(all_there_is(ends[0]))) == 160
    assert log.dropped == 0


def test_what_the_stream_had_before_is_in_front(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        stream.write("before\n")
        open_log(stream, "json").info("told")
    first, second = (tmp_path / "log").read_text().splitlines()
    assert (first, json.loads(second)["event"]) == ("before", "told")


def test_nothing_is_configured_for_the_whole_process() -> None:
    script = (
        "import io, structlog\nfrom agent.adapters.telemetry import open_log\n"
        "open_log(io.StringIO(), 'json').info('told')\nprint(structlog.is_configured())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
