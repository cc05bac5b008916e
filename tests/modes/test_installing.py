"""Installing and uninstalling on hosts of every distribution."""

import json
import os
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator

import pytest

from agent.adapters import bypass
from agent.adapters.hostfiles import HostFiles
from agent.adapters.manifests import ManifestStore
from agent.errors import ConfigurationError, HostError
from agent.modes.installing import RolledBack
from agent.rules.lists import USUAL_SANDBOX
from agent.wiring.distributions import Way
from agent.wiring.facts import Process
from agent.wiring.planning import Changes
from agent.wiring.proof import State
from tests.modes.hosts import BY_FOLDER, VERIFIERS, Host, make_host
from tests.wiring.nodes import SAMPLES
from tests.wiring.test_planning import IN_V3

UNSUPPORTED = tuple(
    each.folder for each in SAMPLES if each.way is Way.REFUSE or each.name in ("bottlerocket", "gke", "talos")
)
MAIN = "etc/containerd/config.toml"
DROP_IN = "etc/containerd/conf.d/zzz-nodeseal.toml"
ELSEWHERE = "/srv/verifiers"


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes to the disk when is not what is tested here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder in memory, where there is one: hosts are installed on some hundred times here."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield pathlib.Path(name)


@pytest.fixture
def host(folder: pathlib.Path) -> Host:
    """A host with Debian's package."""
    return make_host(folder)


@pytest.mark.unmeasured
@pytest.mark.parametrize("changes", Changes)
@pytest.mark.parametrize("name", BY_FOLDER)
def test_each_distribution_is_as_before_once_it_is_uninstalled(
    folder: pathlib.Path, name: str, changes: Changes
) -> None:
    host = make_host(folder, name)
    before = host.tree()
    outcome = host.install(changes=changes, restart_servers=True)
    if name in UNSUPPORTED:
        assert outcome.unsupported
        assert host.tree() == before
        return
    assert outcome.installed
    assert (host.root / VERIFIERS / "00-nodeseal").readlink() == pathlib.Path("/opt/nodeseal/current/nodeseal")
    sample = BY_FOLDER[name]
    left = outcome.plan.placed.way is Way.ADVISE or changes is not Changes.PULL_PATH
    assert outcome.proof is not None
    by_hand = set(sample.triggers) - set(outcome.plan.removes)
    assert outcome.proof.is_enforcing or (sample.triggers and (left or by_hand))
    assert len(host.world.restarts) == bool(outcome.plan.settings)

    once = host.tree()
    again = host.install(changes=changes)
    assert host.tree() == once
    assert [type(step).__name__ for step in again.steps] == ["Prove"]

    removed = host.uninstall()
    nobody_knows_what = bool(outcome.plan.settings) and not outcome.plan.unit  # RKE2's, as nobody sees who listens
    assert (removed.was_installed, removed.left, bool(removed.pending)) == (True, (), nobody_knows_what)
    assert host.tree() == before
    assert not host.uninstall().was_installed


def test_nothing_leads_to_the_program_before_it_was_seen_to_work(host: Host) -> None:
    before = host.tree()
    for setting in ("allows_canary", "refuses_pause"):
        setattr(host.world, setting, True)
        with pytest.raises(RolledBack, match="expected it to (refuse it|let it pass); it was taken back"):
            host.install()
        setattr(host.world, setting, False)
        assert host.tree() == before
    host.install()
    (program, *words), (_, *pause) = host.world.calls[-2:]
    assert program == "/opt/nodeseal/0.1.0/nodeseal"
    assert words[0::2] == ["-name", "-digest", "-stdin-media-type"]
    assert pause[1].startswith("registry.k8s.io/pause:")


def test_root_without_the_kernels_files_is_one_in_which_the_program_is_tried_as_far_as_it_can_be(host: Host) -> None:
    (host.root / "proc/version").unlink()
    before = host.tree()
    host.world.runs = False
    host.world.allows_canary = True
    with pytest.raises(RolledBack, match="expected it to refuse it"):
        host.install()
    assert host.tree() == before
    host.world.allows_canary, host.world.refuses_pause = False, True  # it does not know where it is itself
    host.world.calls.clear()
    assert host.install().installed
    assert ["nodeseal-canary" in words[2] for words in host.world.calls] == [True]


def test_entry_whose_name_is_no_text_is_refused_by_name_and_keeps_nobody_from_uninstalling(host: Host) -> None:
    before = host.tree()
    host.install()
    (host.root / VERIFIERS / "\udcff").write_text("x")
    with pytest.raises(HostError, match="expected verifiers: with it every pull is refused"):
        host.install(bin_dir="")
    assert host.uninstall().was_installed
    assert sorted(os.listdir(host.root / VERIFIERS)) == ["\udcff"]
    shutil.rmtree(host.root / "opt")
    assert host.tree() == before


def test_twenty_installations_are_one(host: Host) -> None:
    host.install(bin_dir=ELSEWHERE)
    once = host.tree()
    for _ in range(19):
        assert host.install(bin_dir=ELSEWHERE).proof is not None
    assert host.tree() == once
    assert host.world.restarts == ["containerd.service"]


def test_what_the_node_needs_stands_in_the_bootstrap_document(host: Host) -> None:
    table = '[plugins."io.containerd.cri.v1.images".pinned_images]'
    host.write(MAIN, f'version = 3\n{table}\nsandbox = "mirror.example/pause:3.10"\n')
    host.write("etc/kubernetes/manifests/etcd.yaml", "spec: {containers: [{image: 'registry.k8s.io/etcd:3.6.4-0'}]}")
    host.install(image="ghcr.io/x/nodeseal:1")
    needs = json.loads(host.read("etc/nodeseal/bootstrap.json"))["node"]["needs"]
    assert needs == ["mirror.example/pause:3.10", "ghcr.io/x/nodeseal:1", "registry.k8s.io/etcd:3.6.4-0"]
    once = host.tree()
    host.install(image="ghcr.io/x/nodeseal:1")
    assert host.tree() == once


def test_bootstrap_document_is_as_shipped_and_a_persons_own_stays(host: Host) -> None:
    host.install()
    document = json.loads(host.read("etc/nodeseal/bootstrap.json"))
    assert document["untilFirstSnapshot"] == "Audit"
    assert document["node"] == {"name": "node-1", "needs": [USUAL_SANDBOX]}
    assert document["floor"]["breakGlass"] == {"longest": "4h", "allImages": False}
    host.install(node_name="node-2")
    assert json.loads(host.read("etc/nodeseal/bootstrap.json"))["node"]["name"] == "node-2"
    host.write("etc/nodeseal/bootstrap.json", "my own")
    host.install(node_name="node-3")
    assert host.read("etc/nodeseal/bootstrap.json") == "my own"
    assert "bootstrap.json: was edited since, and stays" in host.uninstall().left[0]
    assert host.read("etc/nodeseal/bootstrap.json") == "my own"


def test_upgrade_keeps_the_last_program_and_downgrade_is_one(host: Host) -> None:
    before = host.tree()
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        host.install(version=version)
    places = sorted(path.name for path in (host.root / "opt/nodeseal").iterdir())
    assert places == ["0.2.0", "0.3.0", "current"]
    assert (host.root / "opt/nodeseal/current").readlink() == pathlib.Path("0.3.0")
    host.install(version="0.2.0")
    assert (host.root / "opt/nodeseal/current").readlink() == pathlib.Path("0.2.0")
    host.uninstall()
    assert host.tree() == before


def test_another_build_of_the_same_version_has_a_place_of_its_own(host: Host) -> None:
    before = host.tree()
    host.install()
    (host.source / "_internal/base.zip").write_text("another")
    host.install()
    (current,) = ((host.root / "opt/nodeseal/current").readlink(),)
    assert str(current).startswith("0.1.0+")
    assert host.read(f"opt/nodeseal/{current}/_internal/base.zip") == "another"
    assert host.read("opt/nodeseal/0.1.0/_internal/base.zip") == "its library"
    host.uninstall()
    assert host.tree() == before


def test_failed_upgrade_leaves_what_was_installed(host: Host) -> None:
    host.install()
    before = host.tree()
    host.world.refuses_pause = True
    with pytest.raises(RolledBack):
        host.install(version="0.2.0")
    assert host.tree() == before


def test_containerd_is_restarted_once_an_hour_at_most(host: Host) -> None:
    host.install(bin_dir=ELSEWHERE)
    host.world.clock += 1800
    outcome = host.install(bin_dir="/srv/others")
    assert outcome.pending
    assert not outcome.restarted
    assert len(host.world.restarts) == 1
    assert host.install(bin_dir="/srv/others").pending
    host.world.clock += 1801
    outcome = host.install(bin_dir="/srv/others")
    assert (outcome.pending, outcome.restarted) == ("", True)
    assert outcome.proof is not None
    assert outcome.proof.is_enforcing


@pytest.mark.parametrize("name", ["k3s", "rke2"])
def test_server_of_the_cluster_is_restarted_only_on_request(
    folder: pathlib.Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host(folder / name, name)
    outcome = host.install(bin_dir=ELSEWHERE)
    assert (outcome.installed, outcome.restarted, host.world.restarts) == (True, False, [])
    assert outcome.pending
    assert [each for each in outcome.advice if "--restart-servers" in each]
    outcome = host.install(bin_dir=ELSEWHERE, restart_servers=True)
    assert (outcome.restarted, len(host.world.restarts)) == (True, 1)
    assert not [each for each in outcome.advice if "--restart-servers" in each]
    host.uninstall()

    read = host.world.facts
    process = Process(100, "/k3s/containerd", ("containerd",), f"{name}-agent.service")
    monkeypatch.setattr(
        host.world, "facts", lambda: (told := read())._replace(facts=told.facts._replace(process=process))
    )
    host.world.clock += 3601
    assert host.install(bin_dir=ELSEWHERE).restarted
    assert host.world.restarts[-1] == f"{name}-agent.service"


def test_server_that_has_nothing_to_restart_for_gets_no_advice(folder: pathlib.Path) -> None:
    outcome = make_host(folder / "quiet", "k3s").install()
    assert not [each for each in outcome.advice if "--restart-servers" in each]


def test_restart_by_somebody_else_is_noticed(host: Host) -> None:
    assert host.install(bin_dir=ELSEWHERE, restart=False).pending
    host.world.clock += 60
    host.world.restart("by hand")
    outcome = host.install(bin_dir=ELSEWHERE)
    assert (outcome.pending, outcome.restarted) == ("", False)
    assert host.world.restarts == ["by hand"]


def test_host_that_does_not_run_is_prepared_and_nothing_is_proved(host: Host) -> None:
    before = host.tree()
    host.world.runs = False
    outcome = host.install(bin_dir=ELSEWHERE, restart=False)
    assert (outcome.installed, outcome.proof, host.world.restarts) == (True, None, [])
    host.uninstall(may_restart=False)
    assert host.tree() == before


def test_pulls_that_go_past_by_a_setting_that_may_not_be_changed_are_told(host: Host) -> None:
    host.write(MAIN, f"version = 3\n{IN_V3['discard_unpacked_layers']}")
    host.world.restart("")
    outcome = host.install()
    assert outcome.proof is not None
    assert outcome.proof.state is State.BYPASSED
    assert outcome.installed
    assert "discard_unpacked_layers" in outcome.advice[0]
    assert "pull-path" in outcome.advice[0]
    assert bypass.read(str(host.root)) == ("discard_unpacked_layers",), "for a daemon that does not see it"
    outcome = host.install(changes=Changes.PULL_PATH)
    assert bypass.read(str(host.root)) == ()
    assert outcome.proof is not None
    assert outcome.proof.is_enforcing


@pytest.mark.parametrize("folder_of_verifiers", [VERIFIERS, ELSEWHERE[1:]])
def test_folder_with_what_containerd_can_not_run_is_refused(host: Host, folder_of_verifiers: str) -> None:
    host.write(f"{folder_of_verifiers}/10-notes.txt", "x")
    before = host.tree()
    with pytest.raises(HostError, match=r"10-notes.txt: got a file that is not executable; .* every pull is refused"):
        host.install(bin_dir=f"/{folder_of_verifiers}")
    assert host.tree() == before


def test_k0s_restarts_by_itself_and_not_if_that_is_not_wanted(tmp_path: pathlib.Path) -> None:
    host = make_host(tmp_path, "k0s")
    outcome = host.install(bin_dir=ELSEWHERE, restart=False)
    assert not outcome.plan.settings
    assert host.world.restarts == []
    assert not (host.root / "etc/k0s/containerd.d/zzz-nodeseal.toml").exists()
    outcome = host.install(bin_dir=ELSEWHERE)
    assert host.world.restarts == ["by itself"]
    assert outcome.proof is not None
    assert outcome.proof.is_enforcing


def test_k0s_is_not_written_to_before_an_hour_is_over(tmp_path: pathlib.Path) -> None:
    host = make_host(tmp_path, "k0s")
    host.install(bin_dir=ELSEWHERE)
    host.world.clock += 1800
    own = host.read("etc/k0s/containerd.d/zzz-nodeseal.toml")
    outcome = host.install(bin_dir="/srv/others")
    assert (outcome.restarted, host.world.restarts) == (False, ["by itself"])
    assert host.read("etc/k0s/containerd.d/zzz-nodeseal.toml") == own
    assert outcome.installed
    assert "install again in 30 minutes" in outcome.advice[-1]
    host.world.clock += 1801
    outcome = host.install(bin_dir="/srv/others")
    assert (outcome.restarted, host.world.restarts) == (True, ["by itself"] * 2)
    assert outcome.proof is not None
    assert outcome.proof.is_enforcing


def test_k0s_that_can_not_be_set_right_yet_keeps_what_is_installed(tmp_path: pathlib.Path) -> None:
    host = make_host(tmp_path, "k0s")
    host.install(bin_dir=ELSEWHERE)
    host.write("etc/k0s/containerd.d/yyy.toml", f"version = 3\n{IN_V3['discard_unpacked_layers']}")
    host.world.restart("somebody")
    host.world.clock += 1800
    outcome = host.install(changes=Changes.PULL_PATH)
    assert (outcome.installed, outcome.restarted) == (True, False)
    assert outcome.proof is not None
    assert outcome.proof.state is State.BYPASSED
    assert "install again in 30 minutes" in outcome.advice[-1]
    host.world.clock += 1801
    assert "install without --no-restart" in host.install(changes=Changes.PULL_PATH, restart=False).advice[-1]
    outcome = host.install(changes=Changes.PULL_PATH)
    assert outcome.proof is not None
    assert (outcome.restarted, outcome.proof.is_enforcing) == (True, True)


def test_broken_configuration_is_left_alone(host: Host) -> None:
    host.write(MAIN, "version = 3\nimports = ['/nowhere.toml']\n")
    before = host.tree()
    with pytest.raises(ConfigurationError, match=r"/nowhere.toml"):
        host.install()
    assert host.tree() == before


def test_main_file_that_is_a_link_stays_one(host: Host) -> None:
    (host.root / "etc/real").mkdir()
    (host.root / MAIN).rename(host.root / "etc/real/config.toml")
    (host.root / MAIN).symlink_to("/etc/real/config.toml")
    (host.root / "etc/real/config.toml").chmod(0o640)
    before = host.tree()
    host.install(bin_dir=ELSEWHERE)
    assert (host.root / MAIN).is_symlink()
    assert "zzz-nodeseal" in host.read("etc/real/config.toml")
    assert (host.root / "etc/real/config.toml").stat().st_mode & 0o777 == 0o640
    host.uninstall()
    assert host.tree() == before


def test_link_that_leads_out_of_the_host_is_followed_within_it(host: Host, tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (host.root / "opt").mkdir()
    (host.root / "opt/nodeseal").symlink_to(outside)
    with pytest.raises(HostError):
        host.install()
    assert list(outside.iterdir()) == []


def test_folder_that_others_may_write_to_is_refused(host: Host) -> None:
    (host.root / VERIFIERS).mkdir(parents=True)
    (host.root / VERIFIERS).chmod(0o777)
    before = host.tree()
    with pytest.raises(RolledBack, match="others can change"):
        host.install()
    assert host.tree() == before


def test_drop_in_that_others_rewrote_the_main_file_for_is_imported_again(host: Host) -> None:
    host.install(bin_dir=ELSEWHERE)
    host.write(MAIN, "version = 2\n# written anew by a playbook\n")
    before_second = host.read(MAIN)
    host.world.clock += 7200
    host.world.restart("by the playbook")
    outcome = host.install(bin_dir=ELSEWHERE)
    assert outcome.proof is not None
    assert outcome.proof.is_enforcing
    assert "zzz-nodeseal" in host.read(MAIN)
    host.uninstall()
    assert host.read(MAIN) == before_second


def test_two_at_once_take_turns(host: Host) -> None:
    before = host.tree()
    problems: list[BaseException] = []

    def body(action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - told to the test
            problems.append(error)

    for actions in ((host.install,) * 4, (host.install, host.uninstall, host.install, host.uninstall)):
        threads = [threading.Thread(target=body, args=(action,)) for action in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
    host.install()
    assert ManifestStore(HostFiles(str(host.root))).read() is not None
    host.uninstall()
    assert host.tree() == before


def test_second_one_waits_only_so_long(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.install()
    monkeypatch.setattr("agent.adapters.journal.LOCK_SECONDS", 0.2)
    store = ManifestStore(HostFiles(str(host.root)))
    with store.locked(), pytest.raises(HostError, match="a lock that another process holds"), store.locked(0.2):
        pass


def test_something_else_under_our_name_in_the_folder_is_left_alone(host: Host) -> None:
    host.write(f"{VERIFIERS}/00-nodeseal", "#!/bin/sh\n")
    (host.root / VERIFIERS / "00-nodeseal").chmod(0o755)
    before = host.tree()
    with pytest.raises(RolledBack, match="no link of ours"):
        host.install()
    assert host.tree() == before


def test_entry_that_was_put_there_by_hand_leads_to_the_program_that_was_tried(host: Host) -> None:
    (host.root / VERIFIERS).mkdir(parents=True)
    (host.root / VERIFIERS / "00-nodeseal").symlink_to("/opt/nodeseal/0.0.9/nodeseal")
    host.write("opt/nodeseal/0.0.9/nodeseal", "an older one, put there by hand")
    (host.root / "opt/nodeseal/0.0.9/nodeseal").chmod(0o755)
    host.install()
    assert (host.root / VERIFIERS / "00-nodeseal").readlink() == pathlib.Path("/opt/nodeseal/current/nodeseal")
    removed = host.uninstall()
    assert not (host.root / VERIFIERS / "00-nodeseal").is_symlink()
    assert removed.left == ()
    assert host.read("opt/nodeseal/0.0.9/nodeseal").startswith("an older one")
