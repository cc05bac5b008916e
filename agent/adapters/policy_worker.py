"""`ports.PolicyRunner` in a worker process, which can be killed when it takes too much time or memory.

The worker is a copy of this process (`fork`) that computes the answer, writes it to a pipe and exits.  Its bounds:

- wall-clock time: the parent waits no longer, and an interval timer ends the worker even if the parent is gone;
- processor time and memory: resource limits of the kernel (setrlimit(2));
- files: it keeps none open but the pipe;
- priority: none above the usual, and the kernel's OOM killer takes it first.

A policy that is too slow, or whose worker was killed, counts as the policy's fault (`PolicyFault`), never as "cannot
tell": what makes it slow is what others attached to the image.
"""

import gc
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from agent.adapters.inline import run
from agent.errors import LimitExceeded, PolicyFault

SECONDS = 3.0
"""Longest evaluation (s), where a pull has its usual 8 s.  Two may be needed."""

_SHARE = 3 / 8
"""The same as a part of a pull's time, where that is less: `SECONDS` of the usual 8."""

TRIAL_SECONDS = 1.0
"""Longest evaluation (s) where a configuration is checked, and nobody waits for an image."""

DOCUMENT_SECONDS = 5.0
"""Longest check (s) of one document of a configuration: a schema of the largest size takes one or two."""

TRIALS_SECONDS = 10.0
"""Seconds for all policies of one reading of configurations together, and as many for all documents.

So one configuration can't hold up the others for long.
"""

MEMORY = 48 * 1024 * 1024
"""Most bytes of memory of an evaluation, beyond what this process has mapped; the same in the daemon and the child."""

SMALL_MEMORY = 12 * 1024 * 1024
"""Bytes of memory that do for nearly every policy: a report of 512 KiB takes a third.  Trials get no more."""

COPY_MEMORY = 8 * 1024 * 1024
"""Bytes that a copy of a small process (`agent.adapters.forkserver`) takes by itself.

That is the pages that it writes to, which are no longer shared, and what the kernel needs for a process.
"""

LABOUR_SECONDS = 1.5
"""Longest reading (s) of one piece of content: half of an image's time for that (`agent.asking.MAX_LABOUR`)."""

LABOUR_MEMORY = 48 * 1024 * 1024
"""Most bytes of memory for the reading of content: a bill of materials of 8 MiB takes 40 MiB (docs/performance.md)."""

MAX_ANSWER = 1024 * 1024
"""Most bytes of what the reading of content returns."""

MAX_DEPTH = 5_000
"""Deepest nesting of Python calls: enough for expressions nested 500 deep."""

_TO_TELL = 0.3  # seconds that it takes to say what came of a job
_LEAST = 0.5  # seconds that a job has in any case: what is usual takes a tenth of it

_YES, _NO, _FAULT, _TOO_LITTLE = b"+", b"-", b"!", b"m"
_MAX_MESSAGE = 4096
_LATE = 0.2  # seconds after its time until a worker ends itself: the parent is to be first, as it says why


def longest(within: float | None) -> float:
    """Longest evaluation (s) for a pull that is answered within so many seconds, None for the usual ones.

    A policy that is too slow must end as its fault before that: a deadline is "cannot tell".
    """
    return SECONDS if within is None else min(SECONDS, within * _SHARE)


def in_time(seconds: float, until: float) -> float:
    """So many seconds, or as many as leave time to say what came of them `until` a moment of `time.monotonic()`.

    Content may have taken up what was there before: what it takes then is its fault, and no deadline.  What is usual
    has the time for it all the same, if only a registry was slow.
    """
    return min(seconds, max(round(until - time.monotonic() - _TO_TELL, 1), _LEAST))


class Job(NamedTuple):
    """The bounds of one piece of work.

    `what` it is, in words for messages; `seconds` of wall-clock time; bytes of `memory`; most bytes of the answer.
    """

    what: str
    seconds: float
    memory: int
    most: int


RunJob = Callable[[Job, Callable[[], bytes]], bytes]
"""Runs work within a job's bounds in a worker process; what the work returned.  Raises `PolicyFault`."""


class TooLittleMemory(PolicyFault):
    """An evaluation wanted more memory than it was given."""


class Trials:
    """Runs policies, and checks documents, while configurations are checked; `TRIALS_SECONDS` for each of the two."""

    def __init__(self, seconds: float = TRIALS_SECONDS) -> None:
        """Nothing was tried yet."""
        self._left = seconds
        self._left_for_documents = seconds

    def __call__(self, evaluate: Callable[[], bool]) -> bool:
        """What a policy says.  Raises `PolicyFault`."""
        if self._left <= 0:
            raise PolicyFault("no time is left to try policies out")
        begun = time.monotonic()
        try:
            worker = ForkedWorker(seconds=min(TRIAL_SECONDS, self._left), memory=SMALL_MEMORY)
            return run(worker.run(evaluate))
        finally:
            self._left -= time.monotonic() - begun

    def labour(self, work: Callable[[], bytes]) -> bytes:
        """What `work` on a document of a configuration returns.  Raises `LimitExceeded`."""
        if self._left_for_documents <= 0:
            raise LimitExceeded("documents: got no time that is left to look through them")
        begun = time.monotonic()
        try:
            seconds = min(DOCUMENT_SECONDS, self._left_for_documents)
            job = Job("looking through the document", seconds, LABOUR_MEMORY, MAX_ANSWER)
            return run_in_copy(job, partial(encode_content, work))[1:]
        except PolicyFault as fault:
            raise LimitExceeded(fault.message) from None
        finally:
            self._left_for_documents -= time.monotonic() - begun


class ForkedWorker:
    """Evaluates each policy in a worker process of its own."""

    def __init__(
        self,
        *,
        seconds: float = SECONDS,
        memory: int = MEMORY,
        labour_memory: int = LABOUR_MEMORY,
        run_job: RunJob | None = None,
        until: float = math.inf,
    ) -> None:
        """`seconds` and `memory` (bytes) bound evaluations, `labour_memory` the reading of content.

        `run_job` makes the worker processes; without it they are copies of this process.  `until` is when somebody is
        answered (`in_time`).
        """
        self._until = until
        self._run_job = run_job or run_in_copy
        self._seconds = seconds
        self._memory = memory
        self._labour_memory = labour_memory

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """See `ports.PolicyRunner.run`."""
        seconds = in_time(self._seconds, self._until)
        job = Job("the policy's evaluation", seconds, self._memory, _MAX_MESSAGE)
        return self._run_job(job, partial(encode_decision, evaluate)) == _YES

    async def labour(self, work: Callable[[], bytes], left: list[float]) -> bytes:
        """See `ports.PolicyRunner.labour`."""
        begun, seconds = time.monotonic(), in_time(max(min(left[0], LABOUR_SECONDS), 0.0), self._until)
        try:
            job = Job("reading the content", seconds, self._labour_memory, MAX_ANSWER)
            return self._run_job(job, partial(encode_content, work))[1:]
        except PolicyFault as fault:
            raise LimitExceeded(fault.message) from None
        finally:
            left[0] -= time.monotonic() - begun


def run_in_copy(job: Job, work: Callable[[], bytes]) -> bytes:
    """What `work` returns in a copy of this process.  Raises `PolicyFault`, also if it took too much."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    worker = os.fork()
    if worker == 0:
        _work(job, work, writing)
    os.close(writing)
    try:
        told = _answer(job, reading)
    finally:
        os.close(reading)
        os.kill(worker, signal.SIGKILL)
        _, status = os.waitpid(worker, 0)
    ended = f"by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "by itself"
    return checked_answer(job, told if status == 0 else b"", ended)  # else it may be the half of an answer


def checked_answer(job: Job, told: bytes, ended: str) -> bytes:
    """What a worker told, if that is an answer.  Raises `PolicyFault`; if it told nothing, that says how it `ended`."""
    if told[:1] in (_YES, _NO) and len(told) <= job.most:
        return told
    if told[:1] == _FAULT:
        raise PolicyFault(told[1:].decode(errors="replace"))
    if told == _TOO_LITTLE:
        raise TooLittleMemory(f"{job.what} wanted more than {job.memory // (1024 * 1024)} MiB of memory (MemoryError)")
    raise PolicyFault(f"{job.what} ended {ended}, without an answer: it took too much memory or time")


def encode_decision(evaluate: Callable[[], bool]) -> bytes:
    """The result of an evaluation in the form in which a worker tells it."""
    return _YES if evaluate() is True else _NO


def encode_content(work: Callable[[], bytes]) -> bytes:
    """What the reading of content returned, in the form in which a worker tells it."""
    return _YES + work()


def _answer(job: Job, reading: int) -> bytes:
    """What the worker wrote until it closed the pipe.  Raises `PolicyFault` if it took too long."""
    end = time.monotonic() + job.seconds
    poll = select.poll()
    poll.register(reading, select.POLLIN | select.POLLHUP)
    told: list[bytes] = []
    while sum(map(len, told)) <= job.most:
        left = end - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise PolicyFault(f"{job.what} took more than {job.seconds:g} s")
        chunk = os.read(reading, max(job.most, _MAX_MESSAGE))
        if not chunk and not told and time.monotonic() >= end:  # it ended itself before we had the processor again
            raise PolicyFault(f"{job.what} took more than {job.seconds:g} s")
        if not chunk:
            break
        told.append(chunk)
    return b"".join(told)


def _work(job: Job, work: Callable[[], bytes], writing: int) -> None:
    """The worker's whole life.  Does not return."""
    told = b""
    try:
        told = run_bounded(job, work, writing)
    finally:
        try:
            while told:
                told = told[os.write(writing, told) :]
        finally:
            os._exit(0)


def run_bounded(job: Job, work: Callable[[], bytes], descriptor: int) -> bytes:
    """Do `work` in a worker, and return what it has to tell, also of failures.  Raises nothing.

    From now on the process lives within the job's bounds, and keeps no file open but `descriptor`.
    """
    try:
        import resource  # a pull without a program has no use for it

        be_killed_first(1000)
        gc.freeze()  # what was there before is not looked through: that would copy all of it
        _keep_only(descriptor)
        if os.getpriority(os.PRIO_PROCESS, 0) < 0:  # the daemon goes before others, what images bring does not
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        seconds = int(job.seconds) + 1
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # whatever this process did with it, or was told to
        signal.setitimer(signal.ITIMER_REAL, job.seconds + _LATE)  # ends it even if whoever waits is gone
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        mapped, data = _mapped()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + job.memory,) * 2)
        resource.setrlimit(resource.RLIMIT_DATA, (data + job.memory,) * 2)  # of what malloc has mapped ahead, too
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.setrecursionlimit(MAX_DEPTH)
        return work()
    except PolicyFault as fault:
        return _FAULT + fault.message.encode()[: _MAX_MESSAGE - 1]
    except MemoryError:
        return _TOO_LITTLE
    except BaseException as error:  # noqa: BLE001 - a fault like any other: the answer is no
        return _FAULT + f"unexpected {type(error).__name__} in {job.what}".encode()


def be_killed_first(points: int) -> None:
    """Have the kernel's OOM killer take this process before the daemon.  Best effort: never raises.

    `points` are thousandths of all memory by which the process counts as larger than it is (proc(5), `oom_score_adj`).
    """
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"%d" % points)
        finally:
            os.close(descriptor)
    except OSError:
        return


def _mapped() -> tuple[int, int]:
    """Bytes of address space of this process, and bytes of data and stack in it (proc(5), `statm`)."""
    import resource

    with open("/proc/self/statm", "rb") as file:
        pages = file.read().split()
    return int(pages[0]) * resource.getpagesize(), int(pages[5]) * resource.getpagesize()


def _keep_only(descriptor: int) -> None:
    """Close every other file; standard input, output and error lead to /dev/null."""
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
