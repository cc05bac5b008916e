"""Follows the objects that a selection names, for ever: the loops; decisions are in `agent.cluster.following`."""

import random as chance
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, NamedTuple

import anyio

from agent.adapters.kube import ApiServer, Silent
from agent.adapters.nodestate import moment
from agent.cluster.following import Following, List, Watch
from agent.cluster.selections import Found, Selection
from agent.cluster.troubles import ApiError, Trouble
from agent.rules.breakglass import Moment

QUIET = 0.02
"""Seconds without a change after which a burst has ended."""

BURST = 0.1
"""Seconds after which a burst is told though it goes on."""

Apply = Callable[[Mapping[str, Found]], Awaitable[None]]
"""Is given the complete set, by name.  What it raises ends `follow`."""


class Progress(NamedTuple):
    """What operators see: `trouble` is why the last request failed, empty if it did not."""

    objects: int | None
    lists: int
    watches: int
    failures: Mapping[str, int]
    trouble: str
    last_complete: Moment | None


class Follower(Generic[Found]):
    """One selection at one server."""

    def __init__(
        self,
        server: ApiServer,
        selection: Selection[Found],
        *,
        now: Callable[[], Moment] = moment,
        random: Callable[[], float] = chance.random,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """`now`, `random` and `sleep` are the world's; `sleep` is what waits before requests."""
        self._server = server
        self._selection = selection
        self._now = now
        self._sleep = sleep
        self._following: Following[Found] = Following(random)
        self._last_trouble: Trouble | None = None
        self._changed = anyio.Event()
        self._list_began: Moment | None = None
        self.last_complete: Moment | None = None
        """When we were last known to be current, whatever has changed since."""

    async def follow(self, apply: Apply[Found]) -> None:
        """Give `apply` the complete set once it is known, and after each change; never returns."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._ask_for_ever)
            await self._tell_for_ever(apply)

    @property
    def state(self) -> Mapping[str, Found] | None:
        """The last complete set, by name; None before there is one."""
        return self._following.state

    @property
    def trouble(self) -> str:
        """Why the last request failed; empty if it did not."""
        return self._following.trouble

    @property
    def forbidden(self) -> bool:
        """Whether the last request was refused because we may not ask."""
        return bool(self.trouble) and self._last_trouble is Trouble.FORBIDDEN

    def progress(self) -> Progress:
        """How it goes."""
        following = self._following
        objects = None if following.state is None else len(following.state)
        failures = Counter({trouble.value: count for trouble, count in following.failures.items()})
        counts = (objects, following.lists, following.watches, failures)
        return Progress(*counts, following.trouble, self.last_complete)

    async def _ask_for_ever(self) -> None:
        following = self._following
        while True:
            step = following.next()
            await self._sleep(step.wait)
            began = self._now()
            following.asking(began.boot_seconds)
            try:
                if isinstance(step.request, List):
                    await self._list(step.request, began)
                else:
                    await self._watch(step.request)
            except Silent:
                following.silent(self._now().boot_seconds)
            except ApiError as error:
                self._last_trouble = error.trouble
                following.failed(error, self._now().boot_seconds)

    async def _list(self, asked: List, began: Moment) -> None:
        if not asked.token or self._list_began is None:
            self._list_began = began
        following, lists = self._following, self._following.lists
        following.page(await self._server.page(self._selection, asked))
        if following.lists > lists:
            self.last_complete = self._list_began
            self._changed.set()

    async def _watch(self, asked: Watch) -> None:
        following = self._following
        async with self._server.changes(self._selection, asked) as changes:
            following.opened(self._now().boot_seconds)
            while (change := await changes.next()) is not None:
                now = self._now()
                following.change(change, now.boot_seconds)
                self.last_complete = now
                self._changed.set()
        following.closed(self._now().boot_seconds)

    async def _tell_for_ever(self, apply: Apply[Found]) -> None:
        """States are never changed in place: another one is another object."""
        told: Mapping[str, Found] | None = None
        while True:
            await self._changed.wait()
            with anyio.move_on_after(BURST):
                while self._changed.is_set():
                    self._changed = anyio.Event()
                    with anyio.move_on_after(QUIET):
                        await self._changed.wait()
            self._changed = anyio.Event()
            state = self._following.state
            if state is not None and state is not told:
                told = state
                await apply(state)
