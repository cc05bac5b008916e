"""One judgement: what decides before verification, and what a verdict becomes."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent.adapters.inline import NoTrace, OneByOne, run
from agent.adapters.stored_registry import StoredRegistry, way_of
from agent.adapters.verdicts import VerdictFolder
from agent.config.canonical import with_grounds
from agent.config.config import Config
from agent.engine import Engine
from agent.errors import Cause, Code, Exit, Unavailable
from agent.judgement import Case, Judgement, early_until, judge, opened
from agent.model.answer import Answer, Ground
from agent.model.outcome import Action, Check, CheckResult, Outcome, Status
from agent.model.reference import Reference
from agent.model.report import Artifact, Report
from agent.model.request import PullRequest
from agent.model.verdict import NOTHING, Decision, Memory, Remembered, Verdict
from agent.ports import Registry
from agent.rules.breakglass import Moment
from agent.rules.precedence import Standing
from agent.rules.ruleset import Lifetimes, RuleSet
from tests.engines import OnTheSpot, Unhurried, judged, standing
from tests.formats.support import SUBJECT, Answers, request
from tests.test_engine import STRANGER, TRUSTED, MemoryRegistry, configuration


def engine_over(registry: Registry, config: Config | None = None) -> Engine:
    """An engine that trusts `TRUSTED`."""
    return Engine(
        config or configuration(),
        registry=registry,
        revocation=Answers(),
        concurrent=OneByOne(),
        policies=OnTheSpot(),
        clock=Unhurried(),
        trace=NoTrace(),
    )


def test_signed_image_is_allowed_with_its_ground_and_verdict() -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    answer, verdict = run(judged(request(), engine_over(registry)))[:2]
    assert (answer.exit, answer.ground, answer.rule) == (Exit.ALLOW, Ground.VERIFIED, "default")
    assert verdict is not None
    assert verdict.code is Code.VERIFIED


def test_image_of_a_stranger_is_denied() -> None:
    registry = MemoryRegistry()
    registry.sign(STRANGER)
    answer, _ = run(judged(request(), engine_over(registry)))[:2]
    assert (answer.exit, answer.ground, answer.code) == (Exit.DENY, None, Code.SIGNER_NOT_TRUSTED)


def test_listing_that_breaks_off_is_cannot_tell() -> None:
    registry = MemoryRegistry()
    registry.broken["listing"] = Unavailable("gone", cause=Cause.REGISTRY_UNAVAILABLE)
    answer, _ = run(judged(request(), engine_over(registry)))[:2]
    assert (answer.exit, answer.ground) == (Exit.CANNOT_TELL, None)


def test_canary_is_denied_before_anything_is_asked() -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    name = f"127.0.0.1:5000/nodeseal-canary@{SUBJECT.digest}"
    canary = PullRequest(name, Reference.parse(name), SUBJECT)
    answer, verdict = run(judged(canary, engine_over(registry)))[:2]
    assert (answer.exit, answer.code, verdict) == (Exit.DENY, Code.CANARY, None)
    assert registry.asked == []


def test_image_that_no_rule_is_for_is_denied_before_anything_is_asked() -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    config = configuration()
    elsewhere = config._replace(ruleset=RuleSet((config.rules[0]._replace(match=("other.example/**",)),)))
    answer, _ = run(judged(request(), engine_over(registry, elsewhere)))[:2]
    assert (answer.exit, answer.ground, answer.code) == (Exit.DENY, None, Code.NO_RULE)
    assert answer.line().startswith("deny NS-2007 rule=-: no rule is for registry.example.com/shop/cart; see: ")
    assert registry.asked == []


def test_most_specific_rule_decides_and_stands_in_the_line() -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    config = configuration()
    shop = config.rules[0]._replace(name="shop", match=("registry.example.com/shop/**",), verifiers=())
    answer, _ = run(judged(request(), engine_over(registry, config._replace(ruleset=RuleSet((*config.rules, shop))))))[
        :2
    ]
    assert (answer.exit, answer.rule) == (Exit.DENY, "shop")


NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


def at(moment: datetime, config: Config) -> Standing:
    """What holds at a moment."""
    return standing(config, moment=Moment(moment, 0.0, "boot"))


def case_of(config: Config, store: VerdictFolder, moment: datetime = NOW) -> Case:
    """The case of the usual image."""
    case = run(opened(request(), at(moment, config), store))
    assert isinstance(case, Case)
    return case


@pytest.fixture
def store(tmp_path: Path) -> VerdictFolder:
    """An empty one."""
    return VerdictFolder(str(tmp_path))


def test_a_denial_does_not_outlive_its_end_once_the_image_is_signed(store: VerdictFolder, tmp_path: Path) -> None:
    """Whatever is kept of the registry between processes."""
    registry, config = MemoryRegistry(), with_grounds(configuration())
    registry.sign(STRANGER)

    def answer(seconds: float) -> Exit:
        case = case_of(config, store, NOW + timedelta(seconds=seconds))
        known = case.known()
        if known is not None:
            return known.answer.exit
        kept = StoredRegistry(registry, str(tmp_path), way=way_of(config.stores))
        return run(judge(case, engine_over(kept, config), store)).answer.exit

    assert answer(0) is Exit.DENY
    registry.sign(TRUSTED)
    assert [answer(9), answer(10)] == [Exit.DENY, Exit.ALLOW]


def test_what_was_said_is_known_until_its_end(store: VerdictFolder) -> None:
    registry, config = MemoryRegistry(), with_grounds(configuration())
    registry.sign(STRANGER)
    assert case_of(config, store).known() is None
    verdict = run(judge(case_of(config, store), engine_over(registry, config), store)).verdict
    assert verdict is not None
    again = case_of(config, store, NOW + timedelta(seconds=9))
    known = again.known()
    assert known is not None
    assert known == Judgement(again.answer(verdict), verdict._replace(report=None), NOW + timedelta(seconds=10))
    assert case_of(config, store, NOW + timedelta(seconds=10)).known() is None
    assert case_of(config, store, NOW - timedelta(seconds=1)).known() is None


def test_cannot_tell_that_comes_late_does_not_replace_what_somebody_could_tell_meanwhile(store: VerdictFolder) -> None:
    registry, config = MemoryRegistry(), with_grounds(configuration())
    registry.sign(TRUSTED)
    early = case_of(config, store)
    run(judge(case_of(config, store, NOW + timedelta(seconds=1)), engine_over(registry, config), store))
    registry.broken["listing"] = Unavailable("gone", cause=Cause.REGISTRY_UNAVAILABLE)
    run(judge(early, engine_over(registry, config), store))
    known = case_of(config, store, NOW + timedelta(seconds=2)).known()
    assert known is not None
    assert known.answer.code is Code.VERIFIED


def test_an_allowance_that_comes_late_does_not_replace_a_denial_that_began_later(store: VerdictFolder) -> None:
    registry, config = MemoryRegistry(), with_grounds(configuration())
    early = case_of(config, store)
    run(judge(case_of(config, store, NOW + timedelta(seconds=1)), engine_over(registry, config), store))
    registry.sign(TRUSTED)
    late = run(judge(early, engine_over(registry, config), store))
    assert (late.answer.exit, late.until) == (Exit.ALLOW, NOW)
    known = case_of(config, store, NOW + timedelta(seconds=2)).known()
    assert known is not None
    assert known.answer.exit is Exit.DENY


def test_cannot_tell_keeps_what_was_verified_since_it_began(store: VerdictFolder) -> None:
    registry, config = MemoryRegistry(), with_grounds(configuration())
    registry.sign(TRUSTED)
    early = case_of(config, store, NOW + timedelta(seconds=1))
    run(judge(case_of(config, store), engine_over(registry, config), store))
    registry.broken["listing"] = Unavailable("gone", cause=Cause.REGISTRY_UNAVAILABLE)
    run(judge(early, engine_over(registry, config), store))
    assert case_of(config, store, NOW + timedelta(minutes=1)).before.verified is not None


def test_a_revocation_that_is_seen_ends_what_was_said_of_other_images(store: VerdictFolder) -> None:
    config = with_grounds(configuration())
    ground, other = config.rules[0].ground, "registry.example.com/shop/other@sha256:" + "7" * 64
    run(store.remember(ground, other, Memory(Remembered(NOW - timedelta(hours=1), None))))
    seen = Outcome(SUBJECT.digest, "t", "n", "n", Status.FAILED, "certificate CN=a: revoked", Code.CERTIFICATE_REVOKED)
    report = Report("s", (Artifact("s", SUBJECT.digest, "t", (seen,)),))
    denial = Verdict(Decision.DENY, Code.CERTIFICATE_REVOKED, seen.message, report=report)

    class Denying:
        async def verify(self, *_: object) -> Verdict:
            return denial

    case = case_of(config, store)
    run(judge(case, Denying(), store))
    assert run(store.recall(ground, other)) == NOTHING


def revoked(message: str, certificate: str) -> Verdict:
    """A denial, since a certificate is revoked."""
    check = CheckResult(
        Check.REVOCATION, Action.ENFORCE, Status.FAILED, message, Code.CERTIFICATE_REVOKED, certificate=certificate
    )
    seen = Outcome(SUBJECT.digest, "t", "n", "n", Status.FAILED, message, Code.CERTIFICATE_REVOKED, checks=(check,))
    report = Report("s", (Artifact("s", SUBJECT.digest, "t", (seen,)),))
    return Verdict(Decision.DENY, Code.CERTIFICATE_REVOKED, message, report=report)


class Saying:
    """An engine that says one thing."""

    def __init__(self, verdict: Verdict) -> None:
        """`verdict`, always."""
        self._verdict = verdict

    async def verify(self, *_: object) -> Verdict:
        """What it says."""
        return self._verdict


def say(case: Case, verdict: Verdict, store: VerdictFolder) -> Judgement:
    """Judge a case of which `verdict` is found."""
    return run(judge(case, Saying(verdict), store))


def test_two_certificates_of_one_name_cast_doubt_each(store: VerdictFolder) -> None:
    config = with_grounds(configuration())
    ground, other = config.rules[0].ground, "registry.example.com/shop/other@sha256:" + "7" * 64
    say(case_of(config, store, NOW - timedelta(hours=2)), revoked("certificate CN=a: revoked", "1"), store)
    run(store.remember(ground, other, Memory(Remembered(NOW - timedelta(hours=1), None))))
    say(case_of(config, store), revoked("certificate CN=a: revoked", "2"), store)
    assert run(store.recall(ground, other)) == NOTHING


IMAGE = f"registry.example.com/shop/cart@{SUBJECT.digest} {SUBJECT.size} {SUBJECT.media_type}"
CUT_OFF = Verdict(Decision.CANNOT_TELL, Code.REGISTRY_UNAVAILABLE, "gone", (Cause.REGISTRY_UNAVAILABLE,))


def test_what_comes_into_doubt_by_the_same_pull_does_not_stand_in_for_what_is_not_known(store: VerdictFolder) -> None:
    config = with_grounds(configuration())
    run(store.remember(config.rules[0].ground, IMAGE, Memory(Remembered(NOW - timedelta(hours=1), None))))
    seen = revoked("certificate CN=a: revoked", "1").report
    said = say(case_of(config, store), CUT_OFF._replace(report=seen), store)
    assert (said.answer.exit, said.answer.ground) == (Exit.CANNOT_TELL, None)


@pytest.mark.parametrize(
    ("before", "seconds"),
    [
        (Remembered(NOW - timedelta(hours=1), None), 5),
        (Remembered(NOW - timedelta(hours=24) + timedelta(seconds=2), None), 2),
        (Remembered(NOW - timedelta(hours=1), NOW + timedelta(seconds=3)), 3),
    ],
)
def test_an_earlier_verification_stands_in_no_longer_than_it_counts(
    store: VerdictFolder, before: Remembered, seconds: float
) -> None:
    config = with_grounds(configuration())
    run(store.remember(config.rules[0].ground, IMAGE, Memory(before)))
    said = say(case_of(config, store), CUT_OFF, store)
    assert (said.answer.ground, said.until) == (Ground.STALE, NOW + timedelta(seconds=seconds))
    known = case_of(config, store, NOW + timedelta(seconds=1)).known()
    assert known is not None
    assert (known.answer.ground, known.until) == (Ground.STALE, NOW + timedelta(seconds=seconds))


def test_a_lifetime_that_was_shortened_counts_at_once(store: VerdictFolder) -> None:
    registry, config = MemoryRegistry(), with_grounds(configuration())
    registry.sign(TRUSTED)
    run(judge(case_of(config, store), engine_over(registry, config), store))
    later = NOW + timedelta(minutes=2)
    assert case_of(config, store, later).known() is not None
    shorter = config._replace(ruleset=config.ruleset._replace(lifetimes=Lifetimes(allow=60.0)))
    assert case_of(shorter, store, later).known() is None


# ---- a configuration that grows too old ---------------------------------------------------------------------------


def complete_since(ago: timedelta, config: Config, moment: datetime = NOW) -> Standing:
    """What holds where the cluster last said all of it so long ago."""
    ruleset = config.ruleset._replace(from_cluster=True)
    return standing(
        config._replace(ruleset=ruleset), moment=Moment(moment, 9e6, "boot"), complete=Moment(moment - ago, 0.0, "")
    )


WEEK = timedelta(days=7)


def test_no_answer_outlives_the_configuration(store: VerdictFolder) -> None:
    registry, hour = MemoryRegistry(), timedelta(hours=1)
    registry.sign(TRUSTED)
    config = configuration()
    held = complete_since(WEEK - hour, config)
    first = run(judged(request(), engine_over(registry, config), store, held=held))
    assert first.answer.ground is Ground.VERIFIED
    assert first.until == NOW + hour
    again = run(opened(request(), held, store))
    assert isinstance(again, Case)
    known = again.known()
    assert known is not None
    assert known.until == NOW + hour
    shared = run(again.shared(Judgement(first.answer, first.verdict, NOW + timedelta(days=3)), store))
    assert shared.until == NOW + hour


def test_nothing_is_said_again_under_a_configuration_that_is_too_old(store: VerdictFolder) -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    config = configuration()
    run(judged(request(), engine_over(registry, config), store, held=complete_since(timedelta(0), config)))
    stale = complete_since(WEEK, config)
    answer = run(opened(request(), stale, store))
    assert isinstance(answer, Answer)
    assert (answer.exit, answer.code, answer.ground) == (Exit.CANNOT_TELL, Code.CONFIGURATION_STALE, None)
    assert early_until(answer, request(), stale) is None
    fresh = run(opened(request(), complete_since(timedelta(0), config), store))
    assert isinstance(fresh, Case)
    assert fresh.known() is not None  # nothing was lost meanwhile
