"""A second opinion on every checked-in defect: the real `notation` refuses it too, or the difference is documented."""

import base64
import json
import pathlib
import sys
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.assets.generate import EXPECTED, FOLDER, IMAGE_FILE, ROOTS
from tests.real.conftest import Sealed
from tests.signing import trust_policy
from tests.testbed.node import REGISTRY

pytestmark = pytest.mark.real

DEFECTS: dict[str, dict[str, Any]] = json.loads((FOLDER / EXPECTED).read_text())


@pytest.fixture(scope="module")
def opinions(sealed: Sealed) -> dict[str, list[Any]]:
    """What the real `notation` says of each, under the same trust policy and the same roots."""
    home = sealed.node.work / "second-opinion"
    store = home / "notation" / "truststore" / "x509" / "ca" / "certs"
    store.mkdir(parents=True)
    for i, root in enumerate(x509.load_pem_x509_certificates((FOLDER / ROOTS).read_bytes())):
        (store / f"{i}.crt").write_bytes(root.public_bytes(Encoding.PEM))
    cases = [
        {
            "name": name,
            "envelope": base64.b64encode((FOLDER / name).read_bytes()).decode(),
            "mediaType": defect["mediaType"],
            "trustPolicy": trust_policy(**defect["policy"]),
        }
        for name, defect in DEFECTS.items()
    ]
    image = base64.b64encode((FOLDER / IMAGE_FILE).read_bytes()).decode()
    script = str(pathlib.Path(__file__).parent / "second_opinion.py")
    command = [sys.executable, "-I", "-S", script, str(home), REGISTRY]
    done = sealed.node.run(command, stdin=json.dumps({"image": image, "cases": cases}).encode(), seconds=120)
    assert done.code == 0, done.err
    found: dict[str, list[Any]] = json.loads(done.out)
    return found


def test_notation_was_asked_about_every_defect(opinions: dict[str, list[Any]]) -> None:
    assert set(opinions) == set(DEFECTS)


@pytest.mark.parametrize("name", DEFECTS)
def test_notation_says_what_is_written_down(name: str, opinions: dict[str, list[Any]]) -> None:
    code, said = opinions[name]
    assert ("accepts" if code == 0 else "refuses") == DEFECTS[name]["notation"], said
