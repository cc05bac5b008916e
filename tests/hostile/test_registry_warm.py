"""The same hostile registry in front of the daemon: the same answers, and nobody else is held up."""

import concurrent.futures
import json
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.frozen.daemon import Daemon
from tests.hostile.measure import MEMORY, Measured
from tests.hostile.stage import AT_ONCE, DEADLINE, PROMPT, Case, Stage, all_of
from tests.hostile.test_registry import CASES

pytestmark = pytest.mark.frozen

VARIES = ("NS-3005",)
"""Who has waited too long, and for what, is said by whoever is first."""

PARSED_OTHERWISE = {
    "09 trailers without end": "NS-2004",
    "09 a negative chunk": "NS-2002",
    "09 100 Continue without end": "NS-2004",
    "09 two lengths": "NS-2002",
}
"""What is no HTTP is refused by two parsers in different words, and the code that it has behind the daemon."""


class Found(NamedTuple):
    """What came of each case without daemon and with it; and of a good image meanwhile and afterwards."""

    cold: dict[str, Measured]
    warm: dict[str, Measured]
    meanwhile: list[Measured]
    afterwards: Measured
    door: str
    grown_kib: int


@pytest.fixture(scope="module")
def found(stage: Stage) -> Iterator[Found]:
    """Everything, asked once."""
    good = stage.pull("plain/signed", stage.signed)
    asked = {case.name: case.ask(stage) for case in CASES}
    cold = all_of(stage, CASES, asked)
    spool = stage.program.root / "var/log/nodeseal/spool.jsonl"
    with Daemon(stage.program) as daemon, concurrent.futures.ThreadPoolExecutor(1) as pool:
        stage.run(good)
        before, over = daemon.peak_kib(), threading.Event()

        def pulls() -> list[Measured]:
            done = []
            while not over.wait(0.2):
                done.append(stage.run(good))
            return done

        future = pool.submit(pulls)
        try:
            warm = all_of(stage, CASES, asked)
        finally:
            over.set()
        meanwhile, afterwards = future.result(), daemon.unhindered(lambda: stage.run(good))
        door = json.loads(spool.read_text().splitlines()[-1])["door"]
        yield Found(cold, warm, meanwhile, afterwards, door, daemon.peak_kib() - before)
        assert daemon.is_alive()
        assert [event for event in daemon.events() if event["event"] == "bug"] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answer_is_the_same(case: Case, found: Found) -> None:
    cold, warm = found.cold[case.name], found.warm[case.name]
    assert warm.code == cold.code == case.exit, warm
    assert warm.stderr == b""
    assert f" {PARSED_OTHERWISE.get(case.name, case.code)} " in warm.out, warm
    if case.code not in VARIES and case.name not in PARSED_OTHERWISE:
        assert warm.out == cold.out
    assert warm.took < case.seconds + warm.slack


def test_good_image_is_answered_in_between(found: Found) -> None:
    assert len(found.meanwhile) > 1
    assert {(each.code, each.out) for each in found.meanwhile} == {(0, found.afterwards.out)}
    assert max(each.took - each.slack for each in found.meanwhile) < PROMPT < DEADLINE


def test_daemon_answers_afterwards_and_has_not_grown_much(found: Found) -> None:
    assert (found.afterwards.code, found.door) == (0, "daemon")
    assert found.afterwards.took < 1 + found.afterwards.slack
    assert found.grown_kib < AT_ONCE * MEMORY
