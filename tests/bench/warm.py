"""The daemon, while something is measured: `nodeseal watch` of a program, in its node."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.frozen.program import Program
from tests.testbed.node import Node, Running

_START_SECONDS = 20


def has_daemon(program: Program) -> bool:
    """Whether this version of the program has one."""
    return program.person("watch", "--help").code == 0


def socket_of(program: Program) -> Path:
    """Where the program's daemon answers, and where its child asks."""
    return program.root / "run" / "nodeseal" / "agent.sock"


@contextmanager
def warm(node: Node, program: Program) -> Iterator[Running]:
    """The program's daemon, once it answers; ended by SIGTERM.  Raises `AssertionError` with its log if it fails."""
    log = program.root / "watch.log"
    with node.started([str(program.path), "watch", "--root", str(program.root)], log=log) as running:
        end = time.monotonic() + _START_SECONDS
        while not answers(socket_of(program)):
            if time.monotonic() > end or not Path(f"/proc/{running.pid}").exists():
                raise AssertionError(f"the daemon did not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield running
        code = running.stop()
        if code:
            raise AssertionError(f"the daemon ended with {code}: {log.read_text()[-2000:]}")


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
