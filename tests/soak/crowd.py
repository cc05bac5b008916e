"""The simulated nodes of a cluster: several processes of them, and what they report together."""

import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from tests.soak.watchers import NEVER, Place, Report, run

Reached = Callable[[Report], bool]


class Crowd:
    """`count` nodes in `processes` processes, between `with` and its end; none asks anything before `start`."""

    def __init__(self, place: Place, count: int, processes: int) -> None:
        """See `watchers.Place`."""
        self.count = count
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for number in range(processes):
            ours, theirs = context.Pipe()
            share = count // processes + (number < count % processes)
            self._pipes.append(ours)
            self._processes.append(context.Process(target=run, args=(theirs, place, share), daemon=True))

    def __enter__(self) -> "Crowd":
        """Start the processes."""
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them."""
        for pipe in self._pipes:
            try:
                pipe.send("end")
            except OSError:
                continue
        for process in self._processes:
            process.join(20)
            if process.is_alive():
                process.kill()
                process.join()

    def start(self) -> float:
        """Let every node begin; when that was."""
        self._all("report")  # then each process is there
        began = time.monotonic()
        for pipe in self._pipes:
            pipe.send("start")
        return began

    def report(self) -> Report:
        """What all have seen until now."""
        return _together(self._all("report"))

    def wait(self, reached: Reached, seconds: float, what: str) -> Report:
        """Until `reached`, telling how far it is.  Raises `AssertionError` after `seconds`."""
        began = told = time.monotonic()
        while not reached(report := self.report()):
            now = time.monotonic()
            assert now - began < seconds, f"{what}: not within {seconds:.0f} s: {said(report)}"
            if now - told >= 5:
                told = now
                print(f"soak: {what}: {now - began:.0f} s: {said(report)}", flush=True)
            time.sleep(0.2 + self.count / 5000)  # whoever reports does nothing else meanwhile
        return report

    def _all(self, question: str) -> list[Report]:
        for pipe in self._pipes:
            pipe.send(question)
        return [pipe.recv() for pipe in self._pipes]


def said(report: Report) -> str:
    """How far they are, in a line."""
    complete, following = (sum(each < NEVER for each in times) for times in (report.complete, report.opened))
    return f"{complete} of {len(report.complete)} have a state, {following} watch"


def quantile(times: Sequence[float], share: float) -> float:
    """The time within which that share of them was through: the nearest rank."""
    return sorted(times)[max(0, math.ceil(share * len(times)) - 1)]


def _together(reports: Sequence[Report]) -> Report:
    told: dict[str, list[float]] = {}
    for value in {value for each in reports for value in each.told}:
        told[value] = [t for each in reports for t in each.told.get(value, [NEVER] * len(each.complete))]
    return Report(
        [t for each in reports for t in each.complete],
        [t for each in reports for t in each.opened],
        told,
        _sum(each.asked for each in reports),
        _sum(each.answered for each in reports),
        _sum(each.failures for each in reports),
        sum(each.untold for each in reports),
        sum(each.sent for each in reports),
        sum(each.received for each in reports),
        sum(each.processor for each in reports),
        sum(each.resident_mib for each in reports),
    )


def _sum(counts: Any) -> Counter[Any]:
    total: Counter[Any] = Counter()
    for each in counts:
        total.update(each)
    return total
