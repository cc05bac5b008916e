"""The door never closes: whatever the daemon does or is, the child answers as it does alone, and in its time."""

import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from agent.adapters import ipc
from agent.model.descriptor import Descriptor
from agent.modes.plugin import DEADLINE
from tests.commands import Done, run
from tests.frozen.conftest import Setting
from tests.frozen.daemon import Daemon
from tests.frozen.impostors import ALLOW, LIES, ahead, hangs, in_folder, said, says, says_again, served
from tests.frozen.program import descriptor, plugin_words
from tests.frozen.test_again import doors, on_the_node
from tests.signing import attach_signature, envelope
from tests.simulators import misbehaviour
from tests.simulators.registry import Handler
from tests.starvation import Pressure

pytestmark = pytest.mark.frozen

HUNG = 1.0
"""Seconds that a daemon that says nothing costs."""

SLACK = 2.5
"""Seconds that a busy machine may take longer."""

NOBODY = 1000
"""A user who is neither root nor the tests'."""


class Both(NamedTuple):
    """What came of the signed and of the unsigned image."""

    signed: Done
    unsigned: Done

    @property
    def said(self) -> list[tuple[int, str, str]]:
        """Everything but the time."""
        return [(each.code, each.out, each.err) for each in self]


def pull(setting: Setting, name: str) -> Done:
    """Pull one of the two images, as if for the first time."""
    setting.program.forget()
    image: Descriptor = getattr(setting, name)
    return setting.program.pull(f"{setting.registry.host}/team/{name}:1", str(image.digest), image.size)


def both(setting: Setting) -> Both:
    """Pull both."""
    return Both(pull(setting, "signed"), pull(setting, "unsigned"))


@pytest.fixture(autouse=True)
def quiet(setting: Setting) -> Iterator[None]:
    """No daemon, nor anything of one; a registry that behaves, and a spool that begins."""
    shutil.rmtree(setting.program.root / ipc.FOLDER, ignore_errors=True)
    (setting.program.root / "var/log/nodeseal/spool.jsonl").unlink(missing_ok=True)
    yield
    setting.registry.misbehave("*", misbehaviour.as_usual)
    setting.registry.misbehave("blob", misbehaviour.as_usual)


@pytest.fixture(scope="module")
def alone(setting: Setting) -> Both:
    """What the child says where there never was a daemon."""
    found = both(setting)
    assert (found.signed.code, found.unsigned.code) == (0, 10)
    return found


def assert_as_alone(setting: Setting, alone: Both, *, longer: float = 0) -> None:
    """Both images get the answer that they get without a daemon, and not much later."""
    most, pressure = max(each.seconds for each in alone) + longer + SLACK, Pressure()
    found = both(setting)
    assert found.said == alone.said
    assert max(each.seconds for each in found) < most + pressure.slack()


def assert_answered_by(daemon: Daemon, setting: Setting, alone: Both) -> None:
    """Both images get that answer from the daemon."""
    daemon.unhindered(lambda: assert_as_alone(setting, alone))
    assert doors(setting)[-2:] == ["daemon", "daemon"]


# ---- impostors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_answer_of_a_daemon_is_passed_over(setting: Setting, alone: Both, lie: str) -> None:
    with served(setting, LIES[lie]) as asked:
        assert_as_alone(setting, alone)
    assert len(asked) == 2
    assert doors(setting) == ["plugin", "plugin"]


@pytest.mark.parametrize("after", [b"", ipc.WORKING, ipc.BUSY, said(0, ALLOW)[:20], said(0, ALLOW)[:-1]])
def test_daemon_that_falls_silent_costs_a_second(setting: Setting, alone: Both, after: bytes) -> None:
    with served(setting, hangs(after)):
        assert_as_alone(setting, alone, longer=HUNG)


def test_what_a_daemon_says_is_taken(setting: Setting, alone: Both) -> None:
    """Otherwise the lies prove nothing."""
    assert alone.unsigned.code == 10
    pieces = ipc.BUSY + ipc.WORKING * 2 + said(0, ALLOW, around=(b'{"door":"daemon","time":"', b'"}\n'))

    def behave(connection: socket.socket) -> None:
        for i in range(len(pieces)):
            connection.sendall(pieces[i : i + 1])
            time.sleep(0.001)

    with served(setting, behave) as asked:
        answer = pull(setting, "unsigned")
    assert (answer.code, answer.stdout) == (0, ALLOW)
    head = ipc.head(asked[0].partition(b"\n")[0])
    assert head is not None
    assert head.kind == ipc.PULL
    assert doors(setting) == ["daemon"]


def test_child_that_asks_has_loaded_nothing_but_sockets(setting: Setting, alone: Both) -> None:
    mapped: list[str] = []

    def behave(connection: socket.socket) -> None:
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        mapped.append(pathlib.Path(f"/proc/{pid}/maps").read_text())

    with served(setting, behave):
        assert both(setting).said == alone.said
    for maps in mapped:
        files = {line.rpartition("/")[2] for line in maps.splitlines() if "/_internal/" in line}
        extensions = {name.partition(".")[0] for name in files if ".cpython-" in name}
        assert extensions <= {"_socket"}  # it is built into some interpreters
        assert not [name for name in files if name.startswith(("libssl", "libcrypto", "_cffi", "_rust"))]
    assert len(mapped) == 2


@pytest.mark.parametrize(("word", "longer"), [(ipc.WORKING, DEADLINE), (ipc.BUSY, 5.0)])
def test_daemon_that_works_for_ever_never_allows_and_leaves_time_for_an_answer(
    setting: Setting, alone: Both, word: bytes, longer: float
) -> None:
    pressure = Pressure()
    with served(setting, says_again(word, 0.1)):
        answer = pull(setting, "unsigned")
    assert answer.code in ((10, 11) if word == ipc.WORKING or pressure.is_full() else (10,))
    assert answer.out.startswith(("deny NS-2001", "cannot tell NS-3005"))
    assert longer - 1 < answer.seconds < min(longer + SLACK, DEADLINE + 1.5) + pressure.slack()


@pytest.mark.parametrize("listens_as", [NOBODY, 0])
def test_daemon_of_another_user_is_not_believed(setting: Setting, alone: Both, listens_as: int) -> None:
    folder = setting.program.root / ipc.FOLDER
    folder.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener, in_folder(folder):
        listener.bind(ipc.NAME)
        child = os.fork()
        if child == 0:
            try:
                ahead()
                os.setuid(listens_as)
                listener.listen(64)
                while True:
                    with contextlib.suppress(OSError):
                        connection, _ = listener.accept()
                        connection.sendall(said(0, ALLOW))
                        connection.recv(65536)
                        connection.close()
            finally:
                os._exit(1)
        try:
            until(lambda: connects(folder))
            if listens_as == 0:
                assert pull(setting, "unsigned").code == 0  # so it would be, were it believed
            else:
                assert_as_alone(setting, alone)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def doors_so_far(setting: Setting) -> list[str]:
    """See `doors`; the spool may not have begun, and somebody may be writing its last line."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return doors(setting)
    return []


def connects(folder: pathlib.Path) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX) as channel, contextlib.suppress(OSError):
        channel.connect(f"/proc/self/cwd/{ipc.NAME}")
        return True
    return False


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    """Wait."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_daemon_that_takes_no_more_connections_costs_nothing(setting: Setting, alone: Both) -> None:
    folder = setting.program.root / ipc.FOLDER
    folder.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener, in_folder(folder), contextlib.ExitStack() as waiting:
        listener.bind(ipc.NAME)
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                channel = waiting.enter_context(socket.socket(socket.AF_UNIX))
                channel.setblocking(False)
                channel.connect(ipc.NAME)
        assert_as_alone(setting, alone)


# ---- what is in the socket's place --------------------------------------------------------------------------------

IN_PLACE: dict[str, Callable[[pathlib.Path], object]] = {
    "a file": lambda path: path.write_bytes(said(0, ALLOW)),
    "a folder": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a socket that nobody serves": lambda path: abandoned(path),
}


def abandoned(path: pathlib.Path) -> None:
    """What a daemon leaves that is killed."""
    with socket.socket(socket.AF_UNIX) as listener, in_folder(path.parent):
        listener.bind(path.name)
        listener.listen()


@pytest.mark.parametrize("what", IN_PLACE)
def test_what_is_no_socket_is_passed_over_and_the_next_daemon_replaces_it(
    setting: Setting, alone: Both, what: str
) -> None:
    folder = setting.program.root / ipc.FOLDER
    folder.mkdir(parents=True, mode=0o700)
    IN_PLACE[what](folder / ipc.NAME)
    assert_as_alone(setting, alone)
    assert doors(setting) == ["plugin", "plugin"]
    if what == "a folder":
        done = run([str(setting.program.path), "watch", "--root", str(setting.program.root)])
        assert done.code == 5
        assert "expected to serve a socket there" in done.err
        return
    with Daemon(setting.program) as daemon:
        assert_answered_by(daemon, setting, alone)


FOREIGN: dict[str, Callable[[pathlib.Path], object]] = {
    "it is another's": lambda folder: os.chown(folder, NOBODY, NOBODY),
    "others may write to it": lambda folder: folder.chmod(0o777),
    "its group may write to it": lambda folder: folder.chmod(0o770),
    "it is a link": lambda folder: linked(folder),
    "it is a file": lambda folder: replaced(folder),
}


def replaced(folder: pathlib.Path) -> None:
    """There is a file in the folder's place."""
    folder.rmdir()
    folder.touch()


def linked(folder: pathlib.Path) -> None:
    """The folder is elsewhere."""
    elsewhere = folder.with_name("elsewhere")
    shutil.rmtree(elsewhere, ignore_errors=True)
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)


@pytest.mark.parametrize("how", FOREIGN)
def test_folder_that_others_could_have_filled_is_not_looked_into(setting: Setting, alone: Both, how: str) -> None:
    folder = setting.program.root / ipc.FOLDER
    folder.mkdir(parents=True, mode=0o700)
    try:
        with contextlib.ExitStack() as serving:
            if how != "it is a file":
                asked = serving.enter_context(served(setting, says(said(0, ALLOW))))
            FOREIGN[how](folder)
            assert_as_alone(setting, alone)
            assert how == "it is a file" or asked == []
    finally:
        if folder.is_symlink() or folder.is_file():
            folder.unlink()


# ---- the daemon itself --------------------------------------------------------------------------------------------


def test_daemon_that_hangs_before_it_is_asked_costs_a_second(setting: Setting, alone: Both) -> None:
    with Daemon(setting.program) as daemon:
        with daemon.stopped():
            assert_as_alone(setting, alone, longer=HUNG)
            assert doors(setting) == ["plugin", "plugin"]
        assert_as_alone(setting, alone)
        assert {"daemon", "answer"} >= set(doors(setting)[2:])  # it has answered those who are gone, too


class Caught:
    """Holds the requests for signatures back, once, until it is let go."""

    def __init__(self) -> None:
        """Nobody came yet."""
        self.came = threading.Event()
        self.go = threading.Event()

    def __call__(self, handler: Handler) -> bool:
        """A behaviour of the registry."""
        if not self.came.is_set():
            self.came.set()
            self.go.wait(60)
        return False


@contextlib.contextmanager
def caught_in_the_middle(
    setting: Setting, name: str
) -> Iterator[tuple[Daemon, Caught, "concurrent.futures.Future[Done]"]]:
    """A pull for which the daemon waits for the registry."""
    caught = Caught()
    setting.registry.misbehave("*", caught)
    with Daemon(setting.program) as daemon, concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(pull, setting, name)
        try:
            assert caught.came.wait(60)
            yield daemon, caught, future
        finally:
            caught.go.set()


@pytest.mark.parametrize("name", ["signed", "unsigned"])
def test_daemon_that_is_killed_in_the_middle_costs_nothing_more(setting: Setting, alone: Both, name: str) -> None:
    with caught_in_the_middle(setting, name) as (daemon, _, future):
        daemon.kill()
        answer = future.result(60)
    expected: Done = getattr(alone, name)
    assert (answer.code, answer.out) == (expected.code, expected.out)
    assert doors(setting) == ["plugin"]


@pytest.mark.parametrize("name", ["signed", "unsigned"])
def test_daemon_that_is_stopped_in_the_middle_ends_at_once_and_costs_nothing_more(
    setting: Setting, alone: Both, name: str
) -> None:
    with caught_in_the_middle(setting, name) as (daemon, _, future):
        assert daemon.stop() == 0
        answer = future.result(60)
    expected: Done = getattr(alone, name)
    assert (answer.code, answer.out) == (expected.code, expected.out)


@pytest.mark.parametrize("name", ["signed", "unsigned"])
def test_daemon_that_hangs_in_the_middle_leaves_time_for_an_answer(setting: Setting, alone: Both, name: str) -> None:
    pressure = Pressure()
    with caught_in_the_middle(setting, name) as (daemon, _, future), daemon.stopped():
        answer = future.result(60)
    expected: Done = getattr(alone, name)
    assert (answer.code, answer.out) == (expected.code, expected.out)
    assert answer.seconds < HUNG + SLACK + pressure.slack()
    assert doors(setting) == ["plugin"]


def test_pulls_go_on_while_daemons_come_and_go(setting: Setting, alone: Both) -> None:
    done = threading.Event()

    def pulls() -> list[tuple[int, str]]:
        found = []
        while not done.is_set():
            answers = both(setting)
            found += [(each.code, each.out) for each in answers]
        return found

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(pulls) for _ in range(2)]
        for way in (Daemon.stop, Daemon.kill, Daemon.stop):
            with Daemon(setting.program) as daemon:
                time.sleep(0.5)
                until(lambda: "daemon" in doors_so_far(setting))
                way(daemon)
        done.set()
        found = [answer for future in futures for answer in future.result()]
    assert set(found) == {(each.code, each.out) for each in alone}
    assert "daemon" in doors(setting)


def test_second_daemon_waits_for_the_first_one_and_says_so(setting: Setting, alone: Both) -> None:
    with Daemon(setting.program) as first:
        number = ipc.number(str(setting.program.root))
        done = run([str(setting.program.path), "watch", "--root", str(setting.program.root)])
        assert done.code == 5
        assert "got another daemon that serves it; expected none" in done.err
        assert done.seconds > 9
        assert ipc.number(str(setting.program.root)) == number
        assert_answered_by(first, setting, alone)
        assert first.stop() == 0
        assert not first.socket.exists()


def test_daemon_takes_away_its_own_socket_alone(setting: Setting) -> None:
    with Daemon(setting.program) as daemon:
        daemon.socket.unlink()
        abandoned(daemon.socket)
        number = ipc.number(str(setting.program.root))
        assert daemon.stop() == 0
        assert ipc.number(str(setting.program.root)) == number


def test_daemon_without_descriptors_is_passed_over_and_recovers(setting: Setting, alone: Both) -> None:
    with Daemon(setting.program, runner=["/usr/bin/prlimit", "--nofile=48:48"]) as daemon:
        assert_as_alone(setting, alone)
        with crowded(daemon.socket):
            until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) >= 48)
            assert_as_alone(setting, alone, longer=HUNG)
            break_glass = ("--for", "1h", "--image", f"{setting.registry.host}/team/*", "--reason", "INC-1")
            on_the_node(setting, "break-glass", "on", *break_glass)
            assert "ground=breakGlass" in pull(setting, "unsigned").out
        assert daemon.is_alive()
        until(lambda: "ground=breakGlass" in pull(setting, "unsigned").out and doors(setting)[-1] == "daemon")
        on_the_node(setting, "break-glass", "off", "--no-verify")
        until(lambda: pull(setting, "signed").code == 0 and doors(setting)[-1] == "daemon")
        assert_as_alone(setting, alone)


@contextlib.contextmanager
def crowded(path: pathlib.Path) -> Iterator[None]:
    """Sixty connect to a socket, and ask nothing; others take the place of those that are sent away."""
    over = threading.Event()

    def connect() -> None:
        while not over.wait(0.005):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(3)
                channel.connect(path.name)
                channel.recv(1)

    threads = [threading.Thread(target=connect, daemon=True) for _ in range(60)]
    with in_folder(path.parent):
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


def test_daemon_that_can_write_nothing_answers_all_the_same(setting: Setting, alone: Both) -> None:
    with Daemon(setting.program, runner=["/usr/bin/prlimit", "--fsize=0"]) as daemon:
        assert_answered_by(daemon, setting, alone)


def test_fifty_children_for_twenty_images_are_twenty_verifications(setting: Setting) -> None:
    rounds = itertools.count()

    def asked() -> tuple[list[Done], Counter[str], list[str]]:
        """Have fifty children ask for new images; their answers, what the registry was asked, and who answered."""
        images = [signed(setting, f"many/{next(rounds)}-{number}") for number in range(20)]
        before, told = Counter(setting.registry.counts), len(doors_so_far(setting))
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda number: pulled(setting, *images[number % 20]), range(50)))
        return answers, setting.registry.counts - before, doors(setting)[told:]

    setting.program.forget()
    with Daemon(setting.program) as daemon:
        answers, requests, by = daemon.unhindered(asked, heard=lambda found: "plugin" not in found[2])
    assert {(each.code, each.out) for each in answers} == {(0, answers[0].out)}
    assert requests == {"referrers": 20, "manifest": 20, "blob": 20}
    assert len(by) == 50
    assert set(by) <= {"daemon", "answer"}, "the daemon, or what it has answered already"


def signed(setting: Setting, repository: str) -> tuple[str, Descriptor]:
    """A new image that is signed: its name, and what that leads to."""
    image = setting.registry.push_image(repository, "1", salt=repository)
    attach_signature(setting.registry, repository, image, envelope(setting.trusted, image))
    return f"{setting.registry.host}/{repository}:1", image


def pulled(setting: Setting, name: str, image: Descriptor) -> Done:
    """What a child says of an image."""
    words = plugin_words(name, str(image.digest))
    return run([str(setting.program.path), *words], stdin=descriptor(str(image.digest), image.size))
