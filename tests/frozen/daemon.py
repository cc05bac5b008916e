"""The program's daemon under the root of a `Program`, started and stopped as systemd does."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from agent.adapters import ipc
from agent.adapters.spool import FOLDER as SPOOL
from tests.frozen.program import Program
from tests.starvation import queued

STARTING = 60.0
"""Seconds within which it serves, on a busy machine."""

_UNHEARD = 0.5
"""Seconds without a processor from which on a child may have heard nothing for a second."""

_ROUNDS = 4

Value = TypeVar("Value")


class Daemon:
    """`nodeseal watch`, between `with` and its end; its log is kept beside the root."""

    def __init__(
        self,
        program: Program,
        *words: str,
        environment: Mapping[str, str] | None = None,
        runner: Sequence[str] = (),
    ) -> None:
        """`words` are further ones of its command line; metrics are off unless one of them says where.

        `runner` is what runs it.
        """
        words = words if "--metrics" in words else (*words, "--metrics", "off")
        self.program = program
        self.socket = program.root / ipc.FOLDER / ipc.NAME
        self.log_file = program.root.parent / f"{program.root.name}-daemon.log"
        self._command = [*runner, str(program.path), "watch", "--root", str(program.root), *words]
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        (program.root / "var/log").mkdir(parents=True, exist_ok=True)  # as every host has it

    def __enter__(self) -> "Daemon":
        """Start it, and wait until it serves."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        if self.is_alive():
            self.kill()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it serves."""
        before = ipc.number(str(self.program.root))
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stderr=log)
        end = time.monotonic() + STARTING
        while ipc.number(str(self.program.root)) in (0, before):
            assert self.is_alive(), self.log_file.read_text()
            assert time.monotonic() < end, self.log_file.read_text()
            time.sleep(0.02)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STARTING)

    def kill(self) -> None:
        """End it as the kernel does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STARTING)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it hang meanwhile."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Let no child find it meanwhile."""
        elsewhere = self.socket.with_name("elsewhere.sock")
        self.socket.rename(elsewhere)
        try:
            yield
        finally:
            elsewhere.rename(self.socket)

    def unhindered(self, ask: Callable[[], Value], heard: Callable[[Value], bool] | None = None) -> Value:
        """What comes of asking it; `heard` is whether it was its answer, as the spool says if nothing is given.

        Whom it did not answer because it was given no processor, as the kernel's accounts say, asks again: children
        rightly take such a daemon for one that hangs.
        """
        for _ in range(_ROUNDS):
            before = queued(self.pid)
            found = ask()
            is_heard = heard(found) if heard else self._answered_last()
            if is_heard or queued(self.pid) - before < _UNHEARD:
                break
        return found

    def _answered_last(self) -> bool:
        spool = self.program.root / SPOOL / "spool.jsonl"
        lines = spool.read_text().splitlines() if spool.exists() else []
        return bool(lines) and json.loads(lines[-1])["door"] == "daemon"

    def events(self) -> list[dict[str, object]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def peak_kib(self) -> int:
        """The most memory that it ever had."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))
