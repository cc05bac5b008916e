"""Images that the real cosign signed, or attested, without a key, or with one whose signatures a log keeps.

Nodeseal is asked as containerd asks it.  Sigstore's services are the tests' own, on this machine's loopback; cosign
itself verifies what it signed, and so does the Python package `sigstore`.
"""

import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from agent.model.descriptor import Descriptor
from tests import signing_sigstore as sigstore
from tests.conformance.rows import by_identity
from tests.frozen.program import Program
from tests.real.cosigned import Court, Served, rule, write_rules
from tests.signing_cosign import bundle, bundle_manifest, statement
from tests.simulators.registry import RegistrySimulator
from tests.simulators.responder import Responder
from tests.testbed.cosign import Cosign
from tests.testbed.nodes import tools_or_skip
from tests.testbed.sigstore_python import ACCEPTS, REFUSES, Question, ask

pytestmark = pytest.mark.real

INSTANCE = sigstore.Instance(8, host="127.0.0.1")
IDENTITY = {"issuer": sigstore.ISSUER, "subjectRegExp": "https://github.com/acme/app/.*"}
VERIFIERS: list[dict[str, Any]] = [
    {"name": "release", "type": "cosign", "identities": [IDENTITY]},
    {"name": "stamped", "type": "cosign", "identities": [IDENTITY], "timestamps": 1, "trustRoot": "trusted_root.json"},
    {"name": "other", "type": "cosign", "identities": [IDENTITY | {"subjectRegExp": "https://github.com/other/.*"}]},
    {"name": "elsewhere", "type": "cosign", "identities": [IDENTITY], "trustRoot": "elsewhere.json"},
    {"name": "logged", "type": "cosign", "keys": ["own.pub"], "trustRoot": "trusted_root.json"},
    {"name": "key", "type": "cosign", "keys": ["own.pub"]},
]

_YOUNG = {"type": "attestation", "predicateType": "slsaprovenance1", "maximumAge": "1h"}
ATTESTED: list[dict[str, Any]] = [
    {"name": "built", **_YOUNG, "identities": [IDENTITY]},
    {"name": "built-by-key", **_YOUNG, "keys": ["own.pub"], "trustRoot": "trusted_root.json"},
]


class Workshop(NamedTuple):
    """The court with rules for who signs, and services for those who sign."""

    court: Court
    served: Served

    def image(self, name: str) -> Descriptor:
        """An image in a repository of each verifier's, all with one digest."""
        for verifier in (*VERIFIERS, *ATTESTED):
            image = self.court.registry.push_image(f"{verifier['name']}/{name}", "1", salt=name)
        return image

    def sign(self, repository: str, image: Descriptor, *words: str, key: bool, verb: str = "sign") -> None:
        """Sign it, or `attest` something of it, with everything that the services give."""
        self.served.sign(self.court.named(repository, image), *words, key=key, verb=verb)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """In session for all tests."""
    found, folder = tools_or_skip(), tmp_path_factory.mktemp("workshop")
    config = folder / "config"
    config.mkdir()
    listener = socket.create_server(("127.0.0.1", 0))
    with RegistrySimulator() as registry, Responder(listener) as responder:
        cosign = Cosign.here(found, folder, "own")
        served = Served(cosign, responder, INSTANCE, folder)
        (config / "trusted_root.json").write_bytes(served.root.read_bytes())
        (config / "elsewhere.json").write_text(json.dumps(sigstore.instance(3).trusted_root()))
        (config / "own.pub").write_bytes(cosign.public.read_bytes())
        verifiers = [*VERIFIERS, *ATTESTED]
        names = [str(each["name"]) for each in verifiers]
        write_rules(config, verifiers, [rule(registry.host, name, {"any": [name]}, name) for name in names])
        program = Program(folder / "host")
        program.apply(config)
        yield Workshop(Court(registry, program, cosign, folder), served)


def test_image_signed_without_a_key_is_pulled_by_who_trusts_the_signer(workshop: Workshop) -> None:
    image = workshop.image("app")
    codes = {}
    for verifier in VERIFIERS:
        repository = f"{verifier['name']}/app"
        workshop.sign(repository, image, key=False)
        codes[verifier["name"]] = workshop.court.ours(repository, image)
    assert codes == {
        "release": "", "stamped": "", "other": "NS-2104", "elsewhere": "NS-2114", "logged": "NS-2103", "key": "NS-2103",
    }  # fmt: skip
    name = workshop.court.named("release/app", image)
    words = ("--trusted-root", str(workshop.served.root), "--use-signed-timestamps")
    signer = ("--certificate-identity", sigstore.SUBJECT, "--certificate-oidc-issuer", sigstore.ISSUER)
    workshop.court.cosign.run("verify", *words, *signer, "--allow-http-registry", name)
    shown = workshop.court.program.person(
        "verify", "--root", str(workshop.court.program.root), "--format", "json", name
    )
    assert shown.code == 0, shown.out
    assert sigstore.SUBJECT in shown.out and sigstore.ISSUER in shown.out


def test_image_signed_with_a_key_is_pulled_if_a_log_keeps_the_signature(workshop: Workshop) -> None:
    image = workshop.image("keyed")
    for name in ("logged", "key", "release"):
        workshop.sign(f"{name}/keyed", image, key=True)
    assert [workshop.court.ours(f"{name}/keyed", image) for name in ("logged", "key", "release")] == ["", "", "NS-2103"]
    quiet = workshop.image("quiet")
    for name in ("logged", "key"):
        workshop.court.cosign.sign(workshop.court.named(f"{name}/quiet", quiet))
    assert [workshop.court.ours(f"{name}/quiet", quiet) for name in ("logged", "key")] == ["NS-2114", ""]


def test_attestation_that_a_timestamp_proves_the_age_of_is_enough_where_an_age_is_asked_for(workshop: Workshop) -> None:
    image = workshop.image("attested")
    predicate = workshop.court.folder / "predicate.json"
    predicate.write_text('{"buildDefinition": {"buildType": "x"}, "runDetails": {"builder": {"id": "y"}}}')
    words = ("--type", "slsaprovenance1", "--predicate", str(predicate))
    for name, key in (("built", False), ("built-by-key", True), ("release", False), ("logged", True)):
        workshop.sign(f"{name}/attested", image, *words, key=key, verb="attest")
    names = ("built", "built-by-key", "release", "logged")
    codes = {name: workshop.court.ours(f"{name}/attested", image) for name in names}
    assert codes == {"built": "", "built-by-key": "", "release": "NS-2112", "logged": "NS-2112"}
    name = workshop.court.named("built/attested", image)
    shown = workshop.court.program.person("verify", "--root", str(workshop.court.program.root), "--explain", name)
    assert shown.code == 0, shown.out
    assert "expiry (enforce): known since " in shown.out


def test_evidence_of_another_image_is_none(workshop: Workshop) -> None:
    image, other = workshop.image("one"), workshop.image("two")
    workshop.sign("release/one", image, key=False)
    registry = workshop.court.registry
    made = sigstore.signed_envelope(INSTANCE.leaf(), statement(image))
    value = sigstore.bundle(made, [INSTANCE.first_entry(made.first_body())])
    layer = bundle(b"")._replace(content=json.dumps(value).encode())
    for subject in (image, other):
        registry.push_blob("release/two", layer.content)
        registry.push_manifest("release/two", bundle_manifest(layer, subject))
    assert workshop.court.ours("release/two", other) == "NS-2102"


def test_sigstore_says_the_same_of_everything_that_was_signed(workshop: Workshop) -> None:
    """By whom, and under which instance; what a key signed it does not read."""
    image = workshop.image("asked")
    workshop.sign("release/asked", image, key=False)
    workshop.sign("logged/asked", image, key=True)
    root, elsewhere = INSTANCE.trusted_root(), sigstore.instance(3).trusted_root()
    questions, expected = [], {}
    for repository, contents in workshop.court.registry.repositories.items():
        for digest, blob in contents.blobs.items():
            if b'"verificationMaterial"' not in blob:
                continue
            bundle_, name = json.loads(blob), f"{repository} {digest}"
            word = ACCEPTS if "certificate" in bundle_["verificationMaterial"] else REFUSES
            for label, question, says in (
                ("", Question(bundle_, root), word),
                (" of another instance", Question(bundle_, elsewhere), REFUSES),
                (" of another subject", Question(bundle_, root, subject=sigstore.SUBJECT + "x"), REFUSES),
                (" of another issuer", Question(bundle_, root, issuer=sigstore.ISSUER + "x"), REFUSES),
            ):
                questions.append((name + label, question))
                expected[name + label] = says
    _, opinions = ask(questions)
    assert set(expected.values()) == {ACCEPTS, REFUSES}
    assert {name: each.word for name, each in opinions.items()} == expected, opinions


def test_signature_over_the_manifest_itself_is_none(workshop: Workshop) -> None:
    """A message's signature, right in every way: `sigstore` takes it for a file, and cosign takes none for an image."""
    image, court = workshop.image("message"), workshop.court
    contents = court.registry.contents("release/message")
    signed = contents.manifests[str(image.digest)].content
    value = by_identity(INSTANCE, message=signed, logged=signed)
    court.put("release/message", image, bundle(b"")._replace(content=json.dumps(value).encode()))
    assert court.ours("release/message", image) == "NS-2005"
    signer = ("--certificate-identity", sigstore.SUBJECT, "--certificate-oidc-issuer", sigstore.ISSUER)
    words = ("--trusted-root", str(workshop.served.root), *signer, "--allow-http-registry")
    with pytest.raises(AssertionError, match="bundle does not contain a DSSE envelope"):
        court.cosign.run("verify", *words, court.named("release/message", image))
    _, opinions = ask([("file", Question(value, INSTANCE.trusted_root(), signed))])
    assert opinions["file"].word == ACCEPTS, opinions
