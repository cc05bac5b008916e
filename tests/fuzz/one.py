"""Fuzzes one target in this process, which is forked from one that has imported `tests.fuzz.guided`.

Guided by coverage with atheris; where there is none (CPython 3.14, other machines), hypothesis alters the examples.
The input that breaks a target is left in a folder.
"""

import ctypes
import importlib
import importlib.util
import os
import pathlib
import sys
import tempfile
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

SLOW = 3.0
"""Seconds that no input of at most `MAX_LENGTH` bytes may take, observed as it is."""

MAX_LENGTH = 16 * 1024
_MEMORY = 1024  # MiB, of the whole process, its corpus included


class TooSlow(AssertionError):
    """An input took longer than it may."""


def once(target: "Target", data: bytes) -> None:
    """One input."""
    from tests.fuzz.targets import run

    start = time.monotonic()
    run(target, data)
    took = time.monotonic() - start
    if took > SLOW:
        raise TooSlow(f"{len(data)} bytes took {took:.1f} s; expected at most {SLOW:g}")


def guided(name: str, seconds: int, folder: pathlib.Path) -> None:
    """Let coverage lead.  Does not return."""
    import atheris

    target = importlib.import_module("tests.fuzz.targets").TARGETS[name]
    corpus = tempfile.mkdtemp(prefix="fuzz-")
    for number, seed in enumerate(target.seeds()):
        (pathlib.Path(corpus) / str(number)).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_LENGTH}",
        f"-rss_limit_mb={_MEMORY}",
        f"-artifact_prefix={folder}/{name}-",
        "-timeout=10",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, corpus], lambda data: once(target, data))
    try:
        atheris.Fuzz()
    finally:
        ctypes.CDLL(None).exit(1)  # not Python's: libFuzzer writes the input down when the process ends as C has it


def unguided(name: str, seconds: int, folder: pathlib.Path) -> int:
    """Alter the examples, here and there, until the time is up."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    from tests.fuzz.targets import TARGETS

    target, executed = TARGETS[name], 0
    edits = st.lists(st.tuples(st.integers(0, MAX_LENGTH), st.integers(0, 8), st.binary(max_size=8)), max_size=6)
    last = b""

    @settings(
        max_examples=500, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(target.seeds()) | st.binary(max_size=200), edits)
    def altered(seed: bytes, places: list[tuple[int, int, bytes]]) -> None:
        nonlocal executed, last
        for place, dropped, inserted in places:
            at = place % (len(seed) + 1)
            seed = seed[:at] + inserted + seed[at + dropped :]
        executed, last = executed + 1, seed
        once(target, seed)

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            altered()
        except Exception:
            (folder / f"{name}-altered").write_bytes(last)
            raise
    print(f"stat::number_of_executed_units: {executed}", file=sys.stderr)
    return 0


def forked(name: str, seconds: int, folder: str, scratch: str, log: str) -> None:
    """Fuzz a target; what is said goes into `log`, what is needed meanwhile into `scratch`."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
    tempfile.tempdir = scratch
    if importlib.util.find_spec("atheris") is None:
        unguided(name, seconds, pathlib.Path(folder))
    else:
        guided(name, seconds, pathlib.Path(folder))
