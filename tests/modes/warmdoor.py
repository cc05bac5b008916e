"""The daemon's door without its socket: asked as the socket's server asks it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

import anyio

from agent import __version__
from agent.adapters import answers, ipc
from agent.adapters.ipc import Question
from agent.modes.warm import Pull, WarmDoor
from agent.modes.warm_access import Connections
from tests.frozen.program import descriptor, plugin_words
from tests.modes.glass import Node

Value = TypeVar("Value")


_WRITTEN = 0.02


class Said(NamedTuple):
    """An answer, taken apart."""

    code: int
    final: bool
    line: str
    around: tuple[bytes, bytes]

    @classmethod
    def of(cls, message: bytes) -> "Said":
        """From its bytes."""
        head, _, rest = message.partition(b"\n")
        word, code, final, *lengths = head.split()
        assert word == b"answer", message
        first, second, third = map(int, lengths)
        assert len(rest) == first + second + third
        return cls(int(code), final == b"1", rest[:first].decode(), (rest[first : first + second], rest[-third:]))


class Asker:
    """Asks one door."""

    def __init__(self, node: Node, door: WarmDoor, bugs: list[Exception]) -> None:
        """`bugs` are those that the door told."""
        self.node = node
        self.door = door
        self.bugs = bugs

    def pull(
        self, name: str, *, tag: str = "1", key: bytes = b"", seconds: float = 7.0, program: str = __version__
    ) -> Pull:
        """A pull's question, as the child puts it."""
        image = self.node.images[name]
        words = ["nodeseal", *plugin_words(f"{self.node.registry.host}/{name}:{tag}", str(image.digest))]
        body = answers._words(words, descriptor(str(image.digest), image.size))
        return self.door.pull(Question(ipc.PULL, program, seconds, key, body))

    async def __call__(self, name: str, *, tag: str = "1", key: bytes = b"", seconds: float = 7.0) -> Said:
        """Its answer, once what came of it is on disk, too."""
        pull = self.pull(name, tag=tag, key=key, seconds=seconds)
        message = await pull.message()
        pull.told()
        await anyio.sleep(_WRITTEN)
        while self.door.beside.under_way:
            await anyio.sleep(0.005)
        return Said.of(message)

    async def at_once(self, *names: str, tags: bool = False) -> list[Said]:
        """All of these at the same time, in this order; each by a tag of its own if `tags`."""
        found: dict[int, Said] = {}

        async def ask(i: int, name: str) -> None:
            found[i] = await self(name, tag=f"t{i}" if tags else "1")

        async with anyio.create_task_group() as group:
            for i, name in enumerate(names):
                group.start_soon(ask, i, name)
        return [found[i] for i in range(len(names))]


@asynccontextmanager
async def door_of(node: Node) -> AsyncIterator[Asker]:
    """A door over a node."""
    bugs: list[Exception] = []
    root = str(node.root)
    async with Connections(root, {}) as connections, anyio.create_task_group() as group:
        yield Asker(node, WarmDoor(root, connections, group, bugs.append), bugs)
        group.cancel_scope.cancel()


def asking(node: Node, body: Callable[[Asker], Awaitable[Value]]) -> Value:
    """Run `body` over a door of a node, which must have had no bug."""

    async def run() -> Value:
        with anyio.fail_after(120):
            async with door_of(node) as asker:
                found = await body(asker)
        assert asker.bugs == []
        return found

    return anyio.run(run)
