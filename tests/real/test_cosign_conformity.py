"""The same signature before the real `cosign verify` and before Nodeseal, as containerd calls it: property by property.

What is signed is made here, so that it can be wrong; the registry is the tests' own and has the referrers API.  Where
the two differ, `DIFFERENCES` says why, in the words of docs/cosign.md; any other difference fails.
"""

import base64
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from agent.codec import sigstorebundle
from agent.formats.cosign import BUNDLE_TYPE
from agent.formats.cosign_layer import SIGNATURE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from tests.frozen.program import Program
from tests.real.cosigned import Court, repository_of, rule, write_rules
from tests.signing import usual_signer
from tests.signing_cosign import (
    Layer,
    bundle,
    layer,
    payload,
    public_pem,
    raw_signature,
    referrer_manifest,
    statement,
)
from tests.simulators.registry import RegistrySimulator
from tests.testbed.cosign import BUNDLE, LAYOUTS, REFERRER, Cosign
from tests.testbed.nodes import tools_or_skip

pytestmark = pytest.mark.real

DIFFERENCES = {
    "attestation": "an attestation is no signature",
    "type": "the payload's `type` must be cosign's",
    "names": "names count exactly and stand once",
    "media type": "a layer must be of the media type that it has",
    "statement type": "a statement of an unknown `_type` is refused",
    "unknown member": "an unknown member of a statement is passed over",
    "version": "a bundle's media type is one of a list",
    "older": "bundles of the versions 0.1 and 0.2 count for images too",
    "raw": "an ECDSA signature is DER",
    "hash": "P-384 and P-521 with the hash of their curve",
    "hidden": "a bundle hides no older signature",
}
"""Where the two differ on purpose: by name, the words of docs/cosign.md under "Deviations on purpose"."""

KINDS = ("P-256", "P-384", "P-521", "RSA-2048", "RSA-3072", "RSA-4096", "Ed25519")
WEAK = ("P-224", "RSA-1024")
OTHER = str(Digest.of(b"another image"))

Making = Callable[[Descriptor], "list[Layer] | Layer"]


class Case(NamedTuple):
    """One property.

    `make` gives layers of cosign's tag, or one bundle, for an image; `code` is our reason, empty if it is let in;
    `difference` is a key of `DIFFERENCES` where `cosign` says the opposite.  `kind` is the key that is trusted.
    """

    name: str
    make: Making
    code: str = ""
    difference: str = ""
    kind: str = "P-256"
    annotated: bool = False


def changed(one: Layer, **members: Any) -> Layer:
    """A bundle with members of its envelope replaced after signing."""
    value = json.loads(one.content)
    value["dsseEnvelope"] |= members
    return one._replace(content=json.dumps(value).encode())


def spelt(old: bytes, new: bytes) -> Making:
    """A layer whose payload is spelt otherwise, and signed so."""
    return lambda image: [layer(payload(image).replace(old, new, 1))]


def beside(**annotations: object) -> Making:
    """A right layer with annotations replaced."""
    names = {SIGNATURE if name == "signature" else name: each for name, each in annotations.items() if each is not None}
    return lambda image: [layer(payload(image))._replace(annotations=names)]


def raw(image: Descriptor) -> list[Layer]:
    """A right signature as two integers side by side."""
    one = layer(payload(image))
    r, s = decode_dss_signature(base64.b64decode(one.annotations[SIGNATURE]))  # type: ignore[index]
    text = base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()
    return [one._replace(annotations={SIGNATURE: text})]


def certified(image: Descriptor) -> Layer:
    """A bundle with a certificate in place of the key's hint."""
    der = usual_signer().chain[0].public_bytes(Encoding.DER)
    return bundle(statement(image), material={"certificate": {"rawBytes": base64.b64encode(der).decode()}})


def about(digests: Callable[[Descriptor], dict[str, str]]) -> Making:
    """A statement about one thing with these digests."""
    return lambda image: bundle(statement(image, subject=[{"digest": digests(image)}]))


def both(image: Descriptor) -> Layer:
    """A statement about another image and this one."""
    digests = ({"sha256": OTHER[7:]}, {"sha256": image.digest.encoded, "sha512": "0" * 128})
    return bundle(statement(image, subject=[{"digest": each} for each in digests]))


SIGNED = {"messageDigest": {"algorithm": "SHA2_256", "digest": "AAAA"}, "signature": "AAAA"}

CASES = [
    *(Case(f"layer {kind}", lambda image, kind=kind: [layer(payload(image), kind)], kind=kind) for kind in KINDS),  # type: ignore[misc]
    *(Case(f"bundle {kind}", lambda image, kind=kind: bundle(statement(image), kind), kind=kind) for kind in KINDS),  # type: ignore[misc]
    Case("layer P-384 SHA-384", lambda image: [layer(payload(image), "P-384", how="SHA-384")], "", "hash", "P-384"),
    Case("bundle P-384 SHA-384", lambda image: bundle(statement(image), "P-384", how="SHA-384"), "", "hash", "P-384"),
    Case("bundle P-521 SHA-512", lambda image: bundle(statement(image), "P-521", how="SHA-512"), "", "hash", "P-521"),
    Case("layer P-256 SHA-384", lambda image: [layer(payload(image), how="SHA-384")], "NS-2103"),
    Case("bundle P-256 SHA-384", lambda image: bundle(statement(image), how="SHA-384"), "NS-2101"),
    Case("layer PSS", lambda i: [layer(payload(i), "RSA-2048", how="SHA-256 PSS")], "NS-2103", "", "RSA-2048"),
    Case("layer raw", raw, "NS-2103", "raw"),
    Case("layer wrong key", lambda image: [layer(payload(image), "P-256", 1)], "NS-2103"),
    Case("bundle wrong key", lambda image: bundle(statement(image), "P-256", 1), "NS-2103"),
    Case("payload other digest", lambda image: [layer(payload(OTHER))], "NS-2102"),
    Case("payload uppercase", lambda i: [layer(payload(f"sha256:{i.digest.encoded.upper()}"))], "NS-2102"),
    Case("payload not JSON", lambda image: [layer(b"not JSON")], "NS-2002"),
    Case("payload trailing bytes", lambda image: [layer(payload(image) + b"x")], "NS-2002"),
    Case("payload leading space", lambda image: [layer(b" " + payload(image))]),
    Case("payload other name", lambda image: [layer(payload(image, identity={"docker-reference": "evil.example/x"}))]),
    Case("payload empty name", lambda image: [layer(payload(image, identity={"docker-reference": ""}))]),
    Case("payload unknown critical", lambda image: [layer(payload(image, critical={"more": 1}))]),
    Case("payload optional", lambda image: [layer(payload(image, optional={"a": 1}))]),
    Case("payload other type", lambda i: [layer(payload(i, type="atomic container signature"))], "NS-2112", "type"),
    Case("payload empty type", lambda image: [layer(payload(image, type=""))], "NS-2112", "type"),
    Case("payload other case", spelt(b"docker-manifest", b"Docker-manifest"), "NS-2002", "names"),
    Case("payload twice", spelt(b'"type"', b'"type": "x", "type"'), "NS-2002", "names"),
    Case("layer without signature", beside(), "NS-2002"),
    Case("layer empty signature", beside(signature=""), "NS-2002"),
    Case("layer no base64", beside(signature="!!!!"), "NS-2002"),
    Case("layer junk", beside(signature="AAAA"), "NS-2103"),
    Case("layer other media type", lambda i: [layer(payload(i))._replace(media_type="application/octet-stream")],
         "NS-2005", "media type"),
    Case("layers bad and good", lambda i: [*(layer(payload(OTHER), "P-256", 1) for _ in range(9)), layer(payload(i))]),
    Case("layers good and bad", lambda i: [layer(payload(i)), layer(payload(i))._replace(annotations={})]),
    Case("annotation there", lambda i: [layer(payload(i, optional={"env": "prod", "n": 1}))], annotated=True),
    Case("annotation missing", lambda image: [layer(payload(image))], "NS-2113", annotated=True),
    Case("annotation different", lambda i: [layer(payload(i, optional={"env": "dev"}))], "NS-2113", annotated=True),
    Case("annotation no text", lambda i: [layer(payload(i, optional={"env": ["prod"]}))], "NS-2113", annotated=True),
    Case("bundle annotation there", lambda i: bundle(statement(i, annotations={"env": "prod"})), annotated=True),
    Case("bundle annotation missing", lambda i: bundle(statement(i)), "NS-2113", annotated=True),
    Case("bundle attestation", lambda i: bundle(statement(i, predicateType="https://slsa.dev/provenance/v1")),
         "NS-2112", "attestation"),
    Case("bundle unknown predicate", lambda i: bundle(statement(i, predicateType="x")), "NS-2112", "attestation"),
    Case("bundle other payload type", lambda i: bundle(statement(i), payload_type="text/plain"), "NS-2005"),
    Case("bundle not JSON", lambda image: bundle(b"not JSON"), "NS-2002"),
    Case("statement other digest", about(lambda i: {"sha256": OTHER[7:]}), "NS-2102"),
    Case("statement no subject", lambda i: bundle(statement(i, subject=[])), "NS-2002"),
    Case("statement other algorithm", about(lambda i: {"sha512": i.digest.encoded}), "NS-2102"),
    Case("statement uppercase", about(lambda i: {"sha256": i.digest.encoded.upper()}), "NS-2102"),
    Case("statement second subject", both),
    Case("statement v0.1", lambda i: bundle(statement(i, _type="https://in-toto.io/Statement/v0.1"))),
    Case("statement unknown type", lambda i: bundle(statement(i, _type="x")), "NS-2002", "statement type"),
    Case("statement unknown member", lambda i: bundle(statement(i, more=1)), "", "unknown member"),
    Case("statement subject twice", lambda i: bundle(statement(i).replace(b'"subject"', b'"subject": [], "subject"')),
         "NS-2002"),
    Case("bundle wrong hint", lambda i: bundle(statement(i), material={"publicKey": {"hint": "other"}})),
    Case("bundle certificate", certified, "NS-2103"),
    Case("bundle two signatures", lambda i: changed(bundle(statement(i)), signatures=[{"sig": "AAAA"}] * 2), "NS-2002"),
    Case("bundle no signature", lambda i: changed(bundle(statement(i)), signatures=[]), "NS-2002"),
    Case("bundle signature junk", lambda i: changed(bundle(statement(i)), signatures=[{"sig": "AAAA"}]), "NS-2101"),
    Case("bundle payload swapped", lambda i: changed(bundle(statement(OTHER)),
         payload=base64.b64encode(statement(i)).decode()), "NS-2101"),
    Case("bundle message", lambda i: bundle(statement(i), dsseEnvelope=None, messageSignature=SIGNED), "NS-2005"),
    Case("bundle unknown member", lambda i: bundle(statement(i), more=1), "NS-2002"),
    Case("bundle v0.4", lambda i: bundle(statement(i), mediaType=BUNDLE_TYPE.replace("0.3", "0.4")), "NS-2002"),
    Case("bundle v0.3.1", lambda i: bundle(statement(i), mediaType=BUNDLE_TYPE.replace("0.3", "0.3.1")), "NS-2002",
         "version"),
    Case("bundle no version", lambda i: bundle(statement(i), mediaType=""), "NS-2002"),
    Case("bundle v0.1", lambda i: bundle(statement(i), media_type=sigstorebundle.V01), "", "older"),
    Case("bundle v0.2", lambda i: bundle(statement(i), media_type=sigstorebundle.V02), "", "older"),
]  # fmt: skip


def accepted(court: Court, repository: str, image: Descriptor, kind: str, *options: str, layout: str = BUNDLE) -> bool:
    """Whether `cosign` accepts it."""
    return court.cosign.accepts(
        court.named(repository, image), *options, key=court.folder / f"{kind}.pub", layout=layout
    )


def configuration(folder: pathlib.Path, host: str, kinds: tuple[str, ...]) -> pathlib.Path:
    """A rule for each kind of key, and one with an annotation."""
    folder.mkdir()
    for kind in kinds:
        (folder / f"{kind}.pub").write_bytes(public_pem(kind))
    verifiers: list[dict[str, object]] = [{"name": kind, "type": "cosign", "keys": [f"{kind}.pub"]} for kind in kinds]
    verifiers.append({"name": "prod", "type": "cosign", "keys": [f"{kinds[0]}.pub"], "annotations": {"env": "prod"}})
    names = [str(each["name"]) for each in verifiers]
    write_rules(folder, verifiers, [rule(host, name, {"any": [name]}, name) for name in names])
    return folder


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    """In session for all cases."""
    found, folder = tools_or_skip(), tmp_path_factory.mktemp("court")
    with RegistrySimulator() as registry:
        program = Program(folder / "host")
        program.apply(configuration(folder / "config", registry.host, KINDS))
        for kind in (*KINDS, *WEAK):
            (folder / f"{kind}.pub").write_bytes(public_pem(kind))
        yield Court(registry, program, Cosign.here(found, folder, "own"), folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_say_the_same_but_for_what_is_written_down(court: Court, case: Case) -> None:
    prefix = "prod" if case.annotated else case.kind.lower()
    repository = repository_of(prefix, case.name)
    image = court.image(repository)
    court.put(repository, image, case.make(image))
    theirs = accepted(court, repository, image, case.kind, *(["-a", "env=prod"] if case.annotated else []))
    assert court.ours(repository, image) == case.code
    assert theirs is ((not case.code) != bool(case.difference)), "what cosign says has changed: correct docs/cosign.md"


def good_and_bad_bundle(court: Court, repository: str, image: Descriptor) -> None:
    court.put(repository, image, bundle(statement(image), "P-256", 1))
    court.put(repository, image, bundle(statement(image)))


def good_bundle_and_rubbish(court: Court, repository: str, image: Descriptor) -> None:
    court.put(repository, image, Layer(b"rubbish", None, BUNDLE_TYPE))
    court.put(repository, image, bundle(statement(image)))


def rubbish_bundle_and_good_layer(court: Court, repository: str, image: Descriptor) -> None:
    court.put(repository, image, Layer(b"rubbish", None, BUNDLE_TYPE))
    court.put(repository, image, [layer(payload(image))])


def strangers_bundle_and_good_layer(court: Court, repository: str, image: Descriptor) -> None:
    court.put(repository, image, bundle(statement(image), "P-256", 1))
    court.put(repository, image, [layer(payload(image))])


def good_bundle_and_rubbish_layer(court: Court, repository: str, image: Descriptor) -> None:
    court.put(repository, image, bundle(statement(image)))
    court.put(repository, image, [Layer(b"rubbish")])


def good_layer_as_a_referrer(court: Court, repository: str, image: Descriptor) -> None:
    one = layer(payload(image))
    court.registry.push_blob(repository, one.content)
    court.registry.push_manifest(repository, referrer_manifest([one], image))


def bundle_of_another_image(court: Court, repository: str, image: Descriptor) -> None:
    court.put(repository, image, bundle(statement(OTHER)))


ARRANGEMENTS: list[tuple[Any, str, str]] = [
    (good_and_bad_bundle, "", ""),
    (good_bundle_and_rubbish, "", ""),
    (rubbish_bundle_and_good_layer, "", ""),
    (strangers_bundle_and_good_layer, "", "hidden"),
    (good_bundle_and_rubbish_layer, "", ""),
    (good_layer_as_a_referrer, "", ""),
    (bundle_of_another_image, "NS-2102", ""),
]


@pytest.mark.parametrize(
    ("arrange", "code", "difference"), ARRANGEMENTS, ids=[each[0].__name__ for each in ARRANGEMENTS]
)
def test_what_is_found_beside_each_other_hides_nothing(court: Court, arrange: Any, code: str, difference: str) -> None:
    repository = f"p-256/{arrange.__name__.replace('_', '-')}"
    image = court.image(repository)
    arrange(court, repository, image)
    layout = REFERRER if arrange is good_layer_as_a_referrer else BUNDLE
    theirs = accepted(court, repository, image, "P-256", layout=layout)
    assert court.ours(repository, image) == code
    assert theirs is ((not code) != bool(difference))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_the_real_cosign_signs_where_the_registry_has_the_referrers_api_is_accepted(
    court: Court, layout: str, tmp_path: pathlib.Path
) -> None:
    repository = f"p-256/real-{layout}"
    image = court.image(repository)
    court.cosign.sign(court.named(repository, image), "-a", "env=prod", layout=layout)
    assert court.ours(repository, image) == "NS-2103"
    program = Program(tmp_path / "host")
    folder = configuration(tmp_path / "config", court.registry.host, ("P-256",))
    (folder / "P-256.pub").write_bytes(court.cosign.public.read_bytes())
    program.apply(folder)
    assert court._replace(program=program).ours(repository, image) == ""
    assert accepted(court, repository, image, "own", layout=layout)


def test_signature_over_the_manifest_itself_is_none(court: Court) -> None:
    """A bundle with a message's signature, right in every way: cosign takes none for an image, and neither do we."""
    image = court.image("p-256/message")
    signed = court.registry.contents("p-256/message").manifests[str(image.digest)].content
    signature = base64.b64encode(raw_signature(signed)).decode()
    digest = base64.b64encode(bytes.fromhex(image.digest.encoded)).decode()
    message = {"messageDigest": {"algorithm": "SHA2_256", "digest": digest}, "signature": signature}
    court.put("p-256/message", image, bundle(statement(image), dsseEnvelope=None, messageSignature=message))
    refused = court.cosign.refusal(court.named("p-256/message", image), key=court.folder / "P-256.pub")
    assert "bundle does not contain a DSSE envelope" in refused
    assert court.ours("p-256/message", image) == "NS-2005"
    file, held = court.folder / "manifest", court.folder / "message.bundle"
    file.write_bytes(signed)
    held.write_bytes(bundle(statement(image), dsseEnvelope=None, messageSignature=message).content)
    words = ("--bundle", str(held), "--key", str(court.folder / "P-256.pub"), "--insecure-ignore-tlog", str(file))
    court.cosign.run("verify-blob", *words)  # for a file it is one


@pytest.mark.parametrize("kind", WEAK)
def test_key_that_cosign_takes_and_that_is_too_weak_is_refused_when_it_is_configured(
    court: Court, kind: str, tmp_path: pathlib.Path
) -> None:
    repository = f"weak/{kind.lower()}"
    image = court.image(repository)
    court.put(repository, image, [layer(payload(image), kind)])
    assert accepted(court, repository, image, kind)
    done = court.program.person("config", "check", str(configuration(tmp_path / "config", "r.example", (kind,))))
    assert done.code == 3
    assert "P-256, P-384, P-521, RSA of 2048 to 4096 bits or Ed25519" in done.out + done.err


def test_every_difference_is_written_down_and_shown() -> None:
    document = pathlib.Path(__file__).parents[2] / "docs" / "cosign.md"
    deviations = document.read_text().partition("## Deviations on purpose")[2]
    shown = {case.difference for case in CASES} | {difference for _, _, difference in ARRANGEMENTS}
    assert shown - {""} == set(DIFFERENCES)
    for words in DIFFERENCES.values():
        assert f"| {words}" in deviations, words
