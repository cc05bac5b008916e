"""Uninstalling: what was there before is there again, and what others changed since stays."""

from collections.abc import Callable

import pytest

from agent.errors import HostError
from agent.modes.uninstalling import Foreseen
from tests.modes.hosts import VERIFIERS, Host
from tests.modes.test_installing import DROP_IN, ELSEWHERE, MAIN, _no_disk, folder, host

__all__ = ["_no_disk", "folder", "host"]


def test_what_a_person_changed_stays(host: Host) -> None:
    before = host.tree()
    host.install(bin_dir=ELSEWHERE)
    main = host.read(MAIN)
    host.write(MAIN, main + "# my own words\n")
    host.write(DROP_IN, host.read(DROP_IN) + "# and here\n")
    host.write(f"{ELSEWHERE}/50-mine", "#!/bin/sh\n")
    host.write("opt/nodeseal/0.1.0/notes", "mine")
    host.write("etc/nodeseal/docker-config.json", "{}")
    host.write("var/lib/nodeseal/mine", "mine")
    removed = host.uninstall()
    after = host.tree()
    assert host.read(MAIN) == before[MAIN][-1].decode() + "# my own words\n"  # type: ignore[attr-defined]
    assert host.read(f"{DROP_IN}.edited").endswith("# and here\n")
    gone = {path for path in before if path not in after}
    assert not gone
    assert {path for path in after if path not in before} == {
        "etc/containerd/conf.d", f"{DROP_IN}.edited", "etc/nodeseal", "etc/nodeseal/docker-config.json",
        "opt", "opt/nodeseal", "opt/nodeseal/0.1.0", "opt/nodeseal/0.1.0/notes", "srv", "srv/verifiers",
        "srv/verifiers/50-mine", "var/lib/nodeseal", "var/lib/nodeseal/mine",
    }  # fmt: skip
    assert len(removed.left) == 5


RECORD = "var/lib/nodeseal/install/"


def nothing(host: Host) -> None:
    """As it was installed."""


def edited(host: Host) -> None:
    """A person changed files of ours and of his own, and added some."""
    host.write(MAIN, host.read(MAIN) + "# my own words\n")
    for path in (DROP_IN, "etc/nodeseal/bootstrap.json", "opt/nodeseal/0.1.0/nodeseal"):
        host.write(path, host.read(path) + "\n")
    host.write("opt/nodeseal/0.1.0/notes", "mine")
    host.write("etc/nodeseal/docker-config.json", "{}")
    host.write("var/lib/nodeseal/rules.json", "{}")


def linked(host: Host) -> None:
    """Somebody links to us once more, and our own link is his by now."""
    (host.root / "srv/verifiers/99-again").symlink_to("/opt/nodeseal/current/nodeseal")
    (host.root / "srv/verifiers/00-nodeseal").unlink()
    host.write("srv/verifiers/00-nodeseal", "#!/bin/sh\n")


@pytest.mark.parametrize("since", [nothing, edited, linked])
@pytest.mark.parametrize(("may_restart", "keep_state"), [(True, False), (False, False), (True, True)])
def test_what_would_be_done_is_told_and_is_what_is_done_then(
    host: Host, since: Callable[[Host], None], *, may_restart: bool, keep_state: bool
) -> None:
    assert host.foreseen() == Foreseen(was_installed=False)
    host.install(bin_dir=ELSEWHERE)
    since(host)
    before = host.tree()
    files = {path for path in before if not (host.root / path).is_dir() or (host.root / path).is_symlink()}
    foreseen = host.foreseen(may_restart=may_restart, keep_state=keep_state)
    assert host.tree() == before
    restarts = len(host.world.restarts)
    removed = host.uninstall(may_restart=may_restart, keep_state=keep_state)
    assert (foreseen.was_installed, foreseen.pending) == (True, removed.pending)
    assert sorted(foreseen.left) == sorted(removed.left)
    assert any(step.startswith("restart containerd.service: ") for step in foreseen.steps) is removed.restarted
    assert removed.restarted is may_restart is (len(host.world.restarts) > restarts)

    after = host.tree()
    touched = {path for path in files if after.get(path) != before[path] and not path.startswith(RECORD)}
    named = {step.split()[-1 if step.startswith("take ") else 1].lstrip("/") for step in foreseen.steps}
    assert touched
    assert {path for path in touched if not any(f"{path}/".startswith(f"{each}/") for each in named)} == set()
    for step in foreseen.steps:
        if step.startswith("remove ") and not any(step.split()[1] in left for left in removed.left):
            assert step.split()[1].lstrip("/") not in after


def test_uninstalling_leaves_no_link_that_leads_nowhere(host: Host) -> None:
    host.install()
    extra = host.root / VERIFIERS / "99-again"
    extra.symlink_to("/opt/nodeseal/current/nodeseal")
    host.uninstall()
    assert not extra.is_symlink()


def test_state_is_kept_if_that_is_asked_for(host: Host) -> None:
    host.install()
    host.write("var/lib/nodeseal/rules.json", "{}")
    host.uninstall(keep_state=True)
    assert host.read("var/lib/nodeseal/rules.json") == "{}"
    assert (host.root / "etc/nodeseal/bootstrap.json").exists()
    assert not (host.root / "opt/nodeseal").exists()
    assert not (host.root / "var/lib/nodeseal/install").exists()
    host.install()


def test_damaged_record_stops_everything(host: Host) -> None:
    host.install()
    host.write("var/lib/nodeseal/install/manifest.json", "{")
    before = host.tree()
    for action in (host.install, host.uninstall):
        with pytest.raises(HostError, match="manifest") as raised:
            action()
        assert "docs/install.md" in raised.value.hint
    assert host.tree() == before


def test_host_whose_configuration_is_broken_is_put_back_all_the_same(host: Host) -> None:
    before = host.tree()
    host.install(bin_dir=ELSEWHERE)
    main = host.read(MAIN)
    host.write(MAIN, "this is no TOML [")
    removed = host.uninstall()
    assert host.read(MAIN) == "this is no TOML ["
    assert not (host.root / "opt/nodeseal").exists()
    assert not (host.root / DROP_IN).exists()
    assert main != before[MAIN][-1]
    assert any("config.toml" in each for each in removed.left)


def test_restart_that_fails_while_uninstalling_is_told_and_the_rest_goes(host: Host) -> None:
    before = host.tree()
    host.install(bin_dir=ELSEWHERE)
    host.world.broken = lambda root: True
    removed = host.uninstall()
    assert not removed.restarted
    assert "expected containerd to be back" in removed.left[0]
    assert host.tree() == before


def test_lost_copy_of_a_file_is_made_up_for(host: Host) -> None:
    """What was kept of an edited file is gone: then our import is taken out."""
    before = host.tree()
    host.install(bin_dir=ELSEWHERE)
    for path in (host.root / "var/lib/nodeseal/install").glob("before-*"):
        path.unlink()
    host.uninstall()
    assert host.tree() == before


def test_foreign_file_of_our_name_is_put_back(host: Host) -> None:
    host.write(DROP_IN, "# somebody's\n")
    (host.root / VERIFIERS).mkdir(parents=True)
    before = host.tree()
    host.install(bin_dir=ELSEWHERE)
    assert "bin_dir" in host.read(DROP_IN)
    host.uninstall()
    assert host.tree() == before
