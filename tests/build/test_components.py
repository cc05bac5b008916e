"""The list of components that a build writes, and `nodeseal version --components`, which prints it."""

import json
import pathlib
import re
from typing import Any

import components
import freeze
import jsonschema
import licences
import pytest
import sbom

from tests.commands import run
from tests.frozen.program import BUILT

pytestmark = pytest.mark.frozen

INTERNAL = BUILT / "_internal"
_LICENCE = {
    "type": "array",
    "minItems": 1,
    "items": {
        "oneOf": [
            {"type": "object", "required": ["expression"], "additionalProperties": False,
             "properties": {"expression": {"type": "string", "minLength": 1}}},
            {"type": "object", "required": ["license"], "additionalProperties": False,
             "properties": {"license": {"type": "object", "minProperties": 1, "maxProperties": 3}}},
        ]
    },
}  # fmt: skip
_COMPONENT: dict[str, Any] = {
    "type": "object",
    "required": ["type", "name"],
    "additionalProperties": False,
    "properties": {
        "type": {"enum": ["application", "library"]},
        "bom-ref": {"type": "string", "minLength": 1},
        "name": {"type": "string", "minLength": 1},
        "version": {"type": "string", "minLength": 1},
        "licenses": _LICENCE,
        "hashes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["alg", "content"],
                "properties": {"alg": {"const": "SHA-256"}, "content": {"pattern": "^[0-9a-f]{64}$"}},
            },
        },
        "purl": {"type": "string", "pattern": "^pkg:[a-z]+/"},
        "properties": {"type": "array", "items": {"type": "object", "required": ["name", "value"]}},
        "components": {"type": "array", "items": {"$ref": "#/$defs/component"}},
    },
}
_DOCUMENT = {
    "$defs": {"component": _COMPONENT},
    "type": "object",
    "additionalProperties": False,
    "required": ["bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "dependencies"],
    "properties": {
        "$schema": {"const": "http://cyclonedx.org/schema/bom-1.6.schema.json"},
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.6"},
        "serialNumber": {"pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
        "version": {"const": 1},
        "metadata": {
            "type": "object",
            "required": ["timestamp", "component"],
            "properties": {
                "timestamp": {"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$"},
                "component": {"$ref": "#/$defs/component"},
            },
        },
        "components": {"type": "array", "items": {"$ref": "#/$defs/component"}, "minItems": 1},
        "dependencies": {"type": "array", "items": {"type": "object", "required": ["ref"]}},
    },
}
"""What CycloneDX 1.6 says of the parts that are used here: https://cyclonedx.org/docs/1.6/json/."""


@pytest.fixture(scope="module")
def document() -> Any:
    """The list in the built program."""
    return json.loads((INTERNAL / sbom.NAME).read_bytes())


def test_the_document_is_well_formed(document: Any) -> None:
    jsonschema.validate(document, _DOCUMENT, cls=jsonschema.Draft202012Validator)


def test_every_component_has_name_version_licence_hash_and_purl(document: Any) -> None:
    listed = [document["metadata"]["component"], *document["components"]]
    assert [each["name"] for each in listed if not {"version", "licenses", "hashes", "purl"} <= set(each)] == []
    references = [each["bom-ref"] for each in listed]
    assert len(set(references)) == len(references)
    assert set(document["dependencies"][0]["dependsOn"]) == set(references[1:])


def test_python_openssl_and_the_systems_libraries_are_listed(document: Any) -> None:
    listed = {each["name"]: each for each in document["components"]}
    assert {"CPython", "cryptography", "aiohttp", "pyinstaller", "libssl3", "zlib1g"} <= set(listed)
    assert "openssl" in [each["name"] for each in listed["cryptography"]["components"]]
    assert listed["libssl3"]["purl"].startswith("pkg:deb/debian/libssl3@")
    described = {each["properties"][0]["value"]: each["hashes"][0]["content"] for each in listed.values()}
    for path in INTERNAL.glob("libpython*"):
        assert described[path.name] == components.digest(path)


def test_the_licence_texts_and_the_list_name_the_same(document: Any) -> None:
    index = (INTERNAL.parent / licences.FOLDER / licences.INDEX).read_text()
    named = [line.split(":")[0] for line in index.splitlines()]
    assert len(named) == len(document["components"]) + 1
    for each in document["components"]:
        assert any(each["name"] in name for name in named), each["name"]


def test_what_was_locked_and_not_frozen_is_not_listed(document: Any) -> None:
    names = {each["name"] for each in document["components"]}
    assert not names & {"pycparser", "tzdata"}


def test_code_of_unknown_origin_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    found = freeze.frozen_modules(BUILT / "nodeseal")
    assert components.strangers(INTERNAL, found) == []
    assert components.strangers(INTERNAL, [*found, "nobodys.module", "nobodys"]) == ["nobodys"]
    monkeypatch.setattr(freeze, "frozen_modules", lambda _: [*found, "nobodys"])
    assert any("no component accounts for: nobodys" in problem for problem in freeze.defects(BUILT))


def test_the_hash_of_a_wheel_is_of_its_own_files() -> None:
    record = "a/x.py,sha256=AAA,1\na/y.py,sha256=BBB,2\n"
    installed = "a/y.py,sha256=BBB,2\n../../bin/a,sha256=CCC,3\na-1.dist-info/INSTALLER,sha256=DDD,4\n"
    installed += "a/x.py,sha256=AAA,1\na/__pycache__/x.pyc,,\na-1.dist-info/RECORD,,\n"
    assert components._digest_of_record(record) == components._digest_of_record(installed)
    assert components._digest_of_record(record) != components._digest_of_record(record.replace("BBB", "BBC"))


def test_the_program_prints_its_components() -> None:
    done = run([str(BUILT / "nodeseal"), "version", "--components"])
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^  CPython [\d.]+ +PSF-2.0$", done.out, re.MULTILINE)
    assert re.search(r"^  openssl [\d.]+ .*\(in cryptography\)$", done.out, re.MULTILINE)


def test_the_program_prints_its_components_as_json() -> None:
    done = run([str(BUILT / "nodeseal"), "version", "--components", "--format", "json"])
    value = json.loads(done.out)
    assert (value["schemaVersion"], value["source"]) == ("1", "built")
    (python,) = [each for each in value["components"] if each["name"] == "CPython"]
    assert re.fullmatch("[0-9a-f]{64}", python["sha256"])
    assert python["partOf"] is None


def test_needs_neither_network_nor_environment_to_say_so(tmp_path: pathlib.Path) -> None:
    done = run(["unshare", "--net", "--map-root-user", str(BUILT / "nodeseal"), "version", "--components"])
    assert done.code == 0
