"""What the daemon tells of the children's answers."""

import io
import pathlib
from datetime import datetime, timezone

import anyio

from agent.adapters.spool import FOLDER, Spool
from agent.adapters.telemetry import open_log
from agent.errors import Code, Exit
from agent.model.answer import Answer, Ground
from agent.model.counters import Labels
from agent.model.record import Record
from agent.modes.telling import Telling

ALLOWED = Answer(Exit.ALLOW, Code.VERIFIED, "shop", "fine", 7, Ground.VERIFIED)
STALE = Answer(Exit.ALLOW, Code.REGISTRY_UNAVAILABLE, "shop", "verified before", 8, Ground.STALE)
LET_IN = Answer(Exit.ALLOW, Code.BREAK_GLASS, "-", "not verified", 3, Ground.BREAK_GLASS, entry="bg-1")


def record(answer: Answer, image: str) -> Record:
    """The record of an answer of just now."""
    return Record.of(answer, now=datetime.now(timezone.utc), door="plugin", image=image, name=image)


def telling(root: pathlib.Path, let_in: list[str]) -> tuple[Telling, io.StringIO]:
    """What folds the spool under `root`, and its log."""
    log = io.StringIO()
    return Telling(str(root), open_log(log, "json"), let_in.append), log


def test_each_answer_is_logged_and_counted_once(tmp_path: pathlib.Path) -> None:
    spool, let_in = Spool(str(tmp_path)), list[str]()
    found, log = telling(tmp_path, let_in)
    spool.append(record(ALLOWED, "a.example/x@sha256:1"))
    spool.append(record(STALE, "a.example/y@sha256:2"))
    anyio.run(found.fold)
    spool.append(record(ALLOWED, "a.example/z@sha256:3"))
    anyio.run(found.fold)
    lines = log.getvalue().splitlines()
    assert [line.count('"event": "answer"') for line in lines] == [1, 1, 1]
    assert ["warning" in line for line in lines] == [False, True, False]
    assert found.counters.answers[Labels("plugin", "allow", "verified", "NS-0001", "shop")] == 2
    assert found.counters.stale == 1
    assert let_in == []


def test_what_break_glass_let_in_is_handed_on(tmp_path: pathlib.Path) -> None:
    let_in = list[str]()
    Spool(str(tmp_path)).append(record(LET_IN, "a.example/x@sha256:1"))
    anyio.run(telling(tmp_path, let_in)[0].fold)
    assert let_in == ["a.example/x@sha256:1"]


def test_a_torn_line_is_a_gap_in_log_and_counters(tmp_path: pathlib.Path) -> None:
    spool = Spool(str(tmp_path))
    spool.append(record(ALLOWED, "a.example/x@sha256:1"))
    with (tmp_path / FOLDER / "spool.jsonl").open("a") as file:
        file.write('{"torn\n')
    found, log = telling(tmp_path, [])
    anyio.run(found.fold)
    assert found.counters.gaps == 1
    assert "spool lines unreadable" in log.getvalue()


def test_lines_that_are_gone_are_told(tmp_path: pathlib.Path) -> None:
    spool, folder = Spool(str(tmp_path)), tmp_path / FOLDER
    spool.append(record(ALLOWED, "a.example/x@sha256:1"))
    found, log = telling(tmp_path, [])
    anyio.run(found.fold)
    (folder / "spool.jsonl").unlink()
    spool.append(record(ALLOWED, "a.example/y@sha256:2"))
    anyio.run(found.fold)
    assert found.counters.losses == 1
    assert "spool lines missing" in log.getvalue()


def test_a_spool_of_somebody_elses_is_a_problem_that_is_told(tmp_path: pathlib.Path) -> None:
    Spool(str(tmp_path)).append(record(ALLOWED, "a.example/x@sha256:1"))
    (tmp_path / FOLDER).chmod(0o777)
    found, log = telling(tmp_path, [])
    anyio.run(found.fold)
    assert "spool unusable" in log.getvalue()
    assert found.counters.answers == {}
