"""`nodeseal break-glass on`: what passes from then on, what stays refused, and what the floor never lets it do."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from agent.adapters import nodestate
from agent.adapters.nodestate import NodeState, moment
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import Spool
from agent.model.reference import Reference
from agent.modes import node as nodes
from agent.rules import precedence
from agent.rules.breakglass import MOST_OPEN, BreakGlass
from tests.adapters.test_nodestate import BAD
from tests.modes.glass import Glass, Node
from tests.modes.test_node import write_bootstrap

ON = ("on", "--for", "2h", "--image", "r.example/**", "--reason", "INC-4711")


@pytest.fixture
def glass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Glass:
    """The commands, under an empty root."""
    return Glass(tmp_path, capsys)


def passes(glass: Glass, image: str = "r.example/x@sha256:" + "5" * 64) -> str:
    """The line of a pull that passes before anything is verified; empty if it would have to be verified."""
    standing, reference = nodes.opened(str(glass.root)).standing, Reference.parse(image)
    answer = precedence.before_verification(reference.repository, str(reference.digest), image, standing)
    return answer.line() if answer else ""


def test_an_unsigned_image_passes_until_it_is_ended(node: Node, glass: Glass) -> None:
    assert node.pull("team/unsigned")[0] == 10
    name = glass.on(node.pattern, reason="registry of signatures is down")
    asked = len(node.registry.seen)
    code, line = node.pull("team/unsigned")
    assert code == 0
    until = NodeState(str(node.root)).break_glass()[0].until
    assert line == (
        f"allow NS-0005 rule=- ground=breakGlass: not verified: break-glass {name} until {until:%Y-%m-%dT%H:%M:%SZ}: "
        "registry of signatures is down\n"
    )
    assert len(node.registry.seen) == asked
    told = Spool(str(node.root)).read().records[-1]
    assert (told.ground, told.entry, told.image, told.code) == (
        "breakGlass", name, node.image("team/unsigned"), "NS-0005",
    )  # fmt: skip
    assert name in told.message
    assert node.pull("elsewhere/unsigned")[0] == 10
    assert glass("off", "--no-verify").code == 0
    code, line = node.pull("team/unsigned")
    assert (code, line[:12]) == (10, "deny NS-2001")


def test_what_is_denied_stays_refused(node: Node, glass: Glass) -> None:
    write_bootstrap(node.root, floor={"breakGlass": {"allImages": True}})
    glass.on("**")
    glass.on(f"{node.registry.host}/team/denied")
    assert node.pull("team/unsigned")[0] == 0
    code, line = node.pull("team/denied")
    assert (code, line[:12]) == (10, "deny NS-2009")
    (node.root / "var/lib/nodeseal/current").unlink()
    assert node.pull("team/denied")[1].startswith("deny NS-2009 ")


def test_it_needs_neither_a_configuration_nor_a_network(node: Node, glass: Glass) -> None:
    os.rename(node.root / "var", node.root / "gone")
    assert node.pull("team/unsigned")[0] == 11
    offline = "import socket\nsocket.socket = socket.create_connection = socket.getaddrinfo = None"
    glass.on(node.pattern)
    code, line = node.pull("team/unsigned", before=offline)
    assert (code, line[:35]) == (0, "allow NS-0005 rule=- ground=breakGl")


def test_what_was_done_is_said_with_the_next_step(glass: Glass) -> None:
    told = glass(*ON)
    assert (told.code, told.err) == (0, "")
    name = told.out.split()[1]
    assert re.fullmatch("[0-9a-f]{6}", name)
    (entry,) = NodeState(str(glass.root)).break_glass()
    assert entry.until - entry.since.wall < timedelta(hours=2)
    assert told.out == (
        f"break-glass {name} is on until {entry.until:%Y-%m-%dT%H:%M:%SZ} (2h)\n"
        "passes unverified on this node: r.example/**\n"
        "stays refused: what is on a deny list\n"
        f"next step: end it as soon as it is not needed: nodeseal break-glass off {name} --root {glass.root}\n"
    )


def test_all_images_need_the_floors_word(glass: Glass) -> None:
    told = glass("on", "--for", "1h", "--image", "**", "--reason", "INC-4711")
    assert told.code == 3
    assert f"--image: got **; expected a narrower pattern: the floor of this node ({glass.root}/etc/" in told.err
    assert "next step: " in told.err
    assert not glass.file.exists()
    write_bootstrap(glass.root, floor={"breakGlass": {"allImages": True}})
    told = glass("on", "--for", "1h", "--image", "**", "--reason", "INC-4711")
    assert "passes unverified on this node: all images\n" in told.out
    assert passes(glass)
    write_bootstrap(glass.root)
    assert not passes(glass)
    assert glass.listed()["breakGlass"][0]["whyNot"] == "the floor allows none for all images"


@pytest.mark.parametrize(
    "pattern",
    ["*", "*/**", "**/**", "**/*", "*/*", "/**", "//**", "***", " **", "** ", "**:1", "**@sha256:1", "docker.io**", "",
     "**\n", "\uff0a\uff0a", "r.example/**/x", "r.example/x*", "http://r.example/**", "r.example//**"],
)  # fmt: skip
def test_what_is_no_pattern_is_a_usage_error(glass: Glass, pattern: str) -> None:
    write_bootstrap(glass.root, floor={"breakGlass": {"allImages": True}})
    told = glass("on", "--for", "1h", f"--image={pattern}", "--reason", "INC-4711")
    assert told.code == 2
    assert "--image: got " in told.err
    assert not glass.file.exists()


@pytest.mark.parametrize(
    ("pattern", "right"),
    [
        ("r.example/shop/cart:1", "r.example/shop/cart"),
        ("r.example:5000/shop@sha256:" + "5" * 64, "r.example:5000/shop"),
        ("r.example", "r.example/**"),
        ("r.example:5000", "r.example:5000/**"),
        ("r.example/", "r.example/**"),
        ("busybox:1.36", "docker.io/library/busybox"),
        ("postgres:16", "docker.io/library/postgres"),
        ("team/*", "docker.io/team/*"),
    ],
)
def test_a_pattern_that_was_probably_meant_is_the_next_step(glass: Glass, pattern: str, right: str) -> None:
    told = glass("on", "--for", "1h", "--image", pattern, "--reason", "INC-4711")
    assert told.code == 2
    assert f"write --image '{right}'\n" in told.err


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("team/app", "docker.io/team/app"),
        ("R.Example:443/shop/**", "r.example/shop/**"),
        ("index.docker.io/team/*", "docker.io/team/*"),
        ("localhost/x", "localhost/x"),
    ],
)
def test_a_pattern_is_kept_in_its_one_spelling(glass: Glass, pattern: str, meant: str) -> None:
    glass.on(pattern)
    assert NodeState(str(glass.root)).break_glass()[0].match == meant


@pytest.mark.parametrize(
    "length", ["", "0s", "2", "-1h", "1.5h", "nan", "inf", "1e3s", "2h30m", "9999999d", "2 h", "\u0662h"]
)
def test_a_length_that_is_none_is_a_usage_error(glass: Glass, length: str) -> None:
    told = glass("on", f"--for={length}", "--image", "r.example/**", "--reason", "x")
    assert told.code == 2
    assert "--for" in told.err
    assert not glass.file.exists()


@pytest.mark.parametrize("missing", ["--for", "--image", "--reason"])
def test_an_end_a_pattern_and_a_reason_are_never_optional(glass: Glass, missing: str) -> None:
    at = ON.index(missing)
    assert glass(*ON[:at], *ON[at + 2 :]).code == 2


@pytest.mark.parametrize(
    "reason", ["", "  ", "x" * 201, "a\nb", "\x1b[31m", "a\x00", "a\x7f", "\u202e", "\ud800", "\u2028"]
)
def test_a_reason_is_one_printable_line(glass: Glass, reason: str) -> None:
    told = glass("on", "--for", "1h", "--image", "r.example/**", "--reason", reason)
    assert told.code == 2
    assert "--reason: got " in told.err
    assert told.err.isascii() and "\x1b" not in told.err
    assert not glass.file.exists()


def test_a_reason_may_be_in_any_language_and_as_long_as_is_promised(glass: Glass) -> None:
    reason = "Störung – 障害 " + "\U0001f525" * 185
    glass.on("r.example/**", reason=reason[:200])
    assert NodeState(str(glass.root)).break_glass()[0].reason == reason[:200]
    assert passes(glass).isascii()
    assert "St\\xf6rung" in glass("list").out


def test_it_lasts_no_longer_than_the_floor_allows(glass: Glass) -> None:
    told = glass("on", "--for", "5h", "--image", "r.example/**", "--reason", "x")
    assert told.code == 3
    assert (
        f"--for: got 5h; expected at most 4h: the floor of this node ({glass.root}/etc/nodeseal/bootstrap.json)"
        in told.err
    )
    assert "next step: --for 4h\n" in told.err
    assert not glass.file.exists()
    write_bootstrap(glass.root, floor={"breakGlass": {"longest": "30m"}})
    assert "expected at most 30m" in glass("on", "--for", "31m", "--image", "r.example/**", "--reason", "x").err
    glass.on("r.example/**", "30m")
    assert passes(glass)


def test_a_floor_may_allow_years_and_nothing_breaks(glass: Glass) -> None:
    write_bootstrap(glass.root, floor={"breakGlass": {"longest": "999999d"}})
    glass.on("r.example/**", "999999d")
    assert passes(glass)
    assert glass("list").code == 0


def test_a_floor_of_nothing_allows_none(glass: Glass) -> None:
    write_bootstrap(glass.root, floor={"breakGlass": {"longest": "0s"}})
    told = glass("on", "--for", "1s", "--image", "r.example/x", "--reason", "x")
    assert told.code == 3
    assert "allows none" in told.err
    assert not glass.file.exists()


@pytest.mark.parametrize(
    ("damage", "next_step"),
    [
        ("no JSON", "correct it; nodeseal config schema --bootstrap prints its form"),
        ("writable by others", "let it and its folder belong to root, and nobody else write to them"),
        ("in a folder that others may write to", "let it and its folder belong to root, and nobody else write to them"),
    ],
)
def test_a_floor_that_cannot_be_believed_allows_none(glass: Glass, damage: str, next_step: str) -> None:
    path = write_bootstrap(glass.root)
    BAD[damage](path)
    told = glass(*ON)
    assert told.code == 3
    assert str(path) in told.err
    assert "the strictest floor is in force, and that allows no break-glass" in told.err
    assert f"next step: {next_step}\n" in told.err


def test_a_floor_that_is_lowered_ends_what_runs(node: Node, glass: Glass) -> None:
    glass.on(node.pattern)
    assert node.pull("team/unsigned")[0] == 0
    write_bootstrap(node.root, floor={"breakGlass": {"longest": "119m"}})
    assert node.pull("team/unsigned")[0] == 10
    (seen,) = glass.listed()["breakGlass"]
    assert (seen["counts"], seen["whyNot"], seen["remainingSeconds"]) == (False, "the floor allows 7140 s at most", 0)
    assert "does not count: the floor allows 7140 s at most" in glass("list").out
    (node.root / "etc/nodeseal/bootstrap.json").write_text("{")
    assert node.pull("team/unsigned")[0] == 10


@pytest.mark.parametrize(
    ("wall", "boot", "boot_id", "ends"),
    [
        (0, 0, "", False),
        (3600, 3600, "", False),
        (7300, 7300, "", True),
        (7300, 10, "", True),
        (10, 7300, "", True),
        (-3600, 10, "", True),
        (600, 3600, "", True),
        (3600, -50, "next", False),
        (7300, -50, "next", True),
        (-3600, -50, "next", True),
    ],
    ids=["now", "an hour later", "its end", "wall clock ahead", "monotonic end first", "set back before it began",
         "set back", "restarted", "restarted after its end", "restarted and set back"],
)  # fmt: skip
def test_both_clocks_are_asked_on_a_pull(
    node: Node, glass: Glass, wall: int, boot: int, boot_id: str, ends: bool
) -> None:
    glass.on(node.pattern)
    clocks = (
        "from datetime import timedelta\nfrom agent.adapters import nodestate\nreal = nodestate.moment\n"
        "def later():\n    now = real()\n"
        f"    since = 100.0 if {boot_id!r} else now.boot_seconds\n"
        f"    return now._replace(wall=now.wall + timedelta(seconds={wall}), boot_seconds=since + {boot},\n"
        f"                        boot_id={boot_id!r} or now.boot_id)\n"
        "nodestate.moment = later"
    )
    code, line = node.pull("team/unsigned", before=clocks)
    assert (code, line.split()[1]) == ((10, "NS-2001") if ends else (0, "NS-0005"))


def test_switched_on_by_many_at_once_none_is_lost(glass: Glass) -> None:
    words = [sys.executable, "-m", "agent", "break-glass", "on", "--for", "1h", "--root", str(glass.root)]
    started = [
        subprocess.Popen([*words, "--image", f"r.example/{i}/**", "--reason", f"INC-{i}"], stdout=subprocess.PIPE)
        for i in range(6)
    ]
    said = [process.communicate(timeout=150)[0].split()[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * 6
    entries = NodeState(str(glass.root)).break_glass()
    assert sorted(entry.id for entry in entries) == sorted(said)
    assert sorted(entry.match for entry in entries) == [f"r.example/{i}/**" for i in range(6)]


def test_killed_halfway_the_old_ones_stand(glass: Glass) -> None:
    name = glass.on("r.example/**")
    script = (
        "import os, signal, sys\nfrom agent import cli\n"
        "os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\ncli.main(['nodeseal', *sys.argv[1:]])\n"
    )
    words = [sys.executable, "-c", script, "break-glass"]
    for command in (("on", "--for", "1h", "--image", "r.example/x", "--reason", "x"), ("off",)):
        done = subprocess.run([*words, *command, "--root", str(glass.root)], check=False, capture_output=True)
        assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")
        assert [each["id"] for each in glass.listed()["breakGlass"] if each["counts"]] == [name]
    assert passes(glass)


@pytest.mark.parametrize("damage", BAD)
def test_a_file_that_is_damaged_or_not_ours_lets_nothing_pass_and_is_told(glass: Glass, damage: str) -> None:
    glass.on("r.example/**")
    BAD[damage](glass.file)
    assert not passes(glass)
    # Of a folder that is not ours alone the floor is not believed either, and that is told first.
    for command in (("list",), ("off",), *(() if " folder " in damage else (ON,))):
        told = glass(*command)
        assert told.code == 5
        assert str(glass.file) in told.err
        assert "nothing in it counts" in told.err
        assert "next step: " in told.err
    told = glass("list", "--format", "json")
    assert told.code == 5
    assert str(glass.file) in json.loads(told.out)["problems"][0]


def test_a_pull_behind_a_damaged_file_is_verified(node: Node, glass: Glass) -> None:
    glass.on(node.pattern)
    glass.file.write_text('{"formatVersion":1,"entries":[{}]}')
    assert node.pull("team/unsigned")[1].startswith("deny NS-2001 ")
    assert node.pull("team/signed")[1].startswith("allow NS-0001 ")


def test_after_the_next_step_it_can_be_switched_on_again(glass: Glass) -> None:
    glass.on("r.example/**")
    glass.file.write_text("{")
    told = glass(*ON)
    assert f"next step: remove it: rm {glass.file}\n" in told.err
    glass.file.unlink()
    glass.on("r.example/**")
    assert passes(glass)


def test_there_is_a_most_of_those_that_are_on(glass: Glass) -> None:
    now = moment()
    entry = BreakGlass("a1", "r.example/**", "x", now, now.wall + timedelta(hours=1))
    state = NodeState(str(glass.root))
    state.write_break_glass(entry._replace(id=f"{i}") for i in range(MOST_OPEN))
    told = glass(*ON)
    assert told.code == 2
    assert f"got {MOST_OPEN} that are not ended" in told.err
    assert "next step: end some" in told.err
    assert glass("off", "7").code == 0
    glass.on("r.example/**")


def test_an_id_is_given_once(glass: Glass, monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter([b"\x01\x02\x03", b"\x01\x02\x03", b"\x04\x05\x06"])
    monkeypatch.setattr("agent.modes.breakglass.os.urandom", lambda size: next(given) if size == 3 else b"\x00" * size)
    assert glass.on("r.example/**") == "010203"
    assert glass.on("r.example/**") == "040506"


def test_without_the_name_of_this_boot_it_is_not_switched_on(glass: Glass, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodestate, "_BOOT_ID", str(glass.root / "nowhere"))
    told = glass(*ON)
    assert told.code == 5
    assert "boot_id" in told.err
    assert not glass.file.exists()


def test_a_place_where_it_cannot_be_written_is_an_error_of_the_host(glass: Glass) -> None:
    (glass.root / "etc").write_text("no folder")
    told = glass(*ON)
    assert told.code == 5
    assert "next step: run as the user that owns the folder" in told.err


def test_a_snapshot_published_meanwhile_does_not_end_it(node: Node, glass: Glass) -> None:
    glass.on(node.pattern)
    store = SnapshotStore(str(node.root))
    store.publish(store.load())
    assert node.pull("team/unsigned")[0] == 0
