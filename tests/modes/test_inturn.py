"""Turns at an API server that does what the real one does: fifty at once, lost answers, lost turns, missing grants."""

import json
import os
import pathlib
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import anyio
import pytest

from agent.adapters.kube import ApiServer
from agent.cluster import leases
from agent.cluster.leases import CONTROL_PLANE, DURATION, LONGEST_WAIT
from agent.errors import HostError
from agent.modes import inturn
from agent.modes.inturn import Queue, World, acquired, taken
from agent.modes.turns import NoTurn
from tests.adapters.kube import Given
from tests.simulators.kube import ADMIN, NAMESPACE, READER, Handler, KubeSimulator

SLOT = "nodeseal-restart-0"
QUICK = 0.002
"""Seconds that a second of waiting takes here."""


@pytest.fixture
def cluster() -> Iterator[KubeSimulator]:
    """One whose reader may write Leases."""
    with KubeSimulator() as simulator:
        simulator.grant("leases")
        yield simulator


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        """At 0."""
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        """Move it."""
        self.now += seconds
        await anyio.sleep(0)

    def world(self) -> World:
        """With the highest chances."""
        return World(lambda: self.now, lambda: datetime.now(timezone.utc), lambda: 1.0, self.sleep)


def spec(cluster: KubeSimulator, name: str = SLOT) -> dict[str, Any]:
    """What stands in a Lease."""
    found: dict[str, Any] = cluster.objects["leases", NAMESPACE, name]["spec"]
    return found


def occupy(cluster: KubeSimulator, holder: str, name: str = SLOT) -> None:
    """Let somebody have a slot."""
    value = {"metadata": {"name": name}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": DURATION}}
    cluster.put_object("Lease", "leases", NAMESPACE, value)


def queue(node: str = "n1", slots: int = 1) -> Queue:
    """Whose turns are asked for."""
    return Queue(node, slots, NAMESPACE)


def kubeconfig(folder: pathlib.Path, cluster: KubeSimulator) -> str:
    """One for the reader."""
    path = folder / "kubeconfig"
    value = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "users": [{"name": "u", "user": {"token": READER}}],
    }
    path.write_text(json.dumps(value))
    path.chmod(0o600)
    return str(path)


@pytest.mark.unmeasured
@pytest.mark.parametrize("slots", [1, 3])
def test_fifty_at_once_take_turns(cluster: KubeSimulator, slots: int) -> None:
    holding, done, most = set[str](), list[str](), 0
    for index in range(50):
        labels = {CONTROL_PLANE: ""} if index < 3 else {}
        cluster.put_object("Node", "nodes", "", {"metadata": {"name": f"n{index}", "labels": labels}, "spec": {}})

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds * QUICK)

    async def one(server: ApiServer, node: str) -> None:
        nonlocal most
        world = World(lambda: time.monotonic() / QUICK, sleep=sleep)
        turn = await acquired(server, queue(node, slots), lambda line: None, world._replace(clock=lambda: 0.0))
        holding.add(node)
        most = max(most, len(holding))
        assert len(holding & {"n0", "n1", "n2"}) <= 1
        await turn.confirm()
        await anyio.sleep(0.005)
        holding.remove(node)
        assert await turn.release()
        done.append(node)

    async def all_of_them() -> None:
        async with ApiServer(Given(cluster.url, ADMIN)) as server, anyio.create_task_group() as group:
            for index in range(50):
                group.start_soon(one, server, f"n{index}")

    anyio.run(all_of_them)
    assert len(done) == 50
    assert 1 <= most <= slots
    assert {key[2] for key in cluster.objects if key[0] == "leases"} == {f"nodeseal-restart-{i}" for i in range(slots)}
    assert all(not spec(cluster, f"nodeseal-restart-{i}")["holderIdentity"] for i in range(slots))


def wait(cluster: KubeSimulator, *, node: str = "n1", slots: int = 1) -> tuple[str, float, list[str]]:
    """The Lease that a node takes, after how many seconds, and what was told meanwhile."""
    at, lines = Time(), list[str]()

    async def one() -> str:
        async with ApiServer(Given(cluster.url, READER)) as server:
            return (await acquired(server, queue(node, slots), lines.append, at.world())).name

    return anyio.run(one), at.now, lines


def test_dead_holder_is_waited_for_as_long_as_it_lasts(cluster: KubeSimulator) -> None:
    occupy(cluster, "dead")
    name, after, lines = wait(cluster)
    assert name == SLOT
    assert DURATION <= after <= DURATION + 60
    assert lines == ["waiting for this node's turn to restart: dead has it"]
    assert spec(cluster)["holderIdentity"] == "n1"
    assert spec(cluster)["leaseTransitions"] == 1


def test_turn_that_does_not_come_is_an_error_after_its_time(cluster: KubeSimulator) -> None:
    occupy(cluster, "busy")
    at = Time()

    async def sleep(seconds: float) -> None:
        await at.sleep(seconds)
        occupy(cluster, "busy")  # it renews

    async def one() -> None:
        async with ApiServer(Given(cluster.url, READER)) as server:
            await acquired(server, queue(), lambda line: None, at.world()._replace(sleep=sleep))

    with pytest.raises(HostError, match="no turn to restart in 1800 s: busy has it; nothing was changed"):
        anyio.run(one)
    assert at.now == LONGEST_WAIT


def test_without_the_grant_there_is_no_turn_and_no_wait(cluster: KubeSimulator) -> None:
    cluster.granted.clear()
    with pytest.raises(HostError, match="no turn to restart: got status 403") as told:
        wait(cluster)
    assert told.value.hint is not None
    assert "rbac-restart-lease.yaml" in told.value.hint


def test_node_that_may_not_read_its_labels_takes_the_control_planes_slot_alone(cluster: KubeSimulator) -> None:
    occupy(cluster, "other")
    assert wait(cluster, slots=3)[0] == SLOT
    cluster.grant("nodes")
    cluster.put_object("Node", "nodes", "", {"metadata": {"name": "n2", "labels": {}}, "spec": {}})
    assert wait(cluster, node="n2", slots=3)[0] == "nodeseal-restart-2"


def test_server_in_trouble_is_waited_for(cluster: KubeSimulator) -> None:
    def busy(handler: Handler) -> bool:
        return handler.refuse(429, "later", Retry_After="7")

    cluster.behave("get", busy)
    name, after, lines = wait(cluster)
    assert (name, after) == (SLOT, 7.0)
    assert "429" in lines[0]


def test_turn_whose_answer_was_lost_is_ours(cluster: KubeSimulator) -> None:
    def lost(handler: Handler) -> bool:
        body = json.loads(handler.simulator.seen[-1].body)
        handler.simulator.put_object("Lease", "leases", NAMESPACE, body)
        return handler.refuse(500, "etcd is away")

    cluster.behave("create", lost)
    assert wait(cluster)[0] == SLOT
    assert spec(cluster)["leaseTransitions"] == 0


def test_turn_that_another_has_taken_is_lost(cluster: KubeSimulator) -> None:
    async def one() -> bool:
        async with ApiServer(Given(cluster.url, READER)) as server:
            turn = await acquired(server, queue(), lambda line: None, Time().world())
            await turn.confirm()
            occupy(cluster, "n1")  # somebody put a label on it: still ours
            await turn.confirm()
            occupy(cluster, "n2")
            with pytest.raises(HostError, match="turn to restart was lost.*n2"):
                await turn.confirm()
            await turn.keep()  # ends
            return await turn.release()

    assert anyio.run(one) is False
    assert spec(cluster)["holderIdentity"] == "n2"


def test_turn_is_confirmed_once_the_server_answers_again_or_not_at_all(cluster: KubeSimulator) -> None:
    at = Time()

    def away(handler: Handler) -> bool:
        return handler.refuse(503, "away")

    async def one() -> float:
        async with ApiServer(Given(cluster.url, READER)) as server:
            turn = await acquired(server, queue(), lambda line: None, at.world())
            cluster.behave("update", away, away)
            await turn.confirm()
            after = at.now
            cluster.behave("update", *[away] * 7)
            with pytest.raises(HostError, match="503"):
                await turn.confirm()
            return after

    assert anyio.run(one) == 10.0
    assert at.now == 40.0


def test_renewal_that_fails_is_tried_again_soon(cluster: KubeSimulator) -> None:
    waits: list[float] = []

    async def one() -> None:
        async with ApiServer(Given(cluster.url, READER)) as server:
            at = Time()

            async def sleep(seconds: float) -> None:
                waits.append(seconds)
                if len(waits) == 4:
                    group.cancel_scope.cancel()
                await at.sleep(seconds)
                await anyio.sleep(0)

            turn = await acquired(server, queue(), lambda line: None, at.world()._replace(sleep=sleep))
            cluster.behave("update", lambda handler: handler.refuse(503, "away"))
            async with anyio.create_task_group() as group:
                group.start_soon(turn.keep)

    anyio.run(one)
    assert waits == [60.0, 5.0, 60.0, 60.0]


def test_turn_is_held_beside_and_given_back_whatever_happens(
    cluster: KubeSimulator, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW", 0.02)
    own = Queue("n1", kubeconfig=kubeconfig(tmp_path, cluster))
    lines: list[str] = []
    threads = threading.active_count()
    for error in (None, HostError("no"), KeyboardInterrupt()):
        try:
            with taken(own, dict(os.environ), lines.append) as confirm:
                assert spec(cluster)["holderIdentity"] == "n1"
                before = cluster.counts["update"]
                end = time.monotonic() + 60
                while cluster.counts["update"] < before + 3:  # while this thread does something else
                    assert time.monotonic() < end
                    time.sleep(0.01)
                confirm()
                if error is not None:
                    raise error
        except (HostError, KeyboardInterrupt) as got:
            assert got is error
        assert spec(cluster)["holderIdentity"] == ""
    assert lines == [f"it is this node's turn to restart: {SLOT}"] * 3
    end = time.monotonic() + 20
    while threading.active_count() > threads + 1:  # the simulator's own
        assert time.monotonic() < end
        time.sleep(0.01)


def test_turn_that_can_not_be_given_back_is_told(cluster: KubeSimulator, tmp_path: pathlib.Path) -> None:
    lines: list[str] = []
    with taken(Queue("n1", kubeconfig=kubeconfig(tmp_path, cluster)), {}, lines.append) as confirm:
        cluster.granted.clear()
        with pytest.raises(HostError, match="lost"):
            confirm()
    assert lines[-1] == f"{SLOT}: could not be given back; it ends by itself, after 300 s"


def test_who_is_to_end_waits_no_longer_and_leaves_no_turn_behind(
    cluster: KubeSimulator, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inturn, "LOOK", 0.01)
    monkeypatch.setattr(leases, "FIRST_PAUSE", 60.0)
    own = Queue("n1", kubeconfig=kubeconfig(tmp_path, cluster))
    occupy(cluster, "n2")
    lines: list[str] = []
    late = taken(own, {}, lines.append, lambda: bool(lines))
    begun = time.monotonic()
    with pytest.raises(NoTurn, match="stopped while it waited"), late:
        raise AssertionError
    assert time.monotonic() - begun < 25  # half of the first pause is more
    assert lines == ["waiting for this node's turn to restart: n2 has it"]
    assert spec(cluster)["holderIdentity"] == "n2"

    occupy(cluster, "")
    with pytest.raises(NoTurn, match="nothing was changed"), taken(own, {}, lines.append, lambda: True):
        raise AssertionError
    assert cluster.counts["update"] >= 2, "taken and given back"
    assert spec(cluster)["holderIdentity"] == ""
    assert len(lines) == 1


def test_without_credentials_there_is_no_turn() -> None:
    own = Queue("n1", kubeconfig="/nonexistent")
    with pytest.raises(HostError, match="no turn to restart"), taken(own, {}, lambda line: None):
        raise AssertionError
