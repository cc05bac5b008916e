"""The node's own break-glass on disk: changed whole and one after another, and believed if nobody else wrote it."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.adapters import files, nodestate
from agent.adapters.nodestate import BEGUN, BREAK_GLASS, NodeState, moment
from agent.config import glassform
from agent.errors import HostError, Malformed, UsageError
from agent.rules.breakglass import BreakGlass
from agent.rules.ruleset import ConfiguredBreakGlass

NOW = moment()
ENTRY = BreakGlass("a1", "r.example/shop/**", "INC-1", NOW, NOW.wall + timedelta(hours=2))
CONFIGURED = ConfiguredBreakGlass("r.example/**", NOW.wall + timedelta(hours=1), "INC-2")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node's root, empty."""
    return tmp_path


@pytest.fixture
def state(root: Path) -> NodeState:
    """What is under it."""
    return NodeState(str(root))


def add(name: str) -> Callable[[tuple[BreakGlass, ...]], tuple[BreakGlass, ...]]:
    """A change that adds one entry."""
    return lambda before: (*before, ENTRY._replace(id=name))


def test_what_was_written_last_is_read(state: NodeState, root: Path) -> None:
    assert state.break_glass() == state.read_break_glass() == ()
    assert state.change_break_glass(add("a1")) == (ENTRY,)
    state.change_break_glass(add("a2"))
    assert [entry.id for entry in state.break_glass()] == ["a1", "a2"]
    path = root / BREAK_GLASS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == [path.name]


def test_what_does_not_change_is_not_written(state: NodeState, root: Path) -> None:
    state.write_break_glass([ENTRY])
    before = (root / BREAK_GLASS).stat()
    state.change_break_glass(lambda entries: entries)
    assert (root / BREAK_GLASS).stat() == before


def test_a_change_that_fails_changes_nothing_and_lets_go_of_the_lock(state: NodeState) -> None:
    def fail(before: tuple[BreakGlass, ...]) -> tuple[BreakGlass, ...]:
        raise UsageError("no")

    state.write_break_glass([ENTRY])
    with pytest.raises(UsageError):
        state.change_break_glass(fail)
    assert [entry.id for entry in state.change_break_glass(add("a2"))] == ["a1", "a2"]


def test_changes_at_once_are_made_one_after_another(state: NodeState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodestate, "_LOCK_WAIT", 60.0)
    names = [f"t{i}" for i in range(16)]
    start = threading.Barrier(len(names))

    def change(name: str) -> None:
        start.wait(60)
        state.change_break_glass(add(name))

    threads = [threading.Thread(target=change, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.id for entry in state.break_glass()) == sorted(names)


def test_a_lock_that_is_not_let_go_of_is_an_error_of_the_host(
    state: NodeState, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodestate, "_LOCK_WAIT", 0.1)
    state.write_break_glass([ENTRY])
    folder = root / "var" / "lib" / "nodeseal"
    folder.mkdir(parents=True, mode=0o700)
    with files.locked(str(folder / "break-glass.lock"), wait=1), pytest.raises(HostError, match="held the lock"):
        state.change_break_glass(add("a2"))
    assert state.break_glass() == (ENTRY,)


@pytest.mark.parametrize("moment_of_death", ["rename", "fsync"])
def test_killed_before_it_is_in_place_the_old_one_stands(state: NodeState, root: Path, moment_of_death: str) -> None:
    state.write_break_glass([ENTRY])
    script = (
        "import os, signal, sys\nfrom tests.adapters.test_nodestate import NodeState, add\n"
        f"os.{moment_of_death} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "NodeState(sys.argv[1]).change_break_glass(add('a2'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(root)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert state.break_glass() == (ENTRY,)
    assert [entry.id for entry in state.change_break_glass(add("a3"))] == ["a1", "a3"]


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link_to_open_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("elsewhere")
    path.parent.chmod(0o777)


def _huge(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" " * glassform.MAX_SIZE)


BAD: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, 50),
    "empty": lambda path: os.truncate(path, 0),
    "no JSON": lambda path: path.write_text("{"),
    "endless": lambda path: os.truncate(path, 1 << 32),
    "huge": _huge,
    "writable by others": lambda path: path.chmod(0o602),
    "writable by the group": lambda path: path.chmod(0o620),
    "a link": _link,
    "a pipe": _pipe,
    "a folder": _folder,
    "in a folder that others may write to": lambda path: path.parent.chmod(0o777),
    "in a folder that the group may write to": lambda path: path.parent.chmod(0o775),
    "in a folder that is a link to one that others may write to": _link_to_open_folder,
}
"""What can be wrong with the file."""


@pytest.mark.parametrize("damage", BAD)
def test_what_is_not_whole_or_not_ours_lets_nothing_pass_and_is_never_overwritten(
    state: NodeState, root: Path, damage: str
) -> None:
    state.write_break_glass([ENTRY])
    path = root / BREAK_GLASS
    BAD[damage](path)
    before = os.lstat(path)
    assert state.break_glass() == ()
    with pytest.raises((HostError, Malformed)):
        state.read_break_glass()
    with pytest.raises((HostError, Malformed)):
        state.change_break_glass(add("a2"))
    assert os.lstat(path).st_ino == before.st_ino


@pytest.mark.parametrize("whose", [stat.S_ISDIR, stat.S_ISREG])
def test_what_belongs_to_someone_else_lets_nothing_pass(
    state: NodeState, monkeypatch: pytest.MonkeyPatch, whose: Callable[[int], bool]
) -> None:
    state.write_break_glass([ENTRY])
    fstat = os.fstat

    def foreign(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        return os.stat_result([12345 if i == 4 and whose(found.st_mode) else each for i, each in enumerate(found)])

    monkeypatch.setattr(os, "fstat", foreign)
    assert state.break_glass() == ()
    with pytest.raises(HostError, match="belongs to uid 12345"):
        state.read_break_glass()
    monkeypatch.undo()
    assert state.break_glass() == (ENTRY,)


@pytest.mark.parametrize(("number", "hint"), [(errno.EACCES, "run as"), (errno.EIO, "let it and its folder belong")])
def test_bootstrap_document_that_cannot_be_read_is_told_in_words(
    state: NodeState, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def fail(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number), "bootstrap.json")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(HostError) as told:
        state.read_bootstrap()
    assert told.value.message.endswith(
        f"/bootstrap.json: got {os.strerror(number)}; expected the node's bootstrap document"
    )
    assert told.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.EACCES, "run as"), (errno.EIO, "find out who put it there, remove it")]
)
def test_what_cannot_be_read_is_told_with_the_next_step(
    state: NodeState, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    state.write_break_glass([ENTRY])

    def fail(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(HostError, match=os.strerror(number)) as told:
        state.read_break_glass()
    assert told.value.hint.startswith(hint)
    assert state.break_glass() == ()
    with pytest.raises(HostError, match="expected to write there"):
        state.write_break_glass([ENTRY])


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "make room there"), (errno.EROFS, "have it mounted so"), (errno.EACCES, "run as the user")],
)
def test_what_cannot_be_written_is_told_with_the_next_step(
    state: NodeState, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "replace", fail)
    with pytest.raises(HostError, match=f"got {os.strerror(number)}; expected to write there") as told:
        state.write_break_glass([ENTRY])
    assert told.value.hint.startswith(hint)


def test_a_place_that_is_none_has_no_break_glass(root: Path) -> None:
    (root / "etc").write_text("no folder")
    state = NodeState(str(root))
    assert state.read_break_glass() == ()
    with pytest.raises(HostError):
        state.change_break_glass(add("a1"))


def test_the_configurations_is_in_force_since_it_was_first(
    state: NodeState, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.begin([])
    assert not (root / BEGUN).exists()
    state.begin([CONFIGURED])
    begun = state.begun()
    assert 0 <= (begun[CONFIGURED].wall - NOW.wall).total_seconds() < 3600
    other = CONFIGURED._replace(reason="INC-3")
    state.begin([CONFIGURED, other])
    assert state.begun()[CONFIGURED] == begun[CONFIGURED]
    assert state.begun()[other].boot_seconds > begun[CONFIGURED].boot_seconds


def test_what_another_configuration_leaves_out_stays_noted_until_it_is_over(
    state: NodeState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That configuration may be refused after all; and nobody starts a clock anew by leaving out and putting back."""
    state.begin([CONFIGURED])
    begun = state.begun()
    state.begin([])
    state.begin([CONFIGURED])
    assert state.begun() == begun
    monkeypatch.setattr(nodestate, "moment", lambda: NOW._replace(wall=CONFIGURED.until))
    state.begin([])
    assert state.begun() == {}


def test_what_is_left_out_crowds_out_nothing_that_is_not(state: NodeState) -> None:
    many = [CONFIGURED._replace(reason=f"{i}") for i in range(glassform.MAX_ENTRIES)]
    state.begin(many)
    state.begin([CONFIGURED])
    assert len(state.begun()) == glassform.MAX_ENTRIES
    assert CONFIGURED in state.begun()


@pytest.mark.parametrize("damage", [name for name in BAD if " folder " not in name])
def test_when_the_configurations_began_is_not_taken_from_others(state: NodeState, root: Path, damage: str) -> None:
    state.begin([CONFIGURED])
    BAD[damage](root / BEGUN)
    assert state.begun() == {}


@pytest.mark.parametrize("content", [None, b"\xff\xff", b""])
def test_a_boot_that_nobody_can_name_has_no_name(root: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    path = root / "boot_id"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(nodestate, "_BOOT_ID", str(path))
    assert moment().boot_id == ""


def test_a_moment_is_of_this_boot_and_goes_on() -> None:
    first, second = moment(), moment()
    assert first.boot_id == second.boot_id != ""
    assert second.boot_seconds >= first.boot_seconds > 0
