"""cosign's evidence that is not what it must be: items 26 to 28 of the list of hostile inputs, with keys."""

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.formats.cosign import BUNDLE_TYPE
from agent.formats.cosign_layer import SIGNATURE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from tests.demo.configuration import write
from tests.frozen.program import Program
from tests.hostile.measure import Measured
from tests.hostile.stage import PROMPT, Asked, Case, Stage, check, run_all
from tests.hostile.test_signature import slug
from tests.signing import usual_signer
from tests.signing_cosign import Layer, bundle, bundle_manifest, layer, manifest, payload, public_pem, statement
from tests.simulators.registry import RegistrySimulator
from tests.trust.tokens import authority

pytestmark = pytest.mark.frozen

OTHER = str(Digest.of(b"another image"))
DEEP = b"[" * 100_000
MANY = b"[" + b"1," * 300_000 + b"1]"
LARGE = b'"' + b"x" * 2_000_000 + b'"'

Made = Callable[[Descriptor], "list[Layer] | Layer"]


def case(text: str, make: Made, code: str, **changes: Any) -> Case:
    """An image with what `make` makes: layers of cosign's tag, or a bundle; `changes` are the manifest's."""

    def ask(stage: Stage) -> Asked:
        repository = slug(text)
        image = stage.registry.push_image(repository, "1", salt=repository)
        made = make(image)
        for each in made if isinstance(made, list) else [made]:
            stage.registry.push_blob(repository, each.content)
        if isinstance(made, list):
            value = json.loads(manifest(made)) | changes
            stage.registry.push_manifest(
                repository, json.dumps(value).encode(), tag=f"sha256-{image.digest.encoded}.sig"
            )
        else:
            value = json.loads(bundle_manifest(made, image)) | changes
            stage.registry.push_manifest(repository, json.dumps(value).encode())
        return stage.pull(repository, image)

    return Case(text, ask, 0 if code == "NS-0001" else 10, code, PROMPT)


def raw(content: bytes) -> Made:
    """A bundle with these bytes."""
    return lambda _: Layer(content, None, BUNDLE_TYPE)


def stated(**changes: Any) -> Made:
    """A statement with members changed, rightly signed."""
    return lambda image: bundle(statement(image, **changes))


def layered(**changes: Any) -> Made:
    """A payload with members changed, rightly signed."""
    return lambda image: [layer(payload(image, **changes))]


CASES = (
    case("26 a good bundle", stated(), "NS-0001"),
    case("26 a bundle that is empty", raw(b""), "NS-2002"),
    case("26 a bundle nested 100,000 deep", raw(DEEP), "NS-2004"),
    case("26 a bundle of 300,000 values", raw(MANY), "NS-2004"),
    case("26 a bundle of 2 MB", raw(LARGE), "NS-2004"),
    case("26 a bundle beside another", lambda image: bundle(statement(image)), "NS-2002",
         layers=[{"mediaType": BUNDLE_TYPE, "digest": OTHER, "size": 10}] * 2),
    case("26 a statement nested 100,000 deep", lambda _: bundle(DEEP), "NS-2004"),
    case("26 a statement of 2,000 subjects", stated(subject=[{"digest": {"sha256": "0" * 64}}] * 2000), "NS-2004"),
    case("26 a subject of 100 digests", stated(subject=[{"digest": {str(i): "0" for i in range(100)}}]), "NS-2004"),
    case("26 a signature of 4 KB", lambda image: bundle(statement(image), signature=b"\x30" * 4096), "NS-2101"),
    case("26 a hint of 500 KB",
         lambda image: bundle(statement(image), material={"publicKey": {"hint": "x" * 500_000}}), "NS-0001"),
    case("26 another algorithm's certificate",
         lambda image: bundle(statement(image), material={"certificate": {"rawBytes": "AAAA"}}), "NS-2103"),
    case("27 a good layer", layered(), "NS-0001"),
    case("27 a payload of another image", lambda _: [layer(payload(OTHER))], "NS-2102"),
    case("27 a payload of another repository", layered(identity={"docker-reference": "evil.example/x"}), "NS-0001"),
    case("27 a payload of 70 KB", layered(optional={"x": "y" * 70_000}), "NS-2004"),
    case("27 a payload nested deep", lambda _: [layer(b"[" * 60_000)], "NS-2004"),
    case("27 a payload with two digests",
         lambda image: [layer(payload(image).replace(b'"docker-manifest-digest"', b'"docker-manifest-digest": "'
                                                     + OTHER.encode() + b'", "docker-manifest-digest"'))], "NS-2002"),
    case("27 a payload with control characters", layered(type="x\x1b[2K\r\nallow NS-0001"), "NS-2112"),
    case("27 annotations that are a list", lambda i: [layer(payload(i))._replace(annotations=["x"])], "NS-2002"),
    case("27 an annotation of 200 KB",
         lambda image: [layer(payload(image))._replace(annotations={SIGNATURE: "A" * 200_000})], "NS-2002"),
    case("27 64 layers by a stranger", lambda image: [layer(payload(image, optional={"n": i}), "P-256", 1)
                                                       for i in range(64)], "NS-2103"),
    case("27 65 layers", lambda image: [layer(payload(image))] * 65, "NS-2004"),
    case("27 63 layers by a stranger and a good one", lambda image: [*[layer(payload(image), "P-256", 1)] * 63,
                                                                     layer(payload(image))], "NS-0001"),
    case("28 an attestation", stated(predicateType="https://slsa.dev/provenance/v1"), "NS-2112"),
    case("28 a predicate type that is empty", stated(predicateType=""), "NS-2002"),
    case("28 a predicate type with control characters", stated(predicateType="x\x1b[2K\r\nallow"), "NS-2112"),
    case("28 no subject", stated(subject=[]), "NS-2002"),
    case("28 subjects without this image", stated(subject=[{"digest": {"sha256": OTHER[7:]}}] * 9), "NS-2102"),
    case("28 signed rightly by a stranger", lambda image: bundle(statement(image), "P-256", 1), "NS-2103"),
)  # fmt: skip


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage, under a configuration that trusts a key beside a signer."""
    folder: pathlib.Path = tmp_path_factory.mktemp("hostile")
    trusted = usual_signer()
    with RegistrySimulator() as registry, RegistrySimulator() as other:
        program = Program(folder / "host")
        program.apply(write(folder / "config", trusted.root_pem, public_pem(), remembers=False))
        yield Stage(program, registry, other, trusted, authority())


@pytest.fixture(scope="module")
def found(court: Stage) -> dict[str, Measured]:
    """What came of every case."""
    return run_all(court, "cosign", CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_evidence(case: Case, found: dict[str, Measured], court: Stage) -> None:
    check(case, found[case.name], court.base)
