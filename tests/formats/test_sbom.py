"""Bills of materials: what must not be in an image, told in the words that Ratify's policies read."""

from typing import Any

import pytest

from agent.errors import Code, Malformed
from agent.formats.contents import MAX_VIOLATIONS, Unsupported
from agent.formats.sbom import MAX_SIZE, TAGGED_TYPE, SbomFormat
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Blob, Evidence
from agent.model.manifest import IMAGE_MANIFEST, Manifest
from agent.model.outcome import Outcome, Status
from tests.formats.support import SUBJECT, GivenDocuments, decided, request
from tests.reports import NOON, SPDX, package, spdx


def loaded(**options: Any) -> SbomFormat:
    """A verifier with these options."""
    parsed = SbomFormat.parse(options, GivenDocuments(), "v")
    assert parsed.problems == ()
    return SbomFormat.load("sbom-1", parsed.settings, parsed.certificates)


def manifest(*blobs: Descriptor, kind: str = SPDX) -> Manifest:
    """A referrer's manifest."""
    return Manifest(IMAGE_MANIFEST, kind, blobs, SUBJECT, tuple({} for _ in blobs))


def judged(content: bytes, **options: Any) -> Outcome:
    """What a verifier finds in a bill of materials."""
    blob = Descriptor("text/plain", Digest.of(content), len(content))
    evidence = Evidence(Digest.of(b"manifest"), manifest(blob), (Blob(blob, content),))
    return decided(loaded(**options).verify(request(), evidence, NOON))


def test_bill_with_nothing_disallowed_passes_and_says_who_made_it() -> None:
    found = judged(spdx(), disallowedLicenses=["GPL-3.0-only"], disallowedPackages=[{"name": "log4j-core"}])
    assert (found.status, found.code, found.verifier, found.verifier_type) == (Status.PASSED, None, "sbom-1", "sbom")
    assert found.message == "nothing that is disallowed in the SBOM's 3 packages"
    assert found.extensions == {"creationInfo": {"created": "2026-11-01T10:00:00Z", "creators": ["Tool: syft-1.0"]}}
    assert found.unsigned


@pytest.mark.parametrize(
    ("expression", "is_found"),
    [
        ("GPL-3.0", True),
        ("gpl-3.0", True),
        ("(MIT OR GPL-3.0)", True),
        ("MIT AND (GPL-3.0 OR Zlib)", True),
        ("GPL-3.0 WITH GCC-exception-3.1", True),
        ("MIT\tAND\nGPL-3.0", True),
        ("GPL-3.0-only", False),
        ("LGPL-3.0", False),
        ("GPL-3.0+", False),
        ("AGPL-3.0 OR LGPL-3.0", False),
        ("MIT", False),
        ("", False),
    ],
)
def test_license_counts_as_whole_words_in_any_case(expression: str, is_found: bool) -> None:
    found = judged(spdx(package("a", "1", expression)), disallowedLicenses=["GPL-3.0"])
    assert (found.code is Code.CONTENT_REFUSED) is is_found


def test_license_of_several_words_counts_as_they_stand_in_a_row() -> None:
    wanted = ["gpl-2.0 with classpath-exception-2.0"]
    assert judged(
        spdx(package("a", licensed="(GPL-2.0  WITH Classpath-exception-2.0)")), disallowedLicenses=wanted
    ).code
    assert not judged(
        spdx(package("a", licensed="GPL-2.0 AND Classpath-exception-2.0")), disallowedLicenses=wanted
    ).code


@pytest.mark.parametrize(
    ("disallowed", "is_found"),
    [
        ({"name": "busybox"}, True),
        ({"name": "busybox", "version": "1.36.1-r2"}, True),
        ({"name": "busybox", "version": "1.36.1"}, False),
        ({"name": "Busybox"}, False),
        ({"name": "busybox", "versionInfo": "9"}, True),  # Ratify's key for it is version
    ],
    ids=str,
)
def test_package_counts_by_its_exact_name_and_version(disallowed: dict[str, str], is_found: bool) -> None:
    found = judged(spdx(), disallowedPackages=[{"name": "other", "version": "1"}, disallowed])
    assert (found.code is Code.CONTENT_REFUSED) is is_found


def test_violations_are_told_in_ratifys_words() -> None:
    found = judged(spdx(), disallowedLicenses=["gpl-2.0-only"], disallowedPackages=[{"name": "musl"}])
    assert found.status is Status.FAILED
    assert found.message == (
        "the SBOM has 1 packages under disallowed licenses: busybox 1.36.1-r2 (GPL-2.0-only); "
        "1 disallowed packages: musl 1.2.4-r1 (MIT)"
    )
    assert found.extensions["licenseViolations"] == [
        {"Name": "busybox", "Version": "1.36.1-r2", "License": "GPL-2.0-only"}
    ]
    assert found.extensions["packageViolations"] == [{"Name": "musl", "Version": "1.2.4-r1", "License": "MIT"}]


def test_what_is_told_of_violations_is_bounded_and_printable() -> None:
    many = [package(f"\u202e{i}" + "x" * 500, "1", "MIT") for i in range(500)]
    found = judged(spdx(*many), disallowedLicenses=["MIT"])
    assert len(found.message) < 400
    assert found.message.isascii() and found.message.isprintable()
    assert found.message.endswith("and 497 more")
    told = found.extensions["licenseViolations"]
    assert isinstance(told, list)
    assert len(told) == MAX_VIOLATIONS
    assert all(len(each["Name"]) <= 256 for each in told)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"not JSON", Code.EVIDENCE_MALFORMED),
        (spdx(packages=[]), Code.EVIDENCE_MALFORMED),
        (spdx(spdxVersion="SPDX-3.0"), Code.EVIDENCE_UNSUPPORTED),
        (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, Code.EVIDENCE_LIMIT),
        (b"[" * 400_000, Code.EVIDENCE_LIMIT),
    ],
    ids=["text", "empty", "version", "depth", "values"],
)
def test_content_that_is_no_bill_of_materials_fails(content: bytes, code: Code) -> None:
    found = judged(content)
    assert (found.status, found.code) == (Status.FAILED, code)


def test_one_layer_is_taken_and_no_other_type() -> None:
    blob = Descriptor("text/plain", Digest.of(b"x"), 1)
    for kind in (SPDX, TAGGED_TYPE):
        assert loaded().blob_limit(manifest(blob, kind=kind)) == MAX_SIZE
    for blobs in ((), (blob, blob)):
        with pytest.raises(Malformed, match="expected exactly one, the report"):
            loaded().blob_limit(manifest(*blobs))
    with pytest.raises(Unsupported, match="of the type 'application/vnd.cyclonedx"):
        loaded().blob_limit(manifest(blob, kind="application/vnd.cyclonedx+json"))
