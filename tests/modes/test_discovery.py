"""Registries that have only one of: a referrers API, the referrers tag, cosign's tags.  In each, each layout is found.

`tests/real/test_cosign_pulls.py` and `test_keyless_pulls.py` have the second as the real tools write it, and
`test_cosign_conformity.py` the first.
"""

import json
import pathlib
from collections.abc import Callable, Mapping

import pytest

from agent import cli
from agent.adapters.snapshots import SnapshotStore
from agent.formats.attestation import LAYERS_TYPE
from agent.model.descriptor import Descriptor
from agent.model.manifest import IMAGE_INDEX
from agent.modes.config import load_for_person
from tests.signing import attach_signature, usual_signer, write_config
from tests.signing import envelope as notation_envelope
from tests.signing_cosign import (
    Layer,
    attestation,
    bundle,
    bundle_manifest,
    envelope,
    layer,
    manifest,
    payload,
    public_pem,
    referrer_manifest,
    statement,
)
from tests.simulators.registry import RegistrySimulator, index_of

REPOSITORY = "shop/app"
TRUSTED, STRANGER = usual_signer(), usual_signer("stranger.example.net", number=3)

Put = Callable[[RegistrySimulator, Descriptor, int], object]
"""Stores a signature or an attestation of the image: by who is trusted if the number is 0, else by somebody else."""


def _pushed(registry: RegistrySimulator, one: Layer, raw: bytes, tag: str = "") -> None:
    registry.push_blob(REPOSITORY, one.content)
    registry.push_manifest(REPOSITORY, raw, tag=tag)


def _bundle(registry: RegistrySimulator, image: Descriptor, number: int) -> None:
    one = bundle(statement(image), number=number)
    _pushed(registry, one, bundle_manifest(one, image))


def _attested(registry: RegistrySimulator, image: Descriptor, number: int) -> None:
    one = bundle(attestation(image), number=number)
    _pushed(registry, one, bundle_manifest(one, image))


def _layer(registry: RegistrySimulator, image: Descriptor, number: int) -> None:
    one = layer(payload(image), number=number)
    _pushed(registry, one, referrer_manifest([one], image))


def _attested_layer(registry: RegistrySimulator, image: Descriptor, number: int) -> None:
    one = envelope(attestation(image), ("P-256", number))
    _pushed(registry, one, manifest([one], image, artifact_type=LAYERS_TYPE))


def _notation(registry: RegistrySimulator, image: Descriptor, number: int) -> None:
    attach_signature(registry, REPOSITORY, image, notation_envelope(STRANGER if number else TRUSTED, image))


def _tagged(registry: RegistrySimulator, image: Descriptor, number: int) -> None:
    one = layer(payload(image), number=number)
    _pushed(registry, one, manifest([one]), f"sha256-{image.digest.encoded}.sig")


def _attested_tagged(registry: RegistrySimulator, image: Descriptor, number: int) -> None:
    one = envelope(attestation(image), ("P-256", number))
    _pushed(registry, one, manifest([one]), f"sha256-{image.digest.encoded}.att")


REFERRING: Mapping[str, tuple[str, Put]] = {
    "bundle": ("signed", _bundle),
    "layers": ("signed", _layer),
    "attestation": ("built", _attested),
    "attestation's layers": ("built", _attested_layer),
    "notation": ("notation", _notation),
}
TAGGED: Mapping[str, tuple[str, Put]] = {
    "layers under a tag": ("signed", _tagged),
    "attestation's layers under a tag": ("built", _attested_tagged),
}
"""By layout: the verifier that wants it, and who stores it."""


def api(registry: RegistrySimulator, image: Descriptor) -> None:
    """It lists them itself."""


def tag(registry: RegistrySimulator, image: Descriptor) -> None:
    """It knows no referrers; clients keep the list."""
    registry.referrers_api = False
    registry.tag_referrers(REPOSITORY, image)


def tag_of_cosign(registry: RegistrySimulator, image: Descriptor) -> None:
    """The same list as cosign writes it: with the type of each config, and no annotations."""
    tag(registry, image)
    listed = registry.contents(REPOSITORY).referrers(str(image.digest))
    for each in listed:
        value = json.loads(registry.contents(REPOSITORY).manifests[each["digest"]].content)
        each["artifactType"] = value["config"]["mediaType"]
        each.pop("annotations", None)
    registry.push_manifest(REPOSITORY, index_of(listed), IMAGE_INDEX, tag=f"sha256-{image.digest.encoded}")


def tag_beside_an_empty_api(registry: RegistrySimulator, image: Descriptor) -> None:
    """It has got an API since the list was written, and knows nothing of what was there before."""
    tag(registry, image)
    registry.misbehave("referrers", lambda handler: handler.answer(200, index_of([]), Content_Type=IMAGE_INDEX))


def no_list(registry: RegistrySimulator, image: Descriptor) -> None:
    """It knows no referrers, and nobody keeps a list."""
    registry.referrers_api = False


LISTS = (api, tag, tag_of_cosign, tag_beside_an_empty_api)
WHERE = [
    *((arranged, layout, *REFERRING[layout]) for arranged in LISTS for layout in REFERRING),
    *((arranged, layout, *TAGGED[layout]) for arranged in (api, no_list) for layout in TAGGED),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A configuration with a verifier for each kind of evidence."""
    folder = write_config(tmp_path_factory.mktemp("discovery") / "config", TRUSTED.root_pem)
    value = json.loads((folder / "config.json").read_text())
    del value["policy"]
    names = ("signed", "built", "notation")
    value["nodeseal"] = {
        "apiVersion": "nodeseal.dev/v1alpha1",
        "default": {"enforcement": "Enforce", "failurePolicy": "Fail"},
        "verifiers": [
            {"name": "signed", "type": "cosign", "keys": ["shop.pub"]},
            {"name": "built", "type": "attestation", "predicateType": "slsaprovenance1", "keys": ["shop.pub"]},
        ],
        "rules": [{"name": "shop", "match": ["**"], "verifiers": names, "policy": {"any": names}}],
    }
    (folder / "config.json").write_text(json.dumps(value))
    (folder / "shop.pub").write_bytes(public_pem())
    return folder


@pytest.mark.parametrize(
    ("arranged", "layout", "verifier", "put"), WHERE, ids=[f"{each[0].__name__}-{each[1]}" for each in WHERE]
)
def test_layout_is_found_where_it_is_all_that_there_is(
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    arranged: Callable[[RegistrySimulator, Descriptor], None],
    layout: str,
    verifier: str,
    put: Put,
) -> None:
    SnapshotStore(str(tmp_path)).publish(load_for_person(str(folder), "/"))

    def told(number: int | None) -> tuple[int, str]:
        """Exit code and report about an image with that; None for one with nothing."""
        with RegistrySimulator() as registry:
            image = registry.push_image(REPOSITORY, "1", salt=f"{layout} {number}")
            if number is not None:
                put(registry, image, number)
            arranged(registry, image)
            with pytest.raises(SystemExit) as ended:
                words = ("--root", str(tmp_path), "--format", "json", f"{registry.host}/{REPOSITORY}@{image.digest}")
                cli.main(["nodeseal", "verify", *words])
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().out

    code, shown = told(0)
    assert code == 0, shown
    by = {each["name"] for each in json.loads(shown)["verifierReports"] if each["isSuccess"]}
    assert by == {verifier}
    code, shown = told(1)
    assert (code, json.loads(shown)["nodeseal"]["code"]) == (10, "NS-2103")
    code, shown = told(None)
    assert (code, json.loads(shown)["nodeseal"]["code"]) == (10, "NS-2001")
