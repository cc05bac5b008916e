"""The steps of a verification, on a registry in memory: gaps, limits, order, and the three answers."""

import json
import random
from datetime import datetime, timezone
from typing import Awaitable, Callable, Sequence

import pytest

from agent.adapters.inline import NoTrace, OneByOne, run
from agent.config.config import Config, VerifierSettings
from agent.engine import Engine
from agent.errors import Cause, Code, DigestMismatch, LimitExceeded, Malformed, NodesealError, Unavailable
from agent.formats.notation import NotationFormat
from agent.gathering import MAX_EVIDENCE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.manifest import EMPTY_CONFIG, IMAGE_MANIFEST
from agent.model.reference import Reference, Repository
from agent.model.verdict import Decision, Verdict
from agent.rules.rule import PolicySettings
from tests.engines import OnTheSpot, Unhurried, one_rule, verdict_of
from tests.formats.support import SUBJECT, Answers, GivenDocuments, request
from tests.signing import (
    ARTIFACT_TYPE,
    ENVELOPE_TYPE,
    Signer,
    envelope,
    signature_manifest,
    trust_policy,
    usual_signer,
)  # fmt: skip

TRUSTED = usual_signer()
STRANGER = usual_signer("stranger.example.net", number=1)
UNREACHABLE = Unavailable("registry.example.com: connection refused", cause=Cause.REGISTRY_UNAVAILABLE)


class MemoryRegistry:
    """`ports.Registry` over dictionaries; whatever is put into `broken` is raised instead of returned."""

    def __init__(self) -> None:
        """Empty, with reliable types."""
        self.listed: list[Descriptor] = []
        self.content: dict[str, bytes] = {}
        self.broken: dict[str, NodesealError] = {}
        self.reliable = True
        self.defect: Malformed | None = None
        self.asked: list[str] = []
        self.tags: dict[str, Descriptor] = {}

    def sign(self, signer: Signer, subject: Descriptor = SUBJECT, **manifest: object) -> Descriptor:
        """Add a signature."""
        return self.add(envelope(signer, subject), subject, **manifest)

    def add(self, content: bytes, subject: Descriptor | None = SUBJECT, **manifest: object) -> Descriptor:
        """Add an envelope under a signature's manifest, and list it."""
        blob = Descriptor(ENVELOPE_TYPE, Digest.of(content), len(content))
        self.content[str(blob.digest)] = content
        raw = signature_manifest(blob, subject, **manifest)
        listed = Descriptor(IMAGE_MANIFEST, Digest.of(raw), len(raw), ARTIFACT_TYPE)
        self.content[str(listed.digest)] = raw
        self.listed.append(listed)
        return listed

    async def tagged(self, reference: Reference) -> Descriptor | None:
        """What was tagged."""
        self._answer(f"tag {reference.tag}")
        return self.tags.get(reference.tag or "")

    async def resolve(self, reference: Reference) -> Descriptor:
        """Not asked by the engine."""
        raise AssertionError(reference)

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
        """What was added."""
        self._answer("listing")
        assert artifact_types
        return Listing(tuple(self.listed), "referrers API", self.reliable, self.defect)

    async def manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """A manifest that was added."""
        return self._answer(str(descriptor.digest))

    async def blob(self, repository: Repository, descriptor: Descriptor, limit: int) -> bytes:
        """An envelope that was added."""
        return self._answer(str(descriptor.digest))

    def _answer(self, what: str) -> bytes:
        self.asked.append(what)
        if what in self.broken:
            raise self.broken[what]
        return self.content.get(what, b"")


class FixedClock:
    """`ports.Clock` that stands."""

    def __init__(self, now: datetime) -> None:
        """Stand at `now`."""
        self._now = now

    def now(self) -> datetime:
        """Always the same."""
        return self._now

    def monotonic(self) -> float:
        """Always the same."""
        return 0.0


def configuration(requirement: str = "any", artifact_types: tuple[str, ...] = (ARTIFACT_TYPE,)) -> Config:
    options = {"verificationCerts": ["x"], "trustPolicyDoc": trust_policy()}
    parsed = NotationFormat.parse(options, GivenDocuments(TRUSTED.root_pem), "v")
    verifier = VerifierSettings("notation", "notation", artifact_types, parsed.settings)
    policy = PolicySettings("configpolicy", {"artifactVerificationPolicies": {ARTIFACT_TYPE: requirement}})
    return one_rule(policy, (verifier,), parsed.certificates)


def verdict_on(registry: MemoryRegistry, requirement: str = "any", now: datetime | None = None) -> Verdict:
    clock = FixedClock(now) if now else Unhurried()
    engine = Engine(
        configuration(requirement),
        registry=registry,
        revocation=Answers(),
        concurrent=OneByOne(),
        policies=OnTheSpot(),
        clock=clock,
        trace=NoTrace(),
    )
    return run(verdict_of(engine, request()))


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


def test_one_good_signature_is_allowed_after_three_requests(registry: MemoryRegistry) -> None:
    registry.sign(TRUSTED)
    verdict = verdict_on(registry)
    assert (verdict.decision, verdict.code) == (Decision.ALLOW, Code.VERIFIED)
    assert len(registry.asked) == 3


def test_each_further_signature_costs_two_requests(registry: MemoryRegistry) -> None:
    registry.sign(STRANGER)
    registry.sign(STRANGER)
    registry.sign(TRUSTED)
    assert verdict_on(registry).decision is Decision.ALLOW
    assert len(registry.asked) == 1 + 2 * 3


def test_no_signature_is_denied(registry: MemoryRegistry) -> None:
    assert verdict_on(registry)[:2] == (Decision.DENY, Code.NO_EVIDENCE)


@pytest.mark.parametrize(
    ("requirement", "good", "bad", "decision"),
    [
        ("any", 1, 0, Decision.ALLOW),
        ("any", 1, 1, Decision.ALLOW),
        ("any", 0, 1, Decision.DENY),
        ("any", 0, 2, Decision.DENY),
        ("all", 1, 0, Decision.ALLOW),
        ("all", 2, 0, Decision.ALLOW),
        ("all", 1, 1, Decision.DENY),
        ("all", 0, 1, Decision.DENY),
        ("all", 0, 0, Decision.DENY),
        ("any", 0, 0, Decision.DENY),
    ],
)
def test_policy_over_several_signatures(
    registry: MemoryRegistry, requirement: str, good: int, bad: int, decision: Decision
) -> None:
    for _ in range(good):
        registry.sign(TRUSTED)
    for _ in range(bad):
        registry.sign(STRANGER)
    assert verdict_on(registry, requirement).decision is decision


@pytest.mark.parametrize("requirement", ["any", "all"])
@pytest.mark.parametrize("cause", [Cause.REGISTRY_UNAVAILABLE, Cause.UNAUTHORIZED, Cause.THROTTLED, Cause.DEADLINE])
def test_listing_that_fails_never_denies(registry: MemoryRegistry, requirement: str, cause: Cause) -> None:
    registry.broken["listing"] = Unavailable("no answer", cause=cause)
    verdict = verdict_on(registry, requirement)
    assert (verdict.decision, verdict.causes) == (Decision.CANNOT_TELL, (cause,))
    assert verdict.message == f"{cause.value}: no answer"


@pytest.mark.parametrize("part", ["manifest", "blob"])
@pytest.mark.parametrize(
    ("requirement", "others", "decision"),
    [
        ("any", [TRUSTED], Decision.ALLOW),
        ("any", [STRANGER], Decision.CANNOT_TELL),
        ("any", [], Decision.CANNOT_TELL),
        ("all", [TRUSTED], Decision.CANNOT_TELL),
        ("all", [STRANGER], Decision.CANNOT_TELL),
    ],
    ids=str,
)
def test_evidence_that_nobody_serves_is_a_gap(
    registry: MemoryRegistry, part: str, requirement: str, others: list[Signer], decision: Decision
) -> None:
    missing = registry.sign(TRUSTED)
    blob = json.loads(registry.content[str(missing.digest)])["layers"][0]["digest"]
    registry.broken[str(missing.digest) if part == "manifest" else blob] = UNREACHABLE
    for signer in others:
        registry.sign(signer)
    assert verdict_on(registry, requirement).decision is decision


@pytest.mark.parametrize(
    ("defect", "code"),
    [
        (Malformed("rubbish"), Code.EVIDENCE_MALFORMED),
        (DigestMismatch("other bytes"), Code.EVIDENCE_DIGEST),
        (LimitExceeded("too much"), Code.EVIDENCE_LIMIT),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("requirement", ["any", "all"])
def test_content_that_is_wrong_denies_and_is_never_cannot_tell(
    registry: MemoryRegistry, defect: Malformed, code: Code, requirement: str
) -> None:
    listed = registry.sign(TRUSTED)
    registry.broken[str(listed.digest)] = defect
    assert verdict_on(registry, requirement)[:2] == (Decision.DENY, code)


def test_wrong_content_beside_a_good_signature_is_passed_over_under_any_alone(registry: MemoryRegistry) -> None:
    registry.broken[str(registry.sign(TRUSTED).digest)] = Malformed("rubbish")
    registry.sign(TRUSTED)
    assert verdict_on(registry, "any").decision is Decision.ALLOW
    assert verdict_on(registry, "all").decision is Decision.DENY


@pytest.mark.parametrize("content", [b"rubbish", b"[]", b"{}"])
def test_broken_artifact_listed_as_something_else_is_no_evidence(registry: MemoryRegistry, content: bytes) -> None:
    registry.reliable = False
    digest = Digest.of(content)
    registry.content[str(digest)] = content
    registry.listed.append(Descriptor(IMAGE_MANIFEST, digest, len(content), "application/spdx+json"))
    assert verdict_on(registry)[:2] == (Decision.DENY, Code.NO_EVIDENCE)
    registry.sign(TRUSTED)
    assert verdict_on(registry, "all").decision is Decision.ALLOW


def test_allowance_names_the_signer_and_counts_what_was_looked_at(registry: MemoryRegistry) -> None:
    registry.sign(STRANGER)
    registry.sign(TRUSTED)
    message = verdict_on(registry).message
    assert message == "1 of 2 signatures verified by CN=build.example.com,O=Acme,ST=WA,C=US (notation)"


def test_cannot_tell_names_the_first_reason_and_counts_the_others(registry: MemoryRegistry) -> None:
    for _ in range(3):
        registry.broken[str(registry.sign(TRUSTED).digest)] = UNREACHABLE
    assert verdict_on(registry).message == f"registryUnavailable: {UNREACHABLE.message} (and 2 more)"


def test_listing_that_is_wrong_denies(registry: MemoryRegistry) -> None:
    registry.broken["listing"] = Malformed("the listing is rubbish")
    assert verdict_on(registry)[:2] == (Decision.DENY, Code.EVIDENCE_MALFORMED)


def test_defect_of_a_listing_counts_as_failed_evidence(registry: MemoryRegistry) -> None:
    registry.defect = LimitExceeded("the listing has no end")
    assert verdict_on(registry)[:2] == (Decision.DENY, Code.EVIDENCE_LIMIT)
    registry.sign(TRUSTED)
    assert verdict_on(registry, "any").decision is Decision.ALLOW
    assert verdict_on(registry, "all").decision is Decision.DENY


@pytest.mark.parametrize(
    "subject",
    [None, SUBJECT._replace(digest=Digest.of(b"another image"))],
    ids=["no subject", "another subject"],
)
def test_listed_signature_must_point_at_this_very_image(registry: MemoryRegistry, subject: Descriptor | None) -> None:
    registry.add(envelope(TRUSTED, SUBJECT), subject)
    assert verdict_on(registry)[:2] == (Decision.DENY, Code.SIGNATURE_OF_ANOTHER_IMAGE)


def test_no_more_evidence_is_fetched_than_the_limit(registry: MemoryRegistry) -> None:
    registry.reliable = False
    listed = registry.sign(TRUSTED)
    registry.listed = [listed._replace(digest=Digest.of(str(i).encode())) for i in range(10_000)] + [listed]
    verdict = verdict_on(registry)
    assert verdict.decision is Decision.DENY
    assert len(registry.asked) == 1 + MAX_EVIDENCE


def test_good_signature_first_and_then_no_end_of_others_is_allowed_under_any(registry: MemoryRegistry) -> None:
    good = registry.sign(TRUSTED)
    registry.listed += [good._replace(digest=Digest.of(str(i).encode())) for i in range(10_000)]
    assert verdict_on(registry, "any").decision is Decision.ALLOW
    assert verdict_on(registry, "all").decision is Decision.DENY


def test_manifest_listed_with_an_enormous_size_is_not_fetched(registry: MemoryRegistry) -> None:
    listed = registry.sign(TRUSTED)
    registry.listed = [listed._replace(size=2**40)]
    assert verdict_on(registry)[:2] == (Decision.DENY, Code.EVIDENCE_LIMIT)
    assert registry.asked == ["listing"]


def test_other_artifacts_cost_nothing_where_types_are_reliable(registry: MemoryRegistry) -> None:
    other = registry.sign(TRUSTED)
    registry.listed = [other._replace(artifact_type="application/spdx+json")]
    assert verdict_on(registry).code is Code.NO_EVIDENCE
    assert registry.asked == ["listing"]


def test_types_in_a_referrers_tag_are_not_believed(registry: MemoryRegistry) -> None:
    registry.reliable = False
    registry.listed = [registry.sign(TRUSTED)._replace(artifact_type=EMPTY_CONFIG)]
    assert verdict_on(registry).decision is Decision.ALLOW


def test_artifact_that_turns_out_to_be_something_else_is_no_evidence(registry: MemoryRegistry) -> None:
    registry.reliable = False
    config = {"mediaType": "application/spdx+json", "digest": str(Digest.of(b"{}")), "size": 2}
    registry.sign(TRUSTED, config=config)
    registry.sign(TRUSTED)
    assert verdict_on(registry, "all").decision is Decision.ALLOW


@pytest.mark.parametrize(
    "manifest",
    [
        b"[]",
        b"null",
        b"{",
        b"\xef\xbb\xbf{}",
        b'{"schemaVersion": 2}',
        b"[" * 100_000,
        b'{"mediaType":"a","mediaType":"b"}',
        b'{"config":{"mediaType":"application/vnd.cncf.notary.signature"},"layers":{}}',
        b'{"config":{"mediaType":"application/vnd.cncf.notary.signature"},"layers":[1]}',
        b'{"config":{"mediaType":"application/vnd.cncf.notary.signature"},"layers":[' + b"0," * 99 + b"0]}",
        b'{"config":{"mediaType":"application/vnd.cncf.notary.signature"},"subject":[]}',
        b'{"config":{"mediaType":"application/vnd.cncf.notary.signature"},"size":' + b"9" * 10**6 + b"}",
        b'{"config":{"mediaType":"application/vnd.cncf.notary.signature"},"x":NaN}',
        b'{"config":{"mediaType":"application/vnd.cncf.notary.signature"},"x":"\\ud800"}',
    ],
    ids=lambda manifest: manifest[:70].decode("latin-1"),
)
def test_manifest_that_is_rubbish_denies(registry: MemoryRegistry, manifest: bytes) -> None:
    listed = registry.sign(TRUSTED)
    registry.content[str(listed.digest)] = manifest
    verdict = verdict_on(registry)
    assert verdict.decision is Decision.DENY
    assert verdict.code in (Code.EVIDENCE_MALFORMED, Code.EVIDENCE_LIMIT)


def test_verdict_does_not_depend_on_the_order_of_the_listing(registry: MemoryRegistry) -> None:
    for signer in (TRUSTED, STRANGER, STRANGER, TRUSTED):
        registry.sign(signer)
    verdicts = []
    for seed in range(5):
        random.Random(seed).shuffle(registry.listed)
        verdicts.append(verdict_on(registry, "all"))
    assert verdicts.count(verdicts[0]) == 5


def test_reason_is_that_of_the_signature_which_came_furthest(registry: MemoryRegistry) -> None:
    registry.add(b"rubbish")
    registry.sign(STRANGER)
    registry.add(b"more rubbish")
    verdict = verdict_on(registry)
    assert verdict.code is Code.SIGNER_NOT_TRUSTED
    assert "nearest of 3 that failed" in verdict.message


def test_clock_before_this_release_is_implausible(registry: MemoryRegistry) -> None:
    registry.sign(TRUSTED)
    verdict = verdict_on(registry, now=datetime(2016, 1, 1, tzinfo=timezone.utc))
    assert (verdict.decision, verdict.causes) == (Decision.CANNOT_TELL, (Cause.CLOCK_IMPLAUSIBLE,))
    assert registry.asked == []


def test_clock_ten_years_ahead_denies(registry: MemoryRegistry) -> None:
    registry.sign(TRUSTED)
    now = datetime.now(timezone.utc)
    assert verdict_on(registry, now=now.replace(year=now.year + 10, day=1)).code is Code.CERTIFICATE_NOT_VALID_NOW


def test_engine_that_would_wait_is_found_out() -> None:
    class Suspending:
        def __await__(self):  # type: ignore[no-untyped-def]
            yield

    async def suspends() -> None:
        await Suspending()

    with pytest.raises(NodesealError, match="suspended"):
        run(suspends())


@pytest.mark.parametrize(("sum_wanted", "results"), [(100, [6, 2, 4]), (8, [6, 2]), (1, [6]), (0, [6])])
def test_results_keep_the_order_of_their_items_and_end_when_they_are_enough(
    sum_wanted: int, results: list[int]
) -> None:
    async def double(number: int) -> int:
        return number * 2

    async def doubled(function: Callable[[int], Awaitable[int]]) -> list[int]:
        return await OneByOne().map(function, [3, 1, 2], enough=lambda results: sum(results) >= sum_wanted)

    assert run(doubled(double)) == results
