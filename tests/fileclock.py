"""The clock of files: it moves in steps of some milliseconds, and changes within one step have the same time."""

import pathlib
import time


def next_step(folder: pathlib.Path) -> None:
    """Wait until what is changed from now on has another time than what was changed before; a file comes and goes."""
    path = folder / "step"
    path.touch()
    now = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == now:
        time.sleep(0.001)
        path.touch()
    path.unlink()
