"""How attestations are found and what comes of them beside signatures, on a registry in memory."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent.config.config import VerifierSettings
from agent.errors import Cause, Code, Exit, LimitExceeded, Unavailable
from agent.formats.attestation import LAYERS_TYPE, AttestationFormat
from agent.formats.cosign import MAX_BUNDLE_SIZE
from agent.judgement import Judgement
from agent.model.answer import Answer, Ground
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import EMPTY_CONFIG
from agent.model.reference import Repository
from agent.model.verdict import Decision, Verdict
from agent.modes import rendering
from agent.policies import ratifyreport
from agent.rules.rule import PolicySettings
from tests import signing_sigstore as sigstore
from tests.formats.cosigned import KeyDocuments
from tests.formats.support import SUBJECT
from tests.formats.test_attestation import I, keyed_bundle
from tests.signing_cosign import (
    PROVENANCE,
    Layer,
    attestation,
    bundle,
    envelope,
    layer,
    manifest,
    payload,
    public_pem,
    statement,
)
from tests.test_engine_cosign import ALLOWED, OTHER, Cosigned, Nested, by_key, ours
from tests.test_engine_nested import rego, verdict

SPDX = "https://spdx.dev/Document"
ATT = f"sha256-{SUBJECT.digest.encoded}.att"


def attested(name: str = "provenance", predicate_type: str = PROVENANCE, number: int = 0, **options: Any) -> Any:
    """A verifier of attestations that trusts one key, and its keys."""
    root = json.dumps(I.trusted_root()).encode()
    documents = KeyDocuments({"k.pub": public_pem(number=number), "trusted_root.json": root})
    parsed = AttestationFormat.parse({"keys": ["k.pub"], "predicateType": predicate_type, **options}, documents, "v")
    assert not parsed.problems
    settings = VerifierSettings(name, "attestation", AttestationFormat.artifact_types, parsed.settings)
    return settings, dict(parsed.certificates)


def tag(registry: Cosigned, *layers: Layer) -> Descriptor:
    """Make layers what cosign's tag for attestations names."""
    registry.tags[ATT] = registry.put(manifest(layers), *layers)
    return registry.tags[ATT]


def refer(registry: Cosigned, *layers: Layer) -> Descriptor:
    """Make layers a referrer, as cosign's experimental mode does."""
    raw = manifest(layers, SUBJECT, artifact_type=LAYERS_TYPE)
    registry.listed.append(registry.put(raw, *layers)._replace(artifact_type=LAYERS_TYPE))
    return registry.listed[-1]


def of(registry: Cosigned, *verifiers: Any, policy: PolicySettings | None = None) -> Verdict:
    """The verdict under `all` of the verifiers."""
    names = [settings.name for settings, _ in verifiers]
    return verdict(registry, policy or ours(len(names), *names), *verifiers)


def short(found: Verdict) -> tuple[Decision, Code]:
    """Its short form."""
    return found.decision, found.code


@pytest.mark.parametrize(
    "arrange",
    [
        lambda registry: tag(registry, envelope(attestation(SUBJECT))),
        lambda registry: refer(registry, envelope(attestation(SUBJECT))),
        lambda registry: registry.refer(bundle(attestation(SUBJECT))),
        lambda registry: registry.refer(bundle(attestation(SUBJECT)), said=EMPTY_CONFIG),
    ],
)
def test_each_layout_is_found_where_it_lies(arrange: Callable[[Cosigned], Descriptor]) -> None:
    registry = Cosigned()
    where = arrange(registry)
    found = of(registry, attested())
    assert short(found) == ALLOWED
    assert found.report is not None
    assert [each.digest for each in found.report.artifacts] == [where.digest]


def test_image_without_any_is_told_where_it_was_looked_for() -> None:
    found = of(Cosigned(), attested())
    assert short(found) == (Decision.DENY, Code.NO_EVIDENCE)
    assert found.message.endswith("by referrers API and tag *.att)")


def test_signature_and_attestation_are_each_wanted_and_neither_does_for_the_other() -> None:
    signed, built = bundle(statement(SUBJECT)), bundle(attestation(SUBJECT))
    for made, code in (
        ((signed, built), Code.VERIFIED),
        ((signed,), Code.PREDICATE_TYPE_DIFFERS),
        ((built,), Code.NO_SIGNATURE),
        ((signed, signed), Code.PREDICATE_TYPE_DIFFERS),
    ):
        registry = Cosigned()
        for each in made:
            registry.refer(each)
        found = of(registry, by_key("key"), attested())
        assert found.code is code
        assert (found.decision is Decision.ALLOW) is (code is Code.VERIFIED)


def test_what_a_verifier_does_not_look_for_is_neither_counted_nor_called_bad() -> None:
    registry = Cosigned()
    for each in (bundle(statement(SUBJECT)), bundle(attestation(SUBJECT))):
        registry.refer(each)
    found = of(registry, by_key("key"), attested())
    assert found.message.startswith("2 of 2 signatures verified by sha256:")
    answer = Answer(Exit.ALLOW, found.code, "shop", found.message, 7, Ground.VERIFIED)
    shown = rendering.as_text("x", Judgement(answer, found), "f" * 64, (), explain=False)
    assert (shown.count("\n  other    "), shown.count("\n  ok       "), shown.count("FAILED")) == (2, 2, 0)


def by_two(said: int = 2) -> tuple[Any, PolicySettings]:
    """A verifier that wants two different ones of three keys to have attested, and the policy of its rule."""
    pems = {f"{number}.pub": public_pem(number=number) for number in range(3)}
    options = {"keys": list(pems), "predicateType": PROVENANCE, "threshold": said}
    parsed = AttestationFormat.parse(options, KeyDocuments(pems), "v")
    assert not parsed.problems
    settings = VerifierSettings("provenance", "attestation", AttestationFormat.artifact_types, parsed.settings)
    signers = {"signers": {"provenance": said}} if said > 1 else {}
    return (settings, dict(parsed.certificates)), PolicySettings(
        "nodeseal", {"threshold": 1, "of": ["provenance"], **signers}
    )


@pytest.mark.parametrize(
    ("arrange", "signers"),
    [
        (lambda r: [r.refer(bundle(attestation(SUBJECT), number=each)) for each in (0, 2)], 2),
        (lambda r: tag(r, *(envelope(attestation(SUBJECT), ("P-256", each)) for each in (0, 9, 1))), 2),
        (lambda r: tag(r, envelope(attestation(SUBJECT), ("P-256", 0), ("P-256", 9), ("P-256", 2))), 2),
        (lambda r: [tag(r, envelope(attestation(SUBJECT))), r.refer(bundle(attestation(SUBJECT), number=1))], 2),
        (lambda r: tag(r, *[envelope(attestation(SUBJECT), ("P-256", 0), ("P-256", 0))] * 2), 1),
        (lambda r: [tag(r, envelope(attestation(SUBJECT))), r.refer(bundle(attestation(SUBJECT)))], 1),
        (lambda r: tag(r, envelope(attestation(SUBJECT), ("P-256", 0), ("P-256", 9))), 1),
        (lambda r: [tag(r, envelope(attestation(SUBJECT))), r.refer(bundle(statement(SUBJECT), number=1))], 1),
        (lambda r: [tag(r, envelope(attestation(SUBJECT))), r.refer(bundle(attestation(OTHER), number=1))], 1),
    ],
)
def test_different_signers_of_attestations_are_counted_wherever_they_lie(
    arrange: Callable[[Cosigned], object], signers: int
) -> None:
    registry = Cosigned()
    arrange(registry)
    verifier, policy = by_two()
    found = of(registry, verifier, policy=policy)
    if signers == 2:
        assert short(found) == ALLOWED
        return
    assert found.decision is Decision.DENY
    if found.code is Code.POLICY_NOT_SATISFIED:  # nothing else is wrong
        assert found.message.endswith("provenance found 1 of 2 different signers")
    one, usual = by_two(1)
    assert short(of(registry, one, policy=usual)) == ALLOWED


def test_signer_of_an_attestation_that_nobody_answers_for_may_be_the_one_that_is_missing() -> None:
    registry, (verifier, policy) = Cosigned(), by_two()
    gone = envelope(attestation(SUBJECT, predicate=1), ("P-256", 1))
    tag(registry, envelope(attestation(SUBJECT)), gone)
    assert short(of(registry, verifier, policy=policy)) == ALLOWED
    registry.broken[str(Digest.of(gone.content))] = Unavailable("no answer", cause=Cause.REGISTRY_UNAVAILABLE)
    assert of(registry, verifier, policy=policy).decision is Decision.CANNOT_TELL
    one, usual = by_two(1)
    assert short(of(registry, one, policy=usual)) == ALLOWED


def test_denial_tells_of_the_verifier_that_is_not_content() -> None:
    registry = Cosigned()
    registry.refer(bundle(statement(SUBJECT)))
    for number in range(4):  # whatever their order by digest
        registry.refer(bundle(attestation(SUBJECT, predicateType=SPDX, predicate=number)))
    found = of(registry, by_key("key"), attested())
    assert short(found) == (Decision.DENY, Code.PREDICATE_TYPE_DIFFERS)
    assert f"expected an attestation of the type {PROVENANCE}" in found.message


def test_older_layouts_of_both_lie_under_tags_of_their_own() -> None:
    registry = Cosigned()
    registry.tag(layer(payload(SUBJECT)))
    assert short(of(registry, by_key("key"), attested())) == (Decision.DENY, Code.POLICY_NOT_SATISFIED)
    tag(registry, envelope(attestation(SUBJECT)))
    assert short(of(registry, by_key("key"), attested())) == ALLOWED
    registry.tags[ATT], registry.tags[ATT[:-4] + ".sig"] = registry.tags[ATT[:-4] + ".sig"], registry.tags[ATT]
    assert of(registry, by_key("key"), attested()).decision is Decision.DENY


def test_two_types_are_two_requirements_and_any_valid_one_of_a_type_is_enough() -> None:
    registry = Cosigned()
    registry.refer(bundle(attestation(SUBJECT), "P-256", 1))
    registry.refer(bundle(attestation(OTHER)))
    registry.refer(bundle(attestation(SUBJECT)))
    both = (attested(), attested("sbom", SPDX))
    assert short(of(registry, attested())) == ALLOWED
    assert of(registry, *both).decision is Decision.DENY
    tag(
        registry,
        envelope(attestation(SUBJECT, predicateType="x:y")),
        envelope(attestation(SUBJECT, predicateType=SPDX)),
    )
    assert short(of(registry, *both)) == ALLOWED


def test_place_that_nobody_answers_for_is_not_known() -> None:
    registry = Cosigned()
    registry.broken[f"tag {ATT}"] = Unavailable("away", cause=Cause.REGISTRY_UNAVAILABLE)
    assert of(registry, attested()).decision is Decision.CANNOT_TELL
    registry.refer(bundle(attestation(SUBJECT)))
    assert short(of(registry, attested())) == ALLOWED


def test_several_verifiers_fetch_a_blob_once() -> None:
    registry = Cosigned()
    made = bundle(attestation(SUBJECT, predicateType=SPDX))
    where = registry.refer(made)
    of(registry, by_key("key"), attested(), attested("sbom", SPDX))
    blob = json.loads(registry.content[str(where.digest)])["layers"][0]["digest"]
    assert registry.asked.count(blob) == 1


class Strict(Cosigned):
    """A registry that heeds limits."""

    async def blob(self, repository: Repository, descriptor: Descriptor, limit: int) -> bytes:
        """As the real one."""
        if descriptor.size > limit:
            raise LimitExceeded(f"blob: got {descriptor.size} bytes; expected at most {limit}")
        return await super().blob(repository, descriptor, limit)


def test_what_is_too_large_for_one_verifier_and_not_for_another_stays_too_large() -> None:
    registry = Strict()
    registry.refer(bundle(attestation(SUBJECT, predicate="x" * MAX_BUNDLE_SIZE)))
    found = of(registry, attested(), by_key("key"))
    assert found.report is not None
    assert [(each.verifier, each.code) for each in found.report.outcomes] == [
        ("provenance", None),
        ("key", Code.EVIDENCE_LIMIT),
    ]


def test_verdict_ends_with_the_age_of_what_it_rests_on() -> None:
    registry, at = Cosigned(), sigstore.now() - timedelta(days=3)
    registry.refer(keyed_bundle(at=at))
    found = of(registry, attested(trustRoot="trusted_root.json", maximumAge="4d"))
    assert short(found) == ALLOWED
    assert found.usable_until == datetime.fromtimestamp(int(at.timestamp()), timezone.utc) + timedelta(days=4)
    old = of(registry, attested(trustRoot="trusted_root.json", maximumAge="2d"))
    assert short(old) == (Decision.DENY, Code.ATTESTATION_TOO_OLD)


POLICY = """package ratify.policy
default valid := false
valid {
  some i, j
  found := input.verifierReports[i].verifierReports[j]
  found.isSuccess
  found.verifierName == "provenance"
  found.extensions.predicateType == "https://slsa.dev/provenance/v1"
  found.extensions.attestations[_].predicate.runDetails.builder.id == "b"
}
"""


def test_program_sees_the_predicate_of_what_was_verified_and_of_nothing_else() -> None:
    evil = attestation(SUBJECT, predicate={"runDetails": {"builder": {"id": "evil"}}})
    for made, verified, allowed in (
        (bundle(attestation(SUBJECT)), True, True),
        (bundle(evil), True, False),
        (bundle(attestation(SUBJECT), "P-256", 1), False, False),
        (bundle(attestation(OTHER)), False, False),
    ):
        registry = Nested()
        registry.refer(made)
        found = of(registry, attested(), policy=rego(POLICY))
        assert (found.decision is Decision.ALLOW) is allowed
        assert found.report is not None
        told = json.dumps(ratifyreport.policy_input(found.report))
        assert ('"predicate"' in told) is verified
    registry = Nested()
    tag(registry, envelope(evil), envelope(attestation(SUBJECT)))
    assert of(registry, attested(), policy=rego(POLICY)).decision is Decision.ALLOW


@pytest.mark.parametrize("policy", [ours(1, "provenance"), rego(POLICY)])
def test_report_has_the_predicate_as_json(policy: PolicySettings) -> None:
    registry = Nested()
    registry.refer(bundle(attestation(SUBJECT)))
    found = of(registry, attested(), policy=policy)
    answer = Answer(Exit.ALLOW, found.code, "t", found.message, ground=Ground.VERIFIED)
    value = rendering.as_json("r.example/a@sha256:0", Judgement(answer, found), "", ())
    text = json.dumps(value["verifierReports"])
    assert '"predicate": {"runDetails": {"builder": {"id": "b"}}}' in text
