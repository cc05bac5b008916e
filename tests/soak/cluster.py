"""`make soak-cluster`: thousands of simulated nodes follow one real API server, on loopback.

They start together; a ConfigMap changes; nothing happens for a while; the API server is killed and comes back, at once
and after a minute.  What a server and a node pay for that, and what it comes to for 5,000 nodes, goes into
docs/performance.md.  It fails if one node does not come to know what it must.  `python -m tests.soak.cluster --nodes N --minutes M`.
"""

import argparse
import itertools
import os
import pathlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from agent.cluster.following import WATCH_SHORTEST, WATCH_SPREAD
from tests import permissions
from tests.adapters.kube import ACTIVE
from tests.bench.figures import machine
from tests.cluster.objects import NAMESPACE
from tests.documents import put_between
from tests.soak.crowd import Crowd, quantile
from tests.soak.watchers import MARKER, NEVER, Place, Report, resident_mib
from tests.testbed.kube import VERSION, KubeServer
from tests.testbed.tools import ToolsMissing

CLUSTER = 5000
"""Nodes of the largest cluster that Kubernetes promises to bear."""

OBJECTS = 3
BYTES = 4096
"""ConfigMaps that are followed, the marker among them, and what stands in each."""

CHANGES = 5
OUTAGE = 60.0
"""Seconds for which the API server is away the second time."""

OTHERS = 10.0
"""Seconds between two changes of a ConfigMap that is none of ours: without any, this server sends no bookmarks."""

_PATIENCE = 300.0


class Moment(NamedTuple):
    """Everything that is counted, as it stood at a time."""

    at: float
    report: Report
    server: float
    """Seconds of the processor that the API server took, of the process that runs now."""
    etcd: float


class Phase(NamedTuple):
    """What happened between two moments; times are in seconds, by node."""

    name: str
    times: Sequence[float]
    first: Moment
    last: Moment
    server: float
    """Seconds of the API server's processor."""

    @property
    def nodes(self) -> int:
        """How many."""
        return len(self.last.report.complete)

    def of(self, field: str) -> float:
        """How much a count of the report has grown."""
        return float(getattr(self.last.report, field) - getattr(self.first.report, field))

    @property
    def asked(self) -> dict[int, int]:
        """Requests by second."""
        return _grown(self.first.report.asked, self.last.report.asked)

    @property
    def answered(self) -> dict[int, int]:
        """Requests that the server took, by second."""
        return _grown(self.first.report.answered, self.last.report.answered)


class Soak:
    """A server, a crowd, and what is done to them."""

    def __init__(self, server: KubeServer, crowd: Crowd) -> None:
        """Nobody has begun."""
        self._server = server
        self._crowd = crowd
        self.phases: list[Phase] = []
        self.resident: list[float] = []
        """MiB of the API server: before anybody came, and with all."""
        self.watchers: list[float] = []
        """MiB of the crowd, likewise."""
        self.starting = _processor(server.pids[1])
        """Seconds of the processor that the API server takes to start."""
        self.idle = 0.0
        """Cores that it takes with nobody there."""

    def rest(self, seconds: float) -> None:
        """See what a server costs that has nothing to do."""
        began = _processor(self._server.pids[1])
        time.sleep(seconds)
        self.idle = (_processor(self._server.pids[1]) - began) / seconds

    def storm(self) -> None:
        """All begin at once."""
        self._weigh()
        first = self._moment()
        began = self._crowd.start()
        self._crowd.wait(_all_follow, _PATIENCE, "start")
        last = self._moment()
        times = [each - began for each in last.report.complete]
        self._add("start", times, first, last, last.server - first.server)
        self._weigh()

    def change(self, name: str, count: int) -> None:
        """One ConfigMap is changed, `count` times: how long after the server's answer each was told."""
        first, times = self._moment(), []
        for number in range(count):
            value = f"{name} {number}"
            put(self._server, MARKER, value)
            answered = time.monotonic()
            last = self._crowd.wait(lambda report, value=value: _all_told(report, value), _PATIENCE, value)  # type: ignore[misc]
            times += [each - answered for each in last.told[value]]
        moment = self._moment()
        self._add(name, times, first, moment, moment.server - first.server)

    def quiet(self, name: str, seconds: float) -> None:
        """Nothing happens to what is followed."""
        first = self._moment()
        while (left := first.at + seconds - time.monotonic()) > 0:
            print(f"soak: {name}: {left:.0f} s left", flush=True)
            time.sleep(min(left, 30))
        last = self._moment()
        self._add(name, [], first, last, last.server - first.server)

    def outage(self, name: str, seconds: float) -> None:
        """The API server is killed, and back after a while: how long after that each follows again."""
        first = self._moment()
        self._server.kill()
        killed = time.monotonic()
        time.sleep(seconds)
        self._server.start()
        ready = time.monotonic()
        self._crowd.wait(lambda report: all(killed < each < NEVER for each in report.opened), _PATIENCE, name)
        last = self._moment()
        times = [max(0.0, each - ready) for each in last.report.opened]
        server = max(0.0, last.server - self.starting)
        self._add(f"{name}, {ready - killed:.0f} s", times, first, last, server)

    @contextmanager
    def others(self) -> Iterator[None]:
        """Let something happen, meanwhile, to what is not followed: in a cluster something always does."""
        over = threading.Event()

        def change() -> None:
            for number in itertools.count():
                if over.wait(OTHERS):
                    return
                value = {"metadata": {"name": "other"}, "data": {"v": str(number)}}
                with suppress(OSError, AssertionError):  # while the server is away
                    self._server.make("/api/v1/namespaces/kube-system/configmaps", value)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _add(self, name: str, times: Sequence[float], first: Moment, last: Moment, server: float) -> None:
        self.phases.append(Phase(name, times, first, last, server))
        if times:
            print(f"soak: {name}: median {quantile(times, 0.5):.2f} s, last {max(times):.2f} s", flush=True)

    def _moment(self) -> Moment:
        etcd, server = (_processor(pid) for pid in self._server.pids)
        return Moment(time.monotonic(), self._crowd.report(), server, etcd)

    def _weigh(self) -> None:
        self.resident.append(resident_mib(self._server.pids[1]))
        self.watchers.append(self._crowd.report().resident_mib)


@contextmanager
def prepared(folder: pathlib.Path) -> Iterator[tuple[KubeServer, Place]]:
    """A server with the agent's own manifest and the ConfigMaps, and where it is."""
    with KubeServer(folder) as server:
        for value in permissions.objects(permissions.BASE):
            server.make(permissions.path(value), value)
        for number in range(OBJECTS - 1):
            put(server, f"document-{number}", "0")
        put(server, MARKER, "0")
        token = server.token(permissions.NAMESPACE, permissions.ACCOUNT)
        yield server, Place(server.url, token, server.certificate)


def put(server: KubeServer, name: str, value: str) -> None:
    """Create or change one of the ConfigMaps."""
    data = {"v": value, "config.json": "x" * BYTES}
    server.make(
        f"/api/v1/namespaces/{NAMESPACE}/configmaps", {"metadata": {"name": name, "labels": ACTIVE}, "data": data}
    )


def main(nodes: int, minutes: float) -> int:
    """Run, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with prepared(pathlib.Path(folder)) as (server, place), Crowd(place, nodes, os.cpu_count() or 1) as crowd:
                text = render(measured(server, crowd, minutes * 60))
        except ToolsMissing as error:
            print(f"soak: needs a real API server: {error}")
            return 1
    print(text)
    put_between("soak-cluster", text)
    return 0


def measured(server: KubeServer, crowd: Crowd, quiet: float) -> Soak:
    """Everything, in turn.  `quiet` is for how many seconds nothing happens."""
    soak = Soak(server, crowd)
    soak.rest(10)
    with soak.others():
        soak.storm()
        soak.change("change", CHANGES)
        soak.quiet("nothing happens", quiet)
        soak.outage("killed, and started at once", 0)
        soak.change("change after that", 1)
        soak.outage("killed, and away", OUTAGE)
        soak.change("change at the end", 1)
    return soak


def render(soak: Soak) -> str:
    """The figures as Markdown."""
    nodes = soak.phases[0].nodes
    lines = [
        f"{machine()}",
        "",
        f"kube-apiserver {VERSION} and etcd, one of each, on the same machine as {nodes} simulated nodes; {OBJECTS} "
        f"ConfigMaps of {BYTES // 1024} KiB. The nodes took {soak.phases[-1].last.report.processor:.0f} s of the processor, "
        "which real ones bring along: times of a real server are shorter.",
        "",
        "| | median, s | 99 of 100, s | last, s | requests per node | received, bytes per node | sent | most requests in a "
        "second | API server, ms of processor per node | etcd, ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(each) for each in soak.phases),
        "",
        "| | requests that failed |",
        "|---|---|",
        *(f"| {each.name} | {_failures(each)} |" for each in soak.phases if _failures(each)),
        "",
        f"The API server's memory: {soak.resident[0]:.0f} MiB before, {soak.resident[1]:.0f} MiB with all, "
        f"{(soak.resident[1] - soak.resident[0]) / nodes * 1024:.0f} KiB per node.",
        "",
        *extrapolated(soak),
    ]
    return "\n".join(lines)


def extrapolated(soak: Soak) -> Iterator[str]:
    """What the figures come to for a large cluster."""
    yield f"| for {CLUSTER:,} nodes, from these {soak.phases[0].nodes:,} | |"
    yield "|---|---|"
    for each in soak.phases:
        if each.times and each.of("lists") + each.of("watches") > 0:
            busy = (each.server + each.last.etcd - each.first.etcd) / each.nodes * CLUSTER
            sent = each.of("received") / each.nodes * CLUSTER / 1e6
            yield f"| {each.name}: one core of the control plane is busy for; is sent | {busy:.0f} s; {sent:.0f} MB |"
        elif each.times:
            changes = len(each.times) // each.nodes
            sent = each.of("received") / each.nodes / changes * CLUSTER / 1e6
            busy = each.server / each.nodes / changes * CLUSTER
            yield f"| {each.name}: one core is busy for; is sent | {busy:.1f} s; {sent:.0f} MB |"
        else:
            hour = 3600 / (each.last.at - each.first.at)
            renewals = 3600 / (WATCH_SHORTEST + WATCH_SPREAD / 2)
            asked, received = (each.of(name) / each.nodes * hour for name in ("watches", "received"))
            yield (
                f"| {each.name}, an hour: requests and bytes per node; requests per second, all | {asked:.0f} ({renewals:.0f} "
                f"by the rules); {received:.0f}; {asked * CLUSTER / 3600:.0f} |"
            )
            core = (each.server / (each.last.at - each.first.at) - soak.idle) / each.nodes * CLUSTER
            yield f"| {each.name}: of one core of the API server | {core * 100:.0f} % |"
    yield ""


def _row(phase: Phase) -> str:
    per = [_per_node(phase, name) for name in ("requests", "received", "sent")]
    times = [f"{quantile(phase.times, share):.2f}" if phase.times else "" for share in (0.5, 0.99, 1.0)]
    etcd = phase.last.etcd - phase.first.etcd
    cells = [
        phase.name, *times, f"{per[0]:.2f}", f"{per[1]:.0f}", f"{per[2]:.0f}", str(max(phase.asked.values(), default=0)),
        f"{phase.server / phase.nodes * 1000:.2f}", f"{etcd / phase.nodes * 1000:.2f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _per_node(phase: Phase, what: str) -> float:
    if what == "requests":
        return sum(phase.asked.values()) / phase.nodes
    return phase.of(what) / phase.nodes


def _failures(phase: Phase) -> str:
    grown = _grown(phase.first.report.failures, phase.last.report.failures)
    return ", ".join(f"{name} {count}" for name, count in sorted(grown.items()))


def _grown(before: Mapping[Any, int], after: Mapping[Any, int]) -> dict[Any, int]:
    return {key: count - before.get(key, 0) for key, count in after.items() if count > before.get(key, 0)}


def _all_follow(report: Report) -> bool:
    return max(report.complete) < NEVER and max(report.opened) < NEVER


def _all_told(report: Report, value: str) -> bool:
    return value in report.told and max(report.told[value]) < NEVER


def _processor(pid: int) -> float:
    """Seconds of the processor that a process took, user and system."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.cluster", description="Measure, and write docs/performance.md."
    )
    parser.add_argument("--nodes", type=int, default=CLUSTER, help="simulated nodes (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=6, help="how long nothing happens (default: %(default)s)")
    options = parser.parse_args()
    sys.exit(main(options.nodes, options.minutes))
