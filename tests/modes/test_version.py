"""`nodeseal version`."""

import json

import pytest

from agent import RELEASED, __version__, cli
from agent.adapters import components
from agent.adapters.components import Component
from agent.modes import place, version

BUILT = (Component("x\x1b", "1", "MIT", "pkg:pypi/x@1", "ff", ""), Component("crate", "2", "", "", "", "x"))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command prints."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "version", *words])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this were a built program with two components."""
    monkeypatch.setattr("sys.frozen", True, raising=False)
    monkeypatch.setattr(place, "running_program", lambda: "/opt/nodeseal/1/nodeseal")
    monkeypatch.setattr(components, "of_program", lambda folder: BUILT if folder == "/opt/nodeseal/1" else ())


def test_the_version_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == f"nodeseal {__version__}\n"
    assert json.loads(said(capsys, "--format", "json")) == {
        "schemaVersion": version.SCHEMA_VERSION,
        "version": __version__,
        "released": RELEASED,
    }


def test_components_of_a_built_program(capsys: pytest.CaptureFixture[str], built: None) -> None:
    lines = said(capsys, "--components").splitlines()
    assert lines == [f"nodeseal {__version__}", "  x\\x1b 1  MIT", "  crate 2  - (in x)"]


def test_components_as_json(capsys: pytest.CaptureFixture[str], built: None) -> None:
    value = json.loads(said(capsys, "--components", "--format", "json"))
    assert value["source"] == "built"
    assert value["components"][1] == {
        "name": "crate", "version": "2", "licence": "", "purl": "", "sha256": None, "partOf": "x",
    }  # fmt: skip


def test_from_source_components_are_those_of_the_interpreter(capsys: pytest.CaptureFixture[str]) -> None:
    value = json.loads(said(capsys, "--components", "--format", "json"))
    assert value["source"] == "environment"
    assert "cryptography" in [each["name"] for each in value["components"]]
