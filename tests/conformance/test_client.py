"""The conformance suite's client: what it says of bundles, and what cosign says of the same ones."""

import json
import pathlib
import re

import pytest

from tests import signing_sigstore as sigstore
from tests.commands import run
from tests.conformance import client
from tests.conformance.rows import ARTIFACT, DIFFERENCES, ROWS, by_identity, by_key, written
from tests.signing_cosign import public_pem
from tests.sigstore_cases import CASES, DIGEST
from tests.testbed.nodes import tools
from tests.testbed.tools import Tools

__all__ = ["tools"]

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "keyless.md"
PROGRAM = pathlib.Path(__file__).with_name("sigstore_client")
IDENTITY = ["--certificate-identity", sigstore.SUBJECT, "--certificate-oidc-issuer", sigstore.ISSUER]
I = sigstore.instance()  # noqa: E741


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """With an artifact, a trusted root and a public key."""
    (tmp_path / "artifact").write_bytes(ARTIFACT)
    (tmp_path / "key.pub").write_bytes(public_pem())
    (tmp_path / "trusted_root.json").write_text(json.dumps(I.trusted_root()))
    (tmp_path / "bundle").write_bytes(written(by_identity(I)))
    return tmp_path


def words(folder: pathlib.Path, *, by_key: bool = False, artifact: str = "") -> list[str]:
    """The command line for a bundle in the order of the protocol."""
    signer = ["--key", str(folder / "key.pub")] if by_key else IDENTITY
    root = ["--trusted-root", str(folder / "trusted_root.json")]
    return [
        "verify-bundle", "--bundle", str(folder / "bundle"), *signer, *root, artifact or str(folder / "artifact")
    ]  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_signature_over_a_message_counts_if_all_is_right(folder: pathlib.Path, name: str) -> None:
    row = ROWS[name]
    (folder / "bundle").write_bytes(written(row.make(I)))
    assert client.main(words(folder, by_key=row.by_key)) == (0 if row.counts else 1)


@pytest.mark.parametrize("name", [each for each in CASES if CASES[each].make(I).demands.logs])
def test_statement_counts_about_the_digest_that_is_asked_for(folder: pathlib.Path, name: str) -> None:
    made = CASES[name].make(I)
    (folder / "bundle").write_bytes(written(made.bundle))
    (folder / "trusted_root.json").write_text(json.dumps(I.trusted_root(**made.windows)))
    assert client.main(words(folder, artifact=DIGEST)) == (0 if CASES[name].counts else 1)
    assert client.main(words(folder, artifact="sha256:" + "6" * 64)) == 1


def test_file_is_what_a_statement_is_about_too(folder: pathlib.Path) -> None:
    digest = sigstore.sha256(ARTIFACT).hex()
    made = sigstore.signed_envelope(I.leaf(), sigstore.statement(f"sha256:{digest}", "https://slsa.dev/provenance/v1"))
    (folder / "bundle").write_bytes(written(sigstore.bundle(made, [I.first_entry(made.first_body())])))
    assert client.main(words(folder)) == 0
    (folder / "artifact").write_bytes(b"another")
    assert client.main(words(folder)) == 1


def test_what_is_not_here_is_refused_and_says_so(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    usual = words(folder)
    digest = f"sha256:{sigstore.sha256(ARTIFACT).hex()}"
    for asked, said in (
        (words(folder, artifact=digest), "expected its file"),
        (usual[:1] + ["--staging", *usual[1:]], "no trusted root is fetched"),
        (usual[:-3] + usual[-1:], "none is fetched"),
        (usual[:3] + ["--key", str(folder / "key.pub"), *usual[3:]], "either --key, or"),
        (usual[:3] + usual[7:], "either --key, or"),
        (usual[:5] + usual[7:], "either --key, or"),
        (["sign-bundle", "--identity-token", "t", "--bundle", "b", "f"], "invalid choice"),
        ([], "required"),
        (words(folder, artifact=str(folder / "nothing")), "No such file"),
    ):
        assert client.main(asked) == 1
        assert re.search(re.escape(said), capsys.readouterr().err), asked


def test_program_answers_with_its_exit_code(folder: pathlib.Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    done = run([str(PROGRAM), *words(folder)], environment=environment)
    assert (done.code, done.out) == (0, f"as that of {sigstore.SUBJECT}\n"), done.err
    (folder / "bundle").write_bytes(written(by_key(I)))
    refused = run([str(PROGRAM), *words(folder)], environment=environment)
    assert refused.code == 1
    assert "signed with a key" in refused.err


@pytest.mark.real
@pytest.mark.parametrize("name", ROWS)
def test_cosign_says_the_same(tools: Tools, folder: pathlib.Path, name: str) -> None:
    row = ROWS[name]
    (folder / "bundle").write_bytes(written(row.make(I)))
    material = json.loads((folder / "bundle").read_bytes())["verificationMaterial"]
    asked = [
        tools.program("cosign"), "verify-blob", "--bundle", str(folder / "bundle"),
        "--trusted-root", str(folder / "trusted_root.json"),
        *(["--key", str(folder / "key.pub")] if row.by_key else IDENTITY),
        *(["--insecure-ignore-tlog"] if row.by_key and "tlogEntries" not in material else []),
        *(["--use-signed-timestamps"] if "timestampVerificationData" in material else []),
        str(folder / "artifact"),
    ]  # fmt: skip
    done = run(asked, environment={"PATH": tools.path, "HOME": str(folder), "HTTPS_PROXY": "http://127.0.0.1:1"})
    assert (done.code == 0) is (row.counts != bool(row.difference)), done.err[-400:]


def test_what_differs_is_written_down() -> None:
    text = " ".join(DOCS.read_text().split())
    assert {each.difference for each in ROWS.values()} - {""} == set(DIFFERENCES)
    assert all(words in text for words in DIFFERENCES.values())
