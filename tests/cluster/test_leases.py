"""Turns by Leases: never more than there are slots, everyone in the end, dead holders' after their time and not before.

Fifty installers play against an API server that does nothing but refuse an update of an older version.
"""

import heapq
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent.cluster import leases
from agent.cluster.leases import CONTROL_PLANE, DURATION, LONGEST_WAIT, MOST_DURATION, Contender, Lease
from agent.cluster.troubles import ApiError, Trouble

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=timezone.utc)
SLOT = "nodeseal-restart-0"


def written(body: Mapping[str, object], version: int) -> bytes:
    """A Lease as the API server keeps it."""
    value = json.loads(json.dumps(body))
    value["metadata"]["resourceVersion"] = str(version)
    return json.dumps(value).encode()


def lease(holder: str = "n2", version: str = "1", **more: Any) -> Lease:
    """One that stands there."""
    return Lease(SLOT, version, holder, DURATION, "", "", 0)._replace(**more)


class Api:
    """Leases under optimistic concurrency, and nothing else."""

    def __init__(self) -> None:
        """Empty."""
        self.version, self.contents = 0, dict[str, bytes]()
        self.refused = 0

    def get(self, name: str) -> Lease | None:
        """One, or none."""
        return leases.read(self.contents[name]) if name in self.contents else None

    def write(self, name: str, body: Mapping[str, Any], *, creates: bool) -> Lease | None:
        """Create or update; None for 409."""
        there = self.get(name)
        if (creates and there) or (
            not creates and (there is None or body["metadata"]["resourceVersion"] != there.version)
        ):
            self.refused += 1
            return None
        self.version += 1
        self.contents[name] = written(body, self.version)
        return leases.read(self.contents[name])


@dataclass
class Cluster:
    """Nodes that want a turn each, in a time of their own; each node's wall clock jumps as it likes."""

    slots: int
    seed: int
    control_plane: int = 0
    dying: int = 0
    hold: float = 40.0
    api: Api = field(default_factory=Api)
    now: float = 0.0
    holding: dict[str, tuple[str, float]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    died: dict[str, float] = field(default_factory=dict)
    taken_over: list[float] = field(default_factory=list)
    most: int = 0

    def run(self, nodes: int, longest: float = 100_000.0) -> None:
        """Until nobody waits any more."""
        chance, order = random.Random(self.seed), 0
        queue: list[tuple[float, int, Callable[[], float | None]]] = []
        for index in range(nodes):
            heapq.heappush(queue, (chance.random(), index, self.node(index, chance, longest)))
        while queue:
            self.now, order, step = heapq.heappop(queue)
            again = step()
            if again is not None:
                heapq.heappush(queue, (self.now + again, order, step))

    def node(self, index: int, chance: random.Random, longest: float) -> Callable[[], float | None]:
        """One node's steps: each says when the next one is."""
        name = f"node-{index}"
        labels = {CONTROL_PLANE: ""} if index < self.control_plane else {}
        dies = index >= self.control_plane and index < self.control_plane + self.dying
        contender: list[Contender] = []
        pending: list[tuple[leases.Request, Lease | None]] = []
        held: list[Lease] = []
        until = [0.0]

        def at() -> datetime:
            """What this node takes for the time."""
            return NOON + timedelta(seconds=chance.choice((-1e7, 0, 1e7, self.now)))

        def step() -> float | None:
            """Look, write a moment later, hold, renew, give back; a look and its write are never one."""
            if not contender:
                contender.append(Contender(name, self.now, longest=longest))
            if held:
                return self._hold(name, held, until[0], at(), dies)
            if pending:
                request, before = pending.pop()
                got = self.api.write(request.name, request.body, creates=request.creates)
                if got is not None:
                    self._took(name, got, before)
                    held.append(got)
                    until[0] = self.now + self.hold
                    return 0.01
            else:
                for slot in leases.slots(self.slots, labels):
                    found = self.api.get(slot)
                    wanted = contender[0].judge(slot, found, self.now, at())
                    if wanted is not None:
                        pending.append((wanted, found))
                        return chance.random() * 0.3
            return contender[0].pause(self.now, chance.random())

        return step

    def _took(self, name: str, got: Lease, before: Lease | None) -> None:
        if before is not None and before.holder in self.died:
            self.taken_over.append(self.now - self.died[before.holder])
            self.holding.pop(before.holder, None)
        assert got.name not in {slot for slot, _ in self.holding.values()}, "two in one slot"
        self.holding[name] = (got.name, self.now)
        alive = [each for each in self.holding if each not in self.died]
        self.most = max(self.most, len(alive))
        assert sum(int(each.rpartition("-")[2]) < self.control_plane for each in alive) <= 1

    def _hold(self, name: str, held: list[Lease], until: float, at: datetime, dies: bool) -> float | None:
        if dies:
            self.died[name] = self.now
            return None
        if self.now >= until:
            assert self.api.write(held[0].name, leases.release(held[0], at), creates=False)
            del self.holding[name]
            self.done.append(name)
            return None
        renewed = self.api.write(held[0].name, leases.renewal(held[0], at), creates=False)
        assert renewed is not None, "lost while it was renewed"
        held[0] = renewed
        return min(leases.RENEW, until - self.now)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_never_more_than_the_slots_and_everyone_in_the_end(slots: int, seed: int) -> None:
    cluster = Cluster(slots, seed)
    cluster.run(50)
    assert sorted(cluster.done) == sorted(f"node-{index}" for index in range(50))
    assert cluster.most == slots
    assert cluster.api.refused or seed, "nobody was ever too late: this tests nothing"


@pytest.mark.parametrize("seed", range(4))
def test_of_the_control_plane_one_at_a_time_however_many_slots(seed: int) -> None:
    cluster = Cluster(5, seed, control_plane=5)
    cluster.run(50)
    assert len(cluster.done) == 50
    assert cluster.most == 5


@pytest.mark.parametrize("seed", range(4))
def test_dead_holders_turn_is_taken_over_after_its_time_and_not_before(seed: int) -> None:
    cluster = Cluster(2, seed, dying=4)
    cluster.run(30)
    assert len(cluster.done) == 26
    nobody_needs = [name for name in cluster.api.contents if (there := cluster.api.get(name)) and there.holder]
    assert len(cluster.taken_over) + len(nobody_needs) == 4
    assert cluster.taken_over
    assert all(DURATION <= each <= DURATION + 3 * leases.MOST_PAUSE for each in cluster.taken_over)


def test_holder_that_lives_keeps_its_turn_however_long_it_lasts() -> None:
    cluster = Cluster(1, 1, hold=20 * DURATION)
    cluster.run(3)
    assert len(cluster.done) == 3
    assert cluster.taken_over == []


def test_wait_is_bounded_and_what_is_left_is_not_waited_beyond() -> None:
    contender, now = Contender("n1", 100.0), 100.0
    pauses = []
    while (pause := contender.pause(now, 1.0)) is not None:
        pauses.append(pause)
        now += pause
    assert now == 100.0 + LONGEST_WAIT
    assert pauses[:3] == [2.0, 4.0, 8.0]
    assert max(pauses) == 60.0
    assert Contender("n1", 0.0).pause(0.0, 0.0) == 1.0
    assert Contender("n1", 0.0).pause(0.0, 0.0, retry_after=100.0) == 100.0


def test_time_counts_from_the_first_look_and_anew_after_each_change() -> None:
    contender = Contender("n1", 0.0)
    first = lease(renewed="2001-01-01T00:00:00.000000Z")  # its clock is wrong: it is not older for that
    assert contender.judge(SLOT, first, 10.0, NOON) is None
    assert contender.judge(SLOT, first, 10.0 + DURATION - 0.1, NOON) is None
    changed = first._replace(version="2")
    assert contender.judge(SLOT, changed, 10.0 + DURATION, NOON) is None
    assert contender.judge(SLOT, changed, 10.0 + 2 * DURATION - 0.1, NOON) is None
    request = contender.judge(SLOT, changed, 10.0 + 2 * DURATION, NOON)
    assert request is not None
    body: Any = request.body
    assert not request.creates
    assert body["metadata"] == {"name": SLOT, "resourceVersion": "2"}
    assert body["spec"] == {
        "holderIdentity": "n1",
        "leaseDurationSeconds": DURATION,
        "acquireTime": "2026-11-28T12:00:00.000000Z",
        "renewTime": "2026-11-28T12:00:00.000000Z",
        "leaseTransitions": 1,
    }


@pytest.mark.parametrize(("says", "lasts"), [(10**9, MOST_DURATION), (0, DURATION), (-1, DURATION), (20, 20)])
def test_nobody_holds_a_slot_for_longer_than_is_bearable(says: int, lasts: int) -> None:
    contender = Contender("n1", 0.0)
    assert contender.judge(SLOT, lease(duration=says), 0.0, NOON) is None
    assert contender.judge(SLOT, lease(duration=says), lasts - 0.1, NOON) is None
    assert contender.judge(SLOT, lease(duration=says), lasts, NOON) is not None


def test_free_slot_is_taken_at_once_and_so_is_ones_own_of_before() -> None:
    contender = Contender("n1", 0.0)
    created = contender.judge(SLOT, None, 0.0, NOON)
    assert created is not None
    assert created.creates
    assert "resourceVersion" not in created.body["metadata"]  # type: ignore[operator]
    assert contender.judge(SLOT, lease(holder=""), 0.0, NOON) is not None
    own: Any = contender.judge(SLOT, lease(holder="n1", transitions=4), 0.0, NOON)
    assert own.body["spec"]["leaseTransitions"] == 4


def test_renewal_always_differs_and_release_has_no_holder() -> None:
    held = lease("n1", acquired="2026-11-28T11:00:00.000000Z", renewed="2026-11-28T12:00:00.000000Z")
    renewed: Any = leases.renewal(held, NOON)
    assert renewed["spec"]["renewTime"] == "2026-11-28T12:00:00.000001Z"
    assert renewed["spec"]["acquireTime"] == "2026-11-28T11:00:00.000000Z"
    assert renewed["metadata"]["resourceVersion"] == "1"
    released: Any = leases.release(held, NOON)
    assert released["spec"]["holderIdentity"] == ""


def test_node_whose_labels_nobody_tells_counts_as_one_of_the_control_plane() -> None:
    assert leases.slots(3, None) == (SLOT,)
    for role in ("control-plane", "etcd", "master"):
        assert leases.slots(3, {f"node-role.kubernetes.io/{role}": "true"}) == (SLOT,)
    assert leases.slots(3, {"node-role.kubernetes.io/worker": ""}) == (
        "nodeseal-restart-2", "nodeseal-restart-1", "nodeseal-restart-0",
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"holderIdentity": 1}},
        {"spec": {"leaseDurationSeconds": "300"}},
        {"spec": {"leaseDurationSeconds": True}},
        {"spec": {"renewTime": []}},
        {"spec": []},
        {"spec": "x"},
        {"metadata": {"name": SLOT}},
        {"metadata": None},
    ],
)
def test_what_is_no_lease_is_refused(change: Mapping[str, object]) -> None:
    value = {"metadata": {"name": SLOT, "resourceVersion": "1"}, "spec": {}, **change}
    with pytest.raises(ApiError) as told:
        leases.read(json.dumps(value).encode())
    assert told.value.trouble is Trouble.MALFORMED


def test_empty_lease_is_nobodys() -> None:
    found = leases.read(json.dumps({"metadata": {"name": SLOT, "resourceVersion": "7"}}).encode())
    assert found == Lease(SLOT, "7", "", 0, "", "", 0)
