"""Installations that fail are taken back: the bytes that were there are there again, and loaded."""

import pytest

from agent.adapters.containerd import Told
from agent.errors import HostError
from agent.modes.installing import RolledBack
from agent.wiring.proof import Known
from tests.modes.hosts import VERIFIERS, Host
from tests.modes.test_installing import DROP_IN, ELSEWHERE, _no_disk, folder, host

__all__ = ["_no_disk", "folder", "host"]


def test_configuration_that_keeps_containerd_from_starting_is_taken_back_and_not_tried_again(host: Host) -> None:
    before = host.tree()
    host.world.broken = lambda root: (root / DROP_IN).exists()
    with pytest.raises(RolledBack, match="expected containerd to be back; it was taken back") as raised:
        host.install(bin_dir=ELSEWHERE)
    assert raised.value.left == ()
    assert host.tree() == before
    assert host.world.runs
    assert len(host.world.restarts) == 2
    with pytest.raises(HostError, match="this very installation was taken back"):
        host.install(bin_dir=ELSEWHERE)
    assert host.tree() == before
    assert len(host.world.restarts) == 2
    host.install()  # another one is no retry


@pytest.mark.parametrize("error", [HostError("no"), KeyboardInterrupt()], ids=["refused", "stopped"])
@pytest.mark.parametrize("fails", ["call", "facts", "restart", "wait_until_ready", "prove"])
def test_whatever_of_the_host_fails_the_bytes_that_were_there_are_there_again_and_loaded(
    host: Host, monkeypatch: pytest.MonkeyPatch, fails: str, error: BaseException
) -> None:
    before, loaded = host.tree(), host.world.prove(Known(()))
    real = getattr(host.world, fails)

    def failing(*words: object) -> object:
        if (host.root / "opt/nodeseal").exists() and not failed:
            failed.append(fails)
            raise error
        return real(*words)

    failed: list[str] = []
    monkeypatch.setattr(host.world, fails, failing)
    with pytest.raises(RolledBack if isinstance(error, HostError) else KeyboardInterrupt) as raised:
        host.install(bin_dir=ELSEWHERE)
    assert failed == [fails]
    assert host.tree() == before
    assert host.world.prove(Known(())) == loaded
    assert len(host.world.restarts) == {"restart": 1, "wait_until_ready": 2, "prove": 2}.get(fails, 0)
    if isinstance(raised.value, RolledBack):
        assert (raised.value.message, raised.value.left) == ("no; it was taken back", ())


RUNTIME = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nSystemdCgroup = true\n"
BINDIR = "[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '{}'\n"
PULLS = "[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = false\n"
BEFORE, AS_MEANT = (f"version = 3\n{BINDIR.format(path)}{RUNTIME}{PULLS}" for path in (f"/{VERIFIERS}", ELSEWHERE))


def dumps(host: Host, monkeypatch: pytest.MonkeyPatch, after: str, trouble: str = "") -> None:
    """Have containerd say what is in force: `BEFORE`, and from our file on `after`, or nothing but `trouble`."""
    read = host.world.facts

    def facts() -> Told:
        told, is_after = read(), (host.root / DROP_IN).exists()
        if is_after and trouble:
            return told._replace(dump_trouble=trouble)
        return told._replace(facts=told.facts._replace(dump=(after if is_after else BEFORE).encode()))

    monkeypatch.setattr(host.world, "facts", facts)


@pytest.mark.parametrize(
    ("after", "trouble", "said"),
    [
        (AS_MEANT.replace(RUNTIME, ""), "", "makes something else of it: .*SystemdCgroup: .*doesn't say so"),
        (BEFORE, "", "bin_dir: would be .*expected '/srv/verifiers'"),
        (f"{AS_MEANT}snapshotter = 'native'\n", "", "snapshotter: not set -> 'native'"),
        ("", "it ended with 1: no", "it ended with 1: no; expected containerd to take it"),
    ],
    ids=["a setting is lost", "another file wins", "a setting is new", "it is refused"],
)
def test_what_containerd_makes_of_its_configuration_is_compared_before_anything_leads_to_us(
    host: Host, monkeypatch: pytest.MonkeyPatch, after: str, trouble: str, said: str
) -> None:
    before = host.tree()
    dumps(host, monkeypatch, after, trouble)
    with pytest.raises(RolledBack, match=f"{said}.*; it was taken back"):
        host.install(bin_dir=ELSEWHERE)
    assert host.tree() == before
    assert host.world.restarts == [], "nothing was loaded yet"


def test_configuration_that_containerd_understands_as_meant_is_kept(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumps(host, monkeypatch, AS_MEANT)
    assert host.install(bin_dir=ELSEWHERE).installed


def test_pulls_that_go_past_for_no_known_reason_take_it_back(host: Host) -> None:
    before = host.tree()
    host.world.never_asks = True
    with pytest.raises(RolledBack, match="containerd does not ask this verifier: fetched without asking"):
        host.install()
    assert host.tree() == before
