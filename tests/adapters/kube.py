"""What tests of the API server's side share: credentials, a follower in the background, waiting for what it tells."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio

from agent.adapters.kube import ApiServer
from agent.adapters.kube_access import Access
from agent.adapters.kube_follow import Follower
from agent.model.configmap import ConfigMap
from tests.cluster.objects import LABEL, SELECTED

SECONDS = 60.0
"""How long a test waits for something that will come."""

ACTIVE = {LABEL: "active"}


class Given:
    """Credentials that a test gives, and changes."""

    def __init__(self, url: str, token: str) -> None:
        """Plain, or of TLS by `access`."""
        self.access = Access(url, f"Bearer {token}" if token else "", "", "", "", "", "", ())

    async def read(self) -> Access:
        """What is given now."""
        return self.access


class Told:
    """What `apply` was given."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.states: list[Mapping[str, ConfigMap]] = []
        self.at: list[float] = []

    async def apply(self, state: Mapping[str, ConfigMap]) -> None:
        """Keep it."""
        self.states.append(state)
        self.at.append(time.monotonic())

    @property
    def last(self) -> Mapping[str, str]:
        """The last state: names, and what stands under `v`."""
        return {name: each.data.get("v", "") for name, each in self.states[-1].items()} if self.states else {"": ""}

    async def until(self, expected: Mapping[str, str]) -> None:
        """Wait for a state."""
        await until(lambda: self.last == expected, lambda: f"got {self.last}; expected {expected}")


async def until(reached: Callable[[], bool], said: Callable[[], str] = str) -> None:
    """Wait for something to be true."""
    end = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < end, said()
        await anyio.sleep(0.005)


@asynccontextmanager
async def following(
    server: ApiServer, *, waits: list[float] | None = None
) -> AsyncIterator[tuple[Follower[ConfigMap], Told]]:
    """A follower that waits a thousandth of what it should, and what it told.  `waits` gets what it should have."""

    async def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)
        await anyio.sleep(seconds / 1000)

    told = Told()
    follower = Follower(server, SELECTED, sleep=sleep)
    async with anyio.create_task_group() as group:
        group.start_soon(follower.follow, told.apply)
        yield follower, told
        group.cancel_scope.cancel()
