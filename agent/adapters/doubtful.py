"""Verdicts as the daemon remembers them: shared with everybody, but for "cannot tell", and a moment later.

What the daemon could not find out, a child may: it runs elsewhere, beside containerd.  So the daemon's "cannot tell"
is remembered in its own memory alone, and no child takes it for an answer.

A verdict is written once whoever waits for it has been told (`write`): a disk may take longer than verifying.
"""

from datetime import datetime
from typing import Protocol

from agent.model.verdict import Decision, Known, Memory
from agent.ports import VerdictStore

MOST = 1000
"""Most images that are remembered here; who was asked first goes first."""


class Shared(VerdictStore, Protocol):
    """What every process of the node reads."""

    def undoubted(self, ground: str, memory: Memory) -> Memory:
        """What still counts of something that was said on a ground, and is not written yet."""
        ...


class DoubtfulApart:
    """`ports.VerdictStore` around another one."""

    def __init__(self, shared: Shared) -> None:
        """Nothing is remembered yet."""
        self._shared = shared
        self._mine: dict[tuple[str, str], Known] = {}
        self._unwritten: dict[tuple[str, str], Memory] = {}

    async def recall(self, ground: str, image: str) -> Memory:
        """See `ports.VerdictStore.recall`: what was said last, by whomever."""
        unwritten = self._unwritten.get((ground, image))
        if unwritten is not None:  # another process may have cast doubt on it
            memory = self._shared.undoubted(ground, unwritten)
        else:
            memory = await self._shared.recall(ground, image)
        mine = self._mine.get((ground, image))
        if mine is None:
            return memory
        if memory.last is not None and memory.last.at > mine.at:
            del self._mine[ground, image]  # it is everybody's now
            return memory
        return memory._replace(last=mine)

    async def remember(self, ground: str, image: str, memory: Memory) -> None:
        """See `ports.VerdictStore.remember`."""
        self._mine.pop((ground, image), None)
        if memory.last is None or memory.last.verdict.decision is not Decision.CANNOT_TELL:
            self._unwritten[ground, image] = memory
            return
        self._mine[ground, image] = memory.last
        if len(self._mine) > MOST:
            del self._mine[next(iter(self._mine))]

    async def write(self, ground: str, image: str) -> None:
        """Share what was said of an image."""
        memory = self._unwritten.get((ground, image))
        if memory is not None:
            await self._shared.remember(ground, image, memory)
            if self._unwritten.get((ground, image)) is memory:  # else it was judged again meanwhile
                del self._unwritten[ground, image]

    async def doubt(self, ground: str, certificate: str, now: datetime) -> None:
        """See `ports.VerdictStore.doubt`.  Nothing that was said before and is not written yet counts either."""
        for place in [place for place in self._unwritten if place[0] == ground]:
            del self._unwritten[place]
        await self._shared.doubt(ground, certificate, now)

    def is_mine(self, ground: str, image: str) -> bool:
        """Whether nobody but this process could not tell."""
        return (ground, image) in self._mine
