"""containerd is upgraded from 2.1 to 2.3 under an installed Nodeseal, and downgraded: played by the facts.

No containerd newer than 2.1 could be had to run this on.  What 2.3 makes of files is what was read in its source
(`agent.wiring.merging`, `agent.wiring.version`): each file is migrated for itself, version 4 is the newest, and no file
may state a higher version than the main file.
"""

import os
import pathlib

import pytest

from agent.modes.recording import BOOTSTRAP
from agent.wiring import findings, planning
from agent.wiring.findings import Severity
from agent.wiring.planning import Changes
from agent.wiring.proof import State
from agent.wiring.steps import Prove, Write
from tests.modes.hosts import Host, make_host

MAIN = "etc/containerd/config.toml"
DROP_IN = "etc/containerd/conf.d/zzz-nodeseal.toml"
VERIFIERS = "/srv/verifiers"
BEFORE, AFTER = "2.1.9", "2.3.4"

WRITTEN = {
    "version 2": "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\n"
    "runtime_type = 'io.containerd.runc.v2'\n"
    "[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = 'k8s.io/pause:3.9'\n",
    "version 3": "version = 3\n[grpc]\naddress = '/run/containerd/containerd.sock'\n"
    "[plugins.'io.containerd.cri.v1.images']\ndiscard_unpacked_layers = true\n"
    "[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'k8s.io/pause:3.9'\n",
    "no version": "# nothing is set\n",
}
MIGRATED = (
    "version = 4\nimports = ['/etc/containerd/conf.d/zzz-nodeseal*.toml']\n"
    "[plugins.'io.containerd.server.v1.grpc']\naddress = '/run/containerd/containerd.sock'\n"
    "[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'k8s.io/pause:3.9'\n"
)


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes to the disk when is not what is tested here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    """A host with Debian's package of 2.1."""
    host = make_host(tmp_path)
    assert host.world.sample.version == BEFORE
    return host


def of(host: Host, version: str) -> None:
    """Have another containerd run there: its program is replaced, and it is restarted."""
    host.world.sample = host.world.sample._replace(version=version)
    host.world.restart("")
    host.world.restarts.clear()


def errors(host: Host) -> list[str]:
    """What `doctor` finds wrong."""
    found = findings.of(planning.node(host.world.facts().facts))
    return [each.id for each in found if each.severity is Severity.ERROR]


def install(host: Host) -> State:
    """Install as at first; what the proof says."""
    outcome = host.install(changes=Changes.PULL_PATH, bin_dir=VERIFIERS)
    assert outcome.proof is not None
    return outcome.proof.state


def nothing_to_do(host: Host) -> None:
    """It verifies; installing again finds nothing to do but to prove it, and to record what containerd goes by now."""
    assert errors(host) == []
    before = {path: host.read(path) for path in (MAIN, DROP_IN)}
    outcome = host.install(changes=Changes.PULL_PATH, bin_dir=VERIFIERS)
    assert [step for step in outcome.steps if not isinstance(step, Prove)] == [
        step for step in outcome.steps if isinstance(step, Write) and step.path == BOOTSTRAP
    ]
    assert {path: host.read(path) for path in (MAIN, DROP_IN)} == before
    recorded = host.tree()
    outcome = host.install(changes=Changes.PULL_PATH, bin_dir=VERIFIERS)
    assert [type(step).__name__ for step in outcome.steps] == ["Prove"]
    assert outcome.proof is not None
    assert outcome.proof.is_enforcing
    assert (host.tree(), host.world.restarts) == (recorded, [])


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_containerd_is_upgraded_and_downgraded_and_nothing_is_to_be_done(host: Host, text: str) -> None:
    host.write(MAIN, text)
    host.world.restart("")
    before = host.tree()
    assert install(host) is State.ENFORCING
    for version in ("2.2.7", AFTER, BEFORE):
        of(host, version)
        nothing_to_do(host)
    of(host, AFTER)
    host.uninstall()
    assert host.tree() == before


@pytest.mark.parametrize("text", [WRITTEN["version 2"], WRITTEN["version 3"]], ids=["version 2", "version 3"])
def test_main_file_that_was_migrated_to_version_4_keeps_our_file_as_it_is(host: Host, text: str) -> None:
    host.write(MAIN, text)
    host.world.restart("")
    install(host)
    ours = host.read(DROP_IN)
    of(host, AFTER)
    host.write(MAIN, MIGRATED)
    host.world.restart("")
    host.world.restarts.clear()
    nothing_to_do(host)
    assert host.read(DROP_IN) == ours

    removed = host.uninstall()
    assert host.read(MAIN) == MIGRATED.replace("imports = ['/etc/containerd/conf.d/zzz-nodeseal*.toml']\n", "")
    assert "only our import was taken out" in removed.left[0]
    assert not (host.root / DROP_IN).exists()


def test_main_file_that_a_migration_left_without_our_import_is_told_and_mended(host: Host) -> None:
    install(host)
    of(host, AFTER)
    host.write(MAIN, "version = 4\n")
    host.world.restart("")
    facts = host.world.facts().facts
    assert planning.node(facts).effective.bin_dir.value != VERIFIERS
    host.world.clock += 7200  # not restarted twice in an hour
    assert install(host) is State.ENFORCING
    assert "zzz-nodeseal*.toml" in host.read(MAIN)
    host.world.restarts.clear()
    nothing_to_do(host)


def test_file_that_was_written_beside_version_4_does_not_keep_an_older_containerd_from_starting(host: Host) -> None:
    of(host, AFTER)
    host.write(MAIN, "version = 4\n")
    host.world.restart("")
    assert install(host) is State.ENFORCING
    assert "version = 3\n" in host.read(DROP_IN)
    host.write(MAIN, host.read(MAIN).replace("version = 4", "version = 3"))
    of(host, "2.2.7")
    assert planning.node(host.world.facts().facts).effective.written.problems == ()
    nothing_to_do(host)


def test_file_of_a_higher_version_than_the_main_one_is_refused_before_anything_is_changed(host: Host) -> None:
    of(host, AFTER)
    host.write(MAIN, "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n")
    host.write("etc/containerd/conf.d/10-site.toml", "version = 4\n")
    host.world.restart("")
    before = host.tree()
    with pytest.raises(Exception, match=r"10-site.toml: got version = 4; expected 3 at most"):
        install(host)
    assert host.tree() == before
    assert "configuration.broken" in errors(host)
