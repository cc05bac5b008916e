"""Where policies are evaluated: in a process that can be killed; the same contract for the one that tests use."""

import contextlib
import os
import pathlib
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from agent.adapters import policy_worker
from agent.adapters.inline import run
from agent.adapters.policy_worker import (
    LABOUR_MEMORY,
    LABOUR_SECONDS,
    MAX_ANSWER,
    SECONDS,
    ForkedWorker,
    longest,
)
from agent.errors import LimitExceeded, PolicyFault
from agent.ports import PolicyRunner
from tests.engines import OnTheSpot

AMPLE = 60.0
"""Seconds that no evaluation takes that ends, however busy the machine is."""

RUNNERS: dict[str, Callable[[], PolicyRunner]] = {
    "in a process of its own": lambda: ForkedWorker(seconds=AMPLE),
    "on the spot": OnTheSpot,
}


@pytest.fixture(autouse=True)
def _ample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings may take any time, except where their time is what is tested."""
    monkeypatch.setattr(policy_worker, "LABOUR_SECONDS", AMPLE)


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> PolicyRunner:
    """Each of them."""
    return RUNNERS[request.param]()


@pytest.mark.parametrize("answer", [True, False])
def test_answer_is_the_evaluations(runner: PolicyRunner, answer: bool) -> None:
    assert run(runner.run(lambda: answer)) is answer


def test_fault_is_told_in_its_words(runner: PolicyRunner) -> None:
    def evaluate() -> bool:
        raise PolicyFault("p.rego: line 3: \u00fcber")

    with pytest.raises(PolicyFault, match="p.rego: line 3: \u00fcber"):
        run(runner.run(evaluate))


def test_what_is_known_here_is_known_there(runner: PolicyRunner) -> None:
    facts = {"a": [1, 2]}
    assert run(runner.run(lambda: facts == {"a": [1, 2]})) is True


def worker(**bounds: float) -> ForkedWorker:
    """One with other bounds."""
    return ForkedWorker(**{"seconds": AMPLE, **bounds})  # type: ignore[arg-type]


def endless() -> bool:
    """Never ends."""
    while True:
        pass


def test_what_content_leaves_too_little_time_for_ends_before_an_answer_is_due() -> None:
    """Else a deadline is what is told, which an earlier answer may stand in for."""
    begun = time.monotonic()
    with pytest.raises(PolicyFault, match=r"took more than 0\.9 s"):
        run(worker(until=begun + 1.2).run(endless))
    assert time.monotonic() - begun >= 0.9
    with pytest.raises(LimitExceeded, match=r"took more than 0\.7 s"):
        run(worker(until=time.monotonic() + 1.0).labour(lambda: b"%d" % endless(), [3.0]))


def test_what_is_usual_has_its_time_however_late_a_registry_was() -> None:
    late = worker(until=time.monotonic() - 5)
    assert run(late.run(lambda: True)) is True
    assert run(late.labour(lambda: b"x", [3.0])) == b"x"
    with pytest.raises(PolicyFault, match=r"took more than 0\.5 s"):
        run(late.run(endless))


def test_what_images_bring_goes_before_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon itself does (nice -5)."""
    found = os.getpriority
    monkeypatch.setattr(os, "getpriority", lambda which, who: -5)
    monkeypatch.setattr(os, "setpriority", lambda which, who, value: os.nice(max(19 - found(which, who), 0)))
    assert run(worker().run(lambda: found(os.PRIO_PROCESS, 0) == 19)) is True
    monkeypatch.setattr(os, "getpriority", lambda which, who: 0)
    assert run(worker().run(lambda: found(os.PRIO_PROCESS, 0) < 19)) is True


def refused(evaluate: Callable[[], bool], **bounds: float) -> str:
    """What is told of an evaluation that came to no answer."""
    with pytest.raises(PolicyFault) as caught:
        run(worker(**bounds).run(evaluate))
    return caught.value.message


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process and no open file stays behind."""
    before = len(os.listdir("/proc/self/fd")), children()
    yield
    assert (len(os.listdir("/proc/self/fd")), children()) == before


def children() -> set[str]:
    """The processes that this one started, finished ones too unless they were waited for."""
    found = set[str]()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            found.update(pathlib.Path(f"/proc/self/task/{thread}/children").read_text().split())
    return found


def busy() -> bool:
    """Never ends."""
    while True:
        pass


def asleep() -> bool:
    """Ends long after anyone waits."""
    time.sleep(600)
    return True


@pytest.mark.parametrize("evaluate", [busy, asleep])
def test_evaluation_that_does_not_end_is_killed(evaluate: Callable[[], bool]) -> None:
    start = time.monotonic()
    assert refused(evaluate, seconds=0.3) == "the policy's evaluation took more than 0.3 s"
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("evaluate", [busy, asleep])
def test_evaluation_that_ended_itself_before_anybody_looked_was_too_slow(
    monkeypatch: pytest.MonkeyPatch, evaluate: Callable[[], bool]
) -> None:
    """Whoever waits is kept from the processor until then."""

    class Late:
        def __init__(self) -> None:
            self._poll = poll()

        def register(self, descriptor: int, events: int) -> None:
            self._poll.register(descriptor, events)

        def poll(self, milliseconds: float) -> list[tuple[int, int]]:
            return self._poll.poll()

    poll = select.poll
    monkeypatch.setattr(select, "poll", Late)
    assert refused(evaluate, seconds=0.3) == "the policy's evaluation took more than 0.3 s"


def test_evaluation_ends_itself_whatever_was_done_with_its_alarm_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by those who start this process, by a library, or by pytest's own limit of time."""
    monkeypatch.setattr(os, "kill", lambda *_: None)  # nobody else ends it
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    try:
        job = policy_worker.Job("x", 0.2, 48 * 1024 * 1024, 100)
        with pytest.raises(PolicyFault, match="took more than 0.2 s"):
            policy_worker.run_in_copy(job, partial(policy_worker.encode_decision, asleep))
    finally:
        signal.signal(signal.SIGALRM, before)


def test_evaluation_that_takes_too_much_memory_ends_without_an_answer() -> None:
    def evaluate() -> bool:
        return len(b"x" * (256 * 1024 * 1024)) > 0

    assert "MemoryError" in refused(evaluate, memory=64 * 1024 * 1024)


def test_evaluation_that_crashes_ends_without_an_answer() -> None:
    def evaluate() -> bool:
        os.kill(os.getpid(), 11)
        return True

    assert "ended by signal 11, without an answer" in refused(evaluate)


def test_mistake_of_ours_is_no_yes_and_tells_no_more_than_its_kind() -> None:
    def evaluate() -> bool:
        raise KeyError("a secret")

    assert refused(evaluate) == "unexpected KeyError in the policy's evaluation"


@pytest.mark.parametrize("answer", [1, "+", None, [True]])
def test_only_true_is_yes(answer: object) -> None:
    assert run(worker().run(lambda: answer)) is False  # type: ignore[arg-type, return-value]


def test_deep_recursion_is_no_crash() -> None:
    def deep(level: int) -> int:
        return 0 if level == 0 else 1 + deep(level - 1)

    assert run(worker().run(lambda: deep(3000) == 3000)) is True
    assert "RecursionError" in refused(lambda: deep(100_000) > 0)


def test_worker_has_no_file_but_its_pipe_and_no_standard_streams() -> None:
    with open(os.devnull, "rb") as kept:
        number = kept.fileno()

        def evaluate() -> bool:
            streams = {os.readlink(f"/proc/self/fd/{each}") for each in (0, 1, 2)}
            return not os.path.exists(f"/proc/self/fd/{number}") and streams == {os.devnull}

        assert run(worker().run(evaluate)) is True


def test_long_fault_is_cut_and_not_waited_for() -> None:
    def evaluate() -> bool:
        raise PolicyFault("x" * 1_000_000)

    assert len(refused(evaluate)) < 5000


def test_other_threads_do_not_disturb() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert run(worker().run(lambda: True)) is True
    finally:
        stop.set()
        thread.join()


def test_two_evaluations_are_over_before_any_deadline() -> None:
    assert [longest(within) for within in (None, 8.0, 25.0)] == [SECONDS] * 3
    assert all(2 * longest(within) < within for within in (1.0, 2.0, 5.0))


# --- reading content


def crash() -> bytes:
    """Takes its process along."""
    os.kill(os.getpid(), 11)
    return b""


def labour(work: Callable[[], bytes], left: list[float]) -> str:
    """What is told of work that was too much."""
    with pytest.raises(LimitExceeded) as caught:
        run(worker().labour(work, left))
    return caught.value.message


@pytest.mark.parametrize("answer", [b"", b"+", b"!", b"-", b"x" * (MAX_ANSWER - 1)])
def test_what_work_returns_comes_back_whole_from_another_process(answer: bytes) -> None:
    here, left = os.getpid(), [AMPLE]
    assert run(worker().labour(lambda: answer if os.getpid() != here else b"here", left)) == answer
    assert 0 < left[0] < AMPLE


@pytest.mark.parametrize(("left", "told"), [(0.3, "0.3"), (100.0, f"{LABOUR_SECONDS:g}"), (-1.0, "0")])
def test_work_that_does_not_end_is_killed_and_takes_from_what_is_left(
    monkeypatch: pytest.MonkeyPatch, left: float, told: str
) -> None:
    monkeypatch.setattr(policy_worker, "LABOUR_SECONDS", LABOUR_SECONDS)
    rest = [left]
    assert labour(lambda: b"" if busy() else b"", rest) == f"reading the content took more than {told} s"
    assert rest[0] < left - max(min(left, LABOUR_SECONDS), 0.0) + 0.01


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda: b"x" * (LABOUR_MEMORY * 2), "MemoryError"),
        (lambda: b"x" * (MAX_ANSWER + 1), "without an answer: it took too much memory or time"),
        (crash, "ended by signal 11"),
        (lambda: {b"a": b"b"}[b"a secret"], "unexpected KeyError in reading the content"),
    ],
    ids=["memory", "answer", "crash", "mistake"],
)
def test_work_that_is_too_much_is_the_contents_fault(work: Callable[[], bytes], told: str) -> None:
    assert told in labour(work, [AMPLE])
