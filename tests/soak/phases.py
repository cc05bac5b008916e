"""What was counted while a crowd of nodes followed an API server, and what it says, as Markdown."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from agent.cluster.following import WATCH_SHORTEST, WATCH_SPREAD
from tests.bench.figures import machine
from tests.soak.arrival import Arrival
from tests.soak.crowd import quantile
from tests.soak.watchers import Report

CLUSTER = 5000
"""Nodes of the largest cluster that Kubernetes promises to bear."""

_COLUMNS = (
    "", "median, s", "99 of 100, s", "last, s", "requests per node", "of them while it is away", "most in a second",
    "received per node, bytes", "sent, bytes", "API server, ms of processor per node", "etcd, ms", "the node, ms",
)  # fmt: skip


class Moment(NamedTuple):
    """Everything that is counted, as it stood at a time."""

    at: float
    report: Report
    server: float
    """Seconds of the processor that the API server took, of the process that runs now."""
    etcd: float


class Phase(NamedTuple):
    """What happened between two moments, `rounds` times; times are in seconds, by node."""

    name: str
    times: Sequence[float]
    first: Moment
    last: Moment
    server: float
    """Seconds of the API server's processor, without those that it takes anyway."""
    rounds: int = 1
    away: int = 0
    """Requests while there was no server."""

    @property
    def nodes(self) -> int:
        """How many."""
        return len(self.last.report.complete)

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.last.at - self.first.at

    @property
    def etcd(self) -> float:
        """Seconds of etcd's processor."""
        return self.last.etcd - self.first.etcd

    @property
    def asked(self) -> Mapping[int, int]:
        """Requests, by second."""
        return Counter(self.last.report.asked) - Counter(self.first.report.asked)

    @property
    def failures(self) -> Mapping[str, int]:
        """Requests that failed, by kind."""
        return Counter(self.last.report.failures) - Counter(self.first.report.failures)

    @property
    def received(self) -> int:
        """Bytes that the server sent."""
        return self.last.report.received - self.first.report.received

    @property
    def sent(self) -> int:
        """Bytes that nodes sent."""
        return self.last.report.sent - self.first.report.sent

    def each(self, amount: float) -> float:
        """What comes to one node in one round."""
        return amount / self.nodes / self.rounds


class Setting(NamedTuple):
    """What was measured on."""

    version: str
    objects: int
    bytes: int
    resident: tuple[float, float]
    """MiB of the API server: before anybody came, and with all."""
    watchers: tuple[float, float]
    """MiB of the simulated nodes: before they began, and when all followed."""


def render(setting: Setting, phases: Sequence[Phase]) -> str:
    """The figures; empty line at the end."""
    nodes = phases[0].nodes
    before, with_all = setting.resident
    watcher = (setting.watchers[1] - setting.watchers[0]) / nodes * 1024
    lines = [
        machine(),
        "",
        f"kube-apiserver {setting.version} and etcd, one of each, on the same machine as {nodes:,} simulated nodes; "
        f"{setting.objects} ConfigMaps of {setting.bytes // 1024} KiB. Real nodes bring processors of their own, and "
        "are quicker.",
        "",
        _line(_COLUMNS),
        _line(["---"] * len(_COLUMNS)),
        *(_line(_cells(each)) for each in phases),
        "",
        *(f"- {each.name}, requests that failed: {_failures(each)}" for each in phases if each.failures),
        f"- the API server's memory: {before:.0f} MiB before, {with_all:.0f} MiB with all, "
        f"{(with_all - before) / nodes * 1024:.0f} KiB for each; a simulated node's: {watcher:.0f} KiB",
        "",
        f"For {CLUSTER:,} nodes, {CLUSTER / nodes:g} times what {nodes:,} came to:",
        "",
        "| | API server and etcd, seconds of one core | sent by the server, MB | |",
        "|---|---|---|---|",
        *(_line(_extrapolated(each)) for each in phases),
        "",
    ]
    return "\n".join([*lines, ""])


def arrived(changes: Sequence[Arrival]) -> str:
    """The figures of one real daemon."""
    published, pulls = ([each[place] * 1000 for each in changes] for place in (0, 1))
    return (
        f"One real daemon, {len(changes)} changes: in force {quantile(published, 0.5):.0f} ms after the API server's "
        f"answer to the write (median; worst {max(published):.0f}); the next pull, under it, took "
        f"{quantile(pulls, 0.5):.0f} ms (worst {max(pulls):.0f}).\n"
    )


def _cells(phase: Phase) -> Iterator[str]:
    yield phase.name
    yield from (f"{quantile(phase.times, share):.2f}" if phase.times else "" for share in (0.5, 0.99, 1.0))
    yield f"{phase.each(sum(phase.asked.values())):.2f}"
    yield f"{phase.each(phase.away):.2f}" if phase.away else ""
    yield str(max(phase.asked.values(), default=0))
    yield from (f"{phase.each(amount):.0f}" for amount in (phase.received, phase.sent))
    node = phase.last.report.processor - phase.first.report.processor
    yield from (f"{phase.each(seconds) * 1000:.2f}" for seconds in (phase.server, phase.etcd, node))


def _extrapolated(phase: Phase) -> Iterator[str]:
    core, sent = (phase.each(amount) * CLUSTER for amount in (phase.server + phase.etcd, phase.received))
    if phase.times:
        yield from (phase.name, f"{core:.1f}", f"{sent / 1e6:.0f}", "")
        return
    hour = 3600 / phase.seconds
    asked, received = (phase.each(amount) * hour for amount in (sum(phase.asked.values()), phase.received))
    rule = 3600 / (WATCH_SHORTEST + WATCH_SPREAD / 2)
    yield from (f"{phase.name}, for an hour", f"{core * hour:.0f}", f"{sent * hour / 1e6:.0f}")
    yield f"per node {asked:.0f} requests ({rule:.0f} by the rules), {received / 1000:.1f} kB"


def _failures(phase: Phase) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(phase.failures.items()))


def _line(cells: Iterator[str] | Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
