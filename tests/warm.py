"""The daemon's door in the test's own process: a root with a configuration, a registry, images."""

import pathlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio

from agent import __version__
from agent.adapters import ipc
from agent.model.descriptor import Descriptor
from agent.modes.config import put_in_force
from agent.modes.warm import WarmDoor
from agent.modes.warm_access import Connections
from tests.frozen.program import descriptor, plugin_words
from tests.simulators.registry import RegistrySimulator

_WRITTEN = 0.05  # seconds in which what was said is on disk, too


class Answered(NamedTuple):
    """What the door said: exit code, whether it is final, the line."""

    exit: int
    final: bool
    line: str


class Told:
    """`ports.Log` that keeps what it was told."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        """See `ports.Log.info`."""
        self.events.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """See `ports.Log.warning`."""
        self.events.append(("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        """See `ports.Log.error`."""
        self.events.append(("error", event, fields))

    def of(self, event: str) -> list[dict[str, object]]:
        """The fields of every event of that name."""
        return [fields for _, name, fields in self.events if name == event]

    def count(self, event: str) -> int:
        """How often it was told."""
        return len(self.of(event))


@asynccontextmanager
async def warm_door(root: pathlib.Path) -> AsyncIterator[WarmDoor]:
    """A door over `root`; a bug in it fails the test."""
    bugs: list[Exception] = []
    async with Connections(str(root), {}) as connections, anyio.create_task_group() as group:
        yield WarmDoor(str(root), connections, group, bugs.append)
        group.cancel_scope.cancel()
    if bugs:
        raise bugs[0]


def publish(folder: pathlib.Path, root: pathlib.Path) -> str:
    """Put a configuration in force; its generation."""
    config = put_in_force(str(folder), str(root), None).config
    assert config is not None
    return config.generation


def asked(registry: RegistrySimulator, repository: str, subject: Descriptor, *, tag: str = "1") -> ipc.Question:
    """containerd's question about an image."""
    words = ["nodeseal", *plugin_words(f"{registry.host}/{repository}:{tag}", str(subject.digest))]
    body = b"\0".join([b"%d" % len(words), *(word.encode() for word in words[1:])])
    stdin = descriptor(str(subject.digest), subject.size, subject.media_type)
    return ipc.Question(ipc.PULL, __version__, 7.0, b"", body + b"\0" + stdin)


async def written(door: WarmDoor) -> None:
    """Wait until what was said is on disk, too."""
    await anyio.sleep(_WRITTEN)
    while door.beside.under_way:
        await anyio.sleep(0.005)


async def pulled(door: WarmDoor, question: ipc.Question) -> Answered:
    """What the door says to a question that it does not decline."""
    pull = door.pull(question)
    head, _, rest = (await pull.message()).partition(b"\n")
    pull.told()
    await written(door)
    word, code, final, length, *_ = head.split()
    assert word == b"answer", head
    return Answered(int(code), final == b"1", rest[: int(length)].decode())
