"""Daemons of the tests' own: what listens in the daemon's place, and says what it likes."""

import contextlib
import os
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

from agent.adapters import ipc
from tests.frozen.conftest import Setting

ALLOW = b"allow NS-0001 rule=default ground=verified: said by nobody\n"
DENY = b"deny NS-2001 rule=default: said by nobody\n"

Behaviour = Callable[[socket.socket], object]
"""What is done with a connection, once its question was read."""


@contextlib.contextmanager
def served(setting: Setting, behaviour: Behaviour, *, backlog: int = 64) -> Iterator[list[bytes]]:
    """Something listens in the daemon's place; what it was asked."""
    folder = setting.program.root / ipc.FOLDER
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        ahead()
        with connection, contextlib.suppress(OSError):
            asked.append(connection.recv(65536))
            behaviour(connection)

    def accept() -> None:
        ahead()
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener, in_folder(folder):
        listener.bind(ipc.NAME)
        listener.listen(backlog)
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def ahead() -> None:
    """This thread goes before others, as the daemon does: a child that hears nothing for a second goes on alone."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)


@contextlib.contextmanager
def in_folder(folder: pathlib.Path) -> Iterator[None]:
    """Work in a folder: paths of sockets are short."""
    before = pathlib.Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def says(content: bytes) -> Behaviour:
    """These bytes, and the end."""
    return lambda connection: connection.sendall(content)


def says_again(content: bytes, pause: float = 0) -> Behaviour:
    """These bytes, as long as anybody listens."""

    def behave(connection: socket.socket) -> None:
        while True:
            connection.sendall(content)
            time.sleep(pause)

    return behave


def hangs(after: bytes) -> Behaviour:
    """These bytes, and then nothing."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(after)
        connection.recv(1)

    return behave


def said(code: int, line: bytes, *, final: bool = True, around: tuple[bytes, bytes] = (b"{", b"}\n")) -> bytes:
    """An answer of the daemon's form."""
    return ipc.answer(code, (line, *around), final=final)


LIES: dict[str, Behaviour] = {
    "garbage": says(b"\0\xff\x7fELF\n"),
    "nothing": says(b""),
    "http": says(b"HTTP/1.1 200 OK\r\n\r\nallow"),
    "half a line": says(b"answer 0 1"),
    "half an answer": says(said(0, ALLOW)[:40]),
    "another version": says(b"other 2 9.9.9\n"),
    "it declines": says(b"cold alone\n"),
    "it has a bug": says(ipc.declined("bug")),
    "what people are told": says(ipc.said(b"{}")),
    "exit code 0 and deny": says(said(0, DENY)),
    "exit code 10 and allow": says(said(10, ALLOW)),
    "exit code 0 and another word": says(said(0, b"allowed\n")),
    "exit code 256": says(said(256, ALLOW)),
    "exit code 128": says(said(128, DENY)),
    "exit code -256": says(said(-256, DENY)),
    "exit code of 5000 digits": says(b"answer " + b"9" * 5000 + b" 1 0 0 0\n"),
    "no exit code": says(b"answer x 1 6 0 0\nallow \n"),
    "no line": says(said(0, b"")),
    "two lines": says(said(0, ALLOW + ALLOW)),
    "a line that does not end": says(said(0, ALLOW[:-1])),
    "a line of 513 bytes": says(said(0, ALLOW[:-1].ljust(512) + b"\n")),
    "more than it announced": says(said(0, ALLOW) + b"x"),
    "less than it announced": says(said(0, ALLOW)[:-1]),
    "lengths below zero": says(b"answer 0 1 -1 -1 -1\n" + ALLOW),
    "lengths that are no numbers": says(b"answer 0 1 a b c\n" + ALLOW),
    "a length of a terabyte": says(b"answer 0 1 1099511627776 0 0\n" + ALLOW),
    "too few lengths": says(b"answer 0 1 6\n" + ALLOW),
    "an answer that it is not sure of": says(said(11, b"cannot tell NS-3001 rule=default: x\n", final=False)),
    "bytes without end": says_again(b"x" * 4096),
    "lines without end": says_again(ipc.WORKING * 512),
}
