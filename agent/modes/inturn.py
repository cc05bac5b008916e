"""A node's turn to restart containerd, held by a Lease for as long as an installation lasts.

The installation is synchronous, so requests run on an event loop in a thread beside it, where the Lease is renewed
meanwhile.  What to write and when to take a slot is decided in `agent.cluster.leases`.  A turn that was not got is
`NoTurn`, one that was lost a `HostError`: nothing is restarted without one.
"""

import random as chance
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import NamedTuple

import anyio
from anyio.from_thread import start_blocking_portal

from agent.adapters.kube import ApiServer
from agent.adapters.kube_access import Credentials
from agent.cluster import leases
from agent.cluster.leases import Contender, Lease
from agent.cluster.troubles import ApiError, Trouble
from agent.errors import HostError
from agent.modes.turns import NoTurn

ANSWER = 10.0
"""Seconds for an answer of the API server."""

LOOK = 1.0
"""Seconds between two looks at whether to wait no longer."""

CONFIRM_SECONDS = 30.0
"""How long an API server that does not answer is asked whether a turn is still ours."""

RELEASE_SECONDS = 20.0
"""How long the end of a turn may take; one that is not told ends by itself."""

_GRANT = "it needs what docs/manifests/rbac-restart-lease.yaml grants"

Tell = Callable[[str], None]


class Queue(NamedTuple):
    """Whose turns these are.

    `node` is this node's name in the cluster; `slots` how many nodes may restart at once.  `namespace` is that of the
    Leases, empty for the credentials' own; `kubeconfig` is empty for the pod's service account.
    """

    node: str
    slots: int = 1
    namespace: str = ""
    kubeconfig: str = ""


class World(NamedTuple):
    """Clocks, chance and waiting; `now` is only what people read."""

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    random: Callable[[], float] = chance.random
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep


class Turn:
    """A slot that this node holds."""

    def __init__(self, server: ApiServer, namespace: str, held: Lease, world: World) -> None:
        """`held` is the Lease as it was taken."""
        self._server, self._namespace, self._held, self._world = server, namespace, held, world
        self._writing = anyio.Lock()

    @property
    def name(self) -> str:
        """The Lease's."""
        return self._held.name

    async def confirm(self) -> None:
        """Renew it, so that a whole duration is left.  Raises `HostError` if it is not ours, or nobody can tell."""
        end = self._world.clock() + CONFIRM_SECONDS
        while True:
            try:
                return await self._write()
            except ApiError as error:
                if not leases.passes(error) or self._world.clock() >= end:
                    raise HostError(f"{self._held.name}: the turn to restart was lost: {error.message}") from None
            await self._world.sleep(leases.RENEW_AGAIN)

    async def keep(self) -> None:
        """Renew it until cancelled, or lost."""
        pause = leases.RENEW
        while True:
            await self._world.sleep(pause)
            try:
                await self._write()
                pause = leases.RENEW
            except ApiError as error:
                if not leases.passes(error):
                    return  # `confirm` says so, if it is still asked
                pause = leases.RENEW_AGAIN

    async def release(self) -> bool:
        """Give it back; whether the cluster was told.  Never raises."""
        with anyio.move_on_after(RELEASE_SECONDS, shield=True):
            while True:
                try:
                    await self._write(leases.release)
                    return True
                except ApiError as error:
                    if not leases.passes(error):
                        return False
                await self._world.sleep(1.0)
        return False

    async def _write(self, body: Callable[[Lease, datetime], leases.Json] = leases.renewal) -> None:
        """Raises `ApiError`: `NOT_FOUND` if it is ours no more."""
        async with self._writing:
            try:
                self._held = await self._update(body)
            except ApiError as error:
                if error.trouble is not Trouble.CONFLICT:
                    raise
                # An answer of our own may have been lost, or somebody have put a label on it.
                found = await self._server.lease(self._namespace, self._held.name)
                if found is None or found.holder != self._held.holder:
                    holder = found.holder if found else ""
                    raise ApiError(Trouble.NOT_FOUND, f"got the holder {holder!r}; expected this node") from None
                self._held = found
                self._held = await self._update(body)

    async def _update(self, body: Callable[[Lease, datetime], leases.Json]) -> Lease:
        held = self._held
        return await self._server.update_lease(self._namespace, held.name, body(held, self._world.now()))


@contextmanager
def taken(
    queue: Queue, environment: Mapping[str, str], tell: Tell, ended: Callable[[], bool] = lambda: False
) -> Iterator[Callable[[], None]]:
    """Wait for a turn, and hold it, given back whatever happens; gives what confirms that it still is ours.

    `ended` is whether to wait no longer, and to begin nothing.  Raises `NoTurn`.
    """
    credentials = Credentials(environment, kubeconfig=queue.kubeconfig)
    server = ApiServer(credentials, answer=ANSWER)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server):
        if not queue.namespace:
            try:
                queue = queue._replace(namespace=portal.call(credentials.namespace))
            except ApiError as error:
                raise _refused(error) from None
        turn = portal.call(acquired, server, queue, tell, World(sleep=_until(ended)))
        keeping = portal.start_task_soon(turn.keep)
        try:
            if ended():
                raise _stopped()
            tell(f"it is this node's turn to restart: {turn.name}")
            yield lambda: portal.call(turn.confirm)
        finally:
            keeping.cancel()
            if not portal.call(turn.release):
                tell(f"{turn.name}: could not be given back; it ends by itself, after {leases.DURATION} s")


def _until(ended: Callable[[], bool]) -> Callable[[float], Awaitable[None]]:
    """A sleep that ends early, by an exception, once it is said to."""

    async def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if ended():
                raise _stopped()
            await anyio.sleep(min(left, LOOK))

    return sleep


def _stopped() -> NoTurn:
    return NoTurn("stopped while it waited for its turn to restart; nothing was changed")


async def acquired(server: ApiServer, queue: Queue, tell: Tell, world: World) -> Turn:
    """Wait for a turn.  Raises `NoTurn` after too long a wait, and at once for what can't be waited for."""
    contender = Contender(queue.node, world.clock())
    names: tuple[str, ...] = ()
    told, trouble, retry_after = "", "", 0.0
    while True:
        try:
            names = names or await _names(server, queue)
            for name in names:
                lease = await _tried(server, queue, contender, name, world)
                if lease is not None:
                    return Turn(server, queue.namespace, lease, world)
            trouble, retry_after = "", 0.0
        except ApiError as error:
            if not leases.passes(error):
                raise _refused(error) from None
            trouble, retry_after = error.message, error.retry_after
        why = trouble or f"{', '.join(sorted(contender.holders)) or 'nobody'} has it"
        pause = contender.pause(world.clock(), world.random(), retry_after)
        if pause is None:
            raise NoTurn(
                f"got no turn to restart in {leases.LONGEST_WAIT:g} s: {why}; nothing was changed",
                hint="install again, and it waits anew",
            )
        if why != told:
            tell(f"waiting for this node's turn to restart: {why}")
            told = why
        await world.sleep(pause)


async def _names(server: ApiServer, queue: Queue) -> tuple[str, ...]:
    """The slots that this node may take; with one only there is nothing to ask.  Raises `ApiError`."""
    labels = await server.node_labels(queue.node) if queue.slots > 1 else None
    return leases.slots(queue.slots, labels)


async def _tried(server: ApiServer, queue: Queue, contender: Contender, name: str, world: World) -> Lease | None:
    """One look at one slot; the Lease if it is ours now, None if another was faster.  Raises `ApiError`."""
    found = await server.lease(queue.namespace, name)
    request = contender.judge(name, found, world.clock(), world.now())
    if request is None:
        return None
    try:
        if request.creates:
            return await server.create_lease(queue.namespace, request.body)
        return await server.update_lease(queue.namespace, name, request.body)
    except ApiError as error:
        if error.trouble is Trouble.CONFLICT or (error.trouble is Trouble.NOT_FOUND and not request.creates):
            return None
        raise


def _refused(error: ApiError) -> NoTurn:
    hint = _GRANT if error.trouble is Trouble.FORBIDDEN else ""
    return NoTurn(f"got no turn to restart: {error.message}; nothing was changed", hint=hint)
