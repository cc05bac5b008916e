"""What a measurement says: values with their spread, ratios within one run, goals, and all of it as Markdown.

A ratio is made of the two values of one round, so that a machine's moods fall on both; what is said is the median of
these ratios, and their quartiles.
"""

import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.documents import put_between


class Spread(NamedTuple):
    """Many values of one thing: the median, and the quartiles about it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of at least one value."""
        ordered = sorted(values)
        if len(ordered) == 1:
            return cls(ordered[0], ordered[0], ordered[0])
        low, _, high = statistics.quantiles(ordered, n=4, method="inclusive")
        return cls(low, statistics.median(ordered), high)


def ratio(mine: Sequence[float], others: Sequence[float]) -> Spread:
    """How many times the others' value ours is, round by round."""
    return Spread.of(one / other for one, other in zip(mine, others, strict=True))


class Figure(NamedTuple):
    """One line of a table: what was measured, what it is, and the most that it should be, if that was said.

    A single number is a spread without width.  `digits` stand behind the point.
    """

    what: str
    value: Spread | float
    goal: float | None = None
    digits: int = 2

    @property
    def middle(self) -> float:
        """What the goal is held against."""
        return self.value.median if isinstance(self.value, Spread) else self.value

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached, before anything is rounded; None without one."""
        return None if self.goal is None else self.middle <= self.goal

    def row(self) -> str:
        """The line."""
        spread = ""
        if isinstance(self.value, Spread):
            spread = f"{self.value.low:.{self.digits}f} to {self.value.high:.{self.digits}f}"
        goal = "" if self.goal is None else f"≤ {self.goal:g}"
        said = {None: "", True: "met", False: "**missed**"}[self.met]
        return f"| {self.what} | {self.middle:.{self.digits}f} | {spread} | {goal} | {said} |"


def table(figures: Iterable[Figure]) -> list[str]:
    """Figures as a Markdown table."""
    head = ["| figure | median | quartiles | goal | |", "|---|---|---|---|---|"]
    return [*head, *(figure.row() for figure in figures), ""]


class Section(NamedTuple):
    """What one family of measurements found: paragraphs and tables, as lines of Markdown."""

    name: str
    lines: list[str]

    @property
    def mark(self) -> str:
        """What its marks in the document are called."""
        return f"bench-{self.name}"

    def text(self) -> str:
        """All of it, the machine first."""
        return "\n".join([f"{machine()}.", "", *self.lines]).rstrip("\n") + "\n"

    def write(self) -> None:
        """Put it into docs/performance.md."""
        put_between(self.mark, self.text())


def machine() -> str:
    """What was measured on: processor, memory, kernel, interpreter; nothing that names the machine."""
    model = _said(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo")) or platform.machine()
    kib = _said(r"^MemTotal:\s*(\d+) kB$", Path("/proc/meminfo")) or "0"
    kernel = re.match(r"[0-9.]*[0-9]", platform.release())
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} core{'s' if cores > 1 else ''} ({' '.join(model.split())}), {int(kib) / 1024**2:.0f} GiB, "
        f"Linux {kernel[0] if kernel else ''}, CPython {platform.python_version()}"
    )


def _said(pattern: str, path: Path) -> str:
    found = re.search(pattern, path.read_text(), re.MULTILINE)
    return found[1] if found else ""
