"""Clocks of processes that are moved on from outside: hours go by in seconds, and nothing else on the machine notices.

libfaketime answers in place of the kernel, for every clock and in every process that is started behind `words`: one
that ends soon, for its clocks do not all move at once.  The times of files stay what they are.
"""

import os
import pathlib

from tests.testbed.tools import faketime


class MovedClock:
    """Clocks that are so many seconds ahead; not at all at first."""

    def __init__(self, folder: pathlib.Path) -> None:
        """A file in `folder` says how far.  Raises `ToolsMissing`."""
        self._library = faketime()
        self.file = folder / "clock"
        self.move_to(0)

    @property
    def words(self) -> tuple[str, ...]:
        """What stands in front of a command."""
        told = f"FAKETIME_TIMESTAMP_FILE={self.file}"
        return "env", f"LD_PRELOAD={self._library}", told, "FAKETIME_NO_CACHE=1"

    def move_to(self, seconds: float) -> None:
        """Be so many seconds ahead from now on; never less than before."""
        new = self.file.with_suffix(".new")
        new.write_text(f"+{seconds:.3f}s\n")
        os.rename(new, self.file)
