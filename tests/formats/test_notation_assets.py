"""Every checked-in defect is refused under its code, and no other; and the files are what their program makes."""

import json
import pathlib
import re
from datetime import datetime, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from agent.errors import Code
from agent.formats.notation import NotationFormat
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Blob, Evidence
from agent.model.manifest import IMAGE_MANIFEST, Manifest
from agent.model.outcome import Outcome, Status
from agent.trust import trustpolicy_document
from agent.trust.truststore import TrustStores
from tests.assets import defects
from tests.assets.generate import EXPECTED, FOLDER, IMAGE_FILE, ROOTS, generate
from tests.formats.support import decided, request
from tests.signing import ARTIFACT_TYPE, trust_policy

DEFECTS: dict[str, dict[str, Any]] = json.loads((FOLDER / EXPECTED).read_text())
IMAGE = (FOLDER / IMAGE_FILE).read_bytes()
SUBJECT = Descriptor(IMAGE_MANIFEST, Digest.of(IMAGE), len(IMAGE))
TRUSTED = frozenset(
    each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates((FOLDER / ROOTS).read_bytes())
)


def outcome(envelope: bytes, media_type: str, policy: dict[str, Any], trusted: frozenset[bytes] = TRUSTED) -> Outcome:
    """What a strict verifier says."""
    policies, problems = trustpolicy_document.parse(trust_policy(**policy), "policy")
    assert not [problem for problem in problems if problem.fatal]
    blob = Descriptor(media_type, Digest.of(envelope), len(envelope))
    evidence = Evidence(
        Digest.of(b"manifest"), Manifest(IMAGE_MANIFEST, ARTIFACT_TYPE, (blob,), SUBJECT), (Blob(blob, envelope),)
    )
    verifier = NotationFormat("notation", policies, TrustStores({"ca:certs": trusted}))
    return decided(verifier.verify(request(subject=SUBJECT), evidence, datetime.now(timezone.utc)))


@pytest.mark.parametrize("name", DEFECTS)
def test_defect_is_refused_under_its_code(name: str) -> None:
    expected = DEFECTS[name]
    found = outcome((FOLDER / name).read_bytes(), expected["mediaType"], expected["policy"])
    assert (found.status, found.code) == (Status.FAILED, Code(expected["code"])), found.message


def test_every_file_is_a_defect_and_every_defect_a_file() -> None:
    files = {each.name for each in FOLDER.iterdir()} - {EXPECTED, ROOTS, IMAGE_FILE}
    assert files == set(DEFECTS)
    assert len(files) > 150


def test_docs_name_every_difference_from_the_notary_projects_own_program() -> None:
    text = (FOLDER.parents[2] / "docs" / "notation.md").read_text()
    named = re.findall(r"^- `([^`]+)`$", text[text.index("Deviations on purpose") :], re.MULTILINE)
    assert named == sorted(name for name, each in DEFECTS.items() if each["notation"] == "accepts")


def test_program_makes_the_same_defects_anew(tmp_path: pathlib.Path) -> None:
    generate(tmp_path)
    assert (tmp_path / EXPECTED).read_text() == (FOLDER / EXPECTED).read_text()
    assert {each.name for each in tmp_path.iterdir()} == {each.name for each in FOLDER.iterdir()}
    assert (tmp_path / IMAGE_FILE).read_bytes() == IMAGE


@pytest.mark.parametrize("make", [defects.in_jws, defects.in_cose], ids=["jws", "cose"])
def test_what_all_defects_start_from_is_accepted(make: Any) -> None:
    media_type = defects.JWS if make is defects.in_jws else defects.COSE
    trusted = frozenset(each.public_bytes(Encoding.DER) for each in defects.TRUSTED_ROOTS)
    assert outcome(make(), media_type, {}, trusted).status is Status.PASSED
