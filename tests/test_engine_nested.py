"""Evidence of evidence, several verifiers for one piece, programs as policies, rules that ask for nothing."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.adapters.inline import NoTrace, OneByOne, run
from agent.asking import EnoughRoom
from agent.config.config import StoreSettings, VerifierSettings
from agent.engine import Engine
from agent.errors import Cause, Code, DigestMismatch, Malformed
from agent.formats.notation import NotationFormat
from agent.gathering import LOOKED_AT_LEAST, MAX_EVIDENCE, MAX_NESTED, MAX_NESTING, PATIENCE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.reference import Repository
from agent.model.verdict import Decision, Verdict
from agent.ports import Clock, Concurrent, PolicyRunner, Registry, Room
from agent.rego.compiler import compile_policy
from agent.rules.rule import PolicySettings
from tests.engines import OnTheSpot, Unhurried, one_rule, verdict_of
from tests.formats.support import SUBJECT, Answers, GivenDocuments, request
from tests.signing import ARTIFACT_TYPE, EMPTY_DIGEST, Signer, trust_policy
from tests.test_engine import STRANGER, TRUSTED, UNREACHABLE, MemoryRegistry
from tests.test_engine_unseen import SlowClock

SBOM = "application/vnd.example.sbom"
SKIP: dict[str, Any] = {"signatureVerification": {"level": "skip"}, "trustStores": [], "trustedIdentities": []}

ALL_GOOD = """package ratify.policy
default valid := false
valid { not failed }
failed { [path, value] := walk(input); value == false; path[count(path) - 1] == "isSuccess" }
failed { [path, value] := walk(input); path[count(path) - 1] == "verifierReports"; count(value) == 0 }
"""
"""Both rules of the policy that Ratify's chart installs: nothing failed, and nothing is unlooked at."""

SIGNED_SBOM = f"""package ratify.policy
default valid := false
valid {{
    sbom := input.verifierReports[_]
    sbom.artifactType == "{SBOM}"
    sbom.nestedReports[_].verifierReports[_].isSuccess
}}
"""


class Tree(MemoryRegistry):
    """A registry that lists referrers by what they refer to."""

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
        """Those whose manifest names the subject."""
        listing = await super().referrers(repository, subject, artifact_types)
        mine = (each for each in listing.descriptors if self._subject_of(each) == str(subject))
        self._answer(f"listing {subject}")
        return listing._replace(descriptors=tuple(mine))

    def _subject_of(self, referrer: Descriptor) -> str:
        value = json.loads(self.content[str(referrer.digest)])
        return str(value.get("subject", {}).get("digest"))

    def attach(self, subject: Descriptor = SUBJECT, content: bytes = b"{}", kind: str = SBOM) -> Descriptor:
        """Something unsigned that refers to `subject`."""
        added = self.add(content, subject, config={"mediaType": kind, "digest": EMPTY_DIGEST, "size": 2})
        self.listed[-1] = added._replace(artifact_type=kind)
        return self.listed[-1]


def verifier(name: str, *kinds: str, signer: Signer = TRUSTED, nested: bool = False, **statement: Any) -> Any:
    """A verifier that trusts one signer, and its certificates."""
    options: dict[str, Any] = {"trustPolicyDoc": trust_policy(**statement)}
    if not statement:
        options["verificationCerts"] = ["x"]
    parsed = NotationFormat.parse(options, GivenDocuments(signer.root_pem), "v")
    settings = VerifierSettings(name, "notation", kinds or (ARTIFACT_TYPE,), parsed.settings, nested)
    return settings, dict(parsed.certificates)


def rego(text: str) -> PolicySettings:
    """A program as a policy."""
    return PolicySettings("regopolicy", {"compiled": json.loads(json.dumps(compile_policy(text))), "name": "p.rego"})


def ratifys(**requirements: str) -> PolicySettings:
    """Ratify's config policy."""
    return PolicySettings("configpolicy", {"artifactVerificationPolicies": requirements or {"default": "any"}})


def verdict(
    registry: Registry,
    policy: PolicySettings,
    *verifiers: Any,
    stores: Sequence[StoreSettings] = (),
    clock: Clock | None = None,
    deadline: float | None = None,
    concurrent: Concurrent | None = None,
    policies: PolicyRunner | None = None,
    room: Room | None = None,
    **rule: Any,
) -> Verdict:
    """What an engine makes of the image."""
    certificates = {name: der for _, each in verifiers for name, der in each.items()}
    config = one_rule(policy, [each for each, _ in verifiers], certificates, **rule)
    engine = Engine(
        config._replace(stores=tuple(stores) or config.stores),
        registry=registry, revocation=Answers(), concurrent=concurrent or OneByOne(),
        policies=policies or OnTheSpot(),
        clock=clock or Unhurried(),
        trace=NoTrace(), deadline=deadline, room=room,
    )  # fmt: skip
    return run(verdict_of(engine, request()))


def decided(*arguments: Any, **options: Any) -> tuple[Decision, Code]:
    """The verdict's short form."""
    found = verdict(*arguments, **options)
    return found.decision, found.code


@pytest.fixture
def registry() -> Tree:
    """An empty one."""
    return Tree()


# --- a config policy, and a verifier with nestedReferences


def test_nested_references_are_verified_too(registry: Tree) -> None:
    nested = verifier("v", nested=True)
    signature = registry.sign(TRUSTED)
    found = verdict(registry, ratifys(), nested)
    assert (found.decision, found.code) == (Decision.DENY, Code.NO_EVIDENCE)
    assert found.message.startswith("nested verification failed: no signature found")
    registry.sign(TRUSTED, signature)
    assert verdict(registry, ratifys(), verifier("v")).decision is Decision.ALLOW
    # The signature of the signature has none itself, and is asked for one, as in Ratify.
    assert decided(registry, ratifys(), nested) == (Decision.DENY, Code.NO_EVIDENCE)


def test_content_is_in_memory_while_it_is_verified_and_not_while_its_own_referrers_are(registry: Tree) -> None:
    """Each manifest has room for as much as may be in memory together, and not as many times as they are nested."""
    held, most = list[int](), [0]

    class Counting(EnoughRoom):
        """Counts what is held."""

        @asynccontextmanager
        async def holding(self, size: int) -> AsyncIterator[None]:  # type: ignore[override]
            """See `ports.Room`."""
            held.append(size)
            most[0] = max(most[0], len(held))
            yield
            held.remove(size)

    registry.sign(TRUSTED, registry.sign(TRUSTED))
    verdict(registry, ratifys(), verifier("v", nested=True), room=Counting())
    assert (held, most) == ([], [2])  # a manifest, and its blobs


def test_nested_evidence_is_for_the_verifiers_that_look_at_it(registry: Tree) -> None:
    """An SBOM's verifier asks for a signature of the SBOM; the signature's verifier asks for nothing more."""
    sbom, signature = verifier("sbom", SBOM, nested=True), verifier("signature", ARTIFACT_TYPE)
    signed = registry.sign(TRUSTED, config={"mediaType": SBOM, "digest": EMPTY_DIGEST, "size": 2})
    registry.listed[0] = signed = signed._replace(artifact_type=SBOM)
    policy = ratifys(default="all")
    assert decided(registry, policy, sbom, signature) == (Decision.DENY, Code.NO_EVIDENCE)
    good = registry.sign(TRUSTED, signed)
    found = verdict(registry, policy, sbom, signature)
    assert found.decision is Decision.ALLOW
    assert found.report is not None
    (artifact,) = found.report.artifacts
    assert [each.digest for each in artifact.nested] == [good.digest]
    assert artifact.nested[0].subject == f"registry.example.com/shop/cart@{signed.digest}"
    registry.sign(STRANGER, signed)
    assert decided(registry, policy, sbom, signature) == (Decision.DENY, Code.SIGNER_NOT_TRUSTED)


def test_nested_evidence_that_nobody_serves_is_cannot_tell(registry: Tree) -> None:
    sbom, signature = verifier("sbom", SBOM, nested=True), verifier("signature", ARTIFACT_TYPE)
    signed = registry.sign(TRUSTED, config={"mediaType": SBOM, "digest": EMPTY_DIGEST, "size": 2})
    registry.listed[0] = signed._replace(artifact_type=SBOM)
    registry.broken[f"listing {signed.digest}"] = UNREACHABLE
    found = verdict(registry, ratifys(), sbom, signature)
    assert (found.decision, found.causes) == (Decision.CANNOT_TELL, (Cause.REGISTRY_UNAVAILABLE,))


def test_rule_that_asks_for_nothing_asks_for_what_a_verifier_wants_nested(registry: Tree) -> None:
    registry.sign(TRUSTED)
    nested = verifier("v", nested=True)
    assert decided(registry, ratifys(), nested, allow_without_evidence=True) == (Decision.DENY, Code.NO_EVIDENCE)


def test_exemption_is_the_images_and_not_that_of_its_evidence(registry: Tree) -> None:
    sbom, signature = verifier("sbom", SBOM, nested=True), verifier("signature", ARTIFACT_TYPE, **SKIP)
    signed = registry.sign(TRUSTED, config={"mediaType": SBOM, "digest": EMPTY_DIGEST, "size": 2})
    registry.listed[0] = signed._replace(artifact_type=SBOM)
    assert decided(registry, ratifys(default="all"), sbom, signature) == (Decision.DENY, Code.NO_EVIDENCE)


def test_failed_evidence_is_not_asked_for_its_own(registry: Tree) -> None:
    registry.sign(STRANGER)
    assert decided(registry, ratifys(), verifier("v", nested=True)) == (Decision.DENY, Code.SIGNER_NOT_TRUSTED)
    assert sum(each.startswith("listing sha256") for each in registry.asked) == 1


def test_evidence_in_evidence_ends(registry: Tree) -> None:
    subject = SUBJECT
    for _ in range(MAX_NESTING + 3):
        subject = registry.sign(TRUSTED, subject)
    assert decided(registry, ratifys(), verifier("v", nested=True)) == (Decision.DENY, Code.EVIDENCE_LIMIT)
    assert sum(each.startswith("listing sha256") for each in registry.asked) == MAX_NESTING + 1


# --- a program


def test_program_sees_every_referrer_of_every_type(registry: Tree) -> None:
    registry.sign(TRUSTED)
    assert decided(registry, rego(ALL_GOOD), verifier("v")) == (Decision.ALLOW, Code.VERIFIED)
    registry.attach()
    # An artifact that nobody verifies has an empty list of reports, which this policy does not want.
    assert decided(registry, rego(ALL_GOOD), verifier("v")) == (Decision.DENY, Code.POLICY_NOT_SATISFIED)


def test_program_sees_what_refers_to_referrers(registry: Tree) -> None:
    sbom = registry.attach()
    assert decided(registry, rego(SIGNED_SBOM), verifier("v")) == (Decision.DENY, Code.NO_EVIDENCE)
    registry.sign(TRUSTED, sbom)
    found = verdict(registry, rego(SIGNED_SBOM), verifier("v"))
    assert found.decision is Decision.ALLOW
    assert found.message.startswith("1 of 1 signatures verified by CN=")


def test_every_verifier_that_looks_at_a_type_is_asked_by_a_program_and_the_first_alone_by_ratifys_policy(
    registry: Tree,
) -> None:
    registry.sign(TRUSTED)
    two = (verifier("first", signer=STRANGER), verifier("second"))
    both = "package ratify.policy\nvalid { count(input.verifierReports[0].verifierReports) == 2; some_good }\n"
    both += "some_good { input.verifierReports[_].verifierReports[_].isSuccess }\n"
    assert verdict(registry, rego(both), *two).decision is Decision.ALLOW
    assert decided(registry, ratifys(), *two) == (Decision.DENY, Code.SIGNER_NOT_TRUSTED)
    threshold = PolicySettings("nodeseal", {"threshold": 1, "of": ["first", "second"]})
    assert verdict(registry, threshold, *two).decision is Decision.ALLOW
    assert verdict(
        registry, threshold._replace(settings={"threshold": 2, "of": ["first", "second"]}), *two
    ).decision is (Decision.DENY)


YES = "package ratify.policy\nvalid := true\n"


def test_no_program_allows_an_image_without_evidence(registry: Tree) -> None:
    found = verdict(registry, rego(YES), verifier("v"))
    assert (found.decision, found.code) == (Decision.DENY, Code.NO_EVIDENCE)
    registry.attach()
    found = verdict(registry, rego(YES), verifier("v"))
    assert (found.decision, found.code) == (Decision.DENY, Code.NO_EVIDENCE)
    registry.sign(STRANGER)
    found = verdict(registry, rego(YES), verifier("v"))
    assert (found.decision, found.code) == (Decision.DENY, Code.SIGNER_NOT_TRUSTED)
    registry.sign(TRUSTED)
    assert verdict(registry, rego(YES), verifier("v")).decision is Decision.ALLOW


def test_rule_may_leave_all_of_it_to_a_program(registry: Tree) -> None:
    found = verdict(registry, rego(YES), verifier("v"), allow_without_evidence=True)
    assert (found.decision, found.code) == (Decision.ALLOW, Code.NOT_VERIFIED)
    no = "package ratify.policy\nvalid := false\n"
    assert verdict(registry, rego(no), verifier("v"), allow_without_evidence=True).decision is Decision.DENY


@pytest.mark.parametrize("broken", ["listing", "manifest"])
def test_yes_of_a_program_does_not_stand_beside_what_nobody_served(registry: Tree, broken: str) -> None:
    registry.sign(TRUSTED)
    unseen = registry.attach()
    where = f"listing {unseen.digest}" if broken == "listing" else str(unseen.digest)
    registry.broken[where] = UNREACHABLE
    lenient = "package ratify.policy\nvalid { input.verifierReports[_].verifierReports[_].isSuccess }\n"
    assert decided(registry, rego(lenient), verifier("v")) == (Decision.CANNOT_TELL, Code.REGISTRY_UNAVAILABLE)


def test_content_that_can_not_be_looked_at_denies_under_a_program(registry: Tree) -> None:
    registry.sign(TRUSTED)
    registry.broken[str(registry.attach().digest)] = DigestMismatch("not what its digest names")
    found = verdict(registry, rego(YES), verifier("v"))
    assert (found.decision, found.code) == (Decision.DENY, Code.EVIDENCE_DIGEST)


def test_inconclusive_signature_is_cannot_tell_if_a_program_would_take_it(registry: Tree) -> None:
    registry.sign(TRUSTED)
    envelope = next(digest for digest, content in registry.content.items() if b"payload" in content)
    registry.broken[envelope] = UNREACHABLE
    assert verdict(registry, rego(ALL_GOOD), verifier("v")).decision is Decision.CANNOT_TELL


def test_fault_of_a_program_denies_and_names_it(registry: Tree) -> None:
    registry.sign(TRUSTED)
    found = verdict(registry, rego('package ratify.policy\nvalid { to_number("x") > 0 }\n'), verifier("v"))
    assert (found.decision, found.code) == (Decision.DENY, Code.POLICY_FAILED)
    assert found.message.startswith("no answer of the policy: p.rego: line 2: to_number")


def test_fault_of_a_program_beside_what_nobody_served_is_cannot_tell(registry: Tree) -> None:
    registry.sign(TRUSTED)
    registry.broken[str(registry.attach().digest)] = UNREACHABLE
    faulty = 'package ratify.policy\nvalid { to_number("x") > 0 }\n'
    assert verdict(registry, rego(faulty), verifier("v")).decision is Decision.CANNOT_TELL


def test_word_of_a_program_that_reads_the_time_is_short(registry: Tree) -> None:
    registry.sign(TRUSTED)
    timed = "package ratify.policy\nvalid { time.now_ns() > 0 }\n"
    assert verdict(registry, rego(timed), verifier("v")).fresh_for == 60
    assert verdict(registry, rego(YES), verifier("v")).fresh_for is None


def test_skipping_exempts_under_a_program_as_well(registry: Tree) -> None:
    found = verdict(registry, rego(ALL_GOOD), verifier("v", **SKIP))
    assert (found.decision, found.code) == (Decision.ALLOW, Code.NOT_VERIFIED)
    assert registry.asked == []


def test_skipping_of_one_verifier_leaves_the_other_to_a_program(registry: Tree) -> None:
    sbom_signed = verifier("sbom", SBOM)
    assert verdict(registry, rego(ALL_GOOD), verifier("v", **SKIP), sbom_signed).decision is Decision.ALLOW
    registry.sign(STRANGER, config={"mediaType": SBOM, "digest": EMPTY_DIGEST, "size": 2})
    registry.listed[0] = registry.listed[0]._replace(artifact_type=SBOM)
    assert verdict(registry, rego(ALL_GOOD), verifier("v", **SKIP), sbom_signed).decision is Decision.DENY


def test_number_of_referrers_of_referrers_is_bounded(registry: Tree) -> None:
    for _ in range(MAX_EVIDENCE - 10):
        first = registry.attach(content=str(len(registry.listed)).encode())
        for _ in range(6):
            registry.attach(first, content=str(len(registry.listed)).encode())
    registry.sign(TRUSTED)
    found = verdict(registry, rego(YES), verifier("v"))
    assert (found.decision, found.code) == (Decision.DENY, Code.EVIDENCE_LIMIT)
    fetched = {each for each in registry.asked if each.startswith("sha256:")}
    assert len(fetched) <= MAX_NESTED + 2


def test_deep_referrers_are_bounded_under_a_program(registry: Tree) -> None:
    subject = SUBJECT
    for _ in range(MAX_NESTING + 2):
        subject = registry.attach(subject)
    registry.sign(TRUSTED)
    assert decided(registry, rego(YES), verifier("v")) == (Decision.DENY, Code.EVIDENCE_LIMIT)


@pytest.mark.parametrize("policy", [rego(YES), ratifys(default="all")], ids=["a program", "nested references"])
def test_patience_with_all_of_an_images_evidence_is_one(registry: Tree, policy: PolicySettings) -> None:
    """However much there is of it, and however slowly it comes: its authors don't choose "cannot tell"."""
    for _ in range(LOOKED_AT_LEAST):
        first = registry.sign(TRUSTED)
        for _ in range(LOOKED_AT_LEAST):
            registry.sign(TRUSTED, first)
    clock = SlowClock(PATIENCE + 1)
    found = verdict(registry, policy, verifier("v", nested=True), clock=clock)
    assert found.decision is Decision.DENY
    assert f"looked at {LOOKED_AT_LEAST} referrers in 5 s" in str(found.report)
    fetched = {each for each in registry.asked if each in {str(listed.digest) for listed in registry.listed}}
    assert len(fetched) == LOOKED_AT_LEAST


# --- rules that ask for nothing


@pytest.mark.parametrize("policy", [ratifys(), PolicySettings("nodeseal", {"threshold": 1, "of": ["v"]})])
def test_image_without_evidence_passes_if_its_rule_says_so(registry: Tree, policy: PolicySettings) -> None:
    assert verdict(registry, policy, verifier("v")).decision is Decision.DENY
    found = verdict(registry, policy, verifier("v"), allow_without_evidence=True)
    assert (found.decision, found.code) == (Decision.ALLOW, Code.NOT_VERIFIED)
    assert found.message == "not verified: nothing refers to the image, and rule default allows that"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda registry: registry.sign(STRANGER),
        lambda registry: setattr(registry, "defect", Malformed("referrers API: broken")),
        lambda registry: registry.broken.update(listing=UNREACHABLE),
    ],
    ids=["bad signature", "broken list", "no answer"],
)
def test_rule_that_asks_for_nothing_does_not_let_bad_or_unseen_evidence_pass(
    registry: Tree, spoil: Callable[[Tree], object]
) -> None:
    spoil(registry)
    assert verdict(registry, ratifys(), verifier("v"), allow_without_evidence=True).decision is not Decision.ALLOW


# --- two types under Ratify's config policy


@pytest.mark.parametrize("is_first", [True, False], ids=["the good one first", "the bad one first"])
@pytest.mark.parametrize(
    "requirements",
    [
        {"default": "any"},
        {ARTIFACT_TYPE: "any", "default": "any"},
        {ARTIFACT_TYPE: "any", SBOM: "any"},
        {ARTIFACT_TYPE: "any", "default": "all"},
    ],
    ids=str,
)
def test_bad_evidence_of_another_type_counts_in_whatever_order_it_is_listed(
    registry: Tree, requirements: dict[str, str], is_first: bool
) -> None:
    """Ratify looks at all of it; a type that is there must be satisfied, whether it is listed or not."""
    registry.sign(TRUSTED)
    bad = registry.sign(STRANGER, config={"mediaType": SBOM, "digest": EMPTY_DIGEST, "size": 2})
    registry.listed[1] = bad._replace(artifact_type=SBOM)
    if not is_first:
        registry.listed.reverse()
    verifiers = verifier("signature", ARTIFACT_TYPE), verifier("sbom", SBOM)
    assert verdict(registry, ratifys(**requirements), *verifiers).decision is Decision.DENY
    good = registry.sign(TRUSTED, config={"mediaType": SBOM, "digest": EMPTY_DIGEST, "size": 2})
    registry.listed[2] = good._replace(artifact_type=SBOM)
    expected = Decision.DENY if requirements.get("default") == "all" else Decision.ALLOW
    assert verdict(registry, ratifys(**requirements), *verifiers).decision is expected


def test_while_a_type_may_be_there_that_nobody_saw_a_yes_under_any_is_no_answer(registry: Tree) -> None:
    registry.sign(TRUSTED)
    gone = registry.sign(STRANGER, config={"mediaType": SBOM, "digest": EMPTY_DIGEST, "size": 2})
    registry.listed[1] = gone._replace(artifact_type=SBOM)
    registry.broken[str(gone.digest)] = UNREACHABLE
    both = verifier("signature", ARTIFACT_TYPE), verifier("sbom", SBOM)
    assert verdict(registry, ratifys(default="any"), *both).decision is Decision.CANNOT_TELL
    assert verdict(registry, ratifys(default="any"), both[0]).decision is Decision.ALLOW
    ours = PolicySettings("nodeseal", {"threshold": 1, "of": ["signature", "sbom"]})
    assert verdict(registry, ours, *both).decision is Decision.ALLOW
