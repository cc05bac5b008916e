"""Snapshots whose publisher is killed, or fails, at any step: the old one is in force, or the new one."""

import errno
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent.adapters.snapshots import SnapshotStore
from agent.errors import HostError
from tests.adapters.test_snapshots import NEW, NEWER, OLD, _age, _config, store

__all__ = ["store"]


STEPS = ("open", "write", "fsync", "close", "rename", "symlink", "mkdir", "utime", "unlink", "rmdir")


def interrupted(
    at: int, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch, steps: Sequence[str] = STEPS
) -> list[int]:
    """Let the step number `at` of those that change the disk be `act` instead; returns the counter."""
    count = [0]
    for name in steps:
        original = getattr(os, name)

        def step(*arguments: object, _original: Callable[..., object] = original, **named: object) -> object:
            count[0] += 1
            if count[0] == at:
                act()
            return _original(*arguments, **named)

        monkeypatch.setattr(os, name, step)
    return count


def _prepared(root: Path) -> SnapshotStore:
    """OLD in force, something to sweep."""
    store = SnapshotStore(str(root))
    for config in (NEWER, _config("oldest"), OLD):
        store.publish(config)
    _age(store, 3600)
    return store


def _killed_at(store: SnapshotStore, step: int) -> bool:
    """Publish NEW in a process that is killed before its step number `step`; whether it came that far."""
    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            interrupted(step, lambda: os.kill(os.getpid(), signal.SIGKILL), patch)
            store.publish(NEW)
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_killed_at_any_step_it_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    seen = []
    for step in range(1, 1000):
        store = _prepared(tmp_path / str(step))
        if not _killed_at(store, step):
            break
        found = store.load()
        assert found in (OLD, NEW)
        seen.append(found == NEW)
        store.publish(NEW)
        assert store.load() == NEW
        _age(store, 3600)
        store.publish(NEW)
        assert not list(Path(store.state).rglob(".tmp-*"))
    assert len(seen) > 40
    assert seen == sorted(seen)
    assert True in seen


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_failing_at_any_step_it_leaves_the_old_or_the_new(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(1, 1000):
        store = _prepared(tmp_path / str(step))

        def fail() -> None:
            raise OSError(number, "injected")

        with monkeypatch.context() as patch:
            count = interrupted(step, fail, patch, [name for name in STEPS if name != "close"])
            try:
                store.publish(NEW)
                done = True
            except HostError:
                done = False
        if count[0] < step:
            break
        assert store.load() == NEW if done else store.load() in (OLD, NEW)
        store.publish(NEW)
        assert store.load() == NEW
    assert step > 40


def test_everything_is_on_disk_before_it_can_be_seen(store: SnapshotStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.publish(OLD)
    events: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        events.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def renamed(old: str, new: str) -> None:
        events.append(("rename", new))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    store.publish(NEW)
    told = [(what, path.replace(store.state, "").split(".tmp-")[-1]) for what, path in events]
    at = {event: i for i, event in enumerate(told)}
    placed = at["rename", f"/snapshots/{NEW.generation}"]
    written = [i for (what, path), i in at.items() if what == "fsync" and NEW.generation in path]
    assert len(written) == len(NEW.certificates) + 3  # the form, and two folders
    assert max(written) < placed < at["fsync", "/snapshots"] < at["rename", "/current"] < at["fsync", ""]
