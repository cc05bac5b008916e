"""Evidence that a process was not given the processor: what other work on the machine does is nobody's defect here.

From Linux's own accounts: https://docs.kernel.org/scheduler/sched-stats.html and
https://docs.kernel.org/accounting/psi.html.  Where the kernel keeps none, nothing was ever starved.
"""

import contextlib
import pathlib
import time

_BUSY = 0.8
"""The part of a time in which somebody waits for a processor, from which on a machine is full."""

_SLACK = 4.0
"""Seconds that any process or thread may be kept from the processor on a full machine."""


class Pressure:
    """How full the machine is from now on."""

    def __init__(self) -> None:
        """Begin to look."""
        self._begun = time.monotonic()
        self._before = _some()

    def is_full(self) -> bool:
        """Whether somebody waited for a processor during most of the time.

        Processes that wait for one another, or for a time to be over, make no machine full.
        """
        return _some() - self._before > _BUSY * (time.monotonic() - self._begun)

    def slack(self) -> float:
        """Seconds that what is limited to some may take longer: none, unless the machine is full."""
        return _SLACK if self.is_full() else 0.0


def queued(process: int) -> float:
    """Seconds that a process's threads could have gone on and did not get a processor, since they began."""
    found = 0.0
    for path in pathlib.Path(f"/proc/{process}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # it has ended, or this kernel does not count
            found += int(path.read_text().split()[1]) / 1e9
    return found


def _some() -> float:
    """Seconds since the machine began in which somebody waited for a processor."""
    try:
        with open("/proc/pressure/cpu", encoding="ascii") as file:
            return int(file.readline().rpartition("total=")[2]) / 1e6
    except (OSError, ValueError):
        return 0.0
