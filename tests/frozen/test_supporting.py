"""The built program says what it is made of, and collects what somebody who helps needs."""

import io
import json
import pathlib
import tarfile
from typing import Any

import pytest

from agent import __version__
from tests.commands import run
from tests.frozen.program import Program

pytestmark = pytest.mark.frozen


def collected(program: Program, *words: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """What a bundle holds, by name."""
    done = run([str(program.path), "support-bundle", "--output", "-", *words], environment=environment)
    assert done.code == 0, done.err
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return {each.name.split("/")[1]: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]


def test_every_part_is_made_by_the_built_program(program: Program) -> None:
    found = collected(program, "--root", str(program.root), environment={"TOKEN": "plantedWord"})
    assert json.loads(found["version.json"])["source"] == "built"
    assert json.loads(found["status.json"])["schemaVersion"] == "1"
    assert f"opt/nodeseal/{__version__}/nodeseal" in found["files.txt"].decode()
    assert not any(b"plantedWord" in content for content in found.values())


def test_without_its_list_of_components_the_rest_is_there(program: Program, tmp_path: pathlib.Path) -> None:
    copy = Program(tmp_path / "host")
    (copy.path.parent / "_internal" / "sbom.cdx.json").unlink()
    done = copy.person("version", "--components")
    assert done.code == 5
    assert "sbom.cdx.json" in done.err
    found = collected(copy, "--root", str(copy.root))
    assert "error" in json.loads(found["version.json"])
    assert json.loads(found["status.json"])["schemaVersion"] == "1"
