"""`make soak-cluster`: many simulated nodes follow one real API server, on loopback.

They start together; a ConfigMap changes; nothing happens for a while; the API server is killed and comes back, at once
and after a minute.  Then one real daemon follows it.  What all that costs, and what it comes to for 5,000 nodes, goes
into docs/performance.md.  It fails if one node does not come to know what it must.

    python -m tests.soak.cluster --nodes N --minutes M
"""

import argparse
import itertools
import os
import pathlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests import permissions
from tests.adapters.kube import ACTIVE
from tests.cluster.objects import NAMESPACE
from tests.documents import put_between
from tests.frozen.program import Program
from tests.soak.arrival import arrivals
from tests.soak.crowd import Crowd, quantile
from tests.soak.phases import Moment, Phase, Setting, arrived, render
from tests.soak.watchers import MARKER, NEVER, Place, Report, resident_mib
from tests.testbed.kube import NODE, VERSION, KubeServer
from tests.testbed.tools import ToolsMissing

NODES = 500
"""What two cores that have other work bear beside the server: with more, the nodes' own handshakes run out of time."""

OBJECTS = 3
BYTES = 4096
"""ConfigMaps that are followed, the marker among them, and what stands in each."""

CHANGES = 3
"""How often the marker is changed: each node writes an event each time, and has ten of them before it must wait."""

ARRIVALS = 20
"""How often the document of the real daemon is changed."""

OUTAGE = 60.0
"""Seconds for which the API server is away the second time."""

OTHERS = 10.0
"""Seconds between two changes of a ConfigMap that is none of ours: without any, this server sends no bookmarks."""

CONFIGMAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"

_PATIENCE = 300.0


class Soak:
    """A server, a crowd, and what is done to them."""

    def __init__(self, server: KubeServer, crowd: Crowd) -> None:
        """Nobody has begun; the server has just started."""
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
        self._crowd.wait(lambda report: _all_follow(report) and not report.untold, _PATIENCE, "start")
        last = self._moment()
        times = [each - began for each in last.report.complete]
        self._add(Phase("start", times, first, last, self._beyond_idle(first, last)))
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
            self._crowd.wait(lambda report: not report.untold, _PATIENCE, "events")
        moment = self._moment()
        self._add(Phase(name, times, first, moment, self._beyond_idle(first, moment), rounds=count))

    def quiet(self, name: str, seconds: float) -> None:
        """Nothing happens to what is followed."""
        first = self._moment()
        while (left := first.at + seconds - time.monotonic()) > 0:
            print(f"soak: {name}: {left:.0f} s left", flush=True)
            time.sleep(min(left, 30))
        last = self._moment()
        self._add(Phase(name, [], first, last, self._beyond_idle(first, last)))

    def outage(self, name: str, seconds: float) -> None:
        """The API server is killed, and back after a while: how long after that each follows again."""
        first = self._moment()
        self._server.kill()
        killed = time.monotonic()
        time.sleep(seconds)
        self._server.start()
        ready = time.monotonic()
        self._crowd.wait(
            lambda report: all(killed < each < NEVER for each in report.opened) and not report.untold, _PATIENCE, name
        )
        last = self._moment()
        times = [max(0.0, each - ready) for each in last.report.opened]
        server = max(0.0, last.server - self.starting - self.idle * (last.at - ready))
        away = sum(count for second, count in last.report.asked.items() if killed <= second < ready)
        self._add(Phase(f"{name}, {ready - killed:.0f} s", times, first, last, server, away=away))

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

    def _add(self, phase: Phase) -> None:
        self.phases.append(phase)
        if phase.times:
            median, last = quantile(phase.times, 0.5), max(phase.times)
            print(f"soak: {phase.name}: median {median:.2f} s, last {last:.2f} s", flush=True)

    def _moment(self) -> Moment:
        etcd, server = (_processor(pid) for pid in self._server.pids)
        return Moment(time.monotonic(), self._crowd.report(), server, etcd)

    def _beyond_idle(self, first: Moment, last: Moment) -> float:
        return max(0.0, last.server - first.server - self.idle * (last.at - first.at))

    def _weigh(self) -> None:
        self.resident.append(resident_mib(self._server.pids[1]))
        self.watchers.append(self._crowd.report().resident_mib)


@contextmanager
def prepared(folder: pathlib.Path) -> Iterator[tuple[KubeServer, Place]]:
    """A server with the agent's own manifest, a node and the ConfigMaps, and where it is."""
    with KubeServer(folder) as server:
        server.make("/api/v1/nodes", {"metadata": {"name": NODE}})
        for value in permissions.objects(permissions.BASE):
            if value["kind"] != "ConfigMap":  # the ones that count are ours
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
            text = whole(pathlib.Path(folder), nodes, quiet=minutes * 60)
        except ToolsMissing as error:
            print(f"soak: needs a real API server: {error}")
            return 1
    print(text)
    put_between("soak-cluster", text)
    return 0


def whole(
    folder: pathlib.Path,
    nodes: int,
    *,
    quiet: float,
    outage: float = OUTAGE,
    arriving: int = ARRIVALS,
    rest: float = 10,
) -> str:
    """Everything; what it came to, as Markdown.  Seconds of what lasts, and how many changes a daemon sees."""
    with prepared(folder) as (server, place):
        with Crowd(place, nodes, min(nodes, os.cpu_count() or 1)) as crowd:
            soak = measured(server, crowd, quiet=quiet, outage=outage, rest=rest)
        (folder / "node").mkdir()
        for name in (MARKER, *(f"document-{number}" for number in range(OBJECTS - 1))):  # no configurations
            server.ask("DELETE", f"{CONFIGMAPS}/{name}")
        changes = arrivals(server, Program(folder / "node" / "host"), arriving)
    resident, watchers = ((each[0], each[1]) for each in (soak.resident, soak.watchers))
    setting = Setting(VERSION, OBJECTS, BYTES, resident, watchers)
    return render(setting, soak.phases) + arrived(changes)


def measured(server: KubeServer, crowd: Crowd, *, quiet: float, outage: float, rest: float) -> Soak:
    """What is done to the crowd, in turn."""
    soak = Soak(server, crowd)
    soak.rest(rest)
    with soak.others():
        soak.storm()
        soak.change("a change", CHANGES)
        soak.quiet("nothing happens", quiet)
        soak.outage("killed, and started at once", 0)
        soak.change("a change after that", 1)
        soak.outage("killed, and away", outage)
        soak.change("a change at the end", 1)
    return soak


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
    parser.add_argument("--nodes", type=int, default=NODES, help="simulated nodes (default: %(default)s)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=6.5,
        help="how long nothing happens: each watch ends once (default: %(default)s)",
    )
    options = parser.parse_args()
    sys.exit(main(options.nodes, options.minutes))
