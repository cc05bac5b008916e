"""Bills of materials: packages, and what is no bill of materials."""

import json
from typing import Any

import pytest

from agent.codec.spdx import MAX_CREATORS, MAX_PACKAGES, MAX_SIZE, Package, UnsupportedVersion, parse
from agent.errors import LimitExceeded, Malformed
from tests.reports import package, spdx


def test_packages_are_read_with_what_they_are_under() -> None:
    bill = parse(spdx())
    assert bill.packages == (
        Package("musl", "1.2.4-r1", "MIT"),
        Package("busybox", "1.36.1-r2", "GPL-2.0-only"),
        Package("zlib", "1.3", "Zlib"),
    )
    assert bill.creation == {"created": "2026-11-01T10:00:00Z", "creators": ["Tool: syft-1.0"]}


@pytest.mark.parametrize("concluded", [None, "", "NOASSERTION", "NONE", "NoAssertion", " none\n"])
def test_declared_license_counts_where_nobody_concluded_any(concluded: str | None) -> None:
    one = package("a", licenseConcluded=concluded, licenseDeclared="GPL-3.0-only")
    assert parse(spdx(one)).packages[0].license == "GPL-3.0-only"
    two = package("a", licensed="MIT", licenseDeclared="GPL-3.0-only")
    assert parse(spdx(two)).packages[0].license == "MIT"


def test_both_versions_of_the_form_are_read_and_what_is_told_of_the_maker_is_bounded() -> None:
    creation = {"creators": ["x" * 1000, 5] * 100, "created": 5, "comment": "y" * 1000, "more": {}}
    found = parse(spdx(spdxVersion="SPDX-2.2", creationInfo=creation)).creation
    assert found == {"comment": "y" * 256, "creators": ["x" * 256] * (MAX_CREATORS // 2)}
    assert parse(spdx(creationInfo=[])).creation == {}


@pytest.mark.parametrize("version", [None, "", "SPDX-3.0", "SPDX-2.1", "SPDX-2.3\n", 2.3])
def test_other_versions_are_named_as_such(version: Any) -> None:
    with pytest.raises(UnsupportedVersion, match="expected SPDX-2.3"):
        parse(spdx(spdxVersion=version))


@pytest.mark.parametrize(
    "changes",
    [
        {"packages": None},
        {"packages": {}},
        {"packages": ["x"]},
        {"packages": [{"versionInfo": "1"}]},
        {"packages": [{"name": ""}]},
        {"packages": [{"name": 1}]},
        {"packages": [{"name": "a", "versionInfo": 1}]},
        {"packages": [{"name": "a", "licenseConcluded": []}]},
        {"packages": [{"name": "a", "LicenseConcluded": "MIT"}]},
        {"Packages": []},
        {"SPDXVersion": "SPDX-2.3"},
    ],
    ids=str,
)
def test_anything_else_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        parse(spdx(**changes))


def test_bill_without_packages_says_nothing() -> None:
    with pytest.raises(Malformed, match="got none; expected at least one"):
        parse(spdx(packages=[]))


@pytest.mark.parametrize(
    "content",
    [
        b" " * (MAX_SIZE + 1),
        json.dumps({"spdxVersion": "SPDX-2.3", "packages": [{"name": "a"}] * (MAX_PACKAGES + 1)}).encode(),
        b"[" * 400_000,
    ],
    ids=["bytes", "packages", "values"],
)
def test_what_is_too_much_is_refused(content: bytes) -> None:
    with pytest.raises(LimitExceeded):
        parse(content)
