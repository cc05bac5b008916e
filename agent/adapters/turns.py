"""Which verification may begin next in the daemon: few run at once, and repositories are served in turn.

So whoever asks for a thousand images of one repository holds up none of another's.  A registry that hangs never takes
all places, however many repositories it has.  Work that nobody waits for comes behind all pulls, and never takes all
places either.
"""

from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

AT_ONCE = 16
"""Verifications at once; they wait for registries most of their time."""

OF_ONE_REGISTRY = 12
"""Most verifications at once at one registry."""

MOST_AT_ONCE = 32
"""Verifications at once, counting those that went on after they had waited for `PATIENCE` seconds."""

PATIENCE = 2.0
"""Seconds after which a verification goes on without a turn: a registry that hangs must not stop all others."""

MOST_WAITING = 256
"""Most pulls that wait for their turn; the next one is `Crowded` at once."""

IDLE_AT_ONCE = 2
"""Most verifications at once for which nobody waits."""


class Crowded(Exception):
    """Too many verifications wait, or others hold the memory: the child has to verify the image alone."""


class Turns:
    """The places of one process."""

    def __init__(
        self,
        at_once: int = AT_ONCE,
        most_waiting: int = MOST_WAITING,
        idle: int = IDLE_AT_ONCE,
        of_one_registry: int = OF_ONE_REGISTRY,
        *,
        most_at_once: int = MOST_AT_ONCE,
        patience: float = PATIENCE,
    ) -> None:
        """See the constants of the same names."""
        self._at_once = at_once
        self._most_at_once = max(most_at_once, at_once)
        self._patience = patience
        self._of_one_registry = of_one_registry
        self._at: Counter[str] = Counter()
        self._most_waiting = most_waiting
        self._idle_at_once = idle
        self._running = 0
        self._idle_running = 0
        self._waiting: dict[str, deque[anyio.Event]] = {}
        self._idle_waiting: deque[anyio.Event] = deque()

    @property
    def waiting(self) -> int:
        """How many pulls wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def running(self) -> int:
        """How many verifications run."""
        return self._running

    @asynccontextmanager
    async def turn(self, repository: str) -> AsyncIterator[None]:
        """Hold a place, for a pull of this repository (`HOST/PATH`); waits for it.  Raises `Crowded`."""
        if self._may_begin(repository):
            self._count(repository, 1)
        else:
            if self.waiting >= self._most_waiting:
                raise Crowded
            await self._queued(self._waiting.setdefault(repository, deque()), repository)
        try:
            yield
        finally:
            self._count(repository, -1)
            self._next()

    @asynccontextmanager
    async def idle_turn(self) -> AsyncIterator[None]:
        """Hold a place for work that nobody waits for; waits until no pull waits."""
        while self._idle_running >= self._idle_at_once or self._running >= self._at_once or self._waiting:
            event = anyio.Event()
            self._idle_waiting.append(event)
            try:
                await event.wait()
            except BaseException:
                if event in self._idle_waiting:
                    self._idle_waiting.remove(event)
                else:
                    self._next()
                raise
        self._running += 1
        self._idle_running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._idle_running -= 1
            self._next()

    async def _queued(self, queue: "deque[anyio.Event]", repository: str) -> None:
        event = anyio.Event()
        queue.append(event)
        try:
            while not event.is_set():
                with anyio.move_on_after(self._patience):
                    await event.wait()
                if not event.is_set() and self._running < self._most_at_once:
                    self._leave(queue, event, repository)
                    self._count(repository, 1)
                    return
        except BaseException:
            if event in queue:
                self._leave(queue, event, repository)
            else:  # it was our turn, and we don't take it
                self._count(repository, -1)
                self._next()
            raise

    def _next(self) -> None:
        """Give a place that became free to the repository whose turn it is: the place is counted from now on."""
        while (repository := next(filter(self._may_begin, self._waiting), None)) is not None:
            queue = self._waiting.pop(repository)
            queue.popleft().set()
            if queue:
                self._waiting[repository] = queue  # behind the others
            self._count(repository, 1)
        if self._idle_waiting and self._running < self._at_once and self._idle_running < self._idle_at_once:
            self._idle_waiting.popleft().set()

    def _may_begin(self, repository: str) -> bool:
        return self._running < self._at_once and self._at[registry_of(repository)] < self._of_one_registry

    def _count(self, repository: str, change: int) -> None:
        registry = registry_of(repository)
        self._running += change
        self._at[registry] += change
        if not self._at[registry]:
            del self._at[registry]

    def _leave(self, queue: "deque[anyio.Event]", event: anyio.Event, repository: str) -> None:
        queue.remove(event)
        if not self._waiting.get(repository, True):
            del self._waiting[repository]


def registry_of(repository: str) -> str:
    """The registry (`HOST`) of a repository (`HOST/PATH`)."""
    return repository.partition("/")[0]
