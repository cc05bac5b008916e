"""The commands `install` and `uninstall`: what they say, and how they end."""

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from agent import cli
from agent.adapters import containerd
from agent.adapters.containerd import Told
from agent.adapters.snapshots import SnapshotStore
from agent.config import canonical
from agent.config.config import Config
from agent.errors import HostError
from agent.modes import hostworld, inturn, place
from agent.modes.inturn import Queue
from agent.rules.ruleset import RuleSet
from agent.wiring.declared import FORMS, TAINT, TAINTS, form, taint_form
from tests.modes.hosts import Host, make_host
from tests.wiring.test_planning import IN_V3

MAIN = "etc/containerd/config.toml"
EMPTY = Config("", (), (), RuleSet(()), {})
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    """A host with Debian's package."""
    return make_host(tmp_path)


@pytest.fixture
def run(host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the commands on it; returns exit code and both outputs."""

    def world(asked: containerd.Asked, *, runs: bool = True, port: int = 0) -> object:
        host.world.runs = host.world.runs and runs
        assert asked.host == str(host.root)
        return host.world

    monkeypatch.setattr(hostworld, "HostWorld", world)

    def command(verb: str, *words: str, which: str = "--host") -> tuple[int, str, str]:
        program = ["--program", str(host.source)] if verb == "install" and "--program" not in words else []
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", verb, which, str(host.root), *program, *words])
        assert isinstance(ended.value.code, int)
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return command


NEXT = (
    "next step: put a configuration in force: /opt/nodeseal/current/nodeseal config apply DIR; until then every image "
    "passes unverified"
)


def test_each_step_is_told_and_the_last_line_says_what_came_of_it(host: Host, run: Run) -> None:
    code, out, err = run("install", "--bin-dir", "/srv/verifiers")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "placed the program in /opt/nodeseal/0.1.0"
    assert any(line.startswith("restarting containerd.service: ") for line in lines)
    assert lines[-1] == "installed; pulls are verified"
    assert run("install", "--bin-dir", "/srv/verifiers")[1].splitlines() == [
        "proof: enforcing: asked 00-nodeseal",
        NEXT,
        "installed; pulls are verified",
    ]
    code, out, err = run("uninstall")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "uninstalled"
    assert run("uninstall")[1] == "nothing was installed here\n"


def test_configuration_in_force_that_this_version_does_not_read_is_told(host: Host, run: Run) -> None:
    with pytest.MonkeyPatch.context() as other:
        other.setattr(canonical, "FORMAT_VERSION", 99)
        SnapshotStore(str(host.root)).publish(EMPTY)
    code, out, _ = run("install")
    assert code == 0
    (told,) = (line for line in out.splitlines() if line.startswith("to do by hand: "))
    assert "format version 99" in told
    assert "nodeseal config apply DIR" in told
    SnapshotStore(str(host.root)).publish(EMPTY)
    assert "to do by hand" not in run("install")[1]


def test_programs_are_told_in_json(host: Host, run: Run) -> None:
    told = json.loads(run("install", "--format", "json")[1])
    assert told["schemaVersion"] == "1"
    assert (told["installed"], told["unsupported"], told["restartPending"]) == (True, None, None)
    assert told["proof"]["state"] == "enforcing"
    assert told["distribution"] == "debian"
    told = json.loads(run("uninstall", "--format", "json")[1])
    assert told == {"schemaVersion": "1", "wasInstalled": True, "restarted": False, "restartPending": None, "left": []}


def test_dry_run_shows_steps_and_diff_and_writes_nothing(host: Host, run: Run) -> None:
    before = host.tree()
    code, out, _ = run("install", "--dry-run", "--bin-dir", "/srv/verifiers")
    assert code == 0
    assert "place the program in /opt/nodeseal/0.1.0\n" in out
    assert "+++ /etc/containerd/conf.d/zzz-nodeseal.toml\n" in out
    assert "+bin_dir = '/srv/verifiers'\n" in out
    assert "prove by the pull of a canary" in out
    told = json.loads(run("install", "--dry-run", "--format", "json")[1])
    assert told["dryRun"] is True
    assert host.tree() == before


def test_dry_run_of_an_uninstallation_shows_its_steps_in_order_and_writes_nothing(host: Host, run: Run) -> None:
    assert run("uninstall", "--dry-run") == (0, "nothing is installed here\n", "")
    run("install", "--bin-dir", "/srv/verifiers")
    host.write("etc/nodeseal/mine", "x")
    before = host.tree()
    code, out, _ = run("uninstall", "--dry-run")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "remove /srv/verifiers/00-nodeseal"
    assert "put /etc/containerd/config.toml back as it was" in lines
    assert lines.index("remove /opt/nodeseal/0.1.0") > lines.index(
        "restart containerd.service: containerd reads its configuration when it starts, and settings of ours are gone"
    )
    assert lines[-1] == "would be left: /etc/nodeseal/mine"
    told = json.loads(run("uninstall", "--dry-run", "--no-restart", "--format", "json")[1])
    assert (told["dryRun"], told["wasInstalled"], told["left"]) == (True, True, ["/etc/nodeseal/mine"])
    assert told["restartPending"].endswith("settings of ours are gone")
    assert run("uninstall", "--dry-run", "--no-restart")[1].splitlines()[-1].startswith("to do by hand: restart cont")
    assert host.tree() == before


def test_dry_run_brings_no_control_characters(host: Host, run: Run) -> None:
    host.write("etc/containerd/config.toml", "version = 3\n[plugins]\n\tx = 1 # \x9b2J\u202e\u2028+y\n")
    out = run("install", "--dry-run", "--bin-dir", "/srv/verifiers")[1]
    assert "\tx = 1 # \\x9b2J\\u202e" in out
    assert out.isascii()


def test_pulls_that_go_past_are_told_and_an_error_only_if_that_is_asked_for(host: Host, run: Run) -> None:
    host.write(MAIN, f"version = 3\n{IN_V3['discard_unpacked_layers']}")
    host.world.restart("")
    code, out, _ = run("install")
    assert code == 0
    assert "to do by hand: discard_unpacked_layers = True" in out
    assert out.splitlines()[-1].startswith("installed; NOT ENFORCING: ")
    assert run("install", "--must-enforce")[0] == 12


def test_node_that_can_not_verify_is_no_error(
    tmp_path: pathlib.Path, run: Run, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("crio", "talos"):
        other = make_host(tmp_path / name, name)
        monkeypatch.setattr(hostworld, "HostWorld", lambda asked, other=other, **_: other.world)
        before = other.tree()
        with pytest.MonkeyPatch.context():
            code, out, err = run("install")
        assert (code, err) == (0, "")
        assert out.startswith("nothing was done: ")
        assert json.loads(run("install", "--format", "json")[1])["unsupported"]
        assert run("install", "--dry-run")[1].startswith("nothing would be done: ")
        assert other.tree() == before


def test_program_for_another_machine_is_not_installed(host: Host, run: Run) -> None:
    ours, theirs = (b"\x7fELF\x02\x01" + bytes(12) + machine + bytes(8) for machine in (b"\x3e\0", b"\xb7\0"))
    (host.source / "nodeseal").write_bytes(ours)
    (host.root / "bin").mkdir()
    (host.root / "bin/sh").write_bytes(theirs)
    before = host.tree()
    assert run("install")[1].startswith("nothing was done: this program is built for another machine")
    assert host.tree() == before


def test_what_is_taken_back_is_exit_5_with_the_reason(host: Host, run: Run) -> None:
    host.world.refuses_pause = True
    code, out, err = run("install")
    assert code == 5
    assert "which every pod needs" in err
    assert "it was taken back" in err
    assert "taking it back\n" in out
    told = json.loads(run("install", "--format", "json")[1])
    assert told["installed"] is False
    assert "taken back" in told["rolledBack"]["reason"]


def test_restart_that_is_due_is_told(host: Host, run: Run) -> None:
    out = run("install", "--no-restart", "--bin-dir", "/srv/verifiers")[1]
    assert "to do by hand: restart containerd: " in out
    out = run("uninstall", "--no-restart")[1]
    assert "to do by hand: restart containerd: " in out


class Turns:
    """`inturn.taken`, played."""

    def __init__(self, host: Host, *, lost: bool = False, never: bool = False) -> None:
        """It comes at once, unless it never does."""
        self.queues: list[Queue] = []
        self.before: list[dict[str, tuple[object, ...]]] = []
        self.held, self._host, self._lost, self._never = False, host, lost, never

    @contextmanager
    def taken(
        self, queue: Queue, environment: Mapping[str, str], tell: Callable[[str], None], ended: Callable[[], bool]
    ) -> Iterator[Callable[[], None]]:
        """Note that it was waited for, with nothing written by then."""
        self.queues.append(queue)
        self.before.append(self._host.tree())
        if self._never:
            raise HostError("got no turn to restart in 1800 s")
        tell("your turn")
        self.held = True
        try:
            yield self._confirm
        finally:
            self.held = False

    def _confirm(self) -> None:
        assert self.held
        if self._lost:
            raise HostError("the turn to restart was lost")


def in_turn(host: Host, monkeypatch: pytest.MonkeyPatch, *, lost: bool = False, never: bool = False) -> Turns:
    """Turns; nothing of the host's is restarted without one."""
    turns, restart = Turns(host, lost=lost, never=never), host.world.restart

    def watched(unit: str) -> None:
        assert turns.held
        restart(unit)

    monkeypatch.setattr(inturn, "taken", turns.taken)
    monkeypatch.setattr(host.world, "restart", watched)
    return turns


def test_turn_is_waited_for_before_anything_is_written_and_only_for_a_restart(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = in_turn(host, monkeypatch)
    words = ("--in-turn", "--slots", "3", "--lease-namespace", "ns", "--kubeconfig", "/k", "--node-name", "n7")
    before = host.tree()
    assert run("install", "--dry-run", "--bin-dir", "/srv/verifiers", *words)[0] == 0
    assert turns.queues == []
    code, out, err = run("install", "--bin-dir", "/srv/verifiers", *words)
    assert (code, err) == (0, "")
    assert out.startswith("your turn\n")
    assert out.endswith("installed; pulls are verified\n")
    assert turns.queues == [Queue("n7", 3, "ns", "/k")]
    assert turns.before == [before]
    assert host.world.restarts == ["containerd.service"]
    assert run("install", "--bin-dir", "/srv/verifiers", *words)[0] == 0
    assert len(turns.queues) == 1


def test_no_restart_no_turn(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = in_turn(host, monkeypatch)
    monkeypatch.setenv("NODE_NAME", "n7")
    assert run("install", "--in-turn")[1].endswith("installed; pulls are verified\n")
    assert turns.queues == []


def test_without_a_turn_nothing_is_written(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = in_turn(host, monkeypatch, never=True)
    before = host.tree()
    code, _, err = run("install", "--in-turn", "--bin-dir", "/srv/verifiers", "--node-name", "n7")
    assert code == 5
    assert "no turn to restart" in err
    assert host.tree() == before
    assert turns.queues == [Queue("n7")]


def test_turn_that_was_lost_restarts_nothing_and_is_tried_again(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        in_turn(host, patched, lost=True)
        code, _, err = run("install", "--in-turn", "--bin-dir", "/srv/verifiers", "--node-name", "n7")
    assert code == 5
    assert "turn to restart was lost; it was taken back" in err
    assert host.world.restarts == []
    in_turn(host, monkeypatch)
    assert run("install", "--in-turn", "--bin-dir", "/srv/verifiers", "--node-name", "n7")[0] == 0
    assert host.world.restarts == ["containerd.service"]


def test_uninstall_waits_for_a_turn_before_it_writes_and_only_for_a_restart(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("install", "--bin-dir", "/srv/verifiers", "--node-name", "n7")
    installed, restarts = host.tree(), len(host.world.restarts)
    with monkeypatch.context() as patched:
        never = in_turn(host, patched, never=True)
        code, _, err = run("uninstall", "--in-turn")
        assert (code, host.tree()) == (5, installed)
        assert "no turn to restart" in err
        assert never.queues == [Queue("n7")], "as install was told"
    turns = in_turn(host, monkeypatch)
    code, out, err = run("uninstall", "--in-turn", "--node-name", "n8", "--slots", "2")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "your turn"
    assert out.splitlines()[-1] == "uninstalled"
    assert turns.before == [installed]
    assert turns.queues == [Queue("n8", 2)]
    assert len(host.world.restarts) == restarts + 1
    assert run("uninstall", "--in-turn", "--node-name", "n8")[1] == "nothing was installed here\n"
    run("install")
    assert run("uninstall", "--in-turn", "--node-name", "n8")[1].endswith("uninstalled\n")
    run("install", "--bin-dir", "/srv/verifiers")
    out = run("uninstall", "--in-turn", "--no-restart", "--node-name", "n8")[1]
    assert "to do by hand: restart containerd: " in out
    assert len(turns.queues) == 1


def test_uninstall_that_lost_its_turn_is_completed_by_the_next(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = host.tree()
    run("install", "--bin-dir", "/srv/verifiers", "--node-name", "n7")
    restarts = len(host.world.restarts)
    with monkeypatch.context() as patched:
        in_turn(host, patched, lost=True)
        code, _, err = run("uninstall", "--in-turn")
    assert (code, len(host.world.restarts)) == (5, restarts)
    assert "turn to restart was lost" in err
    in_turn(host, monkeypatch)
    code, out, err = run("uninstall", "--in-turn", "--node-name", "n7")
    assert (code, err) == (0, "")
    assert "restarting containerd.service" in out
    assert host.tree() == before


def test_uninstall_in_turn_wants_a_name(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NODE_NAME", raising=False)
    code, _, err = run("uninstall", "--in-turn")
    assert (code, "expected --node-name NAME" in err) == (2, True)
    assert run("uninstall", "--slots", "2")[0] == 2


def test_restart_that_becomes_due_meanwhile_waits_for_the_next_installation(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = in_turn(host, monkeypatch)
    read, reads = host.world.facts, []

    def facts() -> Told:
        reads.append(0)
        if len(reads) == 2:
            host.write(MAIN, "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0\n")
        return read()

    monkeypatch.setattr(host.world, "facts", facts)
    out = run("install", "--in-turn", "--node-name", "n7")[1]
    assert "to do by hand: restart containerd: " in out
    assert (turns.queues, host.world.restarts) == ([], [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pace", "1m"), "expected --reconcile beside it"),
        (("--reconcile", "--pace", "soon"), "expected a length like 1m, at most 1h"),
        (("--reconcile", "--pace", "2h"), "expected a length like 1m, at most 1h"),
        (("--reconcile", "--dry-run"), "expected a host that runs"),
        (("--slots", "2"), "expected --in-turn beside them"),
        (("--kubeconfig", "/k"), "expected --in-turn beside them"),
        (("--lease-namespace", "n"), "expected --in-turn beside them"),
        (("--in-turn", "--slots", "0", "--node-name", "n"), "expected 1 to 50"),
        (("--in-turn", "--slots", "51", "--node-name", "n"), "expected 1 to 50"),
        (("--in-turn",), "expected --node-name NAME"),
    ],
)
def test_turns_are_asked_for_in_a_way_that_makes_sense(
    run: Run, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NODE_NAME", raising=False)
    code, _, err = run("install", *words)
    assert code == 2
    assert said in err


def test_root_that_does_not_run_is_prepared(host: Host, run: Run) -> None:
    out = run("install", "--no-restart", which="--root")[1]
    assert out.splitlines()[-1] == "installed; not proved, because no containerd was asked"
    assert run("uninstall", which="--root")[0] == 0


def test_program_must_be_one_and_safe(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run("install", "--program", str(host.root))
    assert code == 2
    assert "--program DIR" in err
    monkeypatch.setattr(place, "running_program", lambda: "/usr/bin/python3")
    assert run("install", "--program", "")[0] == 2
    (host.source / "nodeseal").chmod(0o777)
    code, _, err = run("install")
    assert code == 5
    assert "may be written by others" in err
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "install", "--host", "relative"])
    assert ended.value.code == 2


def test_what_comes_after_the_first_installation_is_told_until_a_configuration_is_in_force(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert NEXT in run("install")[1].splitlines()
    monkeypatch.setenv("NODESEAL_IMAGE", "registry.example.com/nodeseal:1")
    assert "next step: put a configuration in force: label a ConfigMap" in run("install")[1]
    document = json.loads(host.read("/etc/nodeseal/bootstrap.json"))
    host.write("etc/nodeseal/bootstrap.json", json.dumps({**document, "untilFirstSnapshot": "Enforce"}))
    assert "until then every image is refused\n" in run("install")[1]
    SnapshotStore(str(host.root)).publish(EMPTY)
    assert "next step" not in run("install")[1]


def test_configuration_of_containerd_that_is_not_there_is_refused(host: Host, run: Run) -> None:
    before = host.tree()
    code, _, err = run("install", "--containerd-config", "/etc/containerd/absent.toml")
    assert (code, host.tree()) == (5, before)
    assert "--containerd-config: got /etc/containerd/absent.toml, and nothing there" in err
    assert "next step: leave the option out" in err


@pytest.mark.parametrize(
    "words",
    [
        ("--bin-dir", "srv/verifiers"), ("--bin-dir", "/srv/../verifiers"), ("--bin-dir", "/"), ("--bin-dir", "/\x1b"),
        ("--bin-dir", "/\udcff"), ("--bin-dir", "/opt/nodeseal"), ("--bin-dir", "/opt/nodeseal/verifiers/"),
        ("--bin-dir", "/srv/nodeseal/x", "--program-dir", "/srv/nodeseal"),
        ("--node-name", "a b"), ("--node-name", "\x1b"), ("--node-name", "\udcff"), ("--node-name", "n" * 254),
        ("--ca-bundle", "/\udcff"), ("--ca-bundle", "/a\n"), ("--canary-port", "65536"), ("--canary-port", "-1"),
    ],
)  # fmt: skip
def test_words_that_can_not_be_meant_are_refused(host: Host, run: Run, words: tuple[str, ...]) -> None:
    before = host.tree()
    code, _, err = run("install", *words)
    assert (code, err.isascii()) == (2, True)
    assert err.startswith(f"nodeseal: {words[0]}")
    assert host.tree() == before
    assert run("install", "--bin-dir", "/srv/verifiers/", "--node-name", "n" * 253)[0] == 0


def test_declarative_form_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for name in FORMS:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "install", "--print", name])
        assert ended.value.code == 0
        assert capsys.readouterr().out == form(name)


def test_form_of_a_startup_taint_is_printed_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    def printed(*words: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "install", *words])
        return ended.value.code, *capsys.readouterr()

    for name in TAINTS:
        assert printed("--print", name, "--startup-taint") == (0, taint_form(name), "")
        code, out, _ = printed("--print", name, "--startup-taint", "example.com/closed")
        assert (code, "example.com/closed" in out, TAINT in out) == (0, True, False)
    for words in (("--print", "k0s", "--startup-taint"), ("--print", "kubeadm"), ("--startup-taint",),
                  ("--print", "k3s", "--startup-taint", "no: key")):  # fmt: skip
        assert printed(*words)[:2] == (2, "")
    assert not [name for name in FORMS if TAINT in form(name)], "nodes are closed by whoever asks for that alone"
