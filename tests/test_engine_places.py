"""Where evidence may lie: under a tag of cosign's, in another repository, in several stores."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agent.adapters.union import UnionRegistry
from agent.config.config import StoreSettings, VerifierSettings
from agent.errors import Cause, Code, Malformed, Unavailable
from agent.formats.cosign import BUNDLE_TYPE, CosignFormat
from agent.formats.notation import NotationFormat
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.manifest import COSIGN_SIGNATURE, IMAGE_MANIFEST
from agent.model.reference import Repository
from agent.model.verdict import Decision
from tests.formats.cosigned import KeyDocuments
from tests.formats.support import SUBJECT, GivenDocuments
from tests.signing import ARTIFACT_TYPE, trust_policy
from tests.signing_cosign import bundle, bundle_manifest, public_pem, statement
from tests.test_engine import TRUSTED, UNREACHABLE
from tests.test_engine_nested import SIGNED_SBOM, Tree, decided, ratifys, registry, rego, verdict, verifier

__all__ = ["registry"]


def test_evidence_may_lie_in_another_repository(registry: Tree) -> None:
    asked: list[str] = []

    class Elsewhere(Tree):
        async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
            asked.append(str(repository))
            return await super().referrers(repository, subject, artifact_types)

    elsewhere = Elsewhere()
    elsewhere.sign(TRUSTED)
    found = verdict(elsewhere, ratifys(), verifier("v"), evidence_repository="registry.example.com/signatures")
    assert found.decision is Decision.ALLOW
    assert asked == ["registry.example.com/signatures"]


def _scoped_notation(scope: str, registry: Tree, subject: Descriptor) -> Any:
    """A verifier whose trust policy is for one repository, with its evidence of `subject` in the registry."""
    registry.sign(TRUSTED, subject)
    options = {"verificationCerts": ["x"], "trustPolicyDoc": trust_policy(registryScopes=[scope])}
    parsed = NotationFormat.parse(options, GivenDocuments(TRUSTED.root_pem), "v")
    return VerifierSettings("v", "notation", (ARTIFACT_TYPE,), parsed.settings), dict(parsed.certificates)


def _scoped_cosign(scope: str, registry: Tree, subject: Descriptor) -> Any:
    """The same of Ratify's cosign."""
    one = bundle(statement(subject))
    raw = bundle_manifest(one, subject)
    registry.content |= {str(Digest.of(each)): each for each in (one.content, raw)}
    registry.listed.append(Descriptor(IMAGE_MANIFEST, Digest.of(raw), len(raw), artifact_type=BUNDLE_TYPE))
    policy = {"name": "p", "scopes": [scope], "keys": [{"file": "k.pub"}], "tLogVerify": False}
    parsed = CosignFormat.parse({"trustPolicies": [policy]}, KeyDocuments({"k.pub": public_pem()}), "v")
    return VerifierSettings("v", "cosign", (BUNDLE_TYPE,), parsed.settings), dict(parsed.certificates)


@pytest.mark.parametrize("make", [_scoped_notation, _scoped_cosign])
def test_scopes_name_the_images_repository_wherever_its_evidence_lies(
    registry: Tree, make: Callable[[str, Tree, Descriptor], Any]
) -> None:
    sbom, elsewhere = registry.attach(), "registry.example.com/signatures"
    for scope, decision in (("registry.example.com/shop/cart", Decision.ALLOW), (elsewhere, Decision.DENY)):
        del registry.listed[1:]
        signed = make(scope, registry, sbom)
        found = verdict(registry, rego(SIGNED_SBOM), signed, evidence_repository=elsewhere)
        assert found.decision is decision
        assert found.report is not None
        (artifact,) = found.report.artifacts
        assert [each.subject for each in artifact.nested] == [f"registry.example.com/shop/cart@{sbom.digest}"]


def cosign_tag() -> str:
    """The tag of the image's cosign signature."""
    return f"{SUBJECT.digest.algorithm}-{SUBJECT.digest.encoded}.sig"


@pytest.mark.parametrize("subject", [None, SUBJECT], ids=["without subject", "with subject"])
def test_what_cosigns_tag_names_counts_as_a_referrer(registry: Tree, subject: Descriptor | None) -> None:
    added = registry.sign(TRUSTED)
    registry.listed.clear()
    if subject is None:
        value = json.loads(registry.content.pop(str(added.digest)))
        del value["subject"]
        raw = json.dumps(value).encode()
        added = Descriptor(IMAGE_MANIFEST, Digest.of(raw), len(raw))
        registry.content[str(added.digest)] = raw
    registry.tags[cosign_tag()] = added._replace(artifact_type=None)
    tags = [StoreSettings("oras", False, cosign_tags=True)]
    looking = verifier("v", COSIGN_SIGNATURE)
    found = verdict(registry, ratifys(), looking, stores=tags)
    assert found.decision is Decision.ALLOW
    assert found.report is not None
    assert [each.artifact_type for each in found.report.artifacts] == [COSIGN_SIGNATURE]
    assert decided(registry, ratifys(), looking) == (Decision.DENY, Code.NO_EVIDENCE)
    assert f"tag {cosign_tag()}" in registry.asked


def test_tag_of_another_images_signature_is_no_evidence(registry: Tree) -> None:
    other = Descriptor(IMAGE_MANIFEST, Digest.of(b"another image"), 77)
    registry.tags[cosign_tag()] = registry.sign(TRUSTED, other)._replace(artifact_type=None)
    registry.listed.clear()
    tags = [StoreSettings("oras", False, cosign_tags=True)]
    assert decided(registry, ratifys(), verifier("v", COSIGN_SIGNATURE), stores=tags) == (
        Decision.DENY,
        Code.SIGNATURE_OF_ANOTHER_IMAGE,
    )
    envelopes = [digest for digest, content in registry.content.items() if b"payload" in content]
    assert not set(envelopes) & set(registry.asked)


def test_tag_is_not_asked_for_if_no_verifier_looks_at_its_type(registry: Tree) -> None:
    verdict(registry, ratifys(), verifier("v"), stores=[StoreSettings("oras", False, cosign_tags=True)])
    assert not any(each.startswith("tag ") for each in registry.asked)


@pytest.mark.parametrize(
    ("error", "decision"), [(UNREACHABLE, Decision.CANNOT_TELL), (Malformed("tag: rubbish"), Decision.DENY)]
)
def test_tag_that_can_not_be_asked_for_is_no_silence(registry: Tree, error: Exception, decision: Decision) -> None:
    registry.broken[f"tag {cosign_tag()}"] = error  # type: ignore[assignment]
    tags = [StoreSettings("oras", False, cosign_tags=True)]
    assert verdict(registry, ratifys(), verifier("v", COSIGN_SIGNATURE), stores=tags).decision is decision


def test_referrers_are_those_of_all_stores() -> None:
    empty, full = Tree(), Tree()
    full.sign(TRUSTED)
    empty.broken |= dict.fromkeys(full.content, Malformed("not here"))
    assert verdict(UnionRegistry([empty, full]), ratifys(), verifier("v")).decision is Decision.ALLOW
    assert verdict(UnionRegistry([full, empty]), ratifys(), verifier("v")).decision is Decision.ALLOW


def test_store_that_does_not_answer_leaves_a_gap() -> None:
    silent, full = Tree(), Tree()
    full.sign(TRUSTED)
    silent.broken["listing"] = UNREACHABLE
    assert verdict(UnionRegistry([silent, full]), ratifys(), verifier("v")).decision is Decision.CANNOT_TELL


def test_content_that_no_store_has_is_cannot_tell_if_one_did_not_answer() -> None:
    silent, without = Tree(), Tree()
    listed = silent.sign(TRUSTED)
    silent.broken[str(listed.digest)] = Unavailable("refused", cause=Cause.REGISTRY_UNAVAILABLE)
    without.broken[str(listed.digest)] = Malformed("not here")
    for order in ([silent, without], [without, silent]):
        assert verdict(UnionRegistry(order), ratifys(), verifier("v")).decision is Decision.CANNOT_TELL


def test_list_that_is_broken_in_one_store_is_a_defect() -> None:
    broken, full = Tree(), Tree()
    full.sign(TRUSTED)
    broken.defect = Malformed("referrers API: broken")
    strict = ratifys(default="all")
    for order in ([broken, full], [full, broken]):
        assert decided(UnionRegistry(order), strict, verifier("v")) == (Decision.DENY, Code.EVIDENCE_MALFORMED)


def test_types_are_believed_only_if_every_store_is_to_be_believed() -> None:
    by_tag, by_api = Tree(), Tree()
    by_tag.reliable = False
    hidden = by_tag.sign(TRUSTED)
    by_tag.listed[0] = hidden._replace(artifact_type="application/vnd.example.other")
    by_api.broken |= dict.fromkeys(by_tag.content, Malformed("not here"))
    for order in ([by_tag, by_api], [by_api, by_tag]):
        assert verdict(UnionRegistry(order), ratifys(), verifier("v")).decision is Decision.ALLOW
