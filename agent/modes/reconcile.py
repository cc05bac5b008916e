"""`nodeseal install --reconcile`: its options, and the process that keeps a node wired up until it is told to stop.

A composition root; what it does is in `agent.modes.reconciling`, imported for it alone.
"""

import argparse
import signal
import time
from collections.abc import Mapping
from typing import TextIO

from agent.adapters.hostfiles import HostFiles
from agent.config import times
from agent.errors import Exit, UsageError
from agent.modes import turns
from agent.modes.installing import Asked
from agent.modes.world import World
from agent.wiring.pacing import FIRST, MOST

_SLICE = 0.2  # seconds: a sleep goes on after a signal
_LONGEST = int(MOST)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of keeping a node wired up."""
    parser.add_argument(
        "--reconcile",
        action="store_true",
        help="stay until stopped (SIGTERM): notice what undoes the installation, and install again; a line for each "
        "event",
    )
    parser.add_argument(
        "--pace",
        metavar="LENGTH",
        default="",
        help="with --reconcile: shortest time between two attempts, twice as long after each of a day, up to 1h "
        f"(default: {times.length(FIRST)})",
    )


def pace(options: argparse.Namespace) -> float:
    """Seconds between the first attempt and the second.  Raises `UsageError` for options that don't go together."""
    if not options.reconcile:
        if options.pace:
            raise UsageError("--pace: got it alone; expected --reconcile beside it")
        return FIRST
    if options.dry_run or options.root:
        raise UsageError(
            "--reconcile: got --dry-run or --root beside it; expected a host that runs, and may be changed"
        )
    if not options.pace:
        return FIRST
    length = times.seconds(options.pace)
    if length is None or not 0 < length <= _LONGEST:
        raise UsageError(f"--pace: got {options.pace}; expected a length like 1m, at most {times.length(MOST)}")
    return length


class Ending:
    """Whether the process was asked to end.  What is being written by then is finished, or taken back."""

    def __init__(self) -> None:
        """Nobody asked."""
        self._asked = False

    def begin(self) -> None:
        """From now on SIGTERM and SIGINT ask."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._ask)

    def __call__(self) -> bool:
        """Whether somebody asked."""
        return self._asked

    def sleep(self, seconds: float) -> None:
        """Sleep for so long, or until somebody asks."""
        end = time.monotonic() + seconds
        while not self._asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True


def keep(
    host: HostFiles,
    world: World,
    asked: Asked,
    options: argparse.Namespace,
    environment: Mapping[str, str],
    stdout: TextIO,
) -> Exit:
    """Keep a host wired up until a signal says stop.  Raises `UsageError`."""
    from agent.adapters.telemetry import open_log
    from agent.modes.reconciling import Reconciler

    ending = Ending()
    taken = turns.wanted(options, environment, ended=ending)
    first = pace(options)
    log = open_log(stdout, "json" if options.format == "json" else "console")
    ending.begin()
    keeper = Reconciler(host, world, asked, log, taken=taken, first=first, ended=ending, sleep=ending.sleep)
    log.info("begun", changes=asked.changes.value, restart=asked.restart, inTurn=taken is not None)
    keeper.run()
    log.info("stopped", state=keeper.stands.state if keeper.stands else None)
    return Exit.ALLOW if keeper.is_enforcing or not options.must_enforce else Exit.NOT_ENFORCING
