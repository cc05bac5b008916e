"""Workers as copies of a small process, made when the daemon begins, instead of copies of the daemon.

A copy of a large process costs more than it takes itself: every page that either of the two writes to is there twice
as long as both live, and the daemon writes to all of its own in a second.  The server has nothing of the daemon but
the modules that workers need, does nothing, and so each of its copies costs what its bounds say (`policy_worker`).

A job goes to the worker as `jobform` writes it, over a socket that is the job's alone; what comes back is bytes.  Where
there is no server any more, or it makes no worker, the daemon is copied as before.
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
from agent.adapters.policy_worker import Job, believed, go_first, worked
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
"""What workers would import each for itself."""

_GONE = 2.0
"""Seconds after its end of time in which a worker is gone: it ends itself."""

_BEFORE_THE_DAEMON = 500

_LENGTH = struct.Struct(">Q")
_BEGUN = b"+"  # what a worker says before it knows of its work: without that, there was none
_CHUNK = 64 * 1024


class _NoWorker(Exception):
    """The server made none: it could not, or has ended."""


class ForkServer:
    """The server, as the daemon knows it.  Threads may use it at once."""

    def __init__(self, control: socket.socket, pid: int, functions: Collection[str]) -> None:
        """It runs."""
        self._control = control
        self._functions = functions
        self.pid = pid

    @classmethod
    def start(cls, functions: Collection[str] = jobform.FUNCTIONS) -> "ForkServer":
        """Start it: before there are threads, and while this process is small.  Raises `OSError`.

        `functions` are what its workers can be told to call.
        """
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            _serve(its, functions)
        its.close()
        return cls(ours, pid, functions)

    def close(self) -> None:
        """End it."""
        self._control.close()
        with suppress(OSError):
            os.waitpid(self.pid, 0)

    def done(self, job: Job, work: Callable[[], bytes]) -> bytes:
        """What `work` returns, sent over as `jobform` writes it.  Raises `PolicyFault`, also if it was too much.

        Returns once the worker is gone, and all that it held.
        """
        ours, its = socket.socketpair()
        with ours:
            try:
                with its:
                    socket.send_fds(self._control, [b"j"], [its.fileno()])
            except OSError:
                return policy_worker.copied(job, work)
            end = time.monotonic() + job.seconds
            try:
                ours.settimeout(max(job.seconds, 0.001))
                with suppress(BrokenPipeError, ConnectionResetError):  # it need not read all of it
                    with ours.makefile("wb") as stream:
                        stream.write(json.dumps(job).encode() + b"\n")
                        jobform.write(work, stream, self._functions)
                    ours.shutdown(socket.SHUT_WR)
                told = _received(ours, job.most, end)
            except (jobform.Unwritable, _NoWorker):
                return policy_worker.copied(job, work)
            except TimeoutError:
                _wait_for_end(ours)
                raise PolicyFault(f"{job.what} took more than {job.seconds:g} s") from None
        return believed(job, told, "early")


def _received(ours: socket.socket, most: int, end: float) -> bytes:
    """What the worker tells, empty if that is not whole.  Raises `TimeoutError`, `_NoWorker`."""
    said = bytearray()
    whole = len(_BEGUN) + _LENGTH.size + most
    while len(said) <= whole:
        ours.settimeout(max(end - time.monotonic(), 0.001))
        try:
            part = ours.recv(_CHUNK)
        except ConnectionResetError:
            break
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
    """Until the worker is gone, which ends itself soon."""
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
        go_first(_BEFORE_THE_DAEMON)  # and each copy, until it says more for itself
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
            told = worked(job, lambda: jobform.read(stream, functions)(), its.fileno())
        its.sendall(_LENGTH.pack(len(told)) + told)
    finally:
        os._exit(0)
