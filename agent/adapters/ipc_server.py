"""Serves the daemon's socket, in an event loop (anyio): one question per connection, signs of life while it waits.

Every bound is here: who may ask, how long a question may take to come, how many are open at once, how often "working"
is said.  What a question means is the handler's.
"""

import socket
from collections.abc import Callable
from typing import Protocol

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream

from agent.adapters import ipc
from agent.errors import Malformed

SIGN_OF_LIFE = 0.1
"""Seconds after which an answer that is not there yet is said to be worked on; and again."""

ASKING = 1.0
"""Seconds within which a question must have come."""

MOST_OPEN = 1024
"""Connections at once; the next one is closed, and its child does without."""

_CHUNK = 64 * 1024
_WRITING = 1.0
_SCARCE = 0.1


class Pending(Protocol):
    """What becomes of a question."""

    def is_busy(self) -> bool:
        """Whether it still waits for its turn."""
        ...

    async def message(self) -> bytes:
        """The answer's bytes, once there are some.  Raises nothing but bugs."""
        ...

    def told(self) -> None:
        """They were sent: what needs no hurry may be done now."""
        ...


class Server:
    """Serves one socket until it is cancelled.

    `taken` makes a question pending; `bug` is told the exceptions that nobody foresaw: the child does without.
    """

    def __init__(self, taken: Callable[[ipc.Question], Pending], bug: Callable[[Exception], None]) -> None:
        """Keep both."""
        self._taken = taken
        self._bug = bug
        self._open = 0
        self.refused = 0

    async def serve(self, listening: socket.socket) -> None:
        """Take connections from a socket that `ipc.listening` made; closes it at the end."""
        async with await SocketListener.from_socket(listening) as listener, anyio.create_task_group() as group:
            while True:
                try:
                    stream = await listener.accept()
                except anyio.BrokenResourceError:  # no descriptor is left: children that wait do without us meanwhile
                    await anyio.sleep(_SCARCE)
                    continue
                group.start_soon(self._connected, stream)

    async def _connected(self, stream: SocketStream) -> None:
        async with stream:
            if self._open >= MOST_OPEN or not ipc.is_ours(stream.extra_attributes[SocketAttribute.raw_socket]()):
                self.refused += 1
                return
            self._open += 1
            try:
                await self._served(stream)
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                return  # nobody listens any more
            except Malformed:
                self.refused += 1
            except Exception as error:  # noqa: BLE001 - one question's bug must not end the daemon
                self._bug(error)
            finally:
                self._open -= 1

    async def _served(self, stream: SocketStream) -> None:
        with anyio.fail_after(ASKING):
            asked = await _question(stream)
        if asked is None:
            await _send(stream, ipc.other())
        else:
            await self._answered(stream, self._taken(asked))

    async def _answered(self, stream: SocketStream, pending: Pending) -> None:
        messages: list[bytes] = []
        over = anyio.Event()

        async def work() -> None:
            try:
                messages.append(await pending.message())
            except Exception as error:  # noqa: BLE001 - see above
                self._bug(error)
                messages.append(ipc.declined(ipc.BUG))
            finally:
                over.set()

        failures: list[Exception] = []
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            try:
                while not over.is_set():
                    with anyio.move_on_after(SIGN_OF_LIFE):
                        await over.wait()
                    if not over.is_set():
                        await _send(stream, ipc.BUSY if pending.is_busy() else ipc.WORKING)
            except Exception as error:  # noqa: BLE001 - raised below: a group would wrap it
                failures.append(error)
                group.cancel_scope.cancel()
        if failures:
            raise failures[0]
        await _send(stream, messages[0])
        await stream.send_eof()
        pending.told()


async def _send(stream: SocketStream, content: bytes) -> None:
    """Raises `TimeoutError` if nobody reads."""
    with anyio.fail_after(_WRITING):
        await stream.send(content)


async def _question(stream: SocketStream) -> ipc.Question | None:
    """The question, None for another version's.  Raises `Malformed`, `EndOfStream`."""
    content = b""
    while b"\n" not in content:
        if len(content) > ipc.MAX_HEAD:
            raise Malformed("question: got no line; expected one")
        content += await stream.receive(_CHUNK)
    line, _, rest = content.partition(b"\n")
    head = ipc.head(line)
    if head is None:
        return None
    while len(rest) < head.key + head.body:
        rest += await stream.receive(_CHUNK)
    if len(rest) != head.key + head.body:
        raise Malformed(f"question: got {len(rest)} bytes; expected {head.key + head.body}")
    return ipc.Question(head.kind, head.program, head.milliseconds / 1000, rest[: head.key], rest[head.key :])
