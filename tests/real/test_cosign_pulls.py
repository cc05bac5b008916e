"""Through containerd: images that the real `cosign` signed with a key, in every layout, and what is not let in.

The node's registry has no referrers API; tests/real/test_cosign_conformity.py has one that has it.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.real.conftest import Sealed
from tests.real.test_pulls import Image, push
from tests.real.test_pulls_policies import in_force
from tests.signing import write_config
from tests.testbed.cosign import BUNDLE, LAYOUTS, TAG, Cosign
from tests.testbed.node import REGISTRY

pytestmark = pytest.mark.real

RULES = f"""nodeseal:
  apiVersion: nodeseal.dev/v1alpha1
  default: {{enforcement: Enforce, failurePolicy: Fail}}
  verifiers:
  - {{name: shop-key, type: cosign, keys: [shop.pub]}}
  rules:
  - {{name: cosign, match: ["{REGISTRY}/cosign/**"], verifiers: [shop-key], policy: {{any: [shop-key]}}}}
  - name: both
    match: ["{REGISTRY}/mixed/**"]
    verifiers: [shop-key, notation]
    policy: {{all: [shop-key, notation]}}
  - name: either
    match: ["{REGISTRY}/either/**"]
    verifiers: [shop-key, notation]
    policy: {{any: [shop-key, notation]}}
"""


class Shop(NamedTuple):
    """The sealed node under rules that trust one key."""

    sealed: Sealed
    trusted: Cosign
    stranger: Cosign


@pytest.fixture(scope="module")
def shop(sealed: Sealed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A key is trusted as long as this module's tests run."""
    trusted, stranger = Cosign.on(sealed.node, "shop"), Cosign.on(sealed.node, "stranger")
    folder = tmp_path_factory.mktemp("cosign") / "config"
    write_config(folder, sealed.trusted.certificate)
    config = json.loads((folder / "config.json").read_text())
    del config["policy"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "nodeseal.yaml").write_text(RULES)
    (folder / "shop.pub").write_bytes(trusted.public.read_bytes())
    with in_force(sealed, folder):
        yield Shop(sealed, trusted, stranger)


def named(image: Image) -> str:
    """By its digest."""
    return f"{REGISTRY}/{image.repository}@{image.digest}"


def told(shop: Shop, image: Image) -> str:
    """What a pull through either door, and a person's `verify`, come to; empty if all three let the image in."""
    node, program = shop.sealed.node, shop.sealed.program
    by_cri, by_ctr = node.cri_pull(image.name), node.ctr_pull(image.name)
    by_hand = node.run([str(program.path), "verify", "--root", str(program.root), image.name])
    assert by_cri.ok == by_ctr.ok == (by_hand.code == 0), (by_cri, by_ctr, by_hand.out)
    if by_cri.ok:
        node.images.remove(image.name)
        assert "signatures verified by sha256:" in by_hand.out
        return ""
    said = by_hand.out.splitlines()[-2 if "next step" in by_hand.out.splitlines()[-1] else -1]
    assert said in by_cri.error
    assert said in by_ctr.error
    return said


@pytest.mark.parametrize("index", [False, True], ids=["manifest", "index"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_image_signed_by_cosign_is_pulled_through_every_door(shop: Shop, layout: str, index: bool) -> None:
    image = push(shop.sealed, f"cosign/{layout}-{'index' if index else 'manifest'}", index=index)
    shop.trusted.sign(named(image), *(["--recursive"] if index else []), layout=layout)
    assert told(shop, image) == ""
    assert shop.trusted.accepts(named(image), layout=layout)
    if index:
        _, listed = shop.sealed.node.get_manifest(image.repository, image.digest)
        for each in listed["manifests"]:
            child = Image(image.repository, each["digest"])
            assert shop.trusted.accepts(named(child), layout=layout)
            done = shop.sealed.node.run(
                [str(shop.sealed.program.path), "verify", "--root", str(shop.sealed.program.root), named(child)]
            )
            assert done.code == 0, done.out


def test_image_that_is_not_signed_as_it_must_be_is_not_pulled(shop: Shop, tmp_path: pathlib.Path) -> None:
    node, found = shop.sealed.node, {}
    names = ("unsigned", "stranger-bundle", "stranger-tag", "attested", "transplanted", "index-only", "platform-only")
    images = {
        name: push(shop.sealed, f"cosign/{name}", index=name in ("index-only", "platform-only")) for name in names
    }
    shop.stranger.sign(named(images["stranger-bundle"]))
    shop.stranger.sign(named(images["stranger-tag"]), layout=TAG)
    predicate = node.work / "predicate.json"
    predicate.write_text('{"buildDefinition": {"buildType": "x"}, "runDetails": {"builder": {"id": "y"}}}')
    shop.trusted.attest(named(images["attested"]), predicate)
    donor = push(shop.sealed, "cosign/transplanted")  # the same repository, another image
    shop.trusted.sign(named(donor), layout=TAG)
    raw, manifest = node.get_manifest(donor.repository, f"{donor.digest.replace(':', '-')}.sig")
    tag = f"{donor.repository}/manifests/{images['transplanted'].digest.replace(':', '-')}.sig"
    assert node.exchange("PUT", tag, raw, {"Content-Type": manifest["mediaType"]}).status == 201
    _, listed = node.get_manifest(images["platform-only"].repository, images["platform-only"].digest)
    platform = Image(images["platform-only"].repository, listed["manifests"][0]["digest"])
    shop.trusted.sign(named(platform))
    shop.trusted.sign(named(images["index-only"]))
    by_digest = {"transplanted": f"{REGISTRY}/cosign/transplanted@{images['transplanted'].digest}"}
    for name, image in images.items():
        if name == "index-only":
            _, listed = node.get_manifest(image.repository, image.digest)
            image = Image(image.repository, listed["manifests"][0]["digest"])
        pulled = node.cri_pull(by_digest.get(name, image.name if name != "index-only" else named(image)))
        assert not pulled.ok, name
        found[name] = pulled.error.partition("exit code 10): deny ")[2][:7]
        assert shop.trusted.accepts(named(image)) is (name == "attested"), name  # docs/cosign.md
    assert found == {
        "unsigned": "NS-2001",
        "stranger-bundle": "NS-2103",
        "stranger-tag": "NS-2103",
        "attested": "NS-2112",
        "transplanted": "NS-2102",
        "index-only": "NS-2001",
        "platform-only": "NS-2001",
    }


@pytest.mark.parametrize("layout", [BUNDLE, TAG])
def test_rule_may_ask_for_both_kinds_of_signature(shop: Shop, layout: str) -> None:
    mixed, either = push(shop.sealed, f"mixed/{layout}"), push(shop.sealed, f"either/{layout}")
    for image in (mixed, either):
        shop.trusted.sign(named(image), layout=layout)
    assert "rule=both: verified by 1 (by shop-key); the rule asks for 2 of shop-key, notation" in told(shop, mixed)
    assert told(shop, either) == ""
    shop.sealed.trusted.sign(mixed.repository, mixed.digest)
    shop.sealed.program.forget()
    assert shop.sealed.node.cri_pull(mixed.name).error == ""
