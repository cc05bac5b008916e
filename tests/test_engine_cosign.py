"""How cosign's evidence is found, on a registry in memory: by tags, referrers and both; none hides another."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from agent.config.config import StoreSettings, VerifierSettings
from agent.errors import Cause, Code, DigestMismatch, Malformed, Unavailable
from agent.formats.cosign import BUNDLE_TYPE, LEGACY_TYPE, CosignFormat
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import EMPTY_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST
from agent.model.verdict import Decision, Verdict
from agent.rules.rule import PolicySettings
from tests.formats.cosigned import KeyDocuments
from tests.formats.support import SUBJECT
from tests.signing import ARTIFACT_TYPE
from tests.signing_cosign import (
    Layer,
    bundle,
    bundle_manifest,
    layer,
    manifest,
    payload,
    public_pem,
    referrer_manifest,
    statement,
)
from tests.test_engine import STRANGER, TRUSTED, UNREACHABLE, MemoryRegistry
from tests.test_engine_nested import Tree, ratifys, rego, verdict
from tests.test_engine_nested import verifier as notation

TAG = f"sha256-{SUBJECT.digest.encoded}.sig"
OTHER = Descriptor(IMAGE_MANIFEST, Digest.of(b"another image"), 99)


class Cosigned(MemoryRegistry):
    """A registry in memory with cosign's ways of storing."""

    def put(self, raw: bytes, *layers: Layer) -> Descriptor:
        """Store a manifest and its layers."""
        for each in layers:
            self.content[str(Digest.of(each.content))] = each.content
        self.content[str(Digest.of(raw))] = raw
        return Descriptor(IMAGE_MANIFEST, Digest.of(raw), len(raw))

    def tag(self, *layers: Layer, subject: Descriptor | None = None) -> Descriptor:
        """Make layers what cosign's tag names."""
        self.tags[TAG] = self.put(manifest(layers, subject), *layers)
        return self.tags[TAG]

    def refer(self, *layers: Layer, subject: Descriptor = SUBJECT, said: str | None = "") -> Descriptor:
        """Make a bundle, or layers, a referrer; it is listed as of the type `said`, its own if that is empty."""
        is_bundle = "bundle" in layers[0].media_type
        raw = bundle_manifest(layers[0], subject) if is_bundle else referrer_manifest(layers, subject)
        kind = BUNDLE_TYPE if is_bundle else LEGACY_TYPE
        self.listed.append(self.put(raw, *layers)._replace(artifact_type=kind if said == "" else said))
        return self.listed[-1]


class Nested(Cosigned, Tree):
    """The same, which lists referrers by what they refer to."""


@pytest.fixture
def registry() -> Cosigned:
    return Cosigned()


def by_key(name: str = "cosign", number: int = 0, **options: Any) -> Any:
    """A verifier of our own that trusts one key, and its keys."""
    parsed = CosignFormat.parse({"keys": ["k.pub"], **options}, KeyDocuments({"k.pub": public_pem(number=number)}), "v")
    assert not parsed.problems
    return VerifierSettings(name, "cosign", CosignFormat.artifact_types, parsed.settings), dict(parsed.certificates)


def ratifys_verifier(*kinds: str, name: str = "cosign") -> Any:
    """Ratify's verifier with one key."""
    parsed = CosignFormat.parse({"key": "k.pub"}, KeyDocuments({"k.pub": public_pem()}), "v")
    assert not parsed.problems
    return VerifierSettings(name, "cosign", kinds or (LEGACY_TYPE,), parsed.settings), dict(parsed.certificates)


def ours(threshold: int, *of: str) -> PolicySettings:
    """The policy of a rule of our own."""
    return PolicySettings("nodeseal", {"threshold": threshold, "of": list(of)})


def of(registry: MemoryRegistry, *verifiers: Any, policy: PolicySettings | None = None, **options: Any) -> Verdict:
    """The verdict under `any` of the verifiers."""
    given = verifiers or (by_key(),)
    return verdict(registry, policy or ours(1, *(settings.name for settings, _ in given)), *given, **options)


def good_layer() -> Layer:
    """A signature of the image, older layout."""
    return layer(payload(SUBJECT))


def good_bundle() -> Layer:
    """A signature of the image, a bundle."""
    return bundle(statement(SUBJECT))


ALLOWED = (Decision.ALLOW, Code.VERIFIED)


def test_each_layout_is_found_where_it_lies() -> None:
    arrangements: list[Callable[[Cosigned], Descriptor]] = [
        lambda registry: registry.tag(good_layer()),
        lambda registry: registry.tag(good_layer(), subject=SUBJECT),
        lambda registry: registry.refer(good_bundle()),
        lambda registry: registry.refer(good_layer()),
    ]
    for arrange in arrangements:
        registry = Cosigned()
        where = arrange(registry)
        found = of(registry)
        assert (found.decision, found.code) == ALLOWED
        assert found.report is not None
        assert [each.digest for each in found.report.artifacts] == [where.digest]


@pytest.mark.parametrize("said", [EMPTY_CONFIG, None, "application/vnd.oci.image.config.v1+json", ARTIFACT_TYPE])
def test_index_behind_a_tag_may_lie_about_what_it_lists(registry: Cosigned, said: str | None) -> None:
    registry.reliable = False
    registry.refer(good_bundle(), said=said)
    assert of(registry).decision is Decision.ALLOW


@pytest.mark.parametrize("said", [EMPTY_CONFIG, None])
def test_type_that_tells_nothing_is_looked_into_whoever_lists_it(registry: Cosigned, said: str | None) -> None:
    registry.refer(good_bundle(), said=said)
    assert of(registry).decision is Decision.ALLOW


@pytest.mark.parametrize("said", [LEGACY_TYPE, EMPTY_CONFIG, None, "application/vnd.oci.image.config.v1+json"])
def test_what_a_tag_names_and_a_list_too_is_looked_at_once(registry: Cosigned, said: str | None) -> None:
    tagged = registry.tag(good_layer(), subject=SUBJECT)
    registry.listed.append(tagged._replace(artifact_type=said))
    found = of(registry)
    assert found.decision is Decision.ALLOW
    assert found.report is not None
    assert [each.artifact_type for each in found.report.artifacts] == [LEGACY_TYPE]
    assert registry.asked.count(str(tagged.digest)) == 1
    strange = of(registry, by_key("cosign", 1))  # of which none is enough, so that all are looked at
    assert strange.report is not None and len(strange.report.artifacts) == 1


def broken_bundle(registry: Cosigned) -> None:
    registry.refer(good_bundle()._replace(content=b"not JSON"))


def bundle_of_another_image(registry: Cosigned) -> None:
    registry.refer(bundle(statement(OTHER)))


def bundle_by_a_stranger(registry: Cosigned) -> None:
    registry.refer(bundle(statement(SUBJECT), "P-256", 1))


def attestation(registry: Cosigned) -> None:
    registry.refer(bundle(statement(SUBJECT, predicateType="https://slsa.dev/provenance/v1")))


def bundle_whose_bytes_are_others(registry: Cosigned) -> None:
    one = registry.refer(good_bundle())
    blob = json.loads(registry.content[str(one.digest)])["layers"][0]["digest"]
    registry.broken[blob] = DigestMismatch("other bytes")


def broken_layer(registry: Cosigned) -> None:
    registry.tag(good_layer()._replace(annotations=None))


def layer_of_another_image(registry: Cosigned) -> None:
    registry.tag(layer(payload(OTHER)))


def tag_of_an_index(registry: Cosigned) -> None:
    registry.tags[TAG] = registry.tag(good_layer())._replace(media_type=IMAGE_INDEX)


def tag_that_is_malformed(registry: Cosigned) -> None:
    registry.broken[f"tag {TAG}"] = Malformed("tag: rubbish")


def list_that_is_malformed(registry: Cosigned) -> None:
    registry.broken["listing"] = Malformed("referrers API: rubbish")


REFERRING = [
    (broken_bundle, Code.EVIDENCE_MALFORMED),
    (bundle_of_another_image, Code.SIGNATURE_OF_ANOTHER_IMAGE),
    (bundle_by_a_stranger, Code.SIGNER_NOT_TRUSTED),
    (attestation, Code.NO_SIGNATURE),
    (bundle_whose_bytes_are_others, Code.EVIDENCE_DIGEST),
    (list_that_is_malformed, Code.EVIDENCE_MALFORMED),
]
TAGGED = [
    (broken_layer, Code.EVIDENCE_MALFORMED),
    (layer_of_another_image, Code.SIGNATURE_OF_ANOTHER_IMAGE),
    (tag_of_an_index, Code.EVIDENCE_MALFORMED),
    (tag_that_is_malformed, Code.EVIDENCE_MALFORMED),
]


@pytest.mark.parametrize(("bad", "code"), REFERRING + TAGGED)
def test_what_was_found_and_is_unusable_is_told_and_is_not_called_unsigned(
    registry: Cosigned, bad: Callable[[Cosigned], None], code: Code
) -> None:
    bad(registry)
    found = of(registry)
    assert (found.decision, found.code) == (Decision.DENY, code)


@pytest.mark.parametrize("bad", [bad for bad, _ in REFERRING])
def test_bad_referrer_hides_no_tag_and_no_other_referrer(registry: Cosigned, bad: Callable[[Cosigned], None]) -> None:
    bad(registry)
    registry.tag(good_layer())
    assert of(registry).decision is Decision.ALLOW
    if bad is not list_that_is_malformed:
        del registry.tags[TAG]
        registry.refer(bundle(statement(SUBJECT), how="SHA-256", media_type=BUNDLE_TYPE))
        if bad is not bundle_whose_bytes_are_others:
            assert of(registry).decision is Decision.ALLOW


@pytest.mark.parametrize("bad", [bad for bad, _ in TAGGED])
def test_bad_tag_hides_no_referrer(registry: Cosigned, bad: Callable[[Cosigned], None]) -> None:
    bad(registry)
    registry.refer(good_bundle())
    assert of(registry).decision is Decision.ALLOW


def test_unsigned_image_is_unsigned(registry: Cosigned) -> None:
    found = of(registry)
    assert (found.decision, found.code) == (Decision.DENY, Code.NO_EVIDENCE)
    assert found.message.endswith("and 3 more types by referrers API and tag *.sig)")
    assert registry.asked == ["listing", f"tag {TAG}"]


@pytest.mark.parametrize("cause", [Cause.REGISTRY_UNAVAILABLE, Cause.UNAUTHORIZED, Cause.THROTTLED, Cause.DEADLINE])
@pytest.mark.parametrize("place", ["listing", f"tag {TAG}"])
def test_place_that_nobody_answers_for_is_no_silence(registry: Cosigned, place: str, cause: Cause) -> None:
    registry.broken[place] = Unavailable("no answer", cause=cause)
    found = of(registry)
    assert (found.decision, found.causes) == (Decision.CANNOT_TELL, (cause,))
    broken_bundle(registry)
    broken_layer(registry)
    assert of(registry).decision is Decision.CANNOT_TELL


def test_what_another_place_holds_is_enough_if_one_does_not_answer(registry: Cosigned) -> None:
    registry.refer(good_bundle())
    registry.broken[f"tag {TAG}"] = UNREACHABLE
    assert of(registry).decision is Decision.ALLOW
    assert of(registry, policy=ratifys(default="all")).decision is Decision.CANNOT_TELL
    registry.listed.clear()
    registry.broken = {"listing": UNREACHABLE}
    registry.tag(good_layer())
    assert of(registry).decision is Decision.ALLOW


def test_signature_of_another_image_under_this_ones_tag_is_none(registry: Cosigned) -> None:
    registry.tag(layer(payload(OTHER)), subject=None)
    assert of(registry).code is Code.SIGNATURE_OF_ANOTHER_IMAGE
    assert of(registry, ratifys_verifier(), stores=[StoreSettings("oras", False, cosign_tags=True)]).code is (
        Code.SIGNATURE_OF_ANOTHER_IMAGE
    )


def test_referrer_must_point_here(registry: Cosigned) -> None:
    registry.refer(good_bundle(), subject=OTHER)
    registry.refer(good_layer(), subject=OTHER)
    assert of(registry).code is Code.SIGNATURE_OF_ANOTHER_IMAGE
    assert not {str(Digest.of(payload(SUBJECT))), str(Digest.of(statement(SUBJECT)))} & set(registry.asked)


# --- Ratify's switch, and what one is not asked for


def test_tags_are_looked_at_by_our_own_verifier_and_by_ratifys_if_the_store_says_so(registry: Cosigned) -> None:
    registry.tag(good_layer())
    with_tags = [StoreSettings("oras", False, cosign_tags=True)]
    assert of(registry).decision is Decision.ALLOW
    assert of(registry, ratifys_verifier(), stores=with_tags).decision is Decision.ALLOW
    registry.asked.clear()
    assert of(registry, ratifys_verifier()).code is Code.NO_EVIDENCE
    assert registry.asked == ["listing"]


def test_ratifys_verifier_takes_what_its_artifact_types_name(registry: Cosigned) -> None:
    registry.refer(good_bundle())
    assert of(registry, ratifys_verifier()).code is Code.NO_EVIDENCE
    assert of(registry, ratifys_verifier(LEGACY_TYPE, BUNDLE_TYPE)).decision is Decision.ALLOW
    assert of(registry, ratifys_verifier("*"), policy=ratifys(default="all")).decision is Decision.ALLOW


def test_verifier_that_looks_at_bundles_alone_asks_for_no_tag(registry: Cosigned) -> None:
    registry.tag(good_layer())
    settings, keys = by_key()
    assert of(registry, (settings._replace(artifact_types=(BUNDLE_TYPE,)), keys)).code is Code.NO_EVIDENCE
    assert registry.asked == ["listing"]


def test_program_sees_tags_and_bundles() -> None:
    registry = Nested()
    registry.tag(good_layer())
    registry.refer(good_bundle())
    text = f"""package ratify.policy
default valid := false
good[kind] {{ report := input.verifierReports[_]; report.verifierReports[_].isSuccess; kind := report.artifactType }}
valid {{ good["{BUNDLE_TYPE}"]; good["{LEGACY_TYPE}"] }}
"""
    assert of(registry, policy=rego(text)).decision is Decision.ALLOW
    registry.tags.clear()
    assert of(registry, policy=rego(text)).decision is Decision.DENY


def test_layer_that_nobody_answers_for_is_a_doubt_and_no_denial(registry: Cosigned) -> None:
    one, two = good_layer(), layer(payload(SUBJECT, optional={"a": "b"}))
    registry.tag(one, two)
    registry.broken[str(Digest.of(one.content))] = UNREACHABLE
    assert of(registry).decision is Decision.ALLOW
    registry.broken[str(Digest.of(two.content))] = UNREACHABLE
    found = of(registry)
    assert (found.decision, found.causes) == (Decision.CANNOT_TELL, (Cause.REGISTRY_UNAVAILABLE,))
    registry.broken = {str(Digest.of(each.content)): DigestMismatch("other bytes") for each in (one, two)}
    assert of(registry).code is Code.EVIDENCE_DIGEST


# --- images that several kinds of signature are on


@pytest.mark.parametrize(
    ("by_notation", "by_cosign", "any_of", "all_of"),
    [
        (TRUSTED, True, True, True),
        (TRUSTED, False, True, False),
        (STRANGER, True, True, False),
        (STRANGER, False, False, False),
    ],
    ids=["both", "notation", "cosign", "neither"],
)  # fmt: skip
@pytest.mark.parametrize("layout", [Cosigned.tag, Cosigned.refer])
def test_image_with_signatures_of_two_kinds(
    registry: Cosigned, by_notation: Any, by_cosign: bool, any_of: bool, all_of: bool, layout: Any
) -> None:
    registry.sign(by_notation)
    said = payload(SUBJECT)
    layout(registry, layer(said) if by_cosign else layer(said, "P-256", 1))
    both = (notation("notation"), by_key(), by_key("spare", 2))
    for policy, allowed in (
        (ours(1, "notation", "cosign"), any_of),
        (ours(2, "notation", "cosign"), all_of),
        (ours(2, "notation", "cosign", "spare"), all_of),
        (ours(1, "spare"), False),
        (ratifys(**{ARTIFACT_TYPE: "any", LEGACY_TYPE: "any"}), all_of),
        (ratifys(default="all"), all_of),
    ):
        found = of(registry, *both, policy=policy).decision
        assert found is (Decision.ALLOW if allowed else Decision.DENY), policy


def test_tag_hides_no_referrer_from_those_who_look_for_its_type(registry: Cosigned) -> None:
    registry.sign(TRUSTED)
    registry.refer(good_layer())
    both = (notation("notation"), by_key())
    policies = (ratifys(**{ARTIFACT_TYPE: "all", LEGACY_TYPE: "any"}), ours(2, "notation", "cosign"))
    assert [of(registry, *both, policy=each).decision for each in policies] == [Decision.ALLOW] * 2
    registry.tags[TAG] = registry.listed[0]._replace(artifact_type=None)
    assert [of(registry, *both, policy=each).decision for each in policies] == [Decision.ALLOW] * 2
    registry.sign(STRANGER)
    assert of(registry, *both, policy=policies[0]).decision is Decision.DENY
    registry.tags[TAG] = registry.listed[-1]._replace(artifact_type=None)
    assert of(registry, *both, policy=policies[0]).decision is Decision.DENY


def test_two_keys_under_a_threshold_count_once_each(registry: Cosigned) -> None:
    said = payload(SUBJECT)
    registry.tag(layer(said), layer(said, "P-256", 2))
    registry.refer(good_bundle())
    three = (by_key("a"), by_key("b", 1), by_key("c", 2))
    assert of(registry, *three, policy=ours(2, "a", "b", "c")).decision is Decision.ALLOW
    assert of(registry, *three, policy=ours(3, "a", "b", "c")).decision is Decision.DENY
    assert of(registry, *three, policy=ours(2, "a", "b")).decision is Decision.DENY
