"""Runs a command to its end, or to the end of its time; nothing of it is left running."""

import contextlib
import os
import pathlib
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple, Sequence


class Done(NamedTuple):
    """What a command left: exit code (-9 if its time was up), both outputs, and how long it took in seconds."""

    code: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def err(self) -> str:
        """Standard error as text."""
        return self.stderr.decode("utf-8", "replace")


class Said(NamedTuple):
    """How a command that ran in this process ended, and what it said."""

    code: int
    out: str
    err: str


@contextlib.contextmanager
def filled(content: bytes) -> Iterator[int | None]:
    """Standard input that holds `content` and its end before anybody is started who reads it; None if it is too long.

    Who starts a program and writes then may be kept from the processor in between, for longer than the program waits.
    """
    if len(content) > select.PIPE_BUF:  # more may not fit in before it is read
        yield None
        return
    reading, writing = os.pipe()
    try:
        os.write(writing, content)
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


def run(
    command: Sequence[str], *, stdin: bytes = b"", environment: dict[str, str] | None = None, seconds: float = 60
) -> Done:
    """Run a command in a process group of its own, which is killed as a whole after `seconds`; no shell.

    The environment is empty unless one is given.
    """
    with filled(stdin) as given:
        start = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if given is None else given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment or {},
            process_group=0,
        )
    try:
        out, err = process.communicate(stdin if given is None else None, seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    return Done(process.returncode, out, err, time.monotonic() - start)


def processes_naming(text: str) -> list[int]:
    """Every process of this machine whose command line holds `text`."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it ended meanwhile
        if text in command:
            found.append(int(path.parent.name))
    return found
