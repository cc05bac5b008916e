"""The list of components beside a program: read as it was written, or refused in a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.adapters import components
from agent.errors import HostError

GOOD: dict[str, Any] = {
    "metadata": {"component": {"name": "nodeseal", "version": "1", "licenses": [{"expression": "Apache-2.0"}]}},
    "components": [
        {
            "name": "b",
            "version": "2",
            "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "see text"}}],
            "purl": "pkg:pypi/b@2",
            "hashes": [{"alg": "SHA-1", "content": "0"}, {"alg": "SHA-256", "content": "ff"}],
            "components": [{"name": "crate"}],
        },
        {"name": "a"},
    ],
}


def write(folder: Path, document: object) -> None:
    """Put a list in its place."""
    path = folder / components.NAME
    path.parent.mkdir(exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))


def test_components_are_sorted_and_those_within_others_come_last(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    found = components.of_program(str(tmp_path))
    assert [(each.name, each.part_of) for each in found] == [("a", ""), ("b", ""), ("nodeseal", ""), ("crate", "b")]
    assert found[1] == ("b", "2", "MIT AND see text", "pkg:pypi/b@2", "ff", "")


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        {**GOOD, "components": 1},
        {**GOOD, "components": ["x"]},
        {**GOOD, "components": [{"name": 1}]},
        {**GOOD, "components": [{"version": "1"}]},
        {**GOOD, "components": [{"name": "a", "hashes": [{}]}]},
        {**GOOD, "components": [{"name": "a", "licenses": [{"license": 1}]}]},
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, document: object) -> None:
    write(tmp_path, document)
    with pytest.raises(HostError, match="sbom.cdx.json: got something else"):
        components.of_program(str(tmp_path))


def test_a_list_that_is_missing_or_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HostError, match="No such file"):
        components.of_program(str(tmp_path))
    write(tmp_path, GOOD)
    monkeypatch.setattr(components, "_MOST_BYTES", 10)
    with pytest.raises(HostError, match="got something else"):
        components.of_program(str(tmp_path))


def test_from_source_it_is_what_is_installed() -> None:
    names = [each.name.lower() for each in components.of_environment()]
    assert names == sorted(names)
    assert "cryptography" in names
