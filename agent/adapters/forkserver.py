"""A fork server: worker processes are copies of a small process that is started with the daemon, not of the daemon.

A copy of a large process costs more memory than its own bound: every page that one of the two writes to exists twice
while both live, and the daemon writes to all of its pages within a second.  The server has only the modules that
workers need, and does nothing.  So each of its copies takes no more than its bounds say (`policy_worker`).

A job is written to its worker over a socket of its own, in the form of `jobform`; what comes back is bytes.  If the
server has ended or makes no worker, or a job has no such form, a copy of the daemon does the job
(`policy_worker.run_in_copy`).
"""

import gc
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from importlib import import_module

from agent.adapters import jobform, policy_worker
from agent.adapters.policy_worker import Job, be_killed_first, checked_answer, run_bounded
from agent.errors import PolicyFault
from agent.rego.builtins import FAMILIES

_LOADED = (
    "agent.codec.instances",
    "agent.formats.contents",
    "agent.formats.sbom_steps",
    "agent.formats.schemavalidator",
    "agent.formats.vulnerability_steps",
    "agent.policies.regopolicy",
    *(f"agent.rego.builtins.{family}" for family in FAMILIES),
)
"""Modules that are imported once here; else each worker would import them again."""

_GONE = 2.0
"""Seconds after its time within which a worker is surely gone, as it ends itself."""

_BEFORE_THE_DAEMON = 500
"""Thousandths of all memory (`policy_worker.be_killed_first`): behind the workers, which say 1000."""

_LENGTH = struct.Struct(">Q")
_BEGUN = b"+"  # what a worker says before it knows of its work: without that, there was none
_CHUNK = 64 * 1024


class _NoWorker(Exception):
    """The server made none: it could not, or has ended."""


class ForkServer:
    """The daemon's side of the server.  Several threads may use it at once."""

    def __init__(self, control: socket.socket, pid: int, functions: Collection[str]) -> None:
        """The server is process `pid`, runs, and reads `control`; its workers call `functions` alone."""
        self._control = control
        self._functions = functions
        self.pid = pid

    @classmethod
    def start(cls, functions: Collection[str] = jobform.FUNCTIONS) -> "ForkServer":
        """Start a server.  To be called before there are threads, and while this process is small.  Raises `OSError`.

        `functions` are those that its workers may be told to call, as "module:name".
        """
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gc.collect()  # else the copy would end what belongs to threads that it does not have
        pid = os.fork()
        if pid == 0:
            ours.close()
            _serve(its, functions)
        its.close()
        return cls(ours, pid, functions)

    def close(self) -> None:
        """End the server, and wait until it has."""
        self._control.close()
        with suppress(OSError):
            os.waitpid(self.pid, 0)

    def run_job(self, job: Job, work: Callable[[], bytes]) -> bytes:
        """See `policy_worker.RunJob`.  Returns once the worker is gone, and with it all the memory that it held."""
        ours, its = socket.socketpair()
        with ours:
            try:
                with its:
                    socket.send_fds(self._control, [b"j"], [its.fileno()])
            except OSError:
                return policy_worker.run_in_copy(job, work)
            end = time.monotonic() + job.seconds
            try:
                ours.settimeout(max(job.seconds, 0.001))
                with suppress(BrokenPipeError, ConnectionResetError):  # a worker may end before it has read all
                    with ours.makefile("wb") as stream:
                        stream.write(json.dumps(job).encode() + b"\n")
                        jobform.write(work, stream, self._functions)
                    ours.shutdown(socket.SHUT_WR)
                told = _received(ours, job.most, end)
            except (jobform.Unwritable, _NoWorker):
                return policy_worker.run_in_copy(job, work)
            except TimeoutError:
                _wait_for_end(ours)
                raise PolicyFault(f"{job.what} took more than {job.seconds:g} s") from None
        return checked_answer(job, told, "early")


def _received(ours: socket.socket, most: int, end: float) -> bytes:
    """What the worker tells, empty if that is not whole.  Raises `TimeoutError`, `_NoWorker`."""
    said = bytearray()
    whole = len(_BEGUN) + _LENGTH.size + most
    while len(said) <= whole:
        ours.settimeout(max(end - time.monotonic(), 0.001))
        try:
            part = ours.recv(_CHUNK)
        except ConnectionResetError:
            part = b""
        if not part and len(said) <= len(_BEGUN) and time.monotonic() >= end:  # it ended itself, and we looked late
            raise TimeoutError
        if not part:
            break
        said += part
    if len(said) > whole:
        _wait_for_end(ours)
    if not said.startswith(_BEGUN):
        raise _NoWorker
    del said[: len(_BEGUN)]
    if len(said) < _LENGTH.size or _LENGTH.unpack_from(said)[0] != len(said) - _LENGTH.size:
        return b""
    return bytes(said[_LENGTH.size :])


def _wait_for_end(ours: socket.socket) -> None:
    """Wait until the worker is gone: it ends itself soon."""
    end = time.monotonic() + _GONE
    with suppress(OSError):
        while (left := end - time.monotonic()) > 0:
            ours.settimeout(left)
            if not ours.recv(_CHUNK):
                return


def _serve(control: socket.socket, functions: Collection[str]) -> None:
    """The server's whole life.  Does not return."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # it ends when the daemon does
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets workers by itself
        be_killed_first(_BEFORE_THE_DAEMON)  # and each copy, until it says more for itself
        for name in _LOADED:
            import_module(name)
        gc.collect()
        gc.freeze()
        while True:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not descriptors:
                break
            # Where there can be no worker, whoever waits hears that nobody is there.
            with socket.socket(fileno=descriptors[0]) as its, suppress(OSError):
                if os.fork() == 0:
                    _work(its, functions)
    finally:
        os._exit(0)


def _work(its: socket.socket, functions: Collection[str]) -> None:
    """A worker's whole life.  Does not return."""
    try:
        its.sendall(_BEGUN)
        with its.makefile("rb") as stream:
            job = Job(*json.loads(stream.readline()))
            told = run_bounded(job, lambda: jobform.read(stream, functions)(), its.fileno())
        its.sendall(_LENGTH.pack(len(told)) + told)
    finally:
        os._exit(0)
