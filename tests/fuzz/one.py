"""Fuzzes one target in this process: `python -m tests.fuzz.one TARGET SECONDS FOLDER`.

Guided by coverage with atheris; where there is none (CPython 3.14, other machines), hypothesis alters the examples.
The input that breaks a target is left in FOLDER.
"""

import importlib
import importlib.util
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

    with atheris.instrument_imports(include=["agent"]):
        targets = importlib.import_module("tests.fuzz.targets")
    target = targets.TARGETS[name]
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
    atheris.Fuzz()


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


def main() -> int:
    """Fuzz."""
    name, seconds, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    if importlib.util.find_spec("atheris") is None:
        return unguided(name, seconds, folder)
    guided(name, seconds, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
