"""What holds on a node: snapshot, the copy of its rules, bootstrap document, and what of them is believed."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.nodestate import BOOTSTRAP, NodeState, moment
from agent.adapters.snapshots import STATE, SnapshotStore
from agent.config.config import Config
from agent.errors import Cause, HostError, Malformed, Unavailable
from agent.modes import node
from agent.rules.breakglass import BreakGlass
from agent.rules.floor import STRICTEST, Bootstrap, Floor
from agent.rules.rule import Default, Enforcement, PolicySettings, Rule
from agent.rules.ruleset import Denied, RuleSet

RULES = RuleSet(
    (Rule("shop", ("r.example/**",), (), PolicySettings("nodeseal", {"threshold": 1, "of": []}), ground="g"),),
    Default(Enforcement.AUDIT),
    (Denied("r.example/bad"),),
)
CONFIG = Config("", (), (), RULES, {})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node's root, empty."""
    return tmp_path


def write_bootstrap(root: Path, **keys: Any) -> Path:
    """Write a bootstrap document."""
    path = root / BOOTSTRAP
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"apiVersion": "nodeseal.dev/v1alpha1"} | keys))
    path.chmod(0o644)
    return path


def trouble(found: node.Node) -> Cause:
    """Why there is nothing to verify with."""
    assert isinstance(found.config, Unavailable)
    return found.config.cause


def test_a_published_configuration_holds_with_the_usual_floor(root: Path) -> None:
    SnapshotStore(str(root)).publish(CONFIG)
    found = node.opened(str(root))
    assert isinstance(found.config, Config)
    assert (found.standing.ruleset, found.standing.floor) == (RULES, Floor())
    assert found.standing.node_name == os.uname().nodename


@pytest.mark.parametrize("damage", ["current", "snapshot", "everything but the copy"])
def test_the_last_rules_outlive_a_snapshot_that_is_lost(root: Path, damage: str) -> None:
    SnapshotStore(str(root)).publish(CONFIG)
    state = root / STATE
    if damage == "snapshot":
        (form,) = state.glob("snapshots/*/snapshot.json")
        form.write_text("{}")
    else:
        (state / "current").unlink()
    if damage == "everything but the copy":
        os.rename(state / "snapshots", root / "gone")
    found = node.opened(str(root))
    assert trouble(found) is Cause.CONFIGURATION_MISSING
    left = found.standing.ruleset
    assert left == RULES._replace(rules=(RULES.rules[0]._replace(policy=PolicySettings("", {})),))


def test_what_others_could_have_written_is_another_cause(root: Path) -> None:
    SnapshotStore(str(root)).publish(CONFIG)
    (form,) = (root / STATE).glob("snapshots/*/snapshot.json")
    form.chmod(0o666)
    assert trouble(node.opened(str(root))) is Cause.CONFIGURATION_INVALID


@pytest.mark.parametrize("word", list(Enforcement))
def test_until_the_first_snapshot_the_bootstrap_says_what_holds_and_never_after_it(
    root: Path, word: Enforcement
) -> None:
    write_bootstrap(root, untilFirstSnapshot=word.value)
    assert node.opened(str(root)).standing.ruleset == RuleSet((), Default(word))
    SnapshotStore(str(root)).publish(CONFIG)
    (root / STATE / "rules.json").unlink()
    os.rename(root / STATE / "snapshots", root / "gone")
    found = node.opened(str(root))
    assert trouble(found) is Cause.CONFIGURATION_MISSING
    assert found.standing.ruleset == RuleSet(())


@pytest.mark.parametrize(
    "content", ["", "{}", "\x00", '{"formatVersion":2}', '{"formatVersion":1}', '{"formatVersion":1,"rules":5}']
)
def test_a_copy_that_is_damaged_lets_nothing_pass(root: Path, content: str) -> None:
    write_bootstrap(root, untilFirstSnapshot="Disabled")
    SnapshotStore(str(root)).publish(CONFIG)
    (root / STATE / "current").unlink()
    (root / STATE / "rules.json").write_text(content)
    assert node.opened(str(root)).standing.ruleset == RuleSet(())


def test_without_a_bootstrap_document_nothing_passes_before_the_first_snapshot(root: Path) -> None:
    assert node.opened(str(root)).standing.ruleset == RuleSet((), Default(Enforcement.ENFORCE))


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


BAD = {
    "no JSON": lambda path: path.write_text("{"),
    "a misspelt key": lambda path: path.write_text('{"apiVersion":"nodeseal.dev/v1alpha1","flooring":{}}'),
    "huge": lambda path: path.write_text(" " * 300_000),
    "writable by others": lambda path: path.chmod(0o646),
    "writable by the group": lambda path: path.chmod(0o664),
    "a link": _link,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": _pipe,
}


@pytest.mark.parametrize("damage", BAD)
def test_a_bootstrap_document_that_is_not_believed_is_the_strictest_floor(root: Path, damage: str) -> None:
    SnapshotStore(str(root)).publish(CONFIG)
    path = write_bootstrap(root, untilFirstSnapshot="Audit", floor={"enforcement": "Disabled"})
    BAD[damage](path)
    state = NodeState(str(root))
    assert state.bootstrap() == Bootstrap("", Enforcement.ENFORCE, STRICTEST)
    with pytest.raises((HostError, Malformed)):
        state.read_bootstrap()
    assert node.opened(str(root)).standing.floor == STRICTEST


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_others_may_write_to_is_the_strictest_floor_with_or_without_a_document(
    root: Path, there: bool
) -> None:
    path = write_bootstrap(root, floor={"enforcement": "Disabled"})
    if not there:
        path.unlink()
    path.parent.chmod(0o777)
    assert NodeState(str(root)).bootstrap() == Bootstrap("", Enforcement.ENFORCE, STRICTEST)


def test_break_glass_in_a_folder_that_others_may_write_to_is_none(root: Path) -> None:
    state, now = NodeState(str(root)), moment()
    write_bootstrap(root)
    state.write_break_glass([BreakGlass("1", "r.example/**", "r", now, now.wall + timedelta(hours=1))])
    assert len(state.break_glass()) == 1
    (root / BOOTSTRAP).parent.chmod(0o777)
    assert state.break_glass() == ()


@pytest.mark.parametrize("published", [True, False])
def test_nothing_is_believed_of_a_state_folder_that_others_may_write_to(root: Path, published: bool) -> None:
    write_bootstrap(root, untilFirstSnapshot="Disabled")
    if published:
        SnapshotStore(str(root)).publish(CONFIG)
    (root / STATE).mkdir(parents=True, exist_ok=True)
    (root / STATE).chmod(0o777)
    found = node.opened(str(root))
    assert isinstance(found.config, Unavailable)
    assert found.standing.ruleset == RuleSet(())


def test_the_node_is_called_as_its_bootstrap_document_says(root: Path) -> None:
    write_bootstrap(root, node={"name": "worker-3"}, floor={"enforcement": "Audit"})
    standing = node.opened(str(root)).standing
    assert (standing.node_name, standing.floor.enforcement) == ("worker-3", Enforcement.AUDIT)
