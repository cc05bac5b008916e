"""Runs the program on bad input and measures it; what was found goes into out/hostile.json."""

import json
import os
import pathlib
import signal
import subprocess
import sys
from typing import Mapping, NamedTuple, Sequence

from tests.commands import filled
from tests.starvation import Pressure

_SPAWN = pathlib.Path(__file__).with_name("spawn.py")
FINDINGS = pathlib.Path(__file__).resolve().parents[2] / "out" / "hostile.json"
MEMORY = 64 * 1024
"""KiB that bad input may cost above what a plain signed image costs, at the peak."""


class Measured(NamedTuple):
    """One run: exit code (-9 if its time was up), both outputs, seconds, peak resident KiB.

    `used` are the seconds that it had the processor, `queued` those that it waited for it.  `slack` are those that
    anything may take longer than it should, because the machine was full.
    """

    code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    peak_kib: int
    used: float
    queued: float
    slack: float

    @property
    def took(self) -> float:
        """Seconds, but for those that other work on the machine took.

        Twice those in the processor's queue: a registry that answers is a process of this machine like the program.
        """
        return max(self.seconds - 2 * self.queued, self.used)

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.stdout.decode("utf-8", "replace")


def run(
    command: Sequence[str],
    stdin: bytes | int = b"",
    environment: Mapping[str, str] | None = None,
    *,
    stdout: int = subprocess.PIPE,
    seconds: float = 60,
) -> Measured:
    """Run a command in a process group of its own, without an environment; killed as a whole after `seconds`.

    `stdin` is bytes, or a descriptor that is passed on.
    """
    reading, writing = os.pipe()
    pressure = Pressure()
    with filled(b"" if isinstance(stdin, int) else stdin) as pipe:
        given = stdin if isinstance(stdin, int) else pipe
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SPAWN), str(writing), *command],
            stdin=subprocess.PIPE if given is None else given,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=dict(environment or {}),
            process_group=0,
            pass_fds=(writing,),
        )
    os.close(writing)
    try:
        out, err = process.communicate(stdin if given is None else None, seconds)  # type: ignore[arg-type]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    with os.fdopen(reading) as told:
        words = told.read().split() or ["-9", str(seconds), "0", "0", "0"]
    used, queued = map(float, words[3:])
    return Measured(int(words[0]), out or b"", err, float(words[1]), int(words[2]), used, queued, pressure.slack())


def note(group: str, base: Measured, found: Mapping[str, Measured]) -> None:
    """Keep what a module measured: name -> seconds, MiB above the base."""
    kept = json.loads(FINDINGS.read_text()) if FINDINGS.is_file() else {}
    kept[group] = {
        "base": {"seconds": base.seconds, "mib": round(base.peak_kib / 1024, 1)},
        "runs": {
            name: {"code": each.code, "seconds": each.seconds, "mib": round((each.peak_kib - base.peak_kib) / 1024, 1)}
            for name, each in found.items()
        },
    }
    FINDINGS.parent.mkdir(exist_ok=True)
    FINDINGS.write_text(json.dumps(kept, indent=1))
