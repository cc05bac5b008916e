"""`nodeseal doctor --fix`: what it mends of what is installed, and what it leaves to a person."""

import json
import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.adapters.hostfiles import HostFiles, unfinished
from agent.errors import HostError
from agent.modes.installing import RolledBack
from agent.modes.mending import Mended, Mender
from agent.modes.turns import Confirm, Taken, Tell
from agent.wiring.bindir import LINK
from agent.wiring.planning import Changes
from tests.modes.hosts import VERIFIERS, Host, make_host
from tests.wiring.test_planning import BY_HAND, IN_V3

MAIN = "etc/containerd/config.toml"
RECORD = "var/lib/nodeseal/install/manifest.json"
PROGRAM = "opt/nodeseal/0.1.0"
TRIGGER = IN_V3["discard_unpacked_layers"]


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes to the disk when is not what is tested here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    """A host of Debian's, on which nothing is installed."""
    return make_host(tmp_path)


def mend(host: Host, *, dry: bool = False, restart: bool = True, taken: Taken | None = None) -> Mended:
    mender = Mender(HostFiles(str(host.root)), host.world, lambda line: None, restart=restart, taken=taken)
    return mender.run(dry=dry)


def ill(host: Host, text: str = TRIGGER) -> None:
    """Have pulls go past the verifier that is installed."""
    host.write(MAIN, f"version = 3\n{text}")
    host.world.restart("by somebody")
    host.install(changes=Changes.VERIFIER_ONLY)


@pytest.mark.parametrize("trigger", [each for each in IN_V3 if each not in BY_HAND])
def test_setting_is_set_back_recorded_and_brought_back(host: Host, trigger: str) -> None:
    host.write(MAIN, f"version = 3\n{IN_V3[trigger]}")
    before = host.tree()
    ill(host, IN_V3[trigger])
    installed, restarts = host.tree(), len(host.world.restarts)
    dry = mend(host, dry=True)
    assert host.tree() == installed
    assert f"+{trigger} = " in dry.diff
    done = mend(host)
    assert (done.steps, done.diff) == (dry.steps, dry.diff)
    assert (done.restarted, done.pending, done.nothing) == (True, "", "")
    assert len(host.world.restarts) == restarts + 1
    mended = host.tree()
    assert mend(host).nothing == "there is nothing that can be mended safely"
    assert host.tree() == mended
    host.uninstall()
    assert host.tree() == before


def test_without_leave_nothing_is_restarted_and_what_is_due_is_told(host: Host) -> None:
    ill(host)
    restarts = len(host.world.restarts)
    done = mend(host, restart=False)
    assert len(host.world.restarts) == restarts
    assert not done.restarted
    assert done.pending
    assert mend(host).restarted, "it is still due"


def test_restart_waits_for_its_turn_before_anything_is_written(host: Host) -> None:
    ill(host)
    before, seen = host.tree(), list[object]()

    @contextmanager
    def taken(tell: Tell) -> Iterator[Confirm]:
        seen.append(host.tree())
        yield lambda: seen.append(len(host.world.restarts))
        seen.append(len(host.world.restarts))

    restarts = len(host.world.restarts)
    mend(host, dry=True, taken=taken)
    assert seen == []
    assert mend(host, taken=taken).restarted
    assert seen == [before, restarts, restarts + 1]
    (host.root / VERIFIERS / LINK).unlink()
    assert mend(host, taken=taken).steps, "no restart, no turn"
    assert len(seen) == 3


def test_who_mends_keeps_what_the_installation_was_told_the_node_needs(host: Host) -> None:
    image = "registry.example.com/nodeseal@sha256:" + "a" * 64
    host.write(MAIN, f"version = 3\n{TRIGGER}")
    host.install(image=image)
    assert image in host.read("etc/nodeseal/bootstrap.json")
    mend(host)
    assert image in host.read("etc/nodeseal/bootstrap.json")


def test_what_does_not_work_is_taken_back(host: Host) -> None:
    ill(host)
    before = host.tree()
    host.world.broken = lambda root: (root / "etc/containerd/conf.d/zzz-nodeseal.toml").exists()
    with pytest.raises(RolledBack):
        mend(host)
    after = host.tree()
    records = [json.loads(str(each.pop(RECORD)[4], "utf-8")) for each in (before, after)]  # type: ignore[call-overload]
    assert after == before
    assert records[0]["entries"] == records[1]["entries"]


@pytest.mark.parametrize("trigger", sorted(BY_HAND))
def test_what_is_to_be_taken_out_by_hand_is_left(host: Host, trigger: str) -> None:
    ill(host, IN_V3[trigger])
    before = host.tree()
    done = mend(host)
    assert done.left[0].startswith(trigger)
    assert done.nothing
    assert host.tree() == before


def test_who_mends_leaves_the_program_where_it_was_installed_last(host: Host) -> None:
    for folder in ("/opt/nodeseal", "/usr/local/lib/nodeseal", "/opt/nodeseal"):
        host.install(programs=folder)
    (host.root / VERIFIERS / LINK).unlink()
    mend(host)
    assert os.readlink(host.root / VERIFIERS / LINK) == "/opt/nodeseal/current/nodeseal"
    host.install(programs="/usr/local/lib/nodeseal")
    (host.root / VERIFIERS / LINK).unlink()
    mend(host)
    assert os.readlink(host.root / VERIFIERS / LINK) == "/usr/local/lib/nodeseal/current/nodeseal"


def test_host_without_a_program_of_ours_is_left_alone(host: Host) -> None:
    host.write(MAIN, f"version = 3\n{TRIGGER}")
    before = host.tree()
    assert "nodeseal install" in mend(host).nothing
    assert host.tree() == before


def test_files_of_others_in_the_verifier_folder_are_left(host: Host) -> None:
    host.install()
    (host.root / VERIFIERS / "notes.txt").write_text("x")
    (host.root / VERIFIERS / f".{LINK}.swp").write_text("x")
    before = host.tree()
    assert mend(host).nothing
    assert host.tree() == before


def test_what_a_killed_installation_left_in_the_folder_goes(host: Host) -> None:
    host.install()
    before = host.tree()
    (host.root / VERIFIERS / unfinished(LINK)).symlink_to("/opt/nodeseal/current/nodeseal")
    assert mend(host, dry=True).steps == (f"remove /{VERIFIERS}/{unfinished(LINK)}",)
    mend(host)
    assert host.tree() == before


def test_our_own_files_are_taken_from_others(host: Host) -> None:
    host.install()
    before = host.tree()
    for path in (PROGRAM, f"{PROGRAM}/_internal/base.zip", VERIFIERS, "etc/nodeseal/bootstrap.json"):
        (host.root / path).chmod(0o777)
    changed = host.tree()
    dry = mend(host, dry=True)
    assert host.tree() == changed
    assert set(dry.steps) == {
        f"take /{each} from others" for each in (PROGRAM, VERIFIERS, "etc/nodeseal/bootstrap.json")
    }
    mend(host)
    modes = {path: entry[1] for path, entry in host.tree().items()}
    assert not [path for path in before if modes[path] != before[path][1] and int(str(modes[path])) & 0o022]


def test_program_that_others_may_have_changed_is_not_believed_again(host: Host) -> None:
    host.install()
    library = host.root / PROGRAM / "_internal/base.zip"
    library.chmod(0o666)
    library.write_text("evil")
    with pytest.raises(HostError, match="it is not trusted"):
        mend(host)
    assert library.stat().st_mode & 0o777 == 0o666, "the doctor has to find it still"
