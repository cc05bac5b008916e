"""A thread of this process inside a node's network: sockets that it opens are the node's, whoever uses them later."""

import ctypes
import os
import pathlib
import socket
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Callable, TypeVar

_NETWORK = 0x40000000  # CLONE_NEWNET

_T = TypeVar("_T")


class Inside:
    """Does things in the network of the process `pid`, one after another."""

    def __init__(self, pid: int) -> None:
        """The thread enters when it is first used."""
        self._thread = ThreadPoolExecutor(1, initializer=_enter, initargs=(pid,))

    def __enter__(self) -> "Inside":
        """Nothing to begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread."""
        self._thread.shutdown()

    def do(self, action: Callable[[], _T]) -> _T:
        """Run `action` there, and return what it returns."""
        return self._thread.submit(action).result()

    def listener(self) -> socket.socket:
        """A socket that listens on the node's loopback, at a port of the kernel's choice."""
        return self.do(lambda: socket.create_server(("127.0.0.1", 0), backlog=64))


def _enter(pid: int) -> None:
    descriptor = os.open(pathlib.Path(f"/proc/{pid}/ns/net"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)
