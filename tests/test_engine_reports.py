"""Reports beside signatures: conditions that an image meets or not, and never a ground for anything by themselves.

Whoever may push can attach a report that says nothing bad, so that an image which nobody signed stays one.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent.asking import MAX_LABOUR
from agent.errors import Cause, Code
from agent.formats.sbom import TAGGED_TYPE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.manifest import IMAGE_MANIFEST
from agent.model.outcome import Status
from agent.model.reference import Repository
from agent.model.verdict import Decision
from agent.rules.rule import PolicySettings
from tests.engines import OnTheSpot
from tests.formats.support import SUBJECT
from tests.reports import SARIF, SPDX, package, report_verifier, sarif, spdx
from tests.signing import ARTIFACT_TYPE, EMPTY_DIGEST, ENVELOPE_TYPE, signature_manifest
from tests.test_engine import STRANGER, TRUSTED, UNREACHABLE
from tests.test_engine_nested import Tree, decided, ratifys, rego, verdict, verifier

BAD = spdx(package("a", "1", "GPL-3.0-only"))
SBOM_TAG = f"sha256-{SUBJECT.digest.encoded}.sbom"
YES = "package ratify.policy\nvalid := true\n"
SBOM_POLICY = """package ratify.policy
import future.keywords.if
import future.keywords.in
default valid := false
valid if { some found in sboms; good(found) }
sboms := [found | found := input.verifierReports[_].verifierReports[_]; found.type == "sbom"]
good(found) if { found.isSuccess == true; startswith(found.extensions.creationInfo.created, "2026-") }
"""
ALLOWED, REFUSED = (Decision.ALLOW, Code.VERIFIED), (Decision.DENY, Code.CONTENT_REFUSED)
UNSIGNED, UNSIGNED_REPORT = (Decision.DENY, Code.EVIDENCE_UNSIGNED), (Decision.DENY, Code.NO_EVIDENCE)


class Reported(Tree):
    """A registry to which reports are attached.  `lists_everything`: as referrers of whatever it is asked about."""

    lists_everything = False

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
        """Those of the subject, as far as it is honest."""
        honest = await super().referrers(repository, subject, artifact_types)
        return honest._replace(descriptors=tuple(self.listed)) if self.lists_everything else honest

    def report(
        self, content: bytes, kind: str = SPDX, subject: Descriptor | None = SUBJECT, **manifest: Any
    ) -> Descriptor:
        """Something that refers to `subject`; listed, unless it refers to nothing."""
        config = {"mediaType": kind, "digest": EMPTY_DIGEST, "size": 2}
        if subject is None:
            return self._tagged(content, config)
        added = self.add(content, subject, config=config, **manifest)
        self.listed[-1] = added._replace(artifact_type=kind)
        return self.listed[-1]

    def _tagged(self, content: bytes, config: dict[str, Any]) -> Descriptor:
        """What cosign's tag for bills of materials names."""
        blob = Descriptor("text/spdx+json", Digest.of(content), len(content))
        raw = signature_manifest(blob, None, config=config)
        self.content |= {str(blob.digest): content, str(Digest.of(raw)): raw}
        self.tags[SBOM_TAG] = Descriptor(IMAGE_MANIFEST, Digest.of(raw), len(raw))
        return self.tags[SBOM_TAG]


@pytest.fixture
def registry() -> Reported:
    """An empty one."""
    return Reported()


def signatures() -> Any:
    """What verifies signatures."""
    return verifier("signature", ARTIFACT_TYPE)


def sboms(**options: Any) -> Any:
    """What verifies bills of materials; GPL-3.0-only is not allowed."""
    return report_verifier("sbom", **{"disallowedLicenses": ["GPL-3.0-only"], **options})


# --- whoever may push attaches a report


@pytest.mark.parametrize("default", ["any", "all"])
@pytest.mark.parametrize("first", ["sbom", "signature"])
def test_report_is_no_ground_under_ratifys_policy(registry: Reported, default: str, first: str) -> None:
    registry.report(spdx())
    both = [sboms(), signatures()] if first == "sbom" else [signatures(), sboms()]
    found = verdict(registry, ratifys(default=default), *both)
    assert (found.decision, found.code) == UNSIGNED
    assert found.message == (
        "nobody who is trusted signed anything: whoever may push could have attached what sbom passed"
    )
    assert decided(registry, ratifys(default=default), sboms()) == UNSIGNED


def test_report_is_no_ground_where_its_type_is_all_that_is_demanded(registry: Reported) -> None:
    registry.report(spdx())
    assert decided(registry, ratifys(**{SPDX: "all"}), sboms(), signatures()) == UNSIGNED


def test_report_is_no_ground_under_a_program_that_says_yes(registry: Reported) -> None:
    registry.report(spdx())
    assert decided(registry, rego(YES), sboms(), signatures()) == UNSIGNED
    lenient = "package ratify.policy\nvalid { input.verifierReports[_].verifierReports[_].isSuccess }\n"
    assert decided(registry, rego(lenient), sboms(), signatures()) == UNSIGNED


def test_report_is_no_ground_under_rules_of_our_own(registry: Reported) -> None:
    registry.report(spdx())
    either = PolicySettings("nodeseal", {"threshold": 1, "of": ["sbom", "signature"]})
    assert decided(registry, either, sboms(), signatures()) == UNSIGNED
    both = PolicySettings("nodeseal", {"threshold": 2, "of": ["sbom", "signature"]})
    registry.sign(TRUSTED)
    assert decided(registry, both, sboms(), signatures()) == ALLOWED
    assert decided(registry, either, sboms(), signatures()) == ALLOWED, "a report that is enough hides no signature"


def test_report_on_a_report_is_no_ground_either(registry: Reported) -> None:
    sbom = registry.report(spdx())
    registry.report(spdx(name="of the SBOM"), subject=sbom)
    for policy in (ratifys(default="any"), rego(YES)):
        assert decided(registry, policy, sboms(), signatures()) == UNSIGNED
        assert verdict(registry, policy, sboms(nested=True), signatures()).decision is Decision.DENY


def test_rule_may_leave_it_to_a_program_that_a_report_is_enough(registry: Reported) -> None:
    registry.report(spdx())
    found = verdict(registry, rego(YES), sboms(), signatures(), allow_without_evidence=True)
    assert (found.decision, found.code) == (Decision.ALLOW, Code.NOT_VERIFIED)


# --- a report is a condition


@pytest.mark.parametrize("default", ["any", "all"])
@pytest.mark.parametrize("first", ["signed", "reported"])
def test_signed_image_with_a_bad_report_is_denied_in_whatever_order(
    registry: Reported, default: str, first: str
) -> None:
    if first == "signed":
        registry.sign(TRUSTED)
    registry.report(BAD)
    if first == "reported":
        registry.sign(TRUSTED)
    assert decided(registry, ratifys(default=default), signatures(), sboms()) == REFUSED
    assert decided(registry, ratifys(default=default), signatures()) == ALLOWED


def test_signed_image_with_a_good_report_is_allowed_by_its_signature(registry: Reported) -> None:
    registry.report(spdx())
    registry.sign(TRUSTED)
    found = verdict(registry, ratifys(default="all"), sboms(), signatures())
    assert (found.decision, found.code) == ALLOWED
    assert found.message.startswith("1 of 1 signatures verified by CN=build.example.com")
    assert found.message.endswith("(signature)")


def test_signed_image_without_the_report_that_is_listed_is_denied(registry: Reported) -> None:
    registry.sign(TRUSTED)
    assert verdict(registry, ratifys(**{SPDX: "any", "default": "any"}), sboms(), signatures()).decision is (
        Decision.DENY
    )


# --- nested references: somebody signed the report


def test_report_that_is_signed_lets_its_image_in(registry: Reported) -> None:
    sbom = registry.report(spdx())
    nested = sboms(nested=True)
    assert decided(registry, ratifys(default="any"), nested, signatures()) == UNSIGNED_REPORT
    registry.sign(STRANGER, sbom)
    assert decided(registry, ratifys(default="any"), nested, signatures()) == (Decision.DENY, Code.SIGNER_NOT_TRUSTED)
    registry.sign(TRUSTED, sbom)
    found = verdict(registry, ratifys(default="any"), nested, signatures())
    assert (found.decision, found.code) == ALLOWED
    assert found.message.startswith("1 of 1 signatures verified by CN=build.example.com")


def test_report_that_is_signed_and_bad_keeps_its_image_out(registry: Reported) -> None:
    registry.sign(TRUSTED, registry.report(BAD))
    registry.sign(TRUSTED)
    assert decided(registry, ratifys(default="any"), sboms(nested=True), signatures()) == REFUSED


def test_signed_image_with_an_unsigned_report_is_denied_where_reports_must_be_signed(registry: Reported) -> None:
    registry.report(spdx())
    registry.sign(TRUSTED)
    found = verdict(registry, ratifys(default="any"), sboms(nested=True), signatures())
    assert (found.decision, found.code) == UNSIGNED_REPORT
    assert found.message.startswith("nested verification failed: no signature found")


def test_signature_of_a_report_that_nobody_serves_is_cannot_tell(registry: Reported) -> None:
    sbom = registry.report(spdx())
    registry.sign(TRUSTED, sbom)
    registry.broken[f"listing {sbom.digest}"] = UNREACHABLE
    found = verdict(registry, ratifys(default="any"), sboms(nested=True), signatures())
    assert (found.decision, found.causes) == (Decision.CANNOT_TELL, (Cause.REGISTRY_UNAVAILABLE,))


def test_report_that_nobody_serves_is_cannot_tell(registry: Reported) -> None:
    registry.report(spdx())
    registry.sign(TRUSTED)
    registry.broken[str(Digest.of(spdx()))] = UNREACHABLE
    assert verdict(registry, ratifys(default="any"), sboms(), signatures()).decision is Decision.CANNOT_TELL


def test_report_of_another_image_is_refused(registry: Reported) -> None:
    other = Descriptor(IMAGE_MANIFEST, Digest.of(b"another image"), 5)
    stolen = registry.report(spdx(), subject=other)
    registry.sign(TRUSTED, stolen)

    registry.lists_everything = True
    found = decided(registry, ratifys(default="any"), sboms(nested=True), signatures())
    assert found == (Decision.DENY, Code.SIGNATURE_OF_ANOTHER_IMAGE)


# --- cosign's tag


def test_tag_is_looked_at_only_where_its_type_is_named(registry: Reported) -> None:
    registry.report(spdx(), subject=None)
    registry.sign(TRUSTED)
    verdict(registry, ratifys(default="any"), sboms(), signatures())
    assert not [each for each in registry.asked if each.startswith("tag ")]
    found = verdict(registry, ratifys(default="any"), sboms(types=(SPDX, TAGGED_TYPE)), signatures())
    assert (found.decision, found.code) == ALLOWED
    assert registry.asked.count(f"tag {SBOM_TAG}") == 1
    assert found.report is not None
    (tagged,) = (each for each in found.report.artifacts if each.artifact_type == TAGGED_TYPE)
    assert [each.status for each in tagged.outcomes] == [Status.PASSED]
    assert not tagged.refers


def test_content_of_the_tag_is_a_condition_and_no_ground(registry: Reported) -> None:
    tagged = sboms(types=(SPDX, TAGGED_TYPE))
    registry.report(spdx(), subject=None)
    for policy in (ratifys(default="any"), rego(YES)):
        assert decided(registry, policy, tagged, signatures()) == UNSIGNED
    registry.sign(TRUSTED)
    registry.report(BAD, subject=None)
    assert decided(registry, ratifys(default="any"), tagged, signatures()) == REFUSED


def test_what_a_tag_names_is_not_signed_for_this_image_whoever_signed_it(registry: Reported) -> None:
    """Its manifest names no image: it could be another's, whose signature is as good as ever."""
    registry.sign(TRUSTED, registry.report(spdx(), subject=None))
    kinds = (SPDX, TAGGED_TYPE)
    found = verdict(registry, ratifys(default="any"), sboms(types=kinds, nested=True), signatures())
    assert (found.decision, found.code) == UNSIGNED
    assert found.message.startswith("nobody signed it for this image: a tag names it")
    signed = "package ratify.policy\nvalid { input.verifierReports[_].nestedReports[_].verifierReports[_].isSuccess }\n"
    for policy in (rego(YES), rego(signed)):
        assert decided(registry, policy, sboms(types=kinds), signatures()) == UNSIGNED
    registry.sign(TRUSTED)
    assert verdict(registry, rego(signed), sboms(types=kinds), signatures()).decision is Decision.DENY


def test_tag_that_names_a_referrer_of_ours_is_that_referrer(registry: Reported) -> None:
    sbom = registry.report(spdx())
    registry.sign(TRUSTED, sbom)
    registry.tags[SBOM_TAG] = sbom._replace(artifact_type=None)
    kinds = (SPDX, TAGGED_TYPE)
    assert decided(registry, ratifys(default="any"), sboms(types=kinds, nested=True), signatures()) == ALLOWED


# --- reports of other types, and many of them


def scans(**options: Any) -> Any:
    """What verifies vulnerability reports; CVE-2026-0666 is not allowed."""
    return report_verifier("vulnerabilityreport", **{"denylistCVEs": ["CVE-2026-0666"], **options})


def scanned(registry: Reported, content: bytes, hours: int) -> Descriptor:
    """A vulnerability report that is so many hours old."""
    at = (datetime.now(timezone.utc) - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return registry.report(content, SARIF, annotations={"org.opencontainers.image.created": at})


@pytest.mark.parametrize("kind", ["vulnerabilityreport", "schemavalidator"])
def test_no_other_report_is_a_ground_either(registry: Reported, kind: str) -> None:
    schemas = {ENVELOPE_TYPE: "file:///review.json"}
    one = scans() if kind == "vulnerabilityreport" else report_verifier(kind, types=("a/b",), schemas=schemas)
    attached = (
        scanned(registry, sarif(), 1) if kind == "vulnerabilityreport" else registry.report(b'{"by": "a"}', "a/b")
    )
    for policy in (ratifys(default="any"), rego(YES)):
        assert decided(registry, policy, one, signatures()) == UNSIGNED
    registry.sign(TRUSTED, attached)
    nested = (one[0]._replace(nested=True), one[1])
    assert decided(registry, ratifys(default="any"), nested, signatures()) == ALLOWED


class Labouring(OnTheSpot):
    """Work that takes a while, by its own account; `done` counts it."""

    done = 0

    async def labour(self, work: Callable[[], bytes], left: list[float]) -> bytes:
        """Takes a second."""
        self.done += 1
        left[0] -= 1.0
        return await super().labour(work, left)


def test_reading_of_all_reports_of_an_image_together_ends(registry: Reported) -> None:
    for i in range(6):
        registry.report(spdx(name=f"{i}"))
    runner = Labouring()
    found = verdict(registry, ratifys(**{SPDX: "all"}), sboms(), signatures(), policies=runner)
    assert (found.decision, found.code) == (Decision.DENY, Code.EVIDENCE_LIMIT)
    assert found.message.startswith("content: got so much of it")
    assert runner.done == MAX_LABOUR


# --- rules of our own: who vouches for a report


def vouched(**options: Any) -> Any:
    """What verifies bills of materials, each of which `signature` must have verified a signature of."""
    settings, certificates = sboms(**options)
    return settings._replace(nested=True, settings={**settings.settings, "signedBy": ["signature"]}), certificates


def all_of(*names: str) -> PolicySettings:
    """A policy of our own."""
    return PolicySettings("nodeseal", {"threshold": len(names), "of": list(names)})


def test_report_counts_under_our_own_rules_once_somebody_vouches_for_it(registry: Reported) -> None:
    policy = all_of("sbom", "signature")
    registry.sign(TRUSTED)
    sbom = registry.report(spdx())
    assert verdict(registry, policy, vouched(), signatures()).decision is Decision.DENY
    registry.sign(STRANGER, sbom)
    found = verdict(registry, policy, vouched(), signatures())
    assert found.message.startswith("nested verification failed: ")
    registry.sign(TRUSTED, sbom)
    assert decided(registry, policy, vouched(), signatures()) == ALLOWED
    assert decided(registry, all_of("sbom"), vouched(), signatures()) == ALLOWED


def test_bad_report_under_our_own_rules_is_no_good_one(registry: Reported) -> None:
    registry.sign(TRUSTED)
    registry.sign(TRUSTED, registry.report(BAD))
    registry.report(spdx())
    assert verdict(registry, all_of("sbom", "signature"), vouched(), signatures()).decision is Decision.DENY


def test_only_who_is_named_vouches_for_a_report(registry: Reported) -> None:
    other = verifier("other", ARTIFACT_TYPE, signer=STRANGER)
    sbom = registry.report(spdx())
    registry.sign(TRUSTED)
    registry.sign(STRANGER, sbom)
    assert verdict(registry, all_of("sbom"), vouched(), signatures(), other).decision is Decision.DENY
    registry.sign(TRUSTED, sbom)
    assert decided(registry, all_of("sbom"), vouched(), signatures(), other) == ALLOWED


def test_program_is_told_that_nobody_vouches_for_a_report(registry: Reported) -> None:
    sbom = registry.report(spdx())
    registry.sign(TRUSTED)
    assert verdict(registry, rego(SBOM_POLICY), vouched(), signatures()).decision is Decision.DENY
    registry.sign(TRUSTED, sbom)
    found = verdict(registry, rego(SBOM_POLICY), vouched(), signatures())
    assert (found.decision, found.code) == ALLOWED
    assert found.report is not None
    (artifact,) = (each for each in found.report.artifacts if each.artifact_type == SPDX)
    assert len(artifact.nested) == 1


def test_program_is_told_that_nobody_vouches_for_what_a_tag_names(registry: Reported) -> None:
    registry.sign(TRUSTED, registry.report(spdx(), subject=None))
    registry.sign(TRUSTED)
    tagged = vouched(types=(SPDX, TAGGED_TYPE))
    assert verdict(registry, rego(SBOM_POLICY), tagged, signatures()).decision is Decision.DENY
    assert verdict(registry, all_of("sbom"), tagged, signatures()).decision is Decision.DENY
