"""Carries connections from a node's network to a port of this machine: the way of a pod to its API server."""

import contextlib
import socket
import threading
from types import TracebackType

_PIECE = 1 << 16


class Forward:
    """Connections that arrive at `listening` go on to 127.0.0.1:`port`, between `with` and its end."""

    def __init__(self, listening: socket.socket, port: int) -> None:
        """`listening` may be another network's."""
        self._listening, self._port = listening, port
        self._open: list[socket.socket] = []

    def __enter__(self) -> "Forward":
        """Begin."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, and every connection."""
        for each in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listening.getsockname()[1])

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._port), timeout=30)
                far.settimeout(None)
                self._open += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=_carry, args=(source, target), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
