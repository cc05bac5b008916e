"""A publisher that is killed at any of its file operations: what is in force is the old state or the new one, whole.

A process of its own publishes, and is killed (SIGKILL) before its n-th write, fsync or rename, for every n.  Then a
node that has nothing but what lies on the disk answers, and the next publisher comes to the new state.
"""

import os
import pathlib
import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest

from agent.adapters.inforce import InForceFile
from agent.adapters.snapshots import SnapshotStore
from agent.modes import node
from tests.modes.clustered import Given, encoded, platform, tenant
from tests.simulators.kube import NAMESPACE

_OPERATIONS = ("open", "mkdir", "write", "fsync", "rename", "symlink", "unlink", "rmdir", "utime")
"""All of what changes a disk that publishing calls; files are opened, too, to be made."""


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Do `work` in a process that is killed before its operation of that number; False if it had fewer."""
    child = os.fork()
    if child == 0:
        left = number

        def counting(operation: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*args: Any, **named: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return operation(*args, **named)

            return counted

        try:
            for name in _OPERATIONS:
                setattr(os, name, counting(getattr(os, name)))
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.fixture
def before(tmp_path: pathlib.Path) -> Given:
    """What was in force: `shop` in its first version, and `gone`, which is deleted in the state that comes."""
    given = Given(tmp_path / "before")
    given.put("platform", encoded(platform()))
    given.put("shop", encoded(tenant("first", "r.example/shop/**")))
    given.put("gone", encoded(tenant("gone", "r.example/gone/**")))
    given.publish()
    return given


def rules(root: pathlib.Path) -> set[str]:
    """What a pull is answered under."""
    found = node.opened(str(root))
    assert not isinstance(found.config, Exception), found.config
    assert found.config.ruleset == found.standing.ruleset
    return {rule.name.partition("/")[2] for rule in found.config.rules}


OLD, NEW = {"platform", "first", "gone"}, {"platform", "second"}


@pytest.mark.unmeasured
def test_whoever_is_killed_while_publishing_leaves_the_old_state_or_the_new_one(
    before: Given, tmp_path: pathlib.Path
) -> None:
    left: list[set[str]] = []
    for number in range(1, 200):
        root = tmp_path / f"killed-{number}"
        shutil.copytree(before.root, root, symlinks=True)
        next_one = before.on(root)
        next_one.put("shop", encoded(tenant("second", "r.example/shop/**")))
        next_one.drop("gone")
        if not killed_at(number, next_one.publish):
            break
        left.append(rules(root))
        assert left[-1] in (OLD, NEW)
        assert InForceFile(str(root)).load().documents
        # What comes next is junk: the last good version is the one that was accepted, and what was deleted stays so.
        after = next_one.on(root)
        after.put("shop", {"nodeseal.yaml": b"rules: ["})
        after.put("gone", {"nodeseal.yaml": b"rules: ["}, uid="created anew")
        merge = after.publish()
        assert {each.name.rpartition("/")[2]: each.kept for each in merge.quarantined} == {"shop": True, "gone": False}
        assert rules(root) in ({"platform", "first"}, NEW)
        if left[-1] == NEW:
            assert rules(root) == NEW
        # And a state without fault is come to.
        after.put("shop", encoded(tenant("second", "r.example/shop/**")))
        after.drop("gone")
        assert after.publish().quarantined == ()
        assert rules(root) == NEW
        assert {each.name for each in InForceFile(str(root)).load().documents} == {
            f"{NAMESPACE}/{name}" for name in ("platform", "shop")
        }
        shutil.rmtree(root)
    else:
        pytest.fail("it has no end")
    assert left[0] == OLD
    assert left[-1] == NEW
    assert left == sorted(left, key=[OLD, NEW].index)
    assert len(left) > 20  # else nothing was counted


@pytest.mark.unmeasured
def test_whoever_is_killed_while_withdrawing_leaves_one_of_both_and_the_next_withdraws(
    before: Given, tmp_path: pathlib.Path
) -> None:
    before.put("platform", encoded(platform(whenMissing="FailurePolicy")))
    before.publish()
    for number in range(1, 100):
        root = tmp_path / f"killed-{number}"
        shutil.copytree(before.root, root, symlinks=True)
        nothing = before.on(root)
        for name in ("platform", "shop", "gone"):
            nothing.drop(name)
        if not killed_at(number, nothing.publish):
            break
        assert SnapshotStore(str(root)).last_rules() is not None
        nothing.on(root).publish()
        assert isinstance(node.opened(str(root)).config, Exception)
        back = nothing.on(root)
        back.put("shop", encoded(tenant("back", "r.example/back/**")))
        back.publish()
        assert rules(root) == {"back"}
        assert all(each.name != f"{NAMESPACE}/gone" for each in InForceFile(str(root)).load().documents)
        shutil.rmtree(root)
    else:
        pytest.fail("it has no end")
    assert number > 5
