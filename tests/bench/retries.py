"""An hour of pods that can't start: their image is refused, and asked for again, as the kubelet does.

The whole program is asked, as containerd asks it, under clocks that are moved on between the calls.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

from tests.bench.stage import Image, Stage, call
from tests.bench.warm import PYTHON, warm
from tests.frozen.program import Program
from tests.testbed.clock import MovedClock

PODS = 5
FIRST_WAIT, LONGEST_WAIT = 10.0, 300.0
"""Seconds between a pod's attempts: the kubelet's own."""

_HOUR = 3600.0
_EXIT_DENY = 10


class Hour(NamedTuple):
    """What an hour of retries came to; `late_requests` are those of its second half."""

    name: str
    calls: int
    requests: int
    late_requests: int


def hour(stage: Stage, program: Program, image: Image, *, daemon: bool) -> Hour:
    """Let `PODS` pods ask for an unsigned image for an hour.  Raises `AssertionError` if it is ever not denied."""
    clock = MovedClock(program.root)
    asked = call(program.path, image)
    counts = []
    with ExitStack() as open_daemon:
        if daemon:
            open_daemon.enter_context(warm(stage.node, program, [*PYTHON, "tests.bench.moved", str(clock.file)]))
        before = len(stage.node.registry_requests())
        for at in attempts():
            clock.move_to(at)
            for _ in range(PODS):
                done = stage.node.run([*clock.words, *asked["argv"]], stdin=asked["stdin"].encode())
                if done.code != _EXIT_DENY:
                    raise AssertionError(f"an unsigned image after {at} s: {done.code}: {done.out}{done.err}")
            counts.append((at, len(stage.node.registry_requests()) - before))
    late = counts[-1][1] - max(count for at, count in counts if at < _HOUR / 2)
    return Hour("daemon warm" if daemon else "alone", PODS * len(counts), counts[-1][1], late)


def attempts() -> Iterator[float]:
    """When all pods ask, in seconds from the first time."""
    at, wait = 0.0, FIRST_WAIT
    while at < _HOUR:
        yield at
        at, wait = at + wait, min(2 * wait, LONGEST_WAIT)
