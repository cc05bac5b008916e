"""A node that changes under the daemon: what it holds is read again when something has changed, and only then."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from agent.adapters import nodestate
from agent.adapters.snapshots import SnapshotStore
from agent.modes import node as node_mode
from agent.modes import warm, warmstate
from agent.rules.ruleset import Denied
from tests.modes.glass import Node
from tests.modes.test_warm import bootstrapped
from tests.modes.warmdoor import Asker, Said, asking


def denied(node: Node) -> None:
    """Another configuration is published, in which the image is denied."""
    store = SnapshotStore(str(node.root))
    config = store.load()
    deny = (*config.ruleset.deny, Denied(f"{node.registry.host}/team/signed"))
    store.publish(config._replace(ruleset=config.ruleset._replace(deny=deny)))


def glass_on(node: Node) -> None:
    """Break-glass is on."""
    path = node.root / nodestate.BREAK_GLASS
    path.parent.mkdir(exist_ok=True, parents=True, mode=0o700)
    path.write_text("damaged, but another file than none")


CHANGES: dict[str, Callable[[Node], object]] = {
    "snapshot": denied,
    "bootstrap document": bootstrapped,
    "break-glass": glass_on,
    "doubts": lambda node: (node.root / "var/cache/nodeseal/doubts").touch(),
    "since when break-glass is in force": lambda node: (node.root / nodestate.BEGUN).touch(),
    "a snapshot's file": lambda node: os.utime(next(node.root.glob("var/lib/nodeseal/snapshots/*/snapshot.json"))),
}


@pytest.mark.parametrize("what", CHANGES)
def test_state_is_read_again_when_a_file_has_changed_and_only_then(node: Node, what: str) -> None:
    (node.root / "var/cache/nodeseal").mkdir(parents=True, mode=0o700)

    async def look(asker: Asker) -> list[warmstate.State]:
        first, second = await asker.door.state(), await asker.door.state()
        CHANGES[what](node)
        return [first, second, await asker.door.state(), await asker.door.state()]

    first, second, third, fourth = asking(node, look)
    assert first is second
    assert third is fourth is not first
    assert (third.generation == first.generation) is (what != "snapshot")


def test_break_glass_counts_at_once_and_so_does_its_end(node: Node) -> None:
    words = (
        f"import sys; from agent.cli import main; main(['nodeseal', 'break-glass', %s, '--root', {str(node.root)!r}])"
    )

    def command(*more: str) -> None:
        subprocess.run([sys.executable, "-c", words % ", ".join(map(repr, more))], check=True, capture_output=True)

    async def ask(asker: Asker) -> list[Said]:
        found = [await asker("team/unsigned")]
        command("on", "--for", "1h", "--image", node.pattern, "--reason", "INC-1")
        found.append(await asker("team/unsigned"))
        command("off", "--no-verify")
        return [*found, await asker("team/unsigned")]

    assert [said.code for said in asking(node, ask)] == [10, 0, 10]


def test_state_that_changes_while_it_is_read_is_read_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, count = node_mode.opened, [0]

    def changing(root: str) -> node_mode.Node:
        found = opened(root)
        count[0] += 1
        if count[0] < 5:
            os.utime(next(node.root.glob("var/lib/nodeseal/snapshots/*/snapshot.json")))
        return found

    monkeypatch.setattr(node_mode, "opened", changing)

    async def look(asker: Asker) -> tuple[warmstate.State, warmstate.State]:
        return await asker.door.state(), await asker.door.state()

    first, second = asking(node, look)
    assert first is not second
    assert count[0] == 3 + 2


def test_state_that_nobody_can_be_sure_of_is_read_each_time(node: Node) -> None:
    (node.root / "var/lib/nodeseal").chmod(0o777)

    async def look(asker: Asker) -> tuple[warmstate.State, warmstate.State]:
        return await asker.door.state(), await asker.door.state()

    first, second = asking(node, look)
    assert first is not second
    assert first.stamp is None
    assert first.generation == ""


def test_state_is_not_read_without_descriptors(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(asker: Asker) -> list[bytes]:
        known = await asker.pull("team/unsigned").message()
        monkeypatch.setattr(warm, "_DESCRIPTORS", 10**7)
        found = [known, await asker.pull("team/unsigned").message()]
        glass_on(node)
        return [*found, await asker.pull("team/unsigned").message()]

    known, again, changed = asking(node, ask)
    assert known == again
    assert changed == b"cold alone\n"


def test_configuration_is_loaded_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, loads = node_mode.opened, []

    def counted(root: str) -> node_mode.Node:
        loads.append(root)
        return opened(root)

    monkeypatch.setattr(node_mode, "opened", counted)

    async def ask(asker: Asker) -> None:
        for _ in range(3):
            await asker.at_once("team/signed", "team/unsigned", "team/denied")

    asking(node, ask)
    assert len(loads) == 1
