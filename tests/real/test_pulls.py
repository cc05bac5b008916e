"""What containerd's clients see: images that are let in, images that are refused, and the reason in their error."""

import json
from typing import Callable, NamedTuple

import pytest

from tests.real.conftest import Sealed
from tests.testbed.node import REGISTRY
from tests.testbed.signatures import attach, list_unchanged, put_blob, put_manifest, signature_of, tamper, transplant

pytestmark = pytest.mark.real


class Image(NamedTuple):
    """An image on the node's registry."""

    repository: str
    digest: str

    @property
    def name(self) -> str:
        """By its tag."""
        return f"{REGISTRY}/{self.repository}:1"


def notation_accepts(sealed: Sealed, image: Image) -> bool:
    """What the real `notation` says of an image, under the same trust."""
    command = ["notation", "verify", "--insecure-registry", f"{REGISTRY}/{image.repository}@{image.digest}"]
    return sealed.node.run(command).code == 0


def push(sealed: Sealed, repository: str, *, index: bool = False) -> Image:
    return Image(repository, sealed.node.push_image(repository, index=index))


def unsigned(sealed: Sealed, image: Image) -> None:
    """Leave it as it is."""


def tampered(sealed: Sealed, image: Image) -> None:
    sealed.trusted.sign(image.repository, image.digest)
    tamper(sealed.node, image.repository, image.digest)


def signature_of_another_image_pointing_here(sealed: Sealed, image: Image) -> None:
    other = push(sealed, f"{image.repository}-donor")
    sealed.trusted.sign(other.repository, other.digest)
    transplant(sealed.node, (other.repository, other.digest), (image.repository, image.digest))


def signature_of_another_image_listed_here(sealed: Sealed, image: Image) -> None:
    other = push(sealed, f"{image.repository}-donor")
    sealed.trusted.sign(other.repository, other.digest)
    list_unchanged(sealed.node, (other.repository, other.digest), (image.repository, image.digest))


def signature_of_another_image_on_an_index(sealed: Sealed, image: Image) -> None:
    other = push(sealed, f"{image.repository}-donor", index=True)
    sealed.trusted.sign(other.repository, other.digest)
    transplant(sealed.node, (other.repository, other.digest), (image.repository, image.digest))


def untrusted_signer(sealed: Sealed, image: Image) -> None:
    sealed.stranger.sign(image.repository, image.digest)


def expired(sealed: Sealed, image: Image) -> None:
    sealed.trusted.sign(image.repository, image.digest, "--expiry", "1s")
    sealed.node.must(["sleep", "1.1"])


def envelope_gone(sealed: Sealed, image: Image) -> None:
    sealed.trusted.sign(image.repository, image.digest)
    manifest, _ = signature_of(sealed.node, image.repository, image.digest)
    sealed.node.exchange("DELETE", f"{image.repository}/blobs/{manifest['layers'][0]['digest']}")


def rubbish_for_an_envelope(sealed: Sealed, image: Image) -> None:
    sealed.trusted.sign(image.repository, image.digest)
    manifest, _ = signature_of(sealed.node, image.repository, image.digest)
    blob = put_blob(sealed.node, image.repository, b'{"payload": "\xff"')
    manifest["layers"] = [{"mediaType": "application/jose+json", **blob}]
    attach(sealed.node, image.repository, image.digest, [manifest])


REFUSED: list[tuple[Callable[[Sealed, Image], None], str]] = [
    (unsigned, "NS-2001"),
    (tampered, "NS-2101"),
    (signature_of_another_image_pointing_here, "NS-2102"),
    (signature_of_another_image_listed_here, "NS-2102"),
    (signature_of_another_image_on_an_index, "NS-2102"),
    (untrusted_signer, "NS-2103"),
    (expired, "NS-2105"),
    (rubbish_for_an_envelope, "NS-2002"),
    (envelope_gone, "NS-2002"),
]

ON_AN_INDEX = (signature_of_another_image_on_an_index,)


@pytest.mark.parametrize(("prepare", "code"), REFUSED, ids=[prepare.__name__ for prepare, _ in REFUSED])
def test_refused_image_is_not_pulled_and_the_client_is_told_why(
    sealed: Sealed, prepare: Callable[[Sealed, Image], None], code: str
) -> None:
    image = push(sealed, f"refused/{prepare.__name__.replace('_', '-')}", index=prepare in ON_AN_INDEX)
    prepare(sealed, image)
    by_cri, by_ctr = sealed.node.cri_pull(image.name), sealed.node.ctr_pull(image.name)
    assert not by_cri.ok
    assert not by_ctr.ok
    for told in (by_cri.error, by_ctr.error):
        assert f"exit code 10): deny {code} rule=default: " in told
        assert f"nodeseal verify --explain {image.name}" in told
    assert not sealed.node.images.is_present(image.name)
    assert not notation_accepts(sealed, image)


@pytest.mark.parametrize("envelope", ["jws", "cose"])
@pytest.mark.parametrize("index", [False, True], ids=["manifest", "index"])
def test_image_signed_by_notation_is_pulled_through_both_doors(sealed: Sealed, index: bool, envelope: str) -> None:
    image = push(sealed, f"signed/{envelope}-{'index' if index else 'manifest'}", index=index)
    sealed.trusted.sign(image.repository, image.digest, envelope=envelope)
    assert sealed.node.cri_pull(image.name).error == ""
    assert sealed.node.images.is_present(image.name)
    assert sealed.node.ctr_pull(image.name).ok
    assert notation_accepts(sealed, image)


def test_signature_of_a_platform_manifest_does_not_speak_for_its_index(sealed: Sealed) -> None:
    image = push(sealed, "signed/platform-only", index=True)
    _, index = sealed.node.get_manifest(image.repository, image.digest)
    sealed.trusted.sign(image.repository, index["manifests"][0]["digest"])
    assert "deny NS-2001" in sealed.node.cri_pull(image.name).error


def test_one_good_signature_among_bad_ones_is_enough_under_any(sealed: Sealed) -> None:
    image = push(sealed, "signed/among-bad-ones")
    sealed.stranger.sign(image.repository, image.digest)
    sealed.trusted.sign(image.repository, image.digest)
    assert sealed.node.cri_pull(image.name).error == ""
    assert notation_accepts(sealed, image)


def test_one_signature_costs_four_requests_where_the_registry_has_no_referrers_api(sealed: Sealed) -> None:
    image = push(sealed, "counted/one")
    sealed.trusted.sign(image.repository, image.digest)
    stdin = _stdin(sealed, image)
    before = len(sealed.node.registry_requests())
    answer = sealed.node.run([str(sealed.program.path), *_words(image)], stdin=stdin)
    assert answer.code == 0, answer.out
    requests = [each.split("?")[0] for each in sealed.node.registry_requests()[before:]]
    assert [request.split("/")[4] for request in requests] == ["referrers", "manifests", "manifests", "blobs"]


def test_without_a_snapshot_every_pull_is_blocked_as_cannot_tell(sealed: Sealed) -> None:
    image = push(sealed, "signed/no-snapshot")
    sealed.trusted.sign(image.repository, image.digest)
    current = sealed.program.root / "var" / "lib" / "nodeseal" / "current"
    target = current.readlink()
    current.unlink()
    try:
        told = sealed.node.cri_pull(image.name).error
    finally:
        current.symlink_to(target)
    assert "exit code 11): cannot tell NS-3006 rule=default: configurationMissing" in told
    assert sealed.node.cri_pull(image.name).ok


def test_canary_is_refused_whatever_is_in_the_registry(sealed: Sealed) -> None:
    image = push(sealed, "nodeseal-canary")
    sealed.trusted.sign(image.repository, image.digest)
    assert "deny NS-1001 rule=canary" in sealed.node.cri_pull(image.name).error


def test_person_sees_the_same_decision_as_containerd(sealed: Sealed) -> None:
    image = push(sealed, "refused/asked-by-hand")
    untrusted_signer(sealed, image)
    command = [str(sealed.program.path), "verify", "--format", "json", "--root", str(sealed.program.root), image.name]
    done = sealed.node.run(command)
    report = json.loads(done.out)
    assert done.code == 10
    assert report["isSuccess"] is False
    assert report["nodeseal"]["reason"] in sealed.node.cri_pull(image.name).error


def test_artifact_of_another_type_beside_the_signature_is_passed_over(sealed: Sealed) -> None:
    image = push(sealed, "signed/with-sbom")
    sealed.trusted.sign(image.repository, image.digest)
    signature, _ = signature_of(sealed.node, image.repository, image.digest)
    sbom = json.loads(json.dumps(signature))
    sbom["config"]["mediaType"] = "application/spdx+json"
    attach(sealed.node, image.repository, image.digest, [sbom, signature])
    put_manifest(sealed.node, image.repository, sbom)
    assert sealed.node.cri_pull(image.name).error == ""


def _words(image: Image) -> list[str]:
    media_type = "application/vnd.oci.descriptor.v1+json"
    return ["-name", image.name, "-digest", image.digest, "-stdin-media-type", media_type]


def _stdin(sealed: Sealed, image: Image) -> bytes:
    raw, manifest = sealed.node.get_manifest(image.repository, image.digest)
    return json.dumps({"mediaType": manifest["mediaType"], "digest": image.digest, "size": len(raw)}).encode()
