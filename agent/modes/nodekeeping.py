"""Tells the cluster what the proofs say of this node: its condition, an event when that changes, its startup taint.

What to write and when is decided in `agent.cluster.nodes`.  Each right is optional: what the API server refuses is said
once, and everything else goes on.
"""

import random as chance
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timezone

import anyio
from anyio import to_thread

from agent.adapters.kube import ApiServer
from agent.adapters.kube_access import Credentials
from agent.cluster import nodes
from agent.cluster.nodes import Condition, Keeper, Node
from agent.cluster.troubles import ApiError, Trouble
from agent.modes.proofs import Proofs
from agent.modes.source import Cluster
from agent.modes.tasks import Taint
from agent.ports import Log
from agent.wiring.elsewhere import elsewhere
from agent.wiring.proof import State

SWEEPING = 120.0
"""Most seconds that a sweep may take that began just before the taint's limit."""

_STATUS = {State.ENFORCING: "True", State.UNKNOWN: "Unknown"}  # and False

Sweep = Callable[[], Awaitable[Mapping[str, int]]]
"""Judges the images that are present; what came of how many."""


class NodeKeeper:
    """Keeps one node's object; `sweep` is done once, between the first proof and the taint's removal."""

    def __init__(
        self,
        node: str,
        proofs: Proofs,
        log: Log,
        *,
        taint: Taint | None = None,
        sweep: Sweep,
        wiring: Callable[[], str] = str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        random: Callable[[], float] = chance.random,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """`node` is its name in the cluster; `wiring` reads what is wrong with the node's wiring, in a thread.

        What follows that is the world's.
        """
        self._node = node
        self._proofs = proofs
        self._log = log
        self._taint = taint
        self._sweep = sweep
        self._wiring = wiring
        self._clock, self._now, self._random, self._sleep = clock, now, random, sleep
        self._unproved = False
        self._said: set[str] = set()
        self.condition: Condition | None = None
        """What was written last."""
        self.taint = "none"
        """What became of the startup taint: waiting, sweeping, removed, released (without a proof), none."""
        self.swept: Mapping[str, int] = {}

    def as_json(self) -> dict[str, object]:
        """For people."""
        condition = self.condition._asdict() if self.condition else None
        return {"condition": condition, "startupTaint": self.taint, "swept": dict(self.swept)}

    async def follow(self, cluster: Cluster, environment: Mapping[str, str]) -> None:
        """Keep it until cancelled."""
        async with ApiServer(Credentials(environment, kubeconfig=cluster.kubeconfig)) as server:
            await self.run(server)

    async def run(self, server: ApiServer) -> None:
        """Keep it until cancelled."""
        async with anyio.create_task_group() as group:
            if self._taint and self.taint not in ("removed", "released"):
                group.start_soon(self._rid_of_taint, server, self._taint)
            group.start_soon(self._keep_condition, server)

    async def _keep_condition(self, server: ApiServer) -> None:
        found = await self._found(server)
        while self._proofs.proved.last is None:
            await self._proofs.next()
        keeper = Keeper(found)
        while True:
            wait = keeper.wait(self._current(), self._clock())
            if wait <= 0:
                if found is None and not self._proofs.proved.proof.is_enforcing:
                    found = await self._found(server)
                await self._write(server, keeper, self._current())
                continue
            with anyio.move_on_after(wait):
                await self._proofs.next()

    def _current(self) -> Condition:
        proof = self._proofs.proved.proof
        status = _STATUS.get(proof.state, "False")
        if proof.is_enforcing:
            self._unproved = False
        return Condition("False" if self._unproved else status, proof.reason.value, proof.message)

    async def _found(self, server: ApiServer) -> Node | None:
        """The node as it is: the time since its condition has its status, and what its kubelet says of it."""
        try:
            found = await server.node(self._node)
        except ApiError:
            return None
        self._proofs.explain(elsewhere(found.runtime, found.system))
        return found

    async def _write(self, server: ApiServer, keeper: Keeper, condition: Condition) -> None:
        at, wiring = self._now(), await to_thread.run_sync(self._wiring)
        if wiring:
            condition = condition._replace(message=f"{condition.message}; {wiring}")
        try:
            await server.change_node_status(self._node, keeper.body(condition, at))
        except ApiError as error:
            if keeper.failed(error, self._clock(), self._random()):
                self._log.warning("node condition not written", node=self._node, reason=error.message)
            return
        self.condition = condition
        if keeper.wrote(condition, at, self._clock(), self._random()):
            self._log.info("node condition", node=self._node, status=condition.status, reason=condition.reason)
            try:
                await server.create_event(nodes.EVENTS, nodes.event(self._node, condition, at))
            except ApiError as error:
                self._once("event on the node not written", error)

    async def _rid_of_taint(self, server: ApiServer, taint: Taint) -> None:
        """Remove the startup taint once images are verified, or when it is time; nothing if the node has none."""
        deadline = None if taint.limit is None else self._clock() + taint.limit
        if not await self._has(server, taint.key):
            return
        self.taint = "waiting"
        self._log.info("startup taint", key=taint.key, limit=taint.limit)
        proved = await self._until(deadline, self._enforcing)
        if proved:
            self.taint = "sweeping"
            end = None if deadline is None else max(deadline, self._clock() + SWEEPING)
            proved = await self._until(end, self._swept)
        if not proved:
            self._unproved = not self._proofs.proved.proof.is_enforcing
            message = self._proofs.proved.proof.message
            self._log.error("startup taint released without a proof", key=taint.key, reason=message)
        await self._remove(server, taint.key)
        self.taint = "removed" if proved else "released"
        self._log.info("startup taint removed", key=taint.key, proved=proved)

    async def _until(self, deadline: float | None, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether `work` came to its end in time."""
        left = None if deadline is None else max(deadline - self._clock(), 0)
        with anyio.move_on_after(left):
            await work()
            return True
        return False

    async def _enforcing(self) -> None:
        while not self._proofs.proved.proof.is_enforcing:
            await self._proofs.next()

    async def _swept(self) -> None:
        self.swept = await self._sweep()
        tell = self._log.info if set(self.swept) <= {"allowed"} else self._log.warning
        tell("images present before", **self.swept)

    async def _has(self, server: ApiServer, key: str) -> bool:
        """Whether the node has the taint; asked until there is an answer."""
        failures = 0
        while True:
            failures += 1
            try:
                return any(each.get("key") == key for each in (await server.node(self._node)).taints)
            except ApiError as error:
                if error.trouble is Trouble.NOT_FOUND:
                    return False
                self._once("startup taint can't be read", error)
                await self._sleep(nodes.again(failures, error, self._random()))

    async def _remove(self, server: ApiServer, key: str) -> None:
        """Remove it; until it is gone.  Others may change the taints meanwhile: then it is looked at anew."""
        failures = 0
        while True:
            failures += 1
            try:
                patch = nodes.without_taint(await server.node(self._node), key)
                if patch:
                    await server.change_node(self._node, patch)
                return
            except ApiError as error:
                if error.trouble is Trouble.NOT_FOUND:
                    return
                self._once("startup taint not removed yet", error)
                await self._sleep(nodes.again(failures, error, self._random()))

    def _once(self, event: str, error: ApiError) -> None:
        said = f"{event} {error.trouble.value}"
        if said not in self._said:
            self._said.add(said)
            self._log.warning(event, node=self._node, reason=error.message)
