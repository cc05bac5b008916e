"""The serial of signed configurations: nothing older comes into force again, whoever is killed in between."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.documents import DocumentSet
from agent.adapters.nodestate import NodeState, moment
from agent.adapters.serials import Serials
from agent.adapters.snapshots import SnapshotStore
from agent.config.dialect import Node
from agent.config.serialform import Applied
from agent.errors import ConfigurationError, Exit, HostError
from agent.modes import config, signing
from tests.adapters.test_snapshots_interrupted import interrupted
from tests.modes.signed import OURS, apply, ask, check, folder, root, serial_in_force, sign, write
from tests.trust.test_signedconfiguration import public

__all__ = ["folder", "root"]


def test_an_older_configuration_is_not_put_in_force_again(tmp_path: Path, root: Path) -> None:
    old, new = (sign(write(tmp_path / str(serial), serial), OURS) for serial in (7, 8))
    assert [apply(each, root).code for each in (old, new)] == [0, 0]
    for done in (check(old, root).out, apply(old, root).err):
        assert "error: nodeseal.json: nodeseal.serial: got 7; expected at least 8, the last serial" in done
    assert serial_in_force(root) == 8


def test_the_same_configuration_is_put_in_force_again(folder: Path, root: Path) -> None:
    apply(folder, root)
    before = os.stat(Serials(str(root)).path)
    shutil.rmtree(root / "var/lib/nodeseal/snapshots")
    assert (check(folder, root).code, apply(folder, root).code) == (0, 0)
    assert serial_in_force(root) == 7
    assert os.stat(Serials(str(root)).path).st_ino == before.st_ino


def test_another_signature_over_the_same_documents_is_the_same_configuration(folder: Path, root: Path) -> None:
    assert [apply(sign(folder, OURS), root).code for _ in range(2)] == [0, 0]


def test_another_configuration_with_the_same_serial_is_refused(folder: Path, root: Path) -> None:
    apply(folder, root)
    other = sign(write(folder.parent / "other", 7, extra="x"), OURS)
    for done in (check(other, root).out, apply(other, root).err):
        assert (
            "nodeseal.serial: got 7, which was in force on this node with other documents; expected at least 8" in done
        )
    assert apply(sign(write(other, 8), OURS), root).code == 0


@pytest.mark.parametrize("spoil", [lambda path: os.truncate(path, 9), lambda path: path.chmod(0o666)])
def test_a_last_serial_that_can_not_be_believed_lets_nothing_in(
    folder: Path, root: Path, spoil: Callable[[Path], object]
) -> None:
    apply(folder, root)
    path = Path(Serials(str(root)).path)
    spoil(path)
    newer = sign(write(folder.parent / "newer", 9), OURS)
    for done in (check(newer, root).out, apply(newer, root).err):
        assert f"error: {path}: got a file that is damaged, or that others could have written; expected" in done
        assert "remove it and apply the newest" in done
    assert serial_in_force(root) == 7
    path.unlink()
    assert apply(newer, root).code == 0


def test_who_may_not_read_the_last_serial_is_told_so_and_can_check_the_rest(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: Serials) -> Applied | None:
        raise HostError("serial.json: got Permission denied; expected to read the last serial")

    monkeypatch.setattr(Serials, "last", unreadable)
    checked = check(folder, root)
    assert checked.code == 0
    assert "WARNING: " in checked.out and "Permission denied" in checked.out
    assert apply(folder, root).code == Exit.HOST
    assert not (root / "var/lib/nodeseal/current").exists()


def test_a_newer_one_that_came_into_force_meanwhile_stays(
    folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = sign(write(folder.parent / "newer", 9), OURS)
    begin = NodeState.begin

    def meanwhile(self: NodeState, entries: Any) -> None:
        monkeypatch.undo()
        apply(newer, root)
        begin(self, entries)

    monkeypatch.setattr(NodeState, "begin", meanwhile)
    done = apply(folder, root)
    assert done.code == Exit.CONFIGURATION
    assert "another configuration was put in force meanwhile" in done.err
    assert "got 7; expected at least 9" in done.err
    assert serial_in_force(root) == 9


def _ready(folder: Path, root: Path) -> Callable[[], object]:
    """A checked configuration: call it, and it is published."""
    demand = signing.demand(NodeState(str(root)).read_bootstrap().floor, str(root))
    found = config.read(str(folder), "/", Node(demand.floor, moment().wall), demand)
    good = found.config
    assert good is not None, found.problems
    return lambda: SnapshotStore(str(root)).publish(good, admit=lambda: signing.admit(demand, found.judged))


def _killed_at(step: int, publish: Callable[[], object]) -> bool:
    """Publish in a process that is killed before its step number `step`; whether it came that far."""
    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            interrupted(step, lambda: os.kill(os.getpid(), signal.SIGKILL), patch)
            publish()
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.unmeasured
def test_killed_at_any_step_it_lets_nothing_older_in_and_the_same_again(tmp_path: Path) -> None:
    older, old, new = (sign(write(tmp_path / str(serial), serial), OURS) for serial in (6, 7, 8))
    seen = []
    for step in range(1, 1000):
        root = tmp_path / f"node-{step}"
        ask(root, public(OURS))
        refused = _ready(older, root)
        again, publish = _ready(old, root), _ready(new, root)
        again()
        if not _killed_at(step, publish):
            break
        last = Serials(str(root)).last()
        assert last is not None
        seen.append((last.serial, serial_in_force(root)))
        with pytest.raises(ConfigurationError, match="meanwhile"):
            refused()
        if last.serial == 8:
            with pytest.raises(ConfigurationError, match="meanwhile"):
                again()
        else:
            again()
        publish()
        assert serial_in_force(root) == 8
        shutil.rmtree(root)
    assert len(seen) > 40
    assert sorted(set(seen)) == [(7, 7), (8, 7), (8, 8)]  # never (7, 8): in force, and an older one could follow


def test_what_nobody_signed_can_not_come_into_force_even_by_a_mistake_of_ours(folder: Path, root: Path) -> None:
    demand = signing.demand(NodeState(str(root)).read_bootstrap().floor, str(root))
    documents = DocumentSet.read(str(folder))
    for judged in (None, signing.judged(demand, documents, None)):
        with pytest.raises(ValueError, match="nobody signed"):
            signing.admit(demand, judged)
