"""`nodeseal config diff`: which images another configuration would change, each judged under both."""

import io
import json
import os
import pathlib
import time
from datetime import timedelta
from typing import Any, Iterator, NamedTuple

import pytest

from agent import cli
from agent.adapters.nodestate import BOOTSTRAP, NodeState, moment
from agent.adapters.snapshots import SnapshotStore
from agent.adapters.spool import Spool
from agent.adapters.verdicts import FOLDER
from agent.config.dialectschema import API_VERSION
from agent.modes.config import load_for_person
from agent.rules.breakglass import BreakGlass
from tests.signing import attach_signature, envelope, usual_signer, write_config
from tests.simulators import misbehaviour
from tests.simulators.registry import RegistrySimulator

Told = tuple[int, str, str]


class Setting(NamedTuple):
    """A registry with a signed and an unsigned image, and where configurations are written."""

    registry: RegistrySimulator
    folder: pathlib.Path
    root_pem: bytes
    capsys: pytest.CaptureFixture[str]

    @property
    def signed(self) -> str:
        """The signed image's name."""
        return f"{self.registry.host}/team/signed:1"

    @property
    def unsigned(self) -> str:
        """The unsigned one's."""
        return f"{self.registry.host}/team/unsigned:1"

    @property
    def root(self) -> pathlib.Path:
        """The node's root."""
        return self.folder / "root"

    def configuration(self, name: str, **section: Any) -> str:
        """A folder with a configuration that requires signatures, and a section of our own if one is given."""
        folder = write_config(self.folder / name, self.root_pem)
        if section:
            value = json.loads((folder / "config.json").read_text())
            section.setdefault("default", {"enforcement": "Enforce", "failurePolicy": "Fail"})
            value["nodeseal"] = {"apiVersion": API_VERSION} | section
            (folder / "config.json").write_text(json.dumps(value))
        return str(folder)

    def audit(self, name: str = "audit") -> str:
        """A configuration that only audits."""
        return self.configuration(name, default={"enforcement": "Audit", "failurePolicy": "Fail"})

    def diff(self, *words: str) -> Told:
        """Run the command."""
        with pytest.raises(SystemExit) as ended:
            cli.main(["nodeseal", "config", "diff", "--root", str(self.root), *words])
        assert isinstance(ended.value.code, int)
        return ended.value.code, *self.capsys.readouterr()

    def results(self, *words: str) -> dict[str, str]:
        """What the command says of each image."""
        code, out, err = self.diff("--format", "json", *words)
        assert code in (0, 11), err
        return {each["image"]: each["result"] for each in json.loads(out)["images"]}


@pytest.fixture
def setting(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Setting]:
    """A new one."""
    trusted = usual_signer()
    with RegistrySimulator() as registry:
        signed = registry.push_image("team/signed", "1", salt="signed")
        attach_signature(registry, "team/signed", signed, envelope(trusted, signed))
        registry.push_image("team/unsigned", "1", salt="unsigned")
        yield Setting(registry, tmp_path, trusted.root_pem, capsys)


def test_image_whose_verdict_changes_is_listed_with_both_lines(setting: Setting) -> None:
    code, out, err = setting.diff(setting.configuration("before"), setting.audit(), setting.signed, setting.unsigned)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"A {setting.folder}/before (generation ")
    assert lines[1].startswith(f"B {setting.folder}/audit (generation ")
    assert lines[2] == f"CHANGED: {setting.unsigned}"
    assert lines[3].startswith("    A deny NS-2001 rule=default: ")
    assert lines[4].startswith("    B allow NS-2001 rule=default ground=audit: would deny")
    assert lines[5:] == ["2 compared: 1 changed, 0 the same by another rule or reason, 1 the same, 0 can't be told"]


def test_image_that_another_rule_decides_in_the_same_way_is_told_apart(setting: Setting) -> None:
    rule = {"name": "team", "match": [f"{setting.registry.host}/team/**"], "verifiers": ["notation"]}
    ruled = setting.configuration("ruled", rules=[rule | {"policy": {"any": ["notation"]}}])
    code, out, _ = setting.diff(setting.configuration("before"), ruled, setting.unsigned)
    assert code == 0
    assert f"the same, by another rule or reason: {setting.unsigned}" in out
    assert "A deny NS-2001 rule=default" in out
    assert "B deny NS-2001 rule=team" in out


def test_program_gets_every_image_with_both_answers(setting: Setting) -> None:
    code, out, _ = setting.diff(
        setting.configuration("a"), setting.audit(), setting.signed, setting.unsigned, "--format", "json"
    )
    value = json.loads(out)
    assert code == 0
    assert value["schemaVersion"] == "1"
    assert value["before"]["configuration"] == str(setting.folder / "a")
    assert value["before"]["generation"] != value["after"]["generation"]
    same, changed = value["images"]
    assert (same["result"], same["before"], same["problem"]) == ("same", same["after"], "")
    assert changed["result"] == "changed"
    assert (changed["before"]["exitCode"], changed["before"]["ground"]) == (10, None)
    assert changed["after"] == {
        "exitCode": 0,
        "wouldExitCode": 10,
        "ground": "audit",
        "code": "NS-2001",
        "rule": "default",
        "precedence": 7,
        "reason": changed["after"]["reason"],
    }


def test_lists_are_compared_without_any_network(setting: Setting) -> None:
    denied = setting.configuration("denied", deny=[f"{setting.registry.host}/team/**"])
    exempt = setting.configuration("exempt", exempt=[{"match": f"{setting.registry.host}/team/*", "insecure": True}])
    assert setting.results(denied, exempt, setting.signed) == {setting.signed: "changed"}
    assert setting.registry.seen == []


def test_tag_is_resolved_once_for_both(setting: Setting) -> None:
    assert setting.results(setting.configuration("a"), setting.audit(), setting.unsigned)
    asked = [each for each in setting.registry.seen if each.target.endswith("/manifests/1")]
    assert len(asked) == 1


def test_configuration_in_force_may_be_one_of_the_two(setting: Setting) -> None:
    SnapshotStore(str(setting.root)).publish(load_for_person(setting.configuration("in-force"), "/"))
    assert setting.results("current", setting.audit(), setting.unsigned) == {setting.unsigned: "changed"}
    assert setting.results("current", setting.configuration("in-force"), setting.unsigned) == {setting.unsigned: "same"}


def test_without_a_configuration_in_force_there_is_nothing_to_compare_with(setting: Setting) -> None:
    code, out, err = setting.diff("current", setting.audit(), setting.unsigned)
    assert (code, out) == (3, "")
    assert "current: " in err
    assert "next step: put one in force first" in err


def test_configuration_that_can_not_be_used_is_told_problem_by_problem(setting: Setting) -> None:
    pathlib.Path(setting.audit("broken"), "config.json").write_text('{"store": 7}')
    code, out, err = setting.diff(setting.configuration("a"), str(setting.folder / "broken"), setting.unsigned)
    assert (code, out) == (3, "")
    assert "store: got 7" in err
    assert "next step: correct it; nodeseal config check" in err


def test_configuration_below_the_floor_would_not_be_put_in_force_and_is_not_compared(setting: Setting) -> None:
    _bootstrap(setting, {"apiVersion": API_VERSION, "floor": {"enforcement": "Enforce"}})
    code, _, err = setting.diff(setting.configuration("a"), setting.audit(), setting.unsigned)
    assert code == 3
    assert "floor" in err


def test_bootstrap_document_that_can_not_be_believed_is_told(setting: Setting) -> None:
    _bootstrap(setting, {"apiVersion": "other"})
    code, out, err = setting.diff(setting.configuration("a"), setting.configuration("b"), setting.unsigned)
    assert code == 0
    assert err.startswith("WARNING: ")
    assert "compared under the strictest floor" in err
    assert "1 the same" in out


def test_break_glass_of_the_node_hides_no_difference(setting: Setting) -> None:
    now = moment()
    NodeState(str(setting.root)).write_break_glass(
        [BreakGlass("1", f"{setting.registry.host}/**", "r", now, now.wall + timedelta(days=365))]
    )
    assert setting.results(setting.configuration("a"), setting.audit(), setting.unsigned) == {
        setting.unsigned: "changed"
    }


def test_break_glass_of_a_configuration_is_compared_as_if_it_began_now(setting: Setting) -> None:
    until = moment().wall.timestamp() + 3600
    entry = {"match": f"{setting.registry.host}/team/*", "reason": "r", "until": _utc(until)}
    glass = setting.configuration("glass", breakGlass=[entry])
    code, out, _ = setting.diff(setting.configuration("a"), glass, setting.unsigned)
    assert code == 0
    assert "B allow NS-0005 rule=- ground=breakGlass" in out


def test_nothing_is_written_and_nothing_remembered(setting: Setting) -> None:
    setting.diff(setting.configuration("a"), setting.configuration("b"), setting.signed)
    assert not (setting.root / FOLDER).exists()
    assert Spool(str(setting.root)).read().records == ()


def test_images_may_come_from_a_file(setting: Setting) -> None:
    file = setting.folder / "images.txt"
    file.write_text(f"# of the team\n\n  {setting.signed}\r\n{setting.unsigned}\n{setting.signed}\n")
    found = setting.results(setting.configuration("a"), setting.audit(), f"@{file}")
    assert found == {setting.signed: "same", setting.unsigned: "changed"}


def test_images_may_come_from_standard_input(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(setting.unsigned.encode())))
    found = setting.results(setting.configuration("a"), setting.audit(), "@-", setting.signed)
    assert list(found.items()) == [(setting.unsigned, "changed"), (setting.signed, "same")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"registry.example.com/Upper\n", "images.txt:1: "),
        (b"registry.example.com/a\n\xff\n", "images.txt:2: "),
        (b"#" * 5_000_000, "expected a file with images"),
        (b"# none\n", "IMAGE: got 0; expected 1 to"),
        (b"".join(b"registry.example.com/a:%d\n" % n for n in range(10_001)), "got 10001; expected 1 to 10000"),
    ],
    ids=["bad name", "no text", "huge", "none", "too many"],
)
def test_file_that_is_no_list_of_images_is_a_usage_error(setting: Setting, content: bytes, says: str) -> None:
    file = setting.folder / "images.txt"
    file.write_bytes(content)
    code, out, err = setting.diff("a", "b", f"@{file}")
    assert (code, out) == (2, "")
    assert says in err


def test_file_that_is_not_there_is_a_usage_error(setting: Setting) -> None:
    code, _, err = setting.diff("a", "b", f"@{setting.folder}/none.txt")
    assert code == 2
    assert "none.txt: got nothing there" in err


def test_folder_is_no_file_of_images(setting: Setting) -> None:
    code, _, err = setting.diff("a", "b", f"@{setting.folder}")
    assert code == 5
    assert "expected to read images" in err


def test_image_that_nobody_can_tell_about_is_listed_and_ends_in_cannot_tell(setting: Setting) -> None:
    setting.registry.misbehave("*", misbehaviour.status(503))
    code, out, _ = setting.diff(setting.configuration("a"), setting.audit(), setting.unsigned, "--timeout", "2")
    assert code == 11
    assert f"can't be told: {setting.unsigned}" in out
    assert "1 can't be told" in out


def test_image_that_is_not_there_is_listed_and_ends_in_cannot_tell(setting: Setting) -> None:
    missing = f"{setting.registry.host}/team/none:1"
    code, out, _ = setting.diff(setting.configuration("a"), setting.audit(), missing, setting.unsigned)
    assert code == 11
    assert f"can't be told: {missing}\n    - NS-" in out
    assert f"CHANGED: {setting.unsigned}" in out


def test_waiting_person_sees_which_image_it_is_at(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    _, _, err = setting.diff(setting.configuration("a"), setting.audit(), setting.signed, setting.unsigned)
    assert err.splitlines() == [f"[1/2] {setting.signed}", f"[2/2] {setting.unsigned}"]


def _bootstrap(setting: Setting, value: object) -> None:
    path = setting.root / BOOTSTRAP
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value))
    os.chmod(path, 0o600)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
