"""Through containerd, what the other files of this kind ask by hand: timestamps and revocation at a pull."""

import contextlib
import json
import pathlib
from typing import Any, Iterator

import pytest

from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_MANIFEST
from tests.real.conformity import (
    Bench,
    Image,
    Stores,
    signed_before_it_ended,
    statement,
    write_configuration,
    write_stores,
)
from tests.real.conftest import Sealed
from tests.signing import Profile, Signer, ca_profile, name
from tests.simulators import tsa
from tests.simulators.authority import authority

pytestmark = pytest.mark.real


@contextlib.contextmanager
def in_force(sealed: Sealed, folder: pathlib.Path, policy: dict[str, Any], stores: Stores) -> Iterator[None]:
    """Publish a folder of `notation` for as long as the context lasts."""
    write_stores(folder / "notation", stores)
    (folder / "notation" / "trustpolicy.json").write_text(json.dumps(policy))
    sealed.program.apply(write_configuration(folder / "ours", folder / "notation"))
    try:
        yield
    finally:
        sealed.program.apply(sealed.config)


def pushed(bench: Bench, repository: str) -> Image:
    """An image that containerd can pull."""
    digest = bench.node.push_image(repository)
    raw, _ = bench.node.get_manifest(repository, digest)
    return Image(repository, Descriptor(IMAGE_MANIFEST, Digest.parse(digest), len(raw)))


def test_images_of_an_ended_certificate_are_pulled_for_their_timestamps(
    sealed: Sealed, bench: Bench, tmp_path: pathlib.Path
) -> None:
    keeper = tsa.usual_tsa()
    bench.responder.serve("/tsa/pulls", lambda query: tsa.answer(query, keeper), tsa.REPLY_TYPE)
    root = tmp_path / "root.pem"
    root.write_bytes(keeper.root_pem)
    images = {what: pushed(bench, f"pulled/{what}") for what in ("jws", "cose", "bare")}

    def sign(made: Signer) -> Signer:
        for envelope in ("jws", "cose"):
            options = ("--timestamp-url", bench.responder.base + "/tsa/pulls", "--timestamp-root-cert", str(root))
            bench.sign(images[envelope], made, *options, envelope=envelope)
        bench.sign(images["bare"], made)
        return made

    leaf = Profile(name("build.example.com"), key_number=500)
    made = signed_before_it_ended(leaf, ca_profile("Pulling CA", key_number=501), sign)
    policy = statement(trustStores=["ca:acme", "tsa:acme"])
    with in_force(sealed, tmp_path, policy, {"ca:acme": [made.root], "tsa:acme": [keeper.root]}):
        assert sealed.node.cri_pull(images["jws"].name).error == ""
        assert sealed.node.cri_pull(images["cose"].name).error == ""
        assert "exit code 10): deny NS-2110" in sealed.node.cri_pull(images["bare"].name).error


def test_revoked_and_unanswered(sealed: Sealed, bench: Bench, tmp_path: pathlib.Path) -> None:
    made = authority("pulls", bench.responder.base, number=50, ocsp=(0,))
    images = {what: pushed(bench, f"pulled/{what}") for what in ("unanswered", "good")}
    for image in images.values():
        bench.sign(image, made.signer)
    revoked = authority("pulls-revoked", bench.responder.base, number=50, crl=(0,))
    bench.announce(revoked, "crl", 0, revoked=True)
    withdrawn = pushed(bench, "pulled/revoked")
    bench.sign(withdrawn, revoked.signer)
    with in_force(sealed, tmp_path, statement(), {"ca:acme": [made.root, revoked.root]}):
        assert "exit code 11): cannot tell NS-3004" in sealed.node.cri_pull(images["unanswered"].name).error
        bench.announce(made, "ocsp", 0)
        assert sealed.node.cri_pull(images["good"].name).error == ""
        assert "exit code 10): deny NS-2111" in sealed.node.cri_pull(withdrawn.name).error
