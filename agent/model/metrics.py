"""Metrics as values: families of samples, before anybody renders them.

Pure.  Names, units and suffixes: https://prometheus.io/docs/practices/naming/.  No label is ever an image.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 8.0)
"""Upper bounds of a histogram of pulls: from an answer at hand to the deadline."""


class Kind(str, Enum):
    """What a family is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"
    """A gauge that is 1: its labels are what it says."""


class Histogram:
    """How long things took, by upper bounds in seconds."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        """Nothing was seen yet."""
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Count one; time that ran backwards is none."""
        seconds = max(seconds, 0.0)
        self.sum += seconds
        place = next((i for i, bound in enumerate(self.bounds) if seconds <= bound), len(self.bounds))
        self._counts[place] += 1

    def seen(self) -> "Seen":
        """What was seen up to now."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        return Seen(tuple(buckets), self.sum)


class Seen(NamedTuple):
    """A histogram at a moment: for each upper bound how many were at most that, and the sum of all."""

    buckets: tuple[tuple[str, int], ...]
    sum: float


class Family(NamedTuple):
    """One metric.  `name` is without the suffix that its kind has (`_total`, `_info`); `labels` names its labels.

    `samples` are values by the labels' own, in the order of `labels`; a histogram's are in `seen`.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    samples: Mapping[tuple[str, ...], float] = {}
    seen: Mapping[tuple[str, ...], Seen] = {}

    @property
    def exposed(self) -> str:
        """The name that it is scraped under; a histogram's series add `_bucket`, `_sum`, `_count`."""
        return self.name + {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(self.kind, "")
