"""The daemon, while something is measured: `nodeseal watch` of a program, in its node."""

import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent import __version__
from agent.adapters import ipc
from tests.bench.measure import Call
from tests.frozen.program import Program
from tests.testbed.node import Node, Running

PYTHON = ("env", f"PYTHONPATH={Path(__file__).resolve().parents[2]}", sys.executable, "-m")
"""What a module of ours is run with on the node, where no folder is the current one."""

_START_SECONDS = 60
_PATIENCE = 8


def socket_of(program: Program) -> Path:
    """Where the program's daemon answers, and where its child asks."""
    return program.root / ipc.FOLDER / ipc.NAME


@contextmanager
def warm(node: Node, program: Program, before: Sequence[str] = (), words: Sequence[str] = ()) -> Iterator[Running]:
    """The program's daemon, once it answers; ended by SIGTERM.  Raises `AssertionError` with its log if it fails.

    `before` are words to stand in its command line in place of the program, `words` are further ones at its end.
    """
    log = program.root / "watch.log"
    command = [*(before or [str(program.path)]), "watch", "--root", str(program.root), *words]
    with node.started(command, log=log) as running:
        end = time.monotonic() + _START_SECONDS
        while not answers(socket_of(program)):
            if time.monotonic() > end or not Path(f"/proc/{running.pid}").exists():
                raise AssertionError(f"the daemon did not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield running
        code = running.stop()
        if code:
            raise AssertionError(f"the daemon ended with {code}: {log.read_text()[-2000:]}")


def ask(path: Path, call: Call) -> int:
    """Ask a daemon what containerd's child would ask, and wait for its answer; the exit code in it."""
    return int(said(path, call).split()[1])


def said(path: Path, call: Call) -> str:
    """All that a daemon answers: its head, and the lines (docs/ipc.md)."""
    words = b"\0".join([str(len(call["argv"])).encode(), *map(os.fsencode, call["argv"][1:]), call["stdin"].encode()])
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(_PATIENCE)
        asking.connect(str(path))
        asking.sendall(ipc.question(ipc.Question(ipc.PULL, __version__, _PATIENCE, b"", words)))
        heard = b""
        while chunk := asking.recv(65536):
            heard += chunk
    while heard.startswith((ipc.WORKING, ipc.BUSY)):
        heard = heard.partition(b"\n")[2]
    if not heard.startswith(b"answer "):
        raise AssertionError(f"the daemon said {heard[:200]!r}")
    return heard.decode()


def answers(path: Path) -> bool:
    """Whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(path))
        except OSError:
            return False
    return True


def resident_mib(pid: int) -> float:
    """What a process holds in memory now, MiB."""
    return _kib(pid, "VmRSS") / 1024


def processor_seconds(pid: int) -> float:
    """What a process has used of the processor, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _kib(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
