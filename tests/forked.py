"""`nodeseal` as people call it, in a process of its own, forked from one that has imported it already.

Most of what starting a command costs is its imports.  What a fresh interpreter does with the same words is the subject
of others: tests/frozen, tests/test_cli.py, and the tests that look at which modules are imported.
"""

import multiprocessing
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver

from agent import cli
from tests.commands import Done

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "__main__", "tests.forked", "agent.adapters.exposition", "agent.adapters.kube_access", "agent.modes.clustering",
        "agent.modes.daemon", "agent.modes.nodekeeping", "agent.modes.observing", "agent.modes.proofs",
        "agent.modes.supportbundle", "tests.forked_ready",
    ]
)  # fmt: skip


class Forked:
    """A command that runs; `subprocess.Popen`, as far as tests need it."""

    def __init__(self, words: Sequence[str], *, stdout: pathlib.Path | None = None, stderr: pathlib.Path) -> None:
        """Start it with these words behind the program's name; what it says is appended to the files."""
        arguments = (list(words), dict(os.environ), str(stdout or os.devnull), str(stderr))
        self._process = _FORKS.Process(target=_run, args=arguments)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, below 0 if a signal ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float = 60) -> int:
        """Its exit code, once it has ended.  Raises `TimeoutError`."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            raise TimeoutError(f"process {self.pid} goes on after {seconds:g} s")
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def run(*words: str, seconds: float = 120) -> Done:
    """A command from its beginning to its end.  Raises `TimeoutError`."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = pathlib.Path(folder, "out"), pathlib.Path(folder, "err")
        process = Forked(words, stdout=out, stderr=err)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        return Done(code, out.read_bytes(), err.read_bytes(), 0.0)


def stop() -> None:
    """End the process that others were forked from, and wait for it: it may have something to tell as well."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def _run(words: Sequence[str], environment: Mapping[str, str], stdout: str, stderr: str) -> None:
    """What the child does."""
    os.environ.clear()
    os.environ.update(environment)
    for path, stream in ((stdout, sys.stdout), (stderr, sys.stderr)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(file, stream.fileno())
        os.close(file)
    cli.main(["nodeseal", *words])
