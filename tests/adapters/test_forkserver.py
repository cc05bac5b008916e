"""Workers of a small process that is there for it: the same contract as that of copies of the daemon."""

import contextlib
import errno
import os
import pathlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from types import MappingProxyType

import pytest

from agent.adapters import forkserver, jobform, policy_worker
from agent.adapters.forkserver import ForkServer
from agent.adapters.inline import run
from agent.adapters.policy_worker import MAX_ANSWER, ForkedWorker, TooLittleMemory
from agent.errors import LimitExceeded, PolicyFault

MIB = 1024 * 1024
FUNCTIONS = jobform.FUNCTIONS | {
    f"{__name__}:{name}"
    for name in ("is_parent", "busy", "takes", "killed", "fault", "length", "says", "adjusted", "zeros")
}


AMPLE = 60.0
"""Seconds that no work takes that ends, nor what the server imports first, however busy the machine is."""


@pytest.fixture(autouse=True)
def _ample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings may take any time."""
    monkeypatch.setattr(policy_worker, "LABOUR_SECONDS", AMPLE)


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """One for all."""
    started = ForkServer.start(FUNCTIONS)
    yield started
    started.close()


def worker(server: ForkServer, **bounds: float) -> ForkedWorker:
    """What has its work done there."""
    return ForkedWorker(run_job=server.run_job, **{"seconds": AMPLE, **bounds})  # type: ignore[arg-type]


def is_parent(pid: int) -> bool:
    """Whether it is this process's."""
    return os.getppid() == pid


def busy() -> bool:
    """Never ends."""
    while True:
        pass


def takes(size: int) -> bool:
    """Has so many bytes."""
    return len(b"x" * size) == size


def killed(number: int) -> bytes:
    """Ends as by the kernel."""
    os.kill(os.getpid(), number)
    return b""


def fault() -> bool:
    """Comes to no answer."""
    raise PolicyFault("p.rego: line 3: \u00fcber")


def length(content: bytes) -> bytes:
    """How many bytes came."""
    return str(len(content)).encode()


def zeros(size: int) -> bytes:
    """So many."""
    return bytes(size)


def says(content: object) -> bool:
    """Whether a mapping came whole."""
    return content == {"a": {"b": 1}}


def adjusted() -> bytes:
    """How much the kernel prefers to end it."""
    with open("/proc/self/oom_score_adj", "rb") as file:
        return file.read()


def test_work_is_done_by_a_child_of_the_server(server: ForkServer) -> None:
    assert run(worker(server).run(partial(is_parent, server.pid))) is True
    assert run(worker(server).run(partial(is_parent, 1))) is False
    assert run(worker(server).run(partial(says, MappingProxyType({"a": MappingProxyType({"b": 1})})))) is True
    assert run(worker(server).labour(partial(length, b"x" * (8 * MIB)), [AMPLE])) == b"%d" % (8 * MIB)


def test_worker_is_what_the_kernel_ends_first(server: ForkServer) -> None:
    assert run(worker(server).labour(partial(adjusted), [AMPLE])).strip() == b"1000"
    assert run(ForkedWorker().labour(adjusted, [AMPLE])).strip() == b"1000"


def test_faults_are_told(server: ForkServer) -> None:
    with pytest.raises(PolicyFault, match="p.rego: line 3: \u00fcber"):
        run(worker(server).run(partial(fault)))
    with pytest.raises(TooLittleMemory):
        run(worker(server, memory=32 * MIB).run(partial(takes, 64 * MIB)))
    assert run(worker(server, memory=128 * MIB).run(partial(takes, 64 * MIB))) is True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_worker_that_is_killed_is_its_contents_fault(server: ForkServer, number: int) -> None:
    for each in (worker(server), ForkedWorker()):
        with pytest.raises(LimitExceeded, match="without an answer"):
            run(each.labour(partial(killed, number), [AMPLE]))


def _children(pid: int) -> list[str]:
    """Those that are known to the kernel."""
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _memory(pid: str) -> int:
    """Pages that a process has, none once it ended."""
    with contextlib.suppress(OSError):
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[0])
    return 0


def test_worker_that_does_not_end_ends_itself_and_is_gone_when_that_is_told(
    server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forkserver, "_GONE", AMPLE)
    begun = time.monotonic()
    with pytest.raises(PolicyFault, match=r"more than 0\.5 s"):
        run(worker(server, seconds=0.5).run(busy))
    assert time.monotonic() - begun < AMPLE
    assert all(_memory(child) == 0 for child in _children(server.pid))


@pytest.mark.parametrize(
    ("ago", "said", "expected"),
    [
        (1.0, b"", TimeoutError),
        (1.0, forkserver._BEGUN, TimeoutError),
        (1.0, forkserver._BEGUN + b"half", b""),
        (-AMPLE, b"", forkserver._NoWorker),
        (-AMPLE, forkserver._BEGUN, b""),
    ],
    ids=["none began in time", "it took too long", "half of an answer", "there is none", "it ended early"],
)
def test_what_a_worker_left_unsaid_is_told_apart_however_late_anybody_looks(
    ago: float, said: bytes, expected: bytes | type[Exception]
) -> None:
    ours, its = socket.socketpair()
    with ours:
        with its:
            its.sendall(said)
        end = time.monotonic() - ago
        if isinstance(expected, bytes):
            assert forkserver._received(ours, 100, end) == expected
        else:
            with pytest.raises(expected):
                forkserver._received(ours, 100, end)


@pytest.mark.parametrize("size", [MAX_ANSWER - 1, MAX_ANSWER + 1])
def test_answer_is_whole_or_none(server: ForkServer, size: int) -> None:
    work = partial(zeros, size)
    if size < MAX_ANSWER:
        assert len(run(worker(server).labour(work, [AMPLE]))) == size
    else:
        with pytest.raises(LimitExceeded):
            run(worker(server).labour(work, [AMPLE]))


def test_threads_ask_side_by_side(server: ForkServer) -> None:
    found: list[bytes] = []

    def ask(number: int) -> None:
        found.append(run(worker(server).labour(partial(length, b"x" * number), [AMPLE])))

    threads = [threading.Thread(target=ask, args=(1000 + number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == [b"%d" % (1000 + number) for number in range(8)]


def test_without_a_server_this_process_is_copied() -> None:
    started = ForkServer.start()
    os.kill(started.pid, signal.SIGKILL)
    os.waitpid(started.pid, 0)
    assert run(worker(started).run(partial(is_parent, os.getpid()))) is True
    started.close()


@pytest.mark.parametrize("size", [1, 8 * MIB])
def test_where_there_can_be_no_worker_this_process_is_copied(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    fork, here = os.fork, os.getpid()

    def fails_elsewhere() -> int:
        if os.getpid() != here:
            raise BlockingIOError(errno.EAGAIN, "no process is left")
        return fork()

    monkeypatch.setattr(os, "fork", fails_elsewhere)
    started = ForkServer.start(FUNCTIONS)
    assert run(worker(started).labour(partial(length, b"x" * size), [3.0])) == b"%d" % size
    assert run(worker(started).run(partial(is_parent, here))) is True
    started.close()


def test_work_that_no_worker_has_begun_when_the_server_ends_is_done_by_a_copy_of_this_process() -> None:
    started = ForkServer.start(FUNCTIONS)
    os.kill(started.pid, signal.SIGSTOP)

    def end() -> None:
        time.sleep(0.3)  # by then, the work waits for it
        os.kill(started.pid, signal.SIGKILL)

    ending = threading.Thread(target=end)
    ending.start()
    assert run(worker(started).run(partial(is_parent, os.getpid()))) is True
    ending.join()
    started.close()


def test_server_ends_with_whoever_started_it() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, b"%d" % ForkServer.start().pid)
        os._exit(0)
    os.waitpid(pid, 0)
    its = int(os.read(reading, 20))
    os.close(reading)
    os.close(writing)
    end = time.monotonic() + 30
    while pathlib.Path(f"/proc/{its}/exe").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
