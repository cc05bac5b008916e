"""What break-glass let in is verified afterwards, as if there had been none: what would have been refused is named."""

import json
import time
from pathlib import Path

import pytest

from agent.adapters.nodestate import NodeState
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import Spool
from agent.modes import letin
from agent.modes.asking import Asker
from agent.modes.node import Node as Opened
from agent.rules.rule import Enforcement
from tests.modes.glass import Glass, Node
from tests.modes.test_breakglass_ending import configured
from tests.simulators import misbehaviour


@pytest.fixture
def glass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Glass:
    """The commands, under one root."""
    return Glass(tmp_path, capsys)


def verified(glass: Glass, *words: str) -> dict[str, tuple[str, str]]:
    """Image -> result and code."""
    return {each["image"]: (each["result"], each["code"]) for each in glass.listed("--verify", *words)["verified"]}


def test_its_end_lists_what_would_have_been_refused(node: Node, glass: Glass) -> None:
    name = glass.on(node.pattern)
    for _ in range(2):
        assert node.pull("team/unsigned")[0] == 0
    assert node.pull("team/signed")[0] == 0
    assert node.pull("team/denied")[0] == 10
    told = glass("off")
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0] == f"break-glass {name} is off: {node.pattern} (INC-4711)"
    assert lines[2] == "let in: 3 pulls of 2 images"
    assert lines[3].startswith(f"    {node.image('team/signed')} (1 pull, last ")
    assert lines[4].startswith(f"    {node.image('team/unsigned')} (2 pulls, last ")
    assert lines[5] == "verified afterwards, as if there had been no break-glass:"
    assert lines[6] == f"    would have been REFUSED: {node.image('team/unsigned')}"
    assert lines[7].startswith("        deny NS-2001 rule=default: no signature found")
    assert lines[8] == f"    verified: {node.image('team/signed')}"
    assert lines[9].startswith("        allow NS-0001 rule=default ground=verified: 1 of 1 signatures verified")
    assert lines[10:] == [
        "2 images, 1 would have been refused, 0 can't be told",
        "next step: find out what runs of these, and remove it or have it signed",
    ]


def test_it_can_be_verified_while_it_is_on_and_long_after_its_end(node: Node, glass: Glass) -> None:
    glass.on(node.pattern)
    assert node.pull("team/unsigned")[0] == 0
    refused = {node.image("team/unsigned"): ("refused", "NS-2001")}
    assert verified(glass) == refused
    told = glass("off", "--no-verify")
    assert "verified afterwards" not in told.out
    assert told.out.endswith("next step: verify it: nodeseal break-glass list --verify\n")
    assert verified(glass) == refused
    assert "would have been REFUSED" in glass("list", "--verify").out
    assert "verified afterwards" not in glass("list").out


def test_what_several_let_in_is_judged_as_if_there_were_none_of_them(node: Node, glass: Glass) -> None:
    """Neither another one that is still on nor the configuration's lets pass what is looked at."""
    first, second = glass.on(node.pattern), glass.on(f"{node.registry.host}/team/*")
    store = SnapshotStore(str(node.root))
    entry = configured(node.root, store.load(), match=f"{node.registry.host}/**")
    glass.tell(first, node.image("team/unsigned"))
    glass.tell(second, node.image("team/unsigned"), node.image("team/signed"))
    glass.tell(entry.id, node.image("elsewhere/unsigned"))
    assert store.load().ruleset.break_glass == (entry,)
    assert glass("off", first).out.count("would have been REFUSED: ") == 1
    assert {image: result for image, (result, _) in verified(glass).items()} == {
        node.image("team/unsigned"): "refused",
        node.image("team/signed"): "verified",
        node.image("elsewhere/unsigned"): "refused",
    }


def test_nothing_was_let_in(node: Node, glass: Glass) -> None:
    glass.on(node.pattern)
    assert glass("list", "--verify").out.endswith("verified afterwards: nothing was let in\n")
    assert glass.listed("--verify")["verified"] == []
    assert "verified afterwards" not in glass("off").out


def test_what_is_denied_by_now_would_have_been_refused(node: Node, glass: Glass) -> None:
    glass.tell(glass.on(node.pattern), node.image("team/denied"))
    asked = len(node.registry.seen)
    assert verified(glass) == {node.image("team/denied"): ("refused", "NS-2009")}
    assert len(node.registry.seen) == asked


@pytest.mark.parametrize("enforcement", [Enforcement.AUDIT, Enforcement.DISABLED])
def test_what_passes_without_it_too_is_told_apart_from_what_is_verified(
    node: Node, glass: Glass, enforcement: Enforcement
) -> None:
    store = SnapshotStore(str(node.root))
    config = store.load()
    rule = config.ruleset.rules[0]._replace(enforcement=enforcement)
    store.publish(config._replace(ruleset=config.ruleset._replace(rules=(rule,))))
    glass.tell(glass.on(node.pattern), node.image("team/unsigned"))
    text = glass("off").out
    assert f"    would have passed: {node.image('team/unsigned')}\n" in text
    assert "1 image, 0 would have been refused, 0 can't be told\n" in text
    assert "next step" not in text


def test_without_a_configuration_or_a_registry_nobody_can_tell(node: Node, glass: Glass) -> None:
    name = glass.on(node.pattern)
    gone = "127.0.0.1:1/team/x@sha256:" + "5" * 64
    glass.tell(name, node.image("team/unsigned"), gone)
    assert verified(glass)[gone] == ("unknown", "NS-3001")
    (node.root / "var/lib/nodeseal").rename(node.root / "gone")
    text = glass("off").out
    assert text.count("    can't be told: ") == 2
    assert "cannot tell NS-3006 rule=-: configurationMissing: " in text
    assert "2 images, 0 would have been refused, 2 can't be told\n" in text
    assert text.endswith("next step: once that is mended, nodeseal break-glass list --verify\n")


def test_an_image_that_the_registry_does_not_have_any_more_can_not_be_told(node: Node, glass: Glass) -> None:
    gone = f"{node.registry.host}/team/gone@sha256:" + "5" * 64
    glass.tell(glass.on(node.pattern), gone)
    (told,) = glass.listed("--verify")["verified"]
    assert (told["image"], told["result"]) == (gone, "unknown")
    assert "not found" in told["reason"]


def test_a_name_that_is_none_can_not_be_told_and_hides_no_other(node: Node, glass: Glass) -> None:
    glass.tell(glass.on(node.pattern), "", "no/\x1b image", "r.example/" + "a" * 900, node.image("team/unsigned"))
    found = verified(glass)
    assert found.pop(node.image("team/unsigned")) == ("refused", "NS-2001")
    assert len(found) == 3
    assert all(result == ("unknown", "") for result in found.values())


def test_it_takes_no_longer_than_it_may(node: Node, glass: Glass) -> None:
    node.registry.misbehave("referrers", misbehaviour.silence)
    images = [node.image(name) for name in ("team/signed", "team/unsigned", "elsewhere/unsigned")]
    glass.tell(glass.on(node.pattern), *images)
    began = time.monotonic()
    told = glass("off", "--timeout", "0.4")
    assert time.monotonic() - began < 20  # three of the usual deadlines are more
    assert told.code == 0
    assert "cannot tell NS-3005 rule=default: deadline" in told.out
    assert "not verified: the 0.4 s were over before\n" in told.out
    assert "3 images, 0 would have been refused, 3 can't be told\n" in told.out
    assert all(each.closed for each in NodeState(str(node.root)).break_glass())


def test_one_registry_that_hangs_does_not_hide_the_others(
    node: Node, glass: Glass, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letin, "DEADLINE", 0.4)
    judged, hangs = letin._judged, node.image("team/unsigned")

    def patiently(image: str, found: Opened, asker: Asker, seconds: float) -> letin.Afterwards:
        return judged(image, found, asker, seconds if image == hangs else 60.0)  # a busy machine has its time

    monkeypatch.setattr(letin, "_judged", patiently)
    node.registry.misbehave("referrers", misbehaviour.in_turn(misbehaviour.silence, misbehaviour.as_usual))
    glass.tell(glass.on(node.pattern), node.image("team/signed"))
    time.sleep(0.002)
    glass.tell(glass.listed()["breakGlass"][0]["id"], node.image("team/unsigned"))
    assert verified(glass, "--timeout", "30") == {
        node.image("team/unsigned"): ("unknown", "NS-3005"),
        node.image("team/signed"): ("verified", "NS-0001"),
    }


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_time_that_is_none_is_a_usage_error_and_ends_nothing(glass: Glass, seconds: str) -> None:
    glass.on("r.example/**")
    told = glass("off", f"--timeout={seconds}")
    assert told.code == 2
    assert "a number of seconds above 0" in told.err
    assert glass.listed()["breakGlass"][0]["counts"] is True
    assert glass("list", "--verify", f"--timeout={seconds}").code == 2


def test_of_more_than_fifty_images_the_ones_pulled_last_are_verified(glass: Glass) -> None:
    name = glass.on("r.example/**")
    old = [f"r.example/old{i}@sha256:{'5' * 64}" for i in range(3)]
    new = [f"r.example/new{i}@sha256:{'5' * 64}" for i in range(letin.MOST_VERIFIED)]
    glass.tell(name, *old)
    time.sleep(0.002)
    glass.tell(name, *new)
    told = {each["image"]: each["reason"] for each in glass.listed("--verify")["verified"]}
    assert len(told) == letin.MOST_VERIFIED + 3
    not_asked = "not verified: 50 are at most, and others were pulled later"
    assert sorted(image for image, reason in told.items() if reason == not_asked) == old
    assert all("configurationMissing" in told[image] for image in new)


def test_verifying_lets_nothing_in_and_is_no_pull(node: Node, glass: Glass) -> None:
    glass.tell(glass.on(node.pattern), node.image("team/unsigned"))
    spool = Spool(str(node.root))
    before = spool.read()
    glass("list", "--verify")
    glass("off")
    assert spool.read() == before


def test_a_list_that_cannot_be_read_in_whole_is_verified_as_far_as_it_can(node: Node, glass: Glass) -> None:
    glass.on(node.pattern)
    entry = configured(node.root, SnapshotStore(str(node.root)).load())
    glass.tell(entry.id, node.image("team/unsigned"))
    glass.file.write_text("{")
    told = glass("list", "--verify", "--format", "json")
    assert told.code == 5
    assert [each["result"] for each in json.loads(told.out)["verified"]] == ["refused"]
