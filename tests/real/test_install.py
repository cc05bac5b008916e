"""`nodeseal install` and `nodeseal uninstall` on a host with the real containerd: gated afterwards, and as before."""

import shutil

import pytest

from agent.adapters import bypass
from tests.frozen.program import BUILT
from tests.testbed.node import REGISTRY, Node
from tests.testbed.wholehost import CONFIG, whole_host

pytestmark = pytest.mark.real


def test_installed_host_verifies_and_is_as_before_afterwards(node: Node) -> None:
    with whole_host(node) as host:
        before = host.tree()
        node.push_image("install/unsigned")
        image = f"{REGISTRY}/install/unsigned:1"
        assert host.pull(image).ok

        told = host.installed()
        assert told["proof"]["state"] == "enforcing"
        assert (told["restarted"], told["restartPending"]) == (False, None)
        assert host.pull(image).ok, "until a configuration is published, nothing is blocked"
        host.apply(node.work / "config")
        refused = host.pull(image)
        assert not refused.ok
        assert "00-nodeseal rejected image" in refused.error

        again = host.tree()
        told = host.installed()
        assert told["steps"] == ["prove by the pull of a canary that pulls are verified"]
        assert told["proof"]["state"] == "enforcing"
        assert host.tree() == again

        done = host.uninstall()
        assert (done.code, done.err) == (0, "")
        assert host.pull(image).ok
        assert host.tree() == before


def test_setting_that_changes_is_in_force_after_a_restart_and_gone_after_another(node: Node) -> None:
    with whole_host(node) as host:
        before = host.tree()
        told = host.installed("--bin-dir", "/srv/verifiers", "--must-enforce")
        assert (told["restarted"], told["proof"]["state"]) == (True, "enforcing")
        assert host.manager.line() == "RestartUnit containerd.service"
        changed = (host.root / "etc/containerd/config.toml").read_text()
        assert "# the administrator's own words" in changed
        assert "zzz-nodeseal*.toml" in changed
        done = host.uninstall()
        assert done.code == 0, done.err
        assert "restarting containerd.service" in done.out
        assert host.tree() == before


def test_trigger_is_told_or_taken_away_as_it_is_allowed(node: Node) -> None:
    config = CONFIG + "[plugins.'io.containerd.cri.v1.images']\n  discard_unpacked_layers = true\n"
    with whole_host(node, config) as host:
        before = host.tree()
        told = host.installed()
        assert told["installed"]
        assert told["proof"]["reason"] == "LocalPullFallback"
        assert "discard_unpacked_layers" in told["proof"]["message"]
        assert "pull-path" in told["advice"][0]
        assert host.install("--must-enforce").code == 12
        assert bypass.read(str(host.root)) == ("discard_unpacked_layers",)
        told = host.installed("--changes", "pull-path")
        assert (told["restarted"], told["proof"]["state"]) == (True, "enforcing")
        assert bypass.read(str(host.root)) == ()
        assert host.uninstall().code == 0
        assert host.tree() == before


def test_what_is_not_proved_after_a_restart_is_taken_back_with_another(node: Node) -> None:
    with whole_host(node) as host:
        (host.root / "srv/verifiers").mkdir(parents=True)
        other = host.root / "srv/verifiers/00-before-ours"
        other.write_text("#!/bin/sh\necho not today\nexit 1\n")
        other.chmod(0o755)
        before = host.tree()
        done = host.install("--bin-dir", "/srv/verifiers")
        assert done.code == 5
        assert "verifier 00-before-ours refused the canary before ours was asked: not today" in done.err
        assert "was taken back" in done.err
        left = host.tree()
        assert {path for path in left if left[path] != before.get(path)} == {
            "run/nodeseal",
            "run/nodeseal/install.json",
        }
        node.push_image("install/after")
        assert host.pull(f"{REGISTRY}/install/after:1").ok
        assert "this very installation was taken back" in host.install("--bin-dir", "/srv/verifiers").err


def test_straight_on_the_machine_it_is_the_same(node: Node) -> None:
    with whole_host(node) as host:
        before = host.tree()
        built = host.root / "tmp/built"
        shutil.copytree(BUILT, built, symlinks=True)
        (host.root / "tmp").chmod(0o755)

        def run(*words: str) -> str:
            return node.must(["chroot", str(host.root), *words])

        assert "installed; pulls are verified" in run("/tmp/built/nodeseal", "install")
        assert "uninstalled" in run("/opt/nodeseal/current/nodeseal", "uninstall")
        shutil.rmtree(built)
        (host.root / "tmp").chmod(0o1777)
        assert host.tree() == before


def test_image_is_prepared_for_a_containerd_that_starts_later(node: Node) -> None:
    with whole_host(node) as host:
        before = host.tree()
        program = ["--root", str(host.root), "--no-restart", "--bin-dir", "/srv/verifiers"]
        done = host.nodeseal("install", *program)
        assert done.code == 0, done.err
        assert "installed; not proved, because no containerd was asked" in done.out
        told = host.installed("--bin-dir", "/srv/verifiers")
        assert (told["restarted"], told["proof"]["state"]) == (True, "enforcing")
        assert host.uninstall().code == 0
        assert host.tree() == before


def test_dry_run_writes_nothing_and_shows_a_diff(node: Node) -> None:
    with whole_host(node) as host:
        before = host.tree()
        done = host.install("--dry-run", "--bin-dir", "/srv/verifiers")
        assert done.code == 0
        assert "+bin_dir = '/srv/verifiers'\n" in done.out
        assert "--- /etc/containerd/config.toml\n" in done.out
        assert host.tree() == before
