"""What the daemon alone could not tell stays with the daemon."""

import os
import pathlib
from datetime import datetime, timedelta, timezone

import pytest

from agent.adapters import doubtful
from agent.adapters.doubtful import DoubtfulApart
from agent.adapters.inline import run
from agent.adapters.verdicts import VerdictFolder
from agent.errors import Cause, Code
from agent.model.verdict import Decision, Known, Memory, Remembered, Verdict

NOW = datetime.now(timezone.utc)
IMAGE = "r.example/a@sha256:" + "0" * 64
ALLOW = Verdict(Decision.ALLOW, Code.VERIFIED, "verified")
DENY = Verdict(Decision.DENY, Code.NO_EVIDENCE, "nothing")
UNKNOWN = Verdict(Decision.CANNOT_TELL, Code.REGISTRY_UNAVAILABLE, "no answer", (Cause.REGISTRY_UNAVAILABLE,))


def known(verdict: Verdict, seconds: float = 0) -> Known:
    """This, said so many seconds ago."""
    at = NOW - timedelta(seconds=seconds)
    return Known(verdict, at, at + timedelta(hours=1))


@pytest.fixture
def shared(tmp_path: pathlib.Path) -> VerdictFolder:
    """What all processes read."""
    return VerdictFolder(str(tmp_path))


def last(store: DoubtfulApart | VerdictFolder) -> Decision | None:
    """What was said last of the image."""
    memory = run(store.recall("g", IMAGE))
    return memory.last.verdict.decision if memory.last else None


@pytest.mark.parametrize("verdict", [ALLOW, DENY])
def test_what_it_could_tell_is_everybodys(shared: VerdictFolder, verdict: Verdict) -> None:
    store = DoubtfulApart(shared)
    run(store.remember("g", IMAGE, Memory(last=known(verdict))))
    assert (last(shared), last(store)) == (None, verdict.decision)
    run(store.write("g", IMAGE))
    assert last(shared) is last(store) is verdict.decision
    assert not store.is_mine("g", IMAGE)


def test_what_it_could_not_tell_never_reaches_the_disk(tmp_path: pathlib.Path, shared: VerdictFolder) -> None:
    store = DoubtfulApart(shared)
    run(store.remember("g", IMAGE, Memory(last=known(UNKNOWN))))
    assert last(shared) is None
    assert list(tmp_path.rglob("*")) == []
    assert last(store) is Decision.CANNOT_TELL
    assert store.is_mine("g", IMAGE)
    assert not store.is_mine("other", IMAGE)


def test_what_was_verified_before_stays_beside_it(shared: VerdictFolder) -> None:
    store = DoubtfulApart(shared)
    before = Memory(Remembered(NOW, None), known(ALLOW, 60))
    run(store.remember("g", IMAGE, before))
    run(store.write("g", IMAGE))
    run(store.remember("g", IMAGE, before._replace(last=known(UNKNOWN))))
    memory = run(store.recall("g", IMAGE))
    assert memory.verified is not None
    assert memory.last is not None and memory.last.verdict.decision is Decision.CANNOT_TELL
    assert last(shared) is Decision.ALLOW


def test_what_somebody_found_out_later_counts_and_is_his(shared: VerdictFolder) -> None:
    store = DoubtfulApart(shared)
    run(store.remember("g", IMAGE, Memory(last=known(UNKNOWN, 10))))
    run(shared.remember("g", IMAGE, Memory(last=known(UNKNOWN, 5))))
    assert last(store) is Decision.CANNOT_TELL
    assert not store.is_mine("g", IMAGE)


def test_what_it_finds_out_itself_takes_the_doubt_away(shared: VerdictFolder) -> None:
    store = DoubtfulApart(shared)
    run(store.remember("g", IMAGE, Memory(last=known(UNKNOWN))))
    run(store.remember("g", IMAGE, Memory(last=known(ALLOW))))
    assert last(store) is Decision.ALLOW
    assert not store.is_mine("g", IMAGE)


def test_nothing_to_say_is_passed_on(shared: VerdictFolder) -> None:
    store = DoubtfulApart(shared)
    run(store.remember("g", IMAGE, Memory(Remembered(NOW, None))))
    run(store.write("g", IMAGE))
    assert run(shared.recall("g", IMAGE)).verified is not None


def test_only_so_many_are_remembered(shared: VerdictFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubtful, "MOST", 2)
    store = DoubtfulApart(shared)
    for image in ("a", "b", "a", "c"):
        run(store.remember("g", image, Memory(last=known(UNKNOWN))))
    assert [store.is_mine("g", image) for image in "abc"] == [True, False, True]


def test_what_is_not_written_yet_does_not_stand_behind_somebody_elses_doubt(shared: VerdictFolder) -> None:
    store = DoubtfulApart(shared)
    run(store.remember("g", IMAGE, Memory(Remembered(NOW, None), known(ALLOW, 60))))
    run(shared.doubt("g", "certificate", NOW - timedelta(seconds=61)))
    assert last(store) is Decision.ALLOW
    run(shared.doubt("g", "another", NOW + timedelta(seconds=1)))
    assert run(store.recall("g", IMAGE)) == Memory()


def test_doubt_is_everybodys(tmp_path: pathlib.Path, shared: VerdictFolder) -> None:
    store = DoubtfulApart(shared)
    run(store.remember("g", IMAGE, Memory(last=known(ALLOW, 60))))
    run(store.doubt("g", "certificate", NOW))
    assert last(shared) is None
    assert os.path.exists(tmp_path / "var/cache/nodeseal/doubts")
