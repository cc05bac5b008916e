"""The daemon's unit on hosts that are played: written, enabled, started, started anew, and gone without a trace."""

import pathlib

import pytest

from agent.errors import HostError
from agent.modes.daemonunit import Served
from agent.modes.installing import Outcome, RolledBack
from agent.modes.unitlook import told_unit
from agent.wiring import unit
from agent.wiring.proof import State
from agent.wiring.steps import Enable, Start
from tests.modes.hosts import Host, counted, killed, make_host
from tests.simulators.systemd import Systemd

SERVED = Served("/etc/policies")


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    """A host with Debian's package."""
    return make_host(tmp_path)


def starts(outcome: Outcome) -> bool:
    """Whether the unit was started."""
    return any(isinstance(step, Start) for step in outcome.steps)


@pytest.mark.parametrize("name", ["debian", "k3s", "eks", "flatcar"])
def test_unit_is_written_enabled_started_and_gone_afterwards(tmp_path: pathlib.Path, name: str) -> None:
    host = make_host(tmp_path, name)
    before = host.tree()
    outcome = host.install(daemon=SERVED, restart_servers=True)
    assert starts(outcome)
    assert "--config /etc/policies --prove" in host.read(unit.PATH)
    wanted = host.root / unit.WANTED.lstrip("/")
    assert wanted.resolve() == host.root / unit.PATH.lstrip("/")
    assert host.world.units == ["reload", f"restart {unit.NAME}"]
    assert not starts(host.install(daemon=SERVED, restart_servers=True)), "it runs already"
    assert not starts(host.install(restart_servers=True)), "it stays as it is"
    assert wanted.is_symlink()
    removed = host.uninstall()
    assert removed.left == ()
    assert host.world.units[-2:] == [f"stop {unit.NAME}", "reload"]
    assert host.tree() == before


def test_host_that_does_not_run_has_it_enabled_and_nobody_is_asked(host: Host) -> None:
    host.world.has_systemd = host.world.runs = False
    outcome = host.install(daemon=Served(start=False), restart=False)
    assert any(isinstance(step, Enable) for step in outcome.steps)
    assert not starts(outcome)
    assert host.world.units == []
    assert (host.root / unit.WANTED.lstrip("/")).is_symlink()


def test_another_program_or_another_folder_starts_it_anew(host: Host) -> None:
    host.install(daemon=SERVED)
    assert starts(host.install(daemon=Served("/etc/others")))
    assert "/etc/others" in host.read(unit.PATH)
    assert starts(host.install(version="0.2.0")), "or it would answer nobody: the child believes its own version alone"
    assert "/etc/others" in host.read(unit.PATH)
    host.world.daemon = False
    assert not starts(host.install(version="0.3.0")), "whoever stopped it has reasons"
    assert starts(host.install(version="0.3.0", daemon=Served("/etc/others")))


@pytest.mark.parametrize("path", [unit.PATH, unit.WANTED, *unit.OTHER_PLACES[:3]])
def test_unit_of_somebody_else_is_refused_before_anything_is_written(host: Host, path: str) -> None:
    host.write(path, "[Service]\nExecStart=/bin/true\n")
    before = host.tree()
    with pytest.raises(HostError, match="got something that no installation wrote") as raised:
        host.install(daemon=SERVED)
    assert path in raised.value.message
    assert host.tree() == before


def test_unit_that_was_masked_since_is_refused(host: Host) -> None:
    host.install(daemon=SERVED)
    path = host.root / unit.PATH.lstrip("/")
    path.unlink()
    path.symlink_to("/dev/null")
    with pytest.raises(HostError, match="got no regular file") as raised:
        host.install(daemon=SERVED)
    assert raised.value.hint == f"systemctl unmask {unit.NAME}"


def test_unit_that_was_edited_since_stays_and_is_told(host: Host) -> None:
    host.install(daemon=SERVED)
    host.write(unit.PATH, "edited")
    outcome = host.install(daemon=Served("/etc/others"))
    assert host.read(unit.PATH) == "edited"
    assert any("was edited since it was written" in each for each in outcome.advice)
    assert any(unit.PATH in each for each in host.uninstall().left)
    assert host.read(unit.PATH) == "edited"


def test_host_without_systemd_and_one_that_is_served_already_are_refused(host: Host) -> None:
    before = host.tree()
    host.world.has_systemd = False
    with pytest.raises(HostError, match="got no systemd that listens"):
        host.install(daemon=SERVED)
    host.world.has_systemd = host.world.daemon = True
    with pytest.raises(HostError, match="got a daemon that serves this host already"):
        host.install(daemon=SERVED)
    assert host.tree() == before


def test_daemon_that_does_not_answer_is_taken_back_and_the_one_before_runs_again(host: Host) -> None:
    before = host.tree()
    host.world.daemon_works = False
    with pytest.raises(RolledBack, match="got no answer of the daemon") as raised:
        host.install(daemon=SERVED)
    assert raised.value.left == ()
    assert host.world.units[-2:] == [f"stop {unit.NAME}", "reload"]
    assert host.tree() == before
    host.world.daemon_works = True
    host.install(daemon=SERVED)
    once = host.tree()
    host.world.never_asks = True
    with pytest.raises(RolledBack):
        host.install(daemon=Served("/etc/others"), version="0.2.0")
    assert host.tree() == once
    assert host.world.units[-2:] == ["reload", f"restart {unit.NAME}"]
    host.world.never_asks = False
    proof = host.install().proof
    assert proof is not None
    assert proof.state is State.ENFORCING


@pytest.mark.unmeasured
def test_killed_at_any_change_of_the_disk_it_is_gone_after_uninstall(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host(tmp_path / "counted")
    with counted(monkeypatch) as changes:
        host.install()
        begin = len(changes)
        host.install(daemon=SERVED)
    for at in range(1, len(changes) - begin + 1, 3):
        host = make_host(tmp_path / str(at))
        before = host.tree()
        host.install()

        def broken(host: Host = host, at: int = at) -> None:
            with counted(monkeypatch, at, "kill"):
                host.install(daemon=SERVED)

        assert killed(broken)
        assert host.uninstall().left == ()
        assert host.tree() == before


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A host that has the unit; its path is short, for sockets."""
    root = tmp_path_factory.mktemp("h")
    path = root / unit.PATH.lstrip("/")
    path.parent.mkdir(parents=True)
    path.touch()
    return root


@pytest.mark.parametrize(
    ("properties", "runs", "words"),
    [
        ({}, True, "active, pid 4711"),
        ({"ActiveState": "failed", "Result": "exit-code"}, False, "failed, last result exit-code"),
        ({"LoadState": "masked", "ActiveState": "inactive"}, False, "masked, inactive"),
    ],
)
def test_what_it_is_doing_is_told(root: pathlib.Path, properties: dict[str, str], runs: bool, words: str) -> None:
    with Systemd(root / "run/systemd/private", lambda method, unit: "done") as served:
        served.properties |= {name: ("s", value) for name, value in properties.items()}
        told = told_unit(str(root))
        assert told is not None
        assert (told.runs, told.words) == (runs, words)
        assert ("LoadUnit", (unit.NAME,)) in served.asked


def test_host_without_the_unit_is_asked_nothing_and_one_without_systemd_cannot_tell(root: pathlib.Path) -> None:
    told = told_unit(str(root))
    assert told is not None
    assert told.runs is None
    assert told.words.startswith("not known: got no systemd")
    (root / unit.PATH.lstrip("/")).unlink()
    assert told_unit(str(root)) is None
