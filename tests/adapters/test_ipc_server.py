"""The daemon's end of the socket: bounds, signs of life, and what becomes of those who break off."""

import contextlib
import os
import pathlib
import resource
import select
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import anyio
import pytest
from anyio import to_thread

from agent import __version__
from agent.adapters import ipc, ipc_server
from agent.adapters.ipc import Question
from agent.adapters.ipc_server import Server

ASKING, WRITING = ipc_server.ASKING, ipc_server._WRITING
ASKED = Question(ipc.PULL, __version__, 5.0, b"key", b"body" * 50_000)


@pytest.fixture(autouse=True)
def _ample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks, and who reads, may be kept from the processor."""
    monkeypatch.setattr(ipc_server, "ASKING", 30.0)
    monkeypatch.setattr(ipc_server, "_WRITING", 30.0)


class Handler:
    """Answers each question with `answer`; keeps what it was asked, and the bugs that were told."""

    def __init__(self, answer: Callable[[], Awaitable[bytes]], *, busy: bool = False) -> None:
        """Nothing was asked yet."""
        self._answer = answer
        self._busy = busy
        self.asked: list[Question] = []
        self.bugs: list[Exception] = []

    def __call__(self, question: Question) -> "Handler":
        """`Server`'s `taken`."""
        self.asked.append(question)
        return self

    def is_busy(self) -> bool:
        """See `ipc_server.Pending.is_busy`."""
        return self._busy

    async def message(self) -> bytes:
        """See `ipc_server.Pending.message`."""
        return await self._answer()

    def told(self) -> None:
        """See `ipc_server.Pending.told`."""


def answered(content: bytes = b"answer\n", after: threading.Event | None = None) -> Handler:
    """This, once something has happened."""

    async def answer() -> bytes:
        while after is not None and not after.is_set():
            await anyio.sleep(0.01)
        return content

    return Handler(answer)


def serving(root: pathlib.Path, handler: Handler, talk: Callable[[], None]) -> Server:
    """Serve while `talk` talks, in a thread."""

    async def run() -> Server:
        server = Server(handler, handler.bugs.append)
        listening = ipc.listening(str(root))
        with anyio.fail_after(120):
            async with anyio.create_task_group() as group:
                group.start_soon(server.serve, listening)
                await to_thread.run_sync(talk)
                group.cancel_scope.cancel()
        return server

    return anyio.run(run)


@contextlib.contextmanager
def connected(root: pathlib.Path) -> Iterator[socket.socket]:
    """A connection."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(30)
        folder = ipc.folder(str(root))
        try:
            channel.connect(f"/proc/self/fd/{folder}/{ipc.NAME}")
        finally:
            os.close(folder)
        yield channel


def heard(channel: socket.socket) -> bytes:
    """Everything, to the end."""
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := channel.recv(65536):
            content += chunk
    return content


def said(root: pathlib.Path, *pieces: bytes, pause: float = 0) -> bytes:
    """What comes back for these bytes."""
    with connected(root) as channel:
        for piece in pieces:
            with contextlib.suppress(BrokenPipeError):
                channel.sendall(piece)
            time.sleep(pause)
        return heard(channel)


def test_question_in_pieces_is_answered(tmp_path: pathlib.Path) -> None:
    handler, content = answered(), ipc.question(ASKED)
    pieces = (content[:3], content[3:40], content[40:100_000], content[100_000:])

    def talk() -> None:
        assert said(tmp_path, *pieces, pause=0.02) == b"answer\n"

    serving(tmp_path, handler, talk)
    assert handler.asked == [ASKED]


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n\r\n", b"x" * 1000, ipc.question(ASKED) + b"x", b"nodeseal 1 push 0 1 0 0\n",
        b"nodeseal 1 pull 0 1 0 524289\n",
    ],
    ids=["another protocol", "no line", "more than was said", "another kind", "too much"],
)  # fmt: skip
def test_what_is_no_question_is_hung_up_on_and_counted(tmp_path: pathlib.Path, content: bytes) -> None:
    handler = answered()

    def talk() -> None:
        assert said(tmp_path, content) == b""
        assert said(tmp_path, ipc.question(ASKED)) == b"answer\n"

    server = serving(tmp_path, handler, talk)
    assert (server.refused, handler.asked, handler.bugs) == (1, [ASKED], [])


def test_other_version_is_told_which_one_this_is(tmp_path: pathlib.Path) -> None:
    handler = answered()

    def talk() -> None:
        assert said(tmp_path, b"nodeseal 2 whatever\n") == b"other 1 %s\n" % __version__.encode()

    assert serving(tmp_path, handler, talk).refused == 0
    assert handler.asked == []


@pytest.mark.parametrize("content", [b"", b"nodeseal 1 pull", b"nodeseal 1 pull 0 1 0 10\nhalf"])
def test_slow_question_is_dropped(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(ipc_server, "ASKING", 0.2)
    handler = answered()

    def talk() -> None:
        begun = time.monotonic()
        assert said(tmp_path, content) == b""
        assert 0.1 < time.monotonic() - begun < 25

    serving(tmp_path, handler, talk)
    assert (handler.asked, handler.bugs) == ([], [])


def test_question_and_reading_an_answer_may_take_a_second() -> None:
    assert (ASKING, WRITING) == (1.0, 1.0)


@pytest.mark.parametrize(("busy", "word"), [(False, ipc.WORKING), (True, ipc.BUSY)])
def test_sign_of_life_comes_ten_times_a_second(tmp_path: pathlib.Path, busy: bool, word: bytes) -> None:
    assert ipc_server.SIGN_OF_LIFE == 0.1
    enough = threading.Event()
    handler = answered(after=enough)
    handler._busy = busy

    def talk() -> None:
        with connected(tmp_path) as channel:
            begun, content = time.monotonic(), b""
            channel.sendall(ipc.question(ASKED))
            while content.count(b"\n") < 5:
                content += channel.recv(65536)
            assert time.monotonic() - begun >= 0.095 * content.count(b"\n"), "no more of them than that"
            enough.set()
            content += heard(channel)
        assert content.endswith(b"answer\n")
        signs = content.removesuffix(b"answer\n")
        assert signs == word * signs.count(b"\n")

    serving(tmp_path, handler, talk)


def test_bug_in_a_handler_leaves_the_child_to_do_without(tmp_path: pathlib.Path) -> None:
    async def fail() -> bytes:
        raise KeyError("x")

    handler = Handler(fail)

    def talk() -> None:
        assert said(tmp_path, ipc.question(ASKED)) == b"cold bug\n"
        assert said(tmp_path, ipc.question(ASKED)) == b"cold bug\n"

    serving(tmp_path, handler, talk)
    assert list(map(repr, handler.bugs)) == ["KeyError('x')"] * 2


def test_bug_before_there_is_a_handler_ends_the_connection_alone(tmp_path: pathlib.Path) -> None:
    handler = answered()
    handler.asked = None  # type: ignore[assignment]

    def talk() -> None:
        assert said(tmp_path, ipc.question(ASKED)) == b""
        assert said(tmp_path, ipc.question(ASKED)) == b""

    serving(tmp_path, handler, talk)
    assert [type(bug) for bug in handler.bugs] == [AttributeError] * 2


def test_who_breaks_off_is_worked_for_no_longer(tmp_path: pathlib.Path) -> None:
    ended: list[str] = []

    async def answer() -> bytes:
        try:
            await anyio.sleep(90)
        except anyio.get_cancelled_exc_class():
            ended.append("cancelled")
            raise
        return b""

    handler = Handler(answer)

    def talk() -> None:
        with connected(tmp_path) as channel:
            channel.sendall(ipc.question(ASKED))
            assert channel.recv(100).startswith(ipc.WORKING)
        end = time.monotonic() + 30
        while not ended and time.monotonic() < end:
            time.sleep(0.02)

    server = serving(tmp_path, handler, talk)
    assert (ended, handler.bugs, server._open) == (["cancelled"], [], 0)


def test_reader_who_reads_nothing_is_given_up(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc_server, "_WRITING", 0.7)
    handler = answered(b"x" * 1_000_000)

    def talk() -> None:
        with connected(tmp_path) as channel:
            channel.sendall(ipc.question(ASKED))
            hung_up = select.poll()
            hung_up.register(channel, 0)
            assert hung_up.poll(30_000)
            assert len(heard(channel)) < 1_000_000
        monkeypatch.setattr(ipc_server, "_WRITING", 30.0)
        with connected(tmp_path) as channel:
            channel.sendall(ipc.question(ASKED))
            assert len(heard(channel)) == 1_000_000

    server = serving(tmp_path, handler, talk)
    assert (server._open, handler.bugs) == (0, [])


def test_more_than_so_many_at_once_do_without(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ipc_server.MOST_OPEN == 1024
    monkeypatch.setattr(ipc_server, "MOST_OPEN", 3)
    going_on = threading.Event()
    handler = answered(after=going_on)

    def talk() -> None:
        with contextlib.ExitStack() as stack:
            channels = [stack.enter_context(connected(tmp_path)) for _ in range(5)]
            for channel in channels:
                with contextlib.suppress(BrokenPipeError):
                    channel.sendall(ipc.question(ASKED))
            assert [heard(channel) for channel in channels[3:]] == [b"", b""]
            going_on.set()
            assert all(heard(channel).endswith(b"answer\n") for channel in channels[:3])
        assert said(tmp_path, ipc.question(ASKED)).endswith(b"answer\n")

    assert serving(tmp_path, handler, talk).refused == 2


def test_other_user_is_not_answered(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc, "is_ours", lambda _: False)
    handler = answered()

    def talk() -> None:
        assert said(tmp_path, ipc.question(ASKED)) == b""

    assert serving(tmp_path, handler, talk).refused == 1
    assert handler.asked == []


def test_lack_of_descriptors_is_outlived(tmp_path: pathlib.Path) -> None:
    handler = answered()

    def talk() -> None:
        assert said(tmp_path, ipc.question(ASKED)) == b"answer\n"
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.ExitStack() as stack:
            channels = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
            folder = ipc.folder(str(tmp_path))
            stack.callback(os.close, folder)
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            for channel in channels:
                channel.settimeout(30)
                channel.connect(f"/proc/self/fd/{folder}/{ipc.NAME}")
                channel.sendall(ipc.question(ASKED._replace(body=b"")))
            time.sleep(0.3)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert [heard(channel) for channel in channels] == [b"answer\n"] * 2

    serving(tmp_path, handler, talk)
    assert len(handler.asked) == 3
