"""The program from source, under a wall clock that is moved on: `python -m tests.bench.moved FILE WORDS...`.

FILE says how far ahead, as `tests.testbed.clock.MovedClock` writes it; WORDS are the program's own.  The clock that
deadlines are kept by goes as usual.  For what lives long: a library in front of the kernel's clocks moves them one
after another, and a daemon that sees an hour pass between two looks at them gives up what it was at.
"""

import datetime
import sys
import time
from pathlib import Path

_REAL, _SECONDS = datetime.datetime, time.time


class _Moved(datetime.datetime):
    """The class of all times, with another idea of now."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "_Moved":
        """As `datetime.datetime.now`."""
        return cls.fromtimestamp(time.time(), tz)


def move(file: Path) -> None:
    """Have every module that is imported from now on live by the moved clock."""

    def moved() -> float:
        return _SECONDS() + float(file.read_text().strip("+s\n"))

    time.time = moved
    datetime.datetime = _Moved  # type: ignore[misc]


if __name__ == "__main__":
    move(Path(sys.argv[1]))
    from agent import cli

    cli.main(["nodeseal", *sys.argv[2:]])
