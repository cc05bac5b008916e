"""The same keyless signature before the real cosign and before Nodeseal: property by property.

What is signed is made here, so that it can be wrong (`tests.sigstore_cases`); tests/trust asks Nodeseal.  Where the two
differ, `DIFFERENCES` says why, in the words of docs/keyless.md; any other difference fails.
"""

import json
import pathlib

import pytest

from tests import signing_sigstore as sigstore
from tests.commands import Done, run
from tests.signing_cosign import manifest
from tests.sigstore_bundles import ENVELOPES, IMAGE, OLDER, SAID
from tests.sigstore_cases import CASES, DIFFERENCES, DIGEST, Made
from tests.sigstore_layers import LAYERS
from tests.simulators.registry import RegistrySimulator
from tests.testbed.tools import Tools

pytestmark = pytest.mark.real

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "keyless.md"


BUNDLES = {
    f"{table}: {name}": case
    for table, cases in (("envelope", ENVELOPES), ("version", OLDER), ("statement", SAID))
    for name, case in cases.items()
}
BESIDE_BUNDLES = {
    "envelope: version 0.3.1": ("cosign.md", "a bundle's media type is one of a list"),
    "version: 0.1, one certificate": ("keyless.md", "a bundle below version 0.3 has its certificate in a chain"),
    "version: 0.2, one certificate": ("keyless.md", "a bundle below version 0.3 has its certificate in a chain"),
    "statement: digest in capitals": ("keyless.md", "a statement's digest is in lower case"),
    "statement: unknown type": ("cosign.md", "a statement of an unknown `_type` is refused"),
    "statement: unknown member": ("cosign.md", "an unknown member of a statement is passed over"),
    "statement: further digest that is none": ("keyless.md", "a digest of another algorithm is not looked at"),
}
"""Bundles of which cosign says otherwise: the document, and its words under "Deviations on purpose"."""


@pytest.mark.parametrize(
    ("name", "kind"), [(each, "P-256") for each in CASES] + [(each, "Ed25519") for each in CASES if "second" in each]
)
def test_cosign_says_the_same_but_for_what_is_written_down(
    tools: Tools, tmp_path: pathlib.Path, name: str, kind: str
) -> None:
    instance, case = sigstore.instance(0, kind), CASES[name]
    done = _asked(tools, tmp_path, instance, case.make(instance), "--certificate-identity", sigstore.SUBJECT)
    assert (done.code == 0) is (case.counts != bool(case.difference)), done.err[-400:]


@pytest.mark.parametrize("name", BUNDLES)
def test_cosign_says_the_same_of_what_holds_the_evidence_and_of_what_was_signed(
    tools: Tools, tmp_path: pathlib.Path, name: str
) -> None:
    instance, case = sigstore.instance(), BUNDLES[name]
    made = Made(case.make(instance))
    done = _asked(tools, tmp_path, instance, made, "--certificate-identity", sigstore.SUBJECT, digest=IMAGE)
    assert (done.code == 0) is ((case.code is None) != (name in BESIDE_BUNDLES)), done.err[-400:]


def test_cosign_finds_an_expression_anywhere_in_a_subject(tools: Tools, tmp_path: pathlib.Path) -> None:
    instance = sigstore.instance()
    made = CASES["another subject"].make(instance)
    words = ("--certificate-identity-regexp", "https://github.com/acme/.*")
    assert _asked(tools, tmp_path, instance, made, *words).code == 0
    assert "an expression covers the whole text" in DOCS.read_text()


def _asked(
    tools: Tools, folder: pathlib.Path, instance: sigstore.Instance, made: Made, *identity: str, digest: str = DIGEST
) -> Done:
    """What cosign says of a bundle."""
    (folder / "bundle.json").write_text(json.dumps(made.bundle))
    (folder / "root.json").write_text(json.dumps(instance.trusted_root(**made.windows)))
    words = [
        tools.program("cosign"), "verify-blob-attestation",
        "--bundle", str(folder / "bundle.json"), "--trusted-root", str(folder / "root.json"),
        *identity, "--certificate-oidc-issuer", sigstore.ISSUER,
        "--type", sigstore.SIGNATURE_TYPE, "--digestAlg", "sha256", "--digest", digest.partition(":")[2],
        *([] if made.demands.logs else ["--insecure-ignore-tlog"]),
        *(["--use-signed-timestamps"] if "timestampVerificationData" in made.bundle["verificationMaterial"] else []),
    ]  # fmt: skip
    return run(words, environment=_sealed(tools, folder))


@pytest.mark.parametrize("name", LAYERS)
def test_cosign_says_the_same_of_its_older_layout(tools: Tools, tmp_path: pathlib.Path, name: str) -> None:
    instance, case = sigstore.instance(), LAYERS[name]
    (tmp_path / "root.json").write_text(json.dumps(instance.trusted_root()))
    with RegistrySimulator() as registry:
        image = registry.push_image("shop/app", "1")
        layer = case.make(instance, image)
        registry.push_blob("shop/app", layer.content)
        registry.push_manifest("shop/app", manifest([layer]), tag=f"sha256-{image.digest.encoded}.sig")
        words = [
            tools.program("cosign"), "verify", "--trusted-root", str(tmp_path / "root.json"), "--offline=true",
            "--certificate-identity", sigstore.SUBJECT, "--certificate-oidc-issuer", sigstore.ISSUER,
            *(["--use-signed-timestamps"] if "timestamp that" in name else []),
            *([] if case.logs else ["--insecure-ignore-tlog"]),
            "--allow-http-registry", f"{registry.host}/shop/app@{image.digest}",
        ]  # fmt: skip
        done = run(words, environment=_sealed(tools, tmp_path))
    assert (done.code == 0) is (case.counts != bool(case.difference)), done.err[-400:]


def _sealed(tools: Tools, home: pathlib.Path) -> dict[str, str]:
    """Whatever would ask the world fails at once."""
    return {"PATH": tools.path, "HOME": str(home), "HTTPS_PROXY": "http://127.0.0.1:1"}


def test_what_differs_is_written_down() -> None:
    text = " ".join(DOCS.read_text().split())
    named = {each.difference for each in CASES.values()} | {each.difference for each in LAYERS.values()}
    assert named - {""} == set(DIFFERENCES)
    for words in DIFFERENCES.values():
        assert words in text, words
    for document, words in BESIDE_BUNDLES.values():
        assert f"| {words} |" in DOCS.with_name(document).read_text(), words
