"""`nodeseal doctor`: what it finds on hosts of every kind, what it says of it, and how it ends."""

import json
import os
import pathlib
import re
import shutil
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import pytest

from agent import cli
from agent.adapters import containerd, reconciled
from agent.adapters.containerd import Asked
from agent.adapters.hostfiles import HostFiles
from agent.adapters.snapshots import SnapshotStore
from agent.errors import Cause
from agent.modes import hostrecord, node_findings, place
from agent.rules.rule import Default, Enforcement
from agent.rules.ruleset import RuleSet
from agent.wiring import findings, planning, proof
from agent.wiring.bindir import Folder, Kind
from agent.wiring.distributions import Way
from agent.wiring.facts import MAIN, Process
from agent.wiring.triggers import TRIGGERS
from tests.modes.test_distributions import HANDS_OFF
from tests.modes.test_node import CONFIG, RULES, write_bootstrap
from tests.simulators.cri import CriSimulator
from tests.wiring.nodes import FIXTURES, OURS, PROGRAMS, SAMPLES, Sample, simple
from tests.wiring.test_distributions import EXPECTED
from tests.wiring.test_planning import IN_V3, V3

BIN_DIR = "opt/containerd/image-verifier/bin"
VERIFIER = "[plugins.'io.containerd.image-verifier.v1.bindir']\n"


VALUES: dict[str, object] = {
    "nan": "nan",
    "-inf": "-inf",
    "1979-05-27": "1979-05-27",
    "[1979-05-27T07:32:00Z, { a = 07:32:00 }]": ["1979-05-27 07:32:00+00:00", {"a": "07:32:00"}],
}
"""Values that TOML has and JSON does not, and how they are told there."""


class Host(NamedTuple):
    """A host's root, with the program and a configuration in place, and the command run on it."""

    root: pathlib.Path
    run: Callable[..., tuple[int, str]]

    def configure(self, text: str, path: str = MAIN) -> None:
        """Write a configuration file of containerd's."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def told(self, *words: str) -> dict[str, Any]:
        """What it says to programs; the exit code belongs to it."""
        code, out = self.run("--format", "json", *words)
        told: dict[str, Any] = json.loads(out)
        assert code == (0 if told["enforcing"] else 12)
        return told

    def ids(self, severity: str = "error") -> list[str]:
        """The ids of findings."""
        return [each["id"] for each in self.told()["findings"] if each["severity"] == severity]


def write_program(root: pathlib.Path, version: str, path: str = "/usr/bin/containerd") -> None:
    """A program that says it is containerd."""
    program = root / path[1:]
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\necho containerd example.com/containerd/v2 {version}\n")
    program.chmod(0o755)


@pytest.fixture
def host(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Host:
    """A host on which nothing stands in the way."""
    root = tmp_path / "host"

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "doctor", "--root", str(root), "--host", str(root), *words])
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().out

    for path in ("etc/containerd", BIN_DIR, "opt/nodeseal/0.1.0"):
        (root / path).mkdir(parents=True)
    (root / "etc/os-release").write_text("ID=debian\n")
    (root / "etc/containerd/config.toml").write_text("version = 3\n")
    (root / "opt/nodeseal/0.1.0/nodeseal").write_text("x")
    (root / "opt/nodeseal/0.1.0/nodeseal").chmod(0o755)
    (root / "opt/nodeseal/current").symlink_to("0.1.0")
    (root / BIN_DIR / "00-nodeseal").symlink_to("/opt/nodeseal/current/nodeseal")
    write_program(root, "v2.1.9")
    SnapshotStore(str(root)).publish(CONFIG)
    return Host(root, run)


def test_nothing_in_the_way_is_exit_0(host: Host) -> None:
    code, out = host.run()
    assert code == 0
    assert out.endswith("nothing stands in the way of verification\n")
    told = host.told()
    assert told["schemaVersion"] == "1"
    assert told["verifiers"] == [
        {"name": "00-nodeseal", "role": "ours", "target": "/opt/nodeseal/0.1.0/nodeseal", "skipped": False}
    ]
    assert [each["id"] for each in told["findings"]] == ["containerd.not-running", "daemon.away"]


def test_file_that_is_mended_again_and_again_is_told(host: Host) -> None:
    said = reconciled.Reconciled("settled", "well", time.time(), time.time(), ("/etc/containerd/config.toml",))
    reconciled.write(HostFiles(str(host.root)), said)
    (finding,) = [each for each in host.told()["findings"] if each["id"] == "wiring.contested"]
    assert (finding["severity"], host.run()[0]) == ("warning", 0)
    assert "/etc/containerd/config.toml" in finding["got"]


@pytest.mark.parametrize("trigger", IN_V3)
def test_each_trigger_is_told_by_its_name_with_place_side_effects_and_next_step(host: Host, trigger: str) -> None:
    host.configure(f"version = 3\n{IN_V3[trigger]}")
    ((finding),) = (each for each in host.told()["findings"] if each["severity"] == "error")
    assert finding["id"] == f"pull-path.{trigger}"
    assert finding["where"].startswith(f"{MAIN}: plugins.'io.containerd.cri.v1.images'.{trigger}")
    assert finding["side_effects"]
    assert "restart containerd" in finding["next_step"]
    popular = re.search("[a-z_]{12,} = [a-z]+|registry.[a-z]+|another number", finding["not_a_remedy"])
    assert popular, "what people do instead is named"
    code, out = host.run()
    assert code == 12
    assert f"error: pull-path.{trigger}\n" in out
    assert "not enforcing: 1 to be mended" in out


def test_list_of_config_paths_comes_with_what_not_to_do(host: Host) -> None:
    host.configure(f"version = 3\n{V3}.registry]\nconfig_path = '/a:/b'\n")
    (finding,) = (each for each in host.told()["findings"] if each["id"] == "config-path.list")
    assert finding["severity"] == "warning"
    assert "a single directory" in finding["next_step"]
    assert "use_local_image_pull = true" in finding["not_a_remedy"]
    assert "registry.mirrors" in finding["not_a_remedy"]
    assert host.run()[0] == 0


def test_mixed_versions_are_told(host: Host) -> None:
    host.configure(
        "version = 2\nimports = ['/etc/x/*.toml']\n[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image='q'\n"
    )
    host.configure("version = 3\n", "/etc/x/a.toml")
    (finding,) = (each for each in host.told()["findings"] if each["id"] == "configuration.lost")
    assert "sandbox_image" in finding["got"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{VERIFIER}bin_dir = ''\n", "verifier.no-folder"),
        (f"{VERIFIER}bin_dir = 'relative'\n", "verifier.no-folder"),
        (f"{VERIFIER}bin_dir = '/nowhere'\n", "verifier.no-folder"),
        (f"{VERIFIER}bin_dir = '/etc/os-release'\n", "verifier.no-folder"),
        (f"{VERIFIER}bin_dir = '/etc/containerd'\n", "verifier.missing"),
        (f"{VERIFIER}per_verifier_timeout = 'x'\n", "verifier.timeout"),
        ("disabled_plugins = ['io.containerd.image-verifier.v1.bindir']\n", "verifier.disabled"),
        ("disabled_plugins = ['cri']\n", "containerd.no-cri"),
        ("version = 3\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n", "containerd.no-cri"),
        ("nonsense", "configuration.broken"),
        ("imports = ['/etc/gone.toml']\n", "configuration.broken"),
        ("version = 4\n", "configuration.broken"),
    ],
)
def test_settings_that_keep_the_verifier_from_being_called_are_told(host: Host, text: str, expected: str) -> None:
    host.configure(text)
    assert expected in host.ids()


def test_limit_of_none_is_told_for_the_setting_and_for_ours(host: Host) -> None:
    host.configure(f"version = 3\n{VERIFIER}max_verifiers = 0\n")
    assert host.ids() == ["verifier.max-verifiers", "verifier.skipped"]
    host.configure(f"version = 3\n{VERIFIER}max_verifiers = -1\n")
    assert host.ids() == []


def test_time_limit_below_our_own_is_a_warning(host: Host) -> None:
    host.configure(f"version = 3\n{VERIFIER}per_verifier_timeout = '8s'\n")
    assert "verifier.timeout" in host.ids("warning")
    host.configure(f"version = 3\n{VERIFIER}per_verifier_timeout = '9s'\n")
    assert "verifier.timeout" not in host.ids("warning")


def test_what_lies_in_the_folder_is_told(host: Host) -> None:
    folder = host.root / BIN_DIR
    (folder / ".00-nodeseal.swp").write_text("x")
    (folder / "10-other").write_text("x")
    (folder / "10-other").chmod(0o755)
    assert host.ids() == ["verifier.stray"]
    assert "verifier.foreign" in host.ids("info")
    assert [each["role"] for each in host.told()["verifiers"]] == ["stray", "ours", "foreign verifier"]
    (folder / ".00-nodeseal.swp").unlink()
    (folder / "00-nodeseal").unlink()
    assert host.ids() == ["verifier.missing"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [(BIN_DIR, "verifier.folder-permissions"), ("opt/nodeseal/0.1.0", "verifier.permissions")],
)
def test_whatever_others_could_write_is_told(host: Host, path: str, expected: str) -> None:
    (host.root / path).chmod(0o777)
    assert expected in host.ids()


def test_old_containerd_is_told_alone(host: Host) -> None:
    write_program(host.root, "v1.7.24")
    assert host.ids() == ["containerd.too-old"]


def test_containerd_that_nobody_can_ask_is_told(host: Host) -> None:
    (host.root / "usr/bin/containerd").unlink()
    assert host.ids() == ["containerd.unknown-version"]
    assert "of unknown version" in host.run()[1]


def test_program_that_others_could_write_is_not_run(host: Host) -> None:
    mark = host.root / "ran"
    (host.root / "usr/bin/containerd").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (host.root / "usr/bin/containerd").chmod(0o777)
    assert host.ids() == ["containerd.unknown-version"]
    assert not mark.exists()


def test_node_without_a_configuration_of_ours_is_told(host: Host) -> None:
    shutil.rmtree(host.root / "var")
    assert host.ids() == ["snapshot.configurationMissing"]
    write_bootstrap(host.root, nonsense=True)
    assert "bootstrap.invalid" in host.ids("warning")


def test_configuration_that_others_could_write_or_that_is_damaged_is_told(host: Host) -> None:
    (snapshot,) = (host.root / "var/lib/nodeseal/snapshots").glob("*/snapshot.json")
    mode = snapshot.stat().st_mode & 0o777
    snapshot.chmod(0o666)
    assert host.ids() == ["snapshot.configurationInvalid"]
    snapshot.chmod(mode)
    assert host.ids() == []
    snapshot.write_text("{")
    assert host.ids() == ["snapshot.configurationMissing"]


@pytest.mark.parametrize("what", ["_LEAST_FREE", "_LEAST_FILES"])
def test_disk_that_is_nearly_full_is_told_once(host: Host, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    assert "disk.full" not in host.ids("warning")
    monkeypatch.setattr(node_findings, what, 1 << 60)
    assert host.ids("warning").count("disk.full") == 1
    assert [each.id for each in node_findings.of_disks("not-there")] == ["disk.full"]


def test_clock_before_the_release_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_findings, "RELEASED", "2999-01-01")
    assert host.ids() == ["clock.implausible"]
    assert host.run()[0] == 12


def test_program_that_others_could_change_is_told_where_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    node = planning.node(simple("version = 3\n", folder=Folder(f"/{BIN_DIR}", Kind.FOLDER, (OURS,))))
    for unsafe, got in ((lambda path: "", []), (lambda path: f"{path}: x", [f"{OURS.target}: x"]),
                        (gone, [f"{OURS.target}: No such file or directory"])):  # fmt: skip
        monkeypatch.setattr(place, "unsafe", unsafe)
        found = [*node_findings.of_program(node)]
        assert [each.got for each in found] == got
        assert {each.id for each in found} <= {"program.permissions"}


def test_dump_that_failed_is_told_and_one_that_nobody_asked_for_is_not() -> None:
    for trouble, expected in (("it ended with 1", ["configuration.no-dump"]), ("not asked: no root", []), ("", [])):
        found = [each.id for each in node_findings.of_process(containerd.Told(simple("version = 3\n"), trouble))]
        assert found == ["containerd.not-running", *expected]


@pytest.mark.parametrize(
    ("rule", "default", "floor", "told"),
    [
        ("Audit", "Audit", "Disabled", True), ("Disabled", "Audit", "Audit", True),
        ("Enforce", "Audit", "Audit", False), ("Audit", "Enforce", "Audit", False),
        ("Audit", "Audit", "Enforce", False),
    ],
)  # fmt: skip
def test_node_on_which_nothing_is_enforced_is_told(host: Host, rule: str, default: str, floor: str, told: bool) -> None:
    write_bootstrap(host.root, floor={"enforcement": floor})
    ruleset = RuleSet(
        tuple(each._replace(enforcement=Enforcement(rule)) for each in RULES.rules), Default(Enforcement(default))
    )
    SnapshotStore(str(host.root)).publish(CONFIG._replace(ruleset=ruleset))
    assert ("snapshot.audit" in host.ids("info")) is told
    assert host.run()[0] == 0


def test_host_that_cannot_be_read_is_exit_5(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(host.root / "etc/containerd")
    (host.root / "etc/containerd").mkdir()
    (host.root / "etc/containerd/config.toml").mkdir()
    assert host.run()[0] == 5
    assert host.run("--host", "/nowhere")[0] == 5


@pytest.mark.parametrize("path", ["/etc/containerd/absent.toml", "absent.toml"])
def test_configuration_that_somebody_names_and_is_not_there_is_no_all_clear(host: Host, path: str) -> None:
    assert host.run("--containerd-config", path) == (5, "")


@pytest.mark.parametrize("value", VALUES)
def test_values_that_only_toml_has_are_told_in_json_too(host: Host, value: str) -> None:
    host.configure(f"version = 3\n{VERIFIER}max_verifiers = {value}\n")

    def refused(constant: str) -> NoReturn:
        raise AssertionError(constant)

    told = json.loads(host.run("--format", "json")[1], parse_constant=refused)
    assert told["settings"]["max_verifiers"]["value"] == VALUES[value]


def test_names_from_the_host_bring_no_control_characters(host: Host) -> None:
    (host.root / BIN_DIR / "10-\x1b[31m\n").write_text("x")
    (host.root / BIN_DIR / "20-\udcff").write_text("x")  # a byte that is no UTF-8
    host.configure(f"version = 3\n{V3}.registry.mirrors.\"\\u001b[31m\"]\nendpoint = ['x']\n")
    code, out = host.run()
    assert code == 12
    assert all(" " <= c <= "~" or c == "\n" for c in out)
    assert [each["name"] for each in host.told()["verifiers"]] == ["00-nodeseal", "10-\x1b[31m\n", "20-\udcff"]


@pytest.mark.unmeasured
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_each_distribution_is_told_by_what_lies_on_its_disk(host: Host, sample: Sample) -> None:
    shutil.copytree(FIXTURES / sample.folder, host.root, dirs_exist_ok=True)
    write_program(host.root, "v1.7.1")  # beside a containerd of its own there often is another one, for Docker
    if sample.main not in PROGRAMS:
        (host.root / "usr/bin/containerd").unlink()
    write_program(host.root, sample.version, sample.containerd)
    words = ("--containerd-config", sample.main) if sample.name == "talos" else ()
    told = host.told(*words)
    errors = [each["id"] for each in told["findings"] if each["severity"] == "error"]
    if sample.way is Way.REFUSE:
        assert errors == ["runtime.unsupported" if sample.name == "cri-o" else "containerd.too-old"]
        return
    assert told["distribution"]["name"] == sample.name
    assert told["containerd"]["version"] == sample.version
    if sample.name in HANDS_OFF:  # what could be set there is no remedy, and neither is `install`
        assert errors == ["distribution.unsupported"]
        assert EXPECTED[sample.folder].says in str(told["findings"])
        return
    assert errors == [f"pull-path.{name}" for name in sample.triggers]


def test_process_is_the_one_that_listens_at_the_socket(tmp_path: pathlib.Path) -> None:
    (tmp_path / "run/containerd").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "run/containerd/containerd.sock"))
        refused = containerd.facts(Asked(str(tmp_path)))
        listening.listen()
        told = containerd.facts(Asked(str(tmp_path)))
    assert refused.facts.process is None
    assert told.facts.process is not None
    assert told.facts.process.pid == os.getpid()
    assert told.facts.process.exe == os.readlink("/proc/self/exe")
    assert told.facts.socket == "/run/containerd/containerd.sock"


def proves(host: Host, monkeypatch: pytest.MonkeyPatch, *words: str, verifies: bool = True) -> dict[str, Any]:
    """What it says of a containerd that runs, and of a canary."""
    monkeypatch.setattr(containerd, "_process", lambda *_: None)
    where = host.root / "run/containerd/containerd.sock"
    where.parent.mkdir(parents=True, exist_ok=True)
    with CriSimulator(where) as runtime:
        runtime.verifies = verifies
        told = host.told("--prove", *words)
        text = host.run("--prove", *words)[1]
    assert f"proof          {told['proof']['state']}: {told['proof']['reason']}\n" in text
    (finding,) = (each for each in told["findings"] if each["id"].startswith("proof."))
    assert finding["id"] == f"proof.{told['proof']['state']}"
    assert finding["where"] == "/run/containerd/containerd.sock"
    assert len(runtime.pulls) == 2
    return told


def test_canary_that_is_refused_by_us_is_exit_0(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    told = proves(host, monkeypatch)
    assert told["enforcing"] is True
    assert told["proof"]["reason"] == "Enforcing"
    assert host.told()["proof"] is None


def test_canary_that_is_not_refused_is_exit_12_though_the_files_are_well(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = proves(host, monkeypatch, verifies=False)
    assert (told["enforcing"], told["proof"]["reason"]) == (False, "VerifierNotCalled")
    (finding,) = (each for each in told["findings"] if each["severity"] == "error")
    assert "restart containerd" in finding["next_step"]


def test_what_was_read_says_why_a_canary_is_not_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.configure(f"version = 3\n{IN_V3['discard_unpacked_layers']}")
    told = proves(host, monkeypatch, verifies=False)
    assert told["proof"]["reason"] == "LocalPullFallback"
    assert "discard_unpacked_layers" in told["proof"]["message"]
    host.configure("version = 3\n")
    (host.root / BIN_DIR / "00-nodeseal").unlink()
    assert proves(host, monkeypatch, verifies=False)["proof"]["state"] == "off"


def test_setting_that_the_running_containerd_has_not_read_is_in_the_way_all_the_same(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.configure(f"version = 3\n{IN_V3['discard_unpacked_layers']}")
    told = proves(host, monkeypatch)
    assert (told["enforcing"], told["proof"]["state"]) == (False, "enforcing")


def test_runtime_that_is_away_proves_nothing(host: Host) -> None:
    told = host.told("--prove")
    assert (told["enforcing"], told["proof"]["reason"]) == (False, "RuntimeSilent")
    assert host.run("--canary-port", "40001")[0] == 2
    assert host.run("--prove", "--canary-port", "65536")[0] == 2


def test_program_that_was_replaced_under_the_process_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object) -> Process:
        return Process(7, "/usr/bin/containerd (deleted)", ("containerd",))

    monkeypatch.setattr(containerd, "_peer", lambda *_: 7)
    monkeypatch.setattr(containerd, "_process", found)
    monkeypatch.setattr(
        containerd, "_program", lambda *_: containerd._Program(str(host.root / "usr/bin/containerd"), "")
    )
    assert "containerd.replaced" in host.ids("warning")


def test_document_names_every_finding_and_no_other() -> None:
    text = (pathlib.Path(__file__).parents[2] / "docs/doctor.md").read_text()
    named = set(re.findall(r"`([a-z-]+\.[a-zA-Z_.-]+)`", text.partition("## Findings")[2].partition("\n## ")[0]))
    modules = (findings, node_findings, hostrecord)
    sources = "".join(pathlib.Path(str(module.__file__)).read_text() for module in modules)
    told = set(re.findall(r'Finding\(\s*"([a-zA-Z.-]+)"', sources))
    told |= {f"pull-path.{each.name}" for each in TRIGGERS} | {f"proof.{each.value}" for each in proof.State}
    told |= {f"snapshot.{cause.value}" for cause in (Cause.CONFIGURATION_MISSING, Cause.CONFIGURATION_INVALID)}
    assert {each for each in named if not each.endswith(".toml")} == told
