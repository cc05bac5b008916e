"""What holds on the node, as the daemon has read it, for as long as that holds."""

import os
import resource
from collections.abc import Mapping
from contextlib import ExitStack
from typing import NamedTuple

from agent.adapters import answers, ipc
from agent.config.config import Config
from agent.engine import verifiers_of
from agent.errors import Unavailable
from agent.modes import node
from agent.modes.node import Node
from agent.verifier import Verifier

_LOADS = 3  # tries to read a state that does not change meanwhile


class Declined(Exception):
    """The child has to do without the daemon; the message is one of the reasons in `agent.adapters.ipc`."""


class State(NamedTuple):
    """What holds on the node, as it was read; `stamp` changes when the node does, None if it can't be told."""

    stamp: bytes | None
    node: Node
    verifiers: Mapping[tuple[str, str], Verifier]

    @property
    def config(self) -> Config:
        """The configuration in force.  Raises `Unavailable` if there is none."""
        if isinstance(self.node.config, Unavailable):
            raise self.node.config
        return self.node.config

    @property
    def generation(self) -> str:
        """The configuration in force, empty if there is none."""
        return self.node.config.generation if isinstance(self.node.config, Config) else ""


def free() -> int:
    """How many file descriptors this process may still open; 0 if it can't be told."""
    try:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def read(root: str, descriptors: int) -> State:
    """What holds on the node now.  Raises `Declined` if fewer than so many file descriptors can be opened."""
    if not _can_open(descriptors):
        raise Declined(ipc.NO_RESULT)  # what can't be opened counts as missing, and would until something changes
    for _ in range(_LOADS):
        stamp, found = answers.state(root), node.opened(root)
        if answers.state(root) == stamp:
            break
    return State(stamp, found, verifiers_of(found.config) if isinstance(found.config, Config) else {})


def _can_open(descriptors: int) -> bool:
    """Whether so many file descriptors can be opened now."""
    with ExitStack() as opened_here:
        try:
            for _ in range(descriptors):
                opened_here.callback(os.close, os.open("/", os.O_PATH | os.O_CLOEXEC))
        except OSError:
            return False
    return True
