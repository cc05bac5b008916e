"""The same attestation before the real `cosign verify-attestation` and before Nodeseal, as containerd calls it.

What the real `cosign attest` made is accepted; what is made here is, property by property, judged by both.  Where the
two differ, `DIFFERENCES` says why, in the words of docs/attestations.md; any other difference fails.
"""

import base64
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from agent.formats.attestation import LAYERS_TYPE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from tests.frozen.program import Program
from tests.real.cosigned import ATTESTATIONS, Court, repository_of, rule, write_rules
from tests.signing_cosign import (
    PROVENANCE,
    Layer,
    attestation,
    bundle,
    envelope,
    manifest,
    public_pem,
    statement,
)
from tests.simulators.registry import RegistrySimulator
from tests.testbed.cosign import BUNDLE, TAG, Cosign
from tests.testbed.nodes import tools_or_skip

pytestmark = pytest.mark.real

OTHER = str(Digest.of(b"another image"))
SPDX = "https://spdx.dev/Document"
KIND = "slsaprovenance1"

DIFFERENCES = {
    "media type": "a layer must be of the media type that it has",
    "statement type": "a statement of an unknown `_type` is refused",
    "unknown member": "an unknown member of a statement is passed over",
    "hidden": "a bundle hides no older attestation",
    "experimental": "a referrer with layers is read",
}
"""Where the two differ on purpose: by name, the words of docs/attestations.md under "Deviations on purpose"."""

Making = Callable[[Descriptor], "list[Layer] | Layer"]


class Case(NamedTuple):
    """One property.

    `make` gives layers of cosign's tag, or one bundle, for an image; `code` is our reason, empty if it is let in;
    `difference` is a key of `DIFFERENCES` where `cosign` says the opposite.
    """

    name: str
    make: Making
    code: str = ""
    difference: str = ""


def about(image: Descriptor, **digest: str) -> bytes:
    """An attestation of another thing and, if `digest` has one, of that with these digests."""
    return attestation(image, subject=[{"name": "a", "digest": {"sha256": OTHER[7:]}}, {"name": "b", "digest": digest}])


def swapped(image: Descriptor) -> list[Layer]:
    """A right signature of another statement."""
    made = envelope(attestation(OTHER))
    value = json.loads(made.content) | {"payload": base64.b64encode(attestation(image)).decode()}
    return [made._replace(content=json.dumps(value).encode())]


V01 = "https://in-toto.io/Statement/v0.1"
STRANGER, OURS = ("P-256", 1), ("P-256", 0)

CASES = [
    Case("layer", lambda i: [envelope(attestation(i))]),
    Case("bundle", lambda i: bundle(attestation(i))),
    Case("layer v0.1", lambda i: [envelope(attestation(i, _type=V01))]),
    Case("bundle v0.1", lambda i: bundle(attestation(i, _type=V01))),
    Case("layer second subject", lambda i: [envelope(about(i, sha256=i.digest.encoded))]),
    Case("bundle second subject", lambda i: bundle(about(i, sha256=i.digest.encoded))),
    Case("layer other subject", lambda i: [envelope(attestation(OTHER))], "NS-2102"),
    Case("bundle other subject", lambda i: bundle(attestation(OTHER)), "NS-2102"),
    Case("layer no subject", lambda i: [envelope(attestation(i, subject=[]))], "NS-2002"),
    Case("bundle no subject", lambda i: bundle(attestation(i, subject=[])), "NS-2002"),
    Case("layer payload type", lambda i: [envelope(attestation(i), payload_type="text/plain")], "NS-2005"),
    Case("bundle payload type", lambda i: bundle(attestation(i), payload_type="text/plain"), "NS-2005"),
    Case("layer other key", lambda i: [envelope(attestation(i), STRANGER)], "NS-2103"),
    Case("bundle other key", lambda i: bundle(attestation(i), "P-256", 1), "NS-2103"),
    Case("layer payload swapped", swapped, "NS-2103"),
    Case("layer other type", lambda i: [envelope(attestation(i, predicateType=SPDX))], "NS-2115"),
    Case("bundle other type", lambda i: bundle(attestation(i, predicateType=SPDX)), "NS-2115"),
    Case("bundle signature", lambda i: bundle(statement(i)), "NS-2115"),
    Case("layer annotation lies", lambda i: [envelope(attestation(i, predicateType=SPDX),
         beside={"predicateType": PROVENANCE, "dev.cosignproject.cosign/signature": ""})], "NS-2115"),
    Case("layer media type", lambda i: [envelope(attestation(i), media_type="application/octet-stream")], "NS-2005",
         "media type"),
    Case("layer not JSON", lambda i: [envelope(b"not JSON")], "NS-2002"),
    Case("layers bad and good", lambda i: [*(envelope(attestation(OTHER), STRANGER) for _ in range(9)),
         envelope(attestation(i))]),
    Case("layers other type and good", lambda i: [envelope(attestation(i, predicateType=SPDX)),
         envelope(attestation(i))]),
    Case("layer two signatures", lambda i: [envelope(attestation(i), STRANGER, OURS)]),
    Case("bundle statement type", lambda i: bundle(attestation(i, _type="x")), "NS-2002", "statement type"),
    Case("bundle unknown member", lambda i: bundle(attestation(i, more=1)), "", "unknown member"),
]  # fmt: skip


def accepted(court: Court, repository: str, image: Descriptor) -> bool:
    """Whether `cosign` accepts it."""
    return court.cosign.accepts_attestation(court.named(repository, image), KIND, key=court.folder / "made.pub")


REGO = f"""package ratify.policy
default valid := false
valid {{
  found := input.verifierReports[_].verifierReports[_]
  found.isSuccess
  found.extensions.predicateType == "{PROVENANCE}"
  found.extensions.attestations[_].predicate.runDetails.builder.id == "builder"
}}
"""


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    """In session for all cases: what is made here by one key, what the real cosign makes by another."""
    found, folder = tools_or_skip(), tmp_path_factory.mktemp("court")
    with RegistrySimulator() as registry:
        cosign = Cosign.here(found, folder, "own")
        configuration = folder / "config"
        configuration.mkdir()
        for name, pem in (("made", public_pem()), ("real", cosign.public.read_bytes())):
            (configuration / f"{name}.pub").write_bytes(pem)
            (folder / f"{name}.pub").write_bytes(pem)
        (configuration / "built.rego").write_text(REGO)
        kinds = {"made": ("made", KIND), "real": ("real", KIND), "sbom": ("real", "spdxjson"), "signed": ("real", "")}
        verifiers = [
            {"name": name, "keys": [f"{key}.pub"]}
            | ({"type": "attestation", "predicateType": kind} if kind else {"type": "cosign"})
            for name, (key, kind) in kinds.items()
        ]
        host = registry.host
        rules = [
            rule(host, "made", {"any": ["made"]}, "made"),
            rule(host, "real", {"any": ["real"]}, "real"),
            rule(host, "all", {"all": ["real", "sbom", "signed"]}, "real", "sbom", "signed"),
            rule(host, "rego", "built.rego", "real"),
        ]
        write_rules(configuration, verifiers, rules)
        program = Program(folder / "host")
        program.apply(configuration)
        yield Court(registry, program, cosign, folder)


def predicate(court: Court, builder: str = "builder") -> pathlib.Path:
    """How something was built."""
    path = court.folder / f"{builder}.json"
    path.write_text(json.dumps({"buildDefinition": {"buildType": "x"}, "runDetails": {"builder": {"id": builder}}}))
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_say_the_same_but_for_what_is_written_down(court: Court, case: Case) -> None:
    repository = repository_of("made", case.name)
    image = court.image(repository)
    court.put(repository, image, case.make(image), under=ATTESTATIONS)
    assert court.ours(repository, image) == case.code
    assert accepted(court, repository, image) is ((not case.code) != bool(case.difference)), (
        "what cosign says has changed: correct docs/attestations.md"
    )


def test_bundle_hides_no_older_attestation(court: Court) -> None:
    image = court.image("made/hidden")
    court.put("made/hidden", image, bundle(attestation(image), "P-256", 1))
    court.put("made/hidden", image, [envelope(attestation(image))], under=ATTESTATIONS)
    assert court.ours("made/hidden", image) == ""
    assert not accepted(court, "made/hidden", image)


@pytest.mark.parametrize("layout", [BUNDLE, TAG])
def test_what_the_real_cosign_attests_is_accepted_and_counts_for_what_it_says(court: Court, layout: str) -> None:
    """Wanted alone, beside another type and a signature, and by a program that reads the predicate."""
    cosign = court.cosign
    images = {name: court.image(f"{name}/real-{layout}") for name in ("real", "made", "all", "rego")}
    named = {name: court.named(f"{name}/real-{layout}", image) for name, image in images.items()}

    def answer(name: str) -> str:
        court.program.forget()
        return court.ours(f"{name}/real-{layout}", images[name])

    for name in ("real", "made", "all"):
        cosign.attest(named[name], predicate(court), layout=layout)
    cosign.attest(named["rego"], predicate(court, "another"), layout=layout)
    assert {name: answer(name) for name in ("real", "made", "rego")} == {
        "real": "",
        "made": "NS-2103",
        "rego": "NS-2006",
    }
    assert cosign.accepts_attestation(named["real"], KIND)
    assert answer("all") != ""
    cosign.sign(named["all"], layout=layout)
    assert answer("all") == "NS-2115"
    (court.folder / "sbom.json").write_text(json.dumps({"spdxVersion": "SPDX-2.3", "packages": []}))
    cosign.attest(named["all"], court.folder / "sbom.json", kind="spdxjson", layout=layout)
    assert answer("all") == ""
    cosign.attest(named["rego"], predicate(court), layout=layout)
    words = (
        "verify",
        "--root",
        str(court.program.root),
        "--format",
        "json",
        f"{court.registry.host}/rego/real-{layout}:1",
    )
    report = json.loads(court.program.person(*words).out)
    found = [outcome["extensions"] for item in report["verifierReports"] for outcome in item["verifierReports"]]
    said = [each["predicate"]["runDetails"]["builder"]["id"] for one in found for each in one["attestations"]]
    assert report["isSuccess"], report
    assert {each["predicateType"] for each in found} == {PROVENANCE}
    assert sorted(said) == ["another", "builder"]


def test_layers_as_a_referrer_are_read(court: Court) -> None:
    image, one = court.image("made/referrer"), envelope(attestation(OTHER))
    good = envelope(attestation(image))
    for each in (one, good):
        court.registry.push_blob("made/referrer", each.content)
    court.registry.push_manifest("made/referrer", manifest([one, good], image, artifact_type=LAYERS_TYPE))
    assert court.ours("made/referrer", image) == ""
    assert not accepted(court, "made/referrer", image)


def test_every_difference_is_written_down_and_shown() -> None:
    document = pathlib.Path(__file__).parents[2] / "docs" / "attestations.md"
    deviations = document.read_text().partition("## Deviations on purpose")[2]
    assert {case.difference for case in CASES} - {""} | {"hidden", "experimental"} == set(DIFFERENCES)
    for words in DIFFERENCES.values():
        assert f"| {words}" in deviations, words
