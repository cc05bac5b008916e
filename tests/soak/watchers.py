"""Many nodes in one process: the product's own follower, requests and events, and no publisher behind them.

For each ConfigMap that is new to it, a node writes its event.  Labels are not asked for: no document has a selector.
Each node has a connection of its own, as real ones have.  What they share here costs a server nothing: the process, its
one TLS context, the token.  Times are of the clock that all processes of a machine have in common.
"""

import contextlib
import gc
import math
import os
import resource
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from multiprocessing.connection import Connection
from typing import NamedTuple

import anyio

from agent.adapters.kube import ApiServer, Body, Changes
from agent.adapters.kube_access import Access
from agent.adapters.kube_events import Events
from agent.adapters.kube_follow import Follower
from agent.cluster.following import Watch
from agent.cluster.notices import Notice, Reason
from agent.cluster.selections import Found, Selection
from agent.model.configmap import ConfigMap
from tests.cluster.objects import SELECTED
from tests.testbed.kube import NODE

MARKER = "marker"
"""The ConfigMap by whose key `v` states are told apart."""

NEVER = math.inf

_TCP_INFO_BYTES = struct.Struct("=120xQQ")  # tcpi_bytes_acked, tcpi_bytes_received: <linux/tcp.h>
_SAMPLING = 1.0
"""Seconds between two looks at what went over connections: one that ended between them is short by what came after."""


class Place(NamedTuple):
    """Where the server is, and what is shown to it."""

    url: str
    token: str
    certificate: str


class Report(NamedTuple):
    """What the nodes of a process have seen; a list has an entry for each, in seconds or `NEVER`."""

    complete: list[float]
    """When each had its first complete state."""
    opened: list[float]
    """When each one's watch was taken by the server; `NEVER` if it has none now."""
    told: Mapping[str, list[float]]
    """By value of the marker: when each was told of it."""
    asked: Mapping[int, int]
    """Requests, by the second of the clock."""
    answered: Mapping[int, int]
    """Those of them that the server took."""
    failures: Mapping[str, int]
    untold: int
    """Events that are still to be written."""
    sent: int
    """Bytes, as TCP carries them: TLS is in it, headers of packets are not."""
    received: int
    processor: float
    resident_mib: float


class Tally:
    """What a process counts for all of its nodes."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.asked: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self._carried: dict[str, tuple[int, int]] = {}

    def look(self, port: int) -> None:
        """See what connections to the server have carried; each is known by its number in the kernel."""
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile, or not connected yet
                number = os.readlink(f"/proc/self/fd/{name}")
                if not number.startswith("socket:"):
                    continue
                with socket.socket(fileno=os.dup(int(name))) as found:
                    if found.family == socket.AF_INET and found.getpeername()[1] == port:
                        information = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES.size)
                        self._carried[number] = _TCP_INFO_BYTES.unpack(information)

    @property
    def sent(self) -> int:
        """Bytes to the server."""
        return sum(sent for sent, _ in self._carried.values())

    @property
    def received(self) -> int:
        """Bytes from the server."""
        return sum(received for _, received in self._carried.values())


class _Shared(Access):
    """Access with a TLS context that is there already."""

    made: ssl.SSLContext

    def context(self) -> ssl.SSLContext:
        """The one of all."""
        return self.made


class Shown:
    """Credentials that never change."""

    def __init__(self, place: Place, context: ssl.SSLContext) -> None:
        """Of the agent's service account."""
        self._access = _Shared(place.url, f"Bearer {place.token}", place.certificate, "", "", "", "", ())
        self._access.made = context

    async def read(self) -> Access:
        """Them."""
        return self._access


class Node(ApiServer):
    """One node: its connections, its follower, its events, and when it knew what."""

    def __init__(self, credentials: Shown, tally: Tally) -> None:
        """Nothing is asked yet."""
        super().__init__(credentials)
        self._tally = tally
        self.complete = self.opened = NEVER
        self.told: dict[str, float] = {}
        self.follower = Follower(self, SELECTED)
        self.events = Events(self, NODE)
        self._known: dict[str, str] = {}
        self._said = 0

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        limit: int,
        body: Body | None = None,
        kind: str = "",
    ) -> bytes:
        """Counted."""
        self._tally.asked[int(time.monotonic())] += 1
        content = await super().send(method, path, query, limit=limit, body=body, kind=kind)
        self._tally.answered[int(time.monotonic())] += 1
        return content

    @contextlib.asynccontextmanager
    async def changes(self, selection: Selection[Found], asked: Watch) -> AsyncIterator[Changes[Found]]:
        """Counted, and timed."""
        self._tally.asked[int(time.monotonic())] += 1
        async with super().changes(selection, asked) as changes:
            self.opened = time.monotonic()
            self._tally.answered[int(self.opened)] += 1
            try:
                yield changes
            finally:
                self.opened = NEVER

    async def apply(self, state: Mapping[str, ConfigMap]) -> None:
        """Note when it was told."""
        now = time.monotonic()
        self.complete = min(self.complete, now)
        if MARKER in state:
            self.told.setdefault(state[MARKER].data["v"], now)
        for name, each in state.items():
            if self._known.get(name) != each.resource_version:
                self._known[name] = each.resource_version
                self._said += 1
                self.events.tell(Notice.of(each, Reason.ACCEPTED, f"in force, version {each.resource_version}"))

    @property
    def untold(self) -> int:
        """Events that are still to be written."""
        events = self.events
        return self._said - events.written - events.shared - events.dropped - events.failures.total()


def run(pipe: Connection, place: Place, count: int) -> None:
    """A process of `count` nodes: told when to start, then a report whenever one is asked for, until told to end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    anyio.run(_main, pipe, place, count)


async def _main(pipe: Connection, place: Place, count: int) -> None:
    tally, context = Tally(), ssl.create_default_context(cafile=place.certificate)
    port = int(place.url.rpartition(":")[2])
    nodes = [Node(Shown(place, context), tally) for _ in range(count)]
    gc.freeze()
    async with anyio.create_task_group() as group:
        while True:
            await anyio.wait_readable(pipe.fileno())
            match pipe.recv():
                case "start":
                    group.start_soon(_look, tally, port)
                    for node in nodes:
                        group.start_soon(node.follower.follow, node.apply)
                        group.start_soon(node.events.run)
                case "report":
                    tally.look(port)
                    pipe.send(_report(nodes, tally))
                case _:
                    group.cancel_scope.cancel()
                    break
    for node in nodes:
        await node.__aexit__(None, None, None)


async def _look(tally: Tally, port: int) -> None:
    while True:
        await anyio.sleep(_SAMPLING)
        tally.look(port)


def _report(nodes: list[Node], tally: Tally) -> Report:
    failures: Counter[str] = Counter()
    for node in nodes:
        failures.update(node.follower.progress().failures)
        failures.update({f"{trouble.value} (an event)": count for trouble, count in node.events.failures.items()})
    values = {value for node in nodes for value in node.told}
    return Report(
        [node.complete for node in nodes],
        [node.opened for node in nodes],
        {value: [node.told.get(value, NEVER) for node in nodes] for value in values},
        dict(tally.asked),
        dict(tally.answered),
        failures,
        sum(node.untold for node in nodes),
        tally.sent,
        tally.received,
        time.process_time(),
        resident_mib(os.getpid()),
    )


def resident_mib(pid: int) -> float:
    """What a process has in memory now."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
