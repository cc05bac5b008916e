"""What is said on the daemon's socket: both sides' forms held together, and what either of them refuses."""

import contextlib
import os
import pathlib
import socket
import stat
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator

import pytest

from agent import __version__, fastpath
from agent.adapters import answers, ipc
from agent.adapters.ipc import Client, Question
from agent.errors import HostError, Malformed

LINE = b"allow NS-0001 rule=default ground=verified: 1 of 1\n"
AROUND = (b'{"door":"daemon","time":"', b'"}\n')
ANSWER = ipc.answer(0, (LINE, *AROUND), final=True)
WORDS = fastpath._words(["nodeseal", "-name", "r.example/a:1", "-digest", "d"], b'{"size": 1}\n')
NOBODY = 1000


NOW = time.monotonic()


@pytest.fixture(autouse=True)
def begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child begins with the test, and its clock stands still; a daemon may be kept from the processor."""
    monkeypatch.setattr(fastpath, "time", types.SimpleNamespace(monotonic=lambda: NOW))
    monkeypatch.setattr(fastpath, "BEGUN_AT", NOW)
    monkeypatch.setattr(fastpath, "_SILENCE", 30.0)


@contextlib.contextmanager
def daemon(root: pathlib.Path, *said: bytes) -> Iterator[list[bytes]]:
    """One that says this to each who asks, piece by piece; what it was asked."""
    asked: list[bytes] = []
    listener = ipc.listening(str(root))
    listener.setblocking(True)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(1 << 20))
                    for piece in said:
                        connection.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


# ---- the child's side ---------------------------------------------------------------------------------------------


def test_child_asks_in_the_form_that_the_daemon_reads(tmp_path: pathlib.Path) -> None:
    with daemon(tmp_path, ANSWER) as asked:
        assert fastpath.ask(str(tmp_path), b"key\0\n", WORDS) == (0, LINE, *AROUND)
    line, _, rest = asked[0].partition(b"\n")
    head = ipc.head(line)
    assert head is not None
    assert (head.kind, head.program, head.key, head.body) == (ipc.PULL, __version__, 5, len(WORDS))
    assert head.milliseconds == 7000
    assert asked[0] == ipc.question(Question(ipc.PULL, __version__, 7.0, rest[:5], rest[5:]))
    assert ipc.words(rest[5:]) == (("nodeseal", "-name", "r.example/a:1", "-digest", "d"), b'{"size": 1}\n')


@pytest.mark.parametrize("before", [b"", ipc.WORKING, ipc.BUSY, ipc.BUSY + ipc.WORKING + ipc.BUSY])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_child_hears_an_answer_in_whatever_pieces_it_comes(tmp_path: pathlib.Path, before: bytes, size: int) -> None:
    content = before + ANSWER
    pieces = [content[i : i + size] for i in range(0, len(content), size)]
    with daemon(tmp_path, *pieces):
        assert fastpath.ask(str(tmp_path), b"", WORDS) == (0, LINE, *AROUND)


def test_words_of_both_sides_are_the_same() -> None:
    argv = ["nodeseal", "-name", "a\udcffb", "", "x y"]
    assert fastpath._words(argv, b"{}\0\n") == answers._words(argv, b"{}\0\n")
    assert ipc.words(fastpath._words(argv, b"{}\0\n")) == (tuple(argv), b"{}\0\n")


UNBELIEVED = {
    "nothing": b"",
    "garbage": b"\0\xff\n",
    "it declines": ipc.declined("alone"),
    "another version": ipc.other(),
    "what people hear": ipc.said(b"{}"),
    "allowed and denied": ipc.answer(10, (LINE, *AROUND), final=True),
    "denied and allowed": ipc.answer(0, (b"deny NS-2001 x\n", *AROUND), final=True),
    "a word like allow": ipc.answer(0, (b"allowed\n", *AROUND), final=True),
    "exit code 128": ipc.answer(128, (b"deny\n", *AROUND), final=True),
    "exit code -10": ipc.answer(-10, (b"deny\n", *AROUND), final=True),
    "no line": ipc.answer(0, (b"", *AROUND), final=True),
    "half a line": ipc.answer(0, (LINE[:-1], *AROUND), final=True),
    "two lines": ipc.answer(0, (LINE * 2, *AROUND), final=True),
    "a long line": ipc.answer(0, (LINE[:-1].ljust(512) + b"\n", *AROUND), final=True),
    "more than was said": ANSWER + b"x",
    "less than was said": ANSWER[:-1],
    "a number too few": b"answer 0 1 6 0\nallow\n",
    "a number too many": b"answer 0 1 6 0 0 0\nallow\n",
    "lengths below zero": b"answer 0 1 -1 -1 -1\n" + LINE,
    "not sure": ipc.answer(0, (LINE, *AROUND), final=False),
    "without end": b"x" * 100_000,
}


@pytest.mark.parametrize("what", UNBELIEVED)
def test_child_believes_nothing_else(tmp_path: pathlib.Path, what: str) -> None:
    with daemon(tmp_path, UNBELIEVED[what]):
        assert fastpath.ask(str(tmp_path), b"", WORDS) is None


def test_number_that_is_none_is_an_error_that_the_child_passes_over(tmp_path: pathlib.Path) -> None:
    with daemon(tmp_path, b"answer 0 1 a b c\n"), pytest.raises(ValueError, match="invalid literal"):
        fastpath.ask(str(tmp_path), b"", WORDS)


@pytest.mark.parametrize(
    ("ago", "said", "found"),
    [
        (5.5, ipc.BUSY, None),
        (5.5, ipc.WORKING + ipc.answer(0, (LINE, *AROUND), final=False), (0, LINE, *AROUND)),
        (7.6, ipc.WORKING, None),
        (6.8, ipc.WORKING + ANSWER, (0, LINE, *AROUND)),
    ],
    ids=["no turn", "too late to do it alone", "no answer", "the last word"],
)
def test_child_waits_as_long_as_its_time_allows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, ago: float, said: bytes, found: object
) -> None:
    monkeypatch.setattr(fastpath, "BEGUN_AT", NOW - ago)
    with daemon(tmp_path, said):
        assert fastpath.ask(str(tmp_path), b"", WORDS) == found


def test_daemon_that_says_nothing_is_noted_for_the_program_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(sys, "nodeseal_hung", False, raising=False)
    monkeypatch.setattr(fastpath, "_SILENCE", 0.1)
    with contextlib.closing(ipc.listening(str(tmp_path))), pytest.raises(TimeoutError):
        fastpath.ask(str(tmp_path), b"", WORDS)
    assert sys.nodeseal_hung is True  # type: ignore[attr-defined]


def test_child_leaves_no_descriptor_open(tmp_path: pathlib.Path) -> None:
    before = os.listdir("/proc/self/fd")
    with daemon(tmp_path, ANSWER):
        assert fastpath.ask(str(tmp_path), b"", WORDS) is not None
    assert os.listdir("/proc/self/fd") == before  # the daemon's own are closed only once its thread has ended
    with pytest.raises(ConnectionRefusedError):
        fastpath.ask(str(tmp_path), b"", WORDS)
    os.unlink(tmp_path / ipc.FOLDER / ipc.NAME)
    with pytest.raises(FileNotFoundError):
        fastpath.ask(str(tmp_path), b"", WORDS)
    (tmp_path / ipc.FOLDER).chmod(0o777)
    assert fastpath.ask(str(tmp_path), b"", WORDS) is None
    assert os.listdir("/proc/self/fd") == before


# ---- the daemon's side --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ipc.KINDS)
def test_head_is_read_as_it_was_written(kind: str) -> None:
    line = ipc.question(Question(kind, "1.2.3", 1.5, b"key", b"body")).partition(b"\n")[0]
    assert ipc.head(line) == (kind, "1.2.3", 1500, 3, 4)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\0", b"nodeseal", b"GET / HTTP/1.1", b"nodesea1 1 pull 0 1 1 1", b"nodeseal 1", b"nodeseal 1 pull",
        b"nodeseal 1 pull 0 1 1", b"nodeseal 1 pull 0 1 1 1 1", b"nodeseal 1 push 0 1 1 1", b"nodeseal 1  0 1 1 1",
        b"nodeseal 1 pull 0 -1 1 1", b"nodeseal 1 pull 0 1 -1 1", b"nodeseal 1 pull 0 1 1 x", b"nodeseal 1 pull 0 1 1 ",
        b"nodeseal 1 pull 0 1 1 1.0", b"nodeseal 1 pull 0 1 1 1_0", b"nodeseal 1 pull 0 9999999999 1 1",
        b"nodeseal 1 pull 0 1 262144 262145", b"nodeseal 1 pull 0 1 1 524288", b"nodeseal 1 pull \xff 1 1 1",
        b"nodeseal 1 pull 0 1 1 \xc2\xb2", b"nodeseal 1 pull 0 1 1 " + b"9" * 200,
    ],
)  # fmt: skip
def test_head_that_is_none_is_malformed(line: bytes) -> None:
    with pytest.raises(Malformed, match="question: got"):
        ipc.head(line)


@pytest.mark.parametrize("line", [b"nodeseal 2", b"nodeseal 2 pull x", b"nodeseal 01 pull 0 1 1 1", b"nodeseal x"])
def test_head_of_another_version_is_told_from_garbage(line: bytes) -> None:
    assert ipc.head(line) is None


@pytest.mark.parametrize("body", [b"", b"x", b"0\0", b"-1\0", b"2\0", b"3\0a\0b", b"1000\0" + b"\0" * 1000, b"\xb2\0a"])
def test_words_that_are_not_whole_are_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="question: got"):
        ipc.words(body)


def test_reason_to_decline_is_one_ascii_line() -> None:
    assert ipc.declined("\u0430lone") == b"cold ?lone\n"


# ---- where it is --------------------------------------------------------------------------------------------------


def test_socket_is_this_users_alone_and_replaces_what_was_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / ipc.FOLDER / ipc.NAME
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_text("a file")
    with contextlib.closing(ipc.listening(str(tmp_path))):
        first = ipc.number(str(tmp_path))
        assert stat.filemode(path.lstat().st_mode) == "srw-------"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with contextlib.closing(ipc.listening(str(tmp_path))):
            second = ipc.number(str(tmp_path))
            ipc.take_away(str(tmp_path), first)
            assert ipc.number(str(tmp_path)) == second != first
            ipc.take_away(str(tmp_path), second)
    assert os.listdir(path.parent) == []
    assert ipc.number(str(tmp_path)) == 0
    ipc.take_away(str(tmp_path), 0)


def test_place_that_is_taken_is_an_error_that_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    (tmp_path / ipc.FOLDER / ipc.NAME).mkdir(parents=True)
    (tmp_path / ipc.FOLDER).chmod(0o700)
    with pytest.raises(IsADirectoryError):
        ipc.listening(str(tmp_path))
    assert os.listdir(tmp_path / ipc.FOLDER) == [ipc.NAME]


@pytest.mark.parametrize(
    "spoil",
    [lambda folder: folder.chmod(0o770), lambda folder: os.chown(folder, NOBODY, NOBODY)],
    ids=["its group may write to it", "it is another's"],
)
def test_folder_of_others_is_used_by_nobody(tmp_path: pathlib.Path, spoil: Callable[[pathlib.Path], None]) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a folder away needs root")
    folder = tmp_path / ipc.FOLDER
    folder.mkdir(parents=True, mode=0o700)
    spoil(folder)
    with pytest.raises(PermissionError, match="expected one of root's or this user's"):
        ipc.folder(str(tmp_path))
    with pytest.raises(HostError, match="expected the daemon's socket"):
        Client(str(tmp_path)).ask(ipc.STATUS, seconds=1)


def test_other_user_is_known_by_the_kernel() -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # a name that the kernel chooses, in no folder
        listener.listen()
        for uid in (0, NOBODY):
            child = os.fork()
            if child == 0:
                try:
                    os.setuid(uid)
                    with socket.socket(socket.AF_UNIX) as channel:
                        channel.connect(listener.getsockname())
                        channel.recv(1)
                finally:
                    os._exit(0)
            connection, _ = listener.accept()
            with connection:
                assert ipc.is_ours(connection) is (uid == 0)
            os.waitpid(child, 0)


# ---- people's commands --------------------------------------------------------------------------------------------


def test_command_hears_what_the_daemon_says(tmp_path: pathlib.Path) -> None:
    with daemon(tmp_path, ipc.WORKING, ipc.BUSY, ipc.said(b'{"a": "\n"}')) as asked:
        assert Client(str(tmp_path)).ask(ipc.STATUS, b"body", seconds=30) == b'{"a": "\n"}'
    assert asked == [ipc.question(Question(ipc.STATUS, __version__, 30, b"", b"body"))]


def test_command_without_a_daemon_hears_that_there_is_none(tmp_path: pathlib.Path) -> None:
    client = Client(str(tmp_path))
    assert client.ask(ipc.STATUS, seconds=1) is None
    (tmp_path / "run").write_text("no folder")
    assert client.ask(ipc.STATUS, seconds=1) is None
    (tmp_path / "run").unlink()
    ipc.listening(str(tmp_path)).close()  # stale
    assert client.ask(ipc.STATUS, seconds=1) is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "got b''; expected the daemon's answer"),
        (b"\xffx", "expected the daemon's answer"),
        (ANSWER, "expected the daemon's answer"),
        (ipc.said(b"{}")[:-1], "expected the daemon's answer"),
        (ipc.said(b"{}") + b"x", "expected the daemon's answer"),
        (ipc.declined("bug"), "got b'cold bug'; expected the daemon's answer"),
        (ipc.other(), "got a daemon of another version"),
        (b"x" * 1_000_000, "expected the daemon's answer"),
    ],
)
def test_command_is_told_what_is_wrong_with_an_answer(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, said: bytes, told: str
) -> None:
    monkeypatch.setattr(ipc, "MAX_ANSWER", 100_000)
    with daemon(tmp_path, said), pytest.raises(HostError) as raised:
        Client(str(tmp_path)).ask(ipc.STATUS, seconds=30)
    assert told in raised.value.message
    assert len(raised.value.message) < 300


def test_command_does_not_wait_for_ever(tmp_path: pathlib.Path) -> None:
    with contextlib.closing(ipc.listening(str(tmp_path))), pytest.raises(HostError, match="timed out") as raised:
        Client(str(tmp_path)).ask(ipc.STATUS, seconds=0.1)
    assert raised.value.hint


def test_command_believes_no_other_user(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc, "is_ours", lambda _: False)
    with daemon(tmp_path, ipc.said(b"{}")), pytest.raises(HostError, match="got another user behind it"):
        Client(str(tmp_path)).ask(ipc.STATUS, seconds=30)
