"""Reports under our own rules, signed as cosign signs images: by an identity that a verifier trusts, for this image."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from agent import cli
from agent.model.descriptor import Descriptor
from tests import signing_sigstore as sigstore
from tests.reports import SPDX, package, spdx
from tests.signing import EMPTY_DIGEST
from tests.simulators.registry import RegistrySimulator

REPOSITORY = "team/cart"
SIGNERS = sigstore.instance(0)


@pytest.fixture
def registry() -> Iterator[RegistrySimulator]:
    """A registry."""
    with RegistrySimulator() as registry:
        yield registry


def attach(registry: RegistrySimulator, subject: Descriptor, kind: str, content: bytes) -> Descriptor:
    """Something that refers to `subject`."""
    blob = registry.push_blob(REPOSITORY, content, kind)
    registry.push_blob(REPOSITORY, b"{}", "application/vnd.oci.empty.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": subject.media_type,
        "artifactType": kind,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY_DIGEST, "size": 2},
        "layers": [{"mediaType": blob.media_type, "digest": str(blob.digest), "size": blob.size}],
        "subject": {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size},
    }
    return registry.push_manifest(REPOSITORY, json.dumps(manifest).encode())


def sign(
    registry: RegistrySimulator, subject: Descriptor, *, of: Descriptor | None = None, by: str = sigstore.SUBJECT
) -> None:
    """Attach a bundle to `subject` that says that it, or what `of` is, is signed."""
    leaf = SIGNERS.leaf(names=[x509.UniformResourceIdentifier(by)])
    made = sigstore.signed_envelope(leaf, sigstore.statement(str((of or subject).digest)))
    bundle = sigstore.bundle(made, [SIGNERS.first_entry(made.first_body())])
    attach(registry, subject, sigstore.V03, json.dumps(bundle).encode())


def verified(
    folder: Path, registry: RegistrySimulator, section: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Exit code and line for the image, under a configuration with `section`."""
    (folder / "trusted_root.json").write_text(json.dumps(SIGNERS.trusted_root()))
    (folder / "config.json").write_text(
        json.dumps({"store": {"plugins": [{"name": "oras", "useHttp": True}]}, **section})
    )
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "verify", "--config", str(folder), "--explain", f"{registry.host}/{REPOSITORY}:1"])
    said = capsys.readouterr()
    return int(str(ended.value.code)), said.out + said.err


def ours() -> dict[str, Any]:
    """Signature and bill of materials are both asked for; who signs images vouches for the latter."""
    identity = {"issuer": sigstore.ISSUER, "subject": sigstore.SUBJECT}
    return {
        "nodeseal": {
            "apiVersion": "nodeseal.dev/v1alpha1",
            "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
            "verifiers": [
                {"name": "release", "type": "cosign", "identities": [identity]},
                {"name": "bom", "type": "sbom", "disallowedLicenses": ["GPL-3.0-only"], "signedBy": ["release"]},
            ],
            "rules": [
                {
                    "name": "all", "match": ["**"], "verifiers": ["release", "bom"],
                    "policy": {"all": ["release", "bom"]},
                }
            ],
        }
    }  # fmt: skip


def ratifys() -> dict[str, Any]:
    """The same in Ratify's words: what `nestedReferences` says does not matter, but that it is there."""
    keyless = {"certificateIdentity": sigstore.SUBJECT, "certificateOIDCIssuer": sigstore.ISSUER}
    trust = {"name": "release", "scopes": ["*"], "keyless": keyless}
    return {
        "policy": {"plugin": {"name": "configPolicy", "artifactVerificationPolicies": {"default": "any"}}},
        "verifier": {
            "plugins": [
                {"name": "cosign", "artifactTypes": sigstore.V03, "trustPolicies": [trust]},
                {
                    "name": "sbom", "artifactTypes": SPDX, "disallowedLicenses": ["GPL-3.0-only"],
                    "nestedReferences": sigstore.V03,
                },
            ]
        },
    }  # fmt: skip


GOOD, BAD = spdx(package("musl", "1.2", "MIT")), spdx(package("bash", "5", "GPL-3.0-only"))


@pytest.mark.parametrize("section", [ours, ratifys])
@pytest.mark.parametrize(
    ("content", "signed", "code"), [(GOOD, "itself", 0), (GOOD, "no", 10), (GOOD, "another", 10), (BAD, "itself", 10)]
)
def test_a_report_counts_if_who_is_trusted_signed_it_as_images_are_signed(
    tmp_path: Path,
    registry: RegistrySimulator,
    capsys: pytest.CaptureFixture[str],
    section: Any,
    content: bytes,
    signed: str,
    code: int,
) -> None:
    image = registry.push_image(REPOSITORY, "1")
    sign(registry, image)
    report = attach(registry, image, SPDX, content)
    if signed != "no":
        sign(registry, report, of=image if signed == "another" else None)
    found, said = verified(tmp_path, registry, section(), capsys)
    assert found == code, said
    if content == BAD:
        assert "packages under disallowed licenses: bash 5 (GPL-3.0-only)" in said
    elif code:
        assert "nested verification failed" in said


@pytest.mark.parametrize(("signers", "code"), [(1, 10), (2, 0)])
def test_a_report_counts_once_as_many_signed_it_as_images_must_have_been_signed_by(
    tmp_path: Path, registry: RegistrySimulator, capsys: pytest.CaptureFixture[str], signers: int, code: int
) -> None:
    other = "https://github.com/acme/other"
    section = ours()
    release = section["nodeseal"]["verifiers"][0]
    release["identities"].append({"issuer": sigstore.ISSUER, "subject": other})
    release["threshold"] = 2
    image = registry.push_image(REPOSITORY, "1")
    report = attach(registry, image, SPDX, GOOD)
    for each in (sigstore.SUBJECT, other):
        sign(registry, image, by=each)
    for each in (sigstore.SUBJECT, other)[:signers]:
        sign(registry, report, by=each)
    found, said = verified(tmp_path, registry, section, capsys)
    assert found == code, said
    assert ("release found 1 of 2 different signers" in said) is (code == 10)
