"""One judgement: what decides before verification, and what a verdict becomes."""

from agent.adapters.inline import NoTrace, OneByOne, SystemClock, run
from agent.config.config import Config
from agent.engine import Engine
from agent.errors import Cause, Code, Exit, Unavailable
from agent.model.answer import Ground
from agent.model.reference import Reference
from agent.model.request import PullRequest
from agent.rules.ruleset import RuleSet
from tests.engines import OnTheSpot, judged
from tests.formats.support import SUBJECT, Answers, request
from tests.test_engine import STRANGER, TRUSTED, MemoryRegistry, configuration


def engine_over(registry: MemoryRegistry, config: Config | None = None) -> Engine:
    """An engine that trusts `TRUSTED`."""
    return Engine(
        config or configuration(),
        registry=registry,
        revocation=Answers(),
        concurrent=OneByOne(),
        policies=OnTheSpot(),
        clock=SystemClock(),
        trace=NoTrace(),
    )


def test_signed_image_is_allowed_with_its_ground_and_verdict() -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    answer, verdict = run(judged(request(), engine_over(registry)))
    assert (answer.exit, answer.ground, answer.rule) == (Exit.ALLOW, Ground.VERIFIED, "default")
    assert verdict is not None
    assert verdict.code is Code.VERIFIED


def test_image_of_a_stranger_is_denied() -> None:
    registry = MemoryRegistry()
    registry.sign(STRANGER)
    answer, _ = run(judged(request(), engine_over(registry)))
    assert (answer.exit, answer.ground, answer.code) == (Exit.DENY, None, Code.SIGNER_NOT_TRUSTED)


def test_listing_that_breaks_off_is_cannot_tell() -> None:
    registry = MemoryRegistry()
    registry.broken["listing"] = Unavailable("gone", cause=Cause.REGISTRY_UNAVAILABLE)
    answer, _ = run(judged(request(), engine_over(registry)))
    assert (answer.exit, answer.ground) == (Exit.CANNOT_TELL, None)


def test_canary_is_denied_before_anything_is_asked() -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    name = f"127.0.0.1:5000/nodeseal-canary@{SUBJECT.digest}"
    canary = PullRequest(name, Reference.parse(name), SUBJECT)
    answer, verdict = run(judged(canary, engine_over(registry)))
    assert (answer.exit, answer.code, verdict) == (Exit.DENY, Code.CANARY, None)
    assert registry.asked == []


def test_image_that_no_rule_is_for_is_denied_before_anything_is_asked() -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    config = configuration()
    elsewhere = config._replace(ruleset=RuleSet((config.rules[0]._replace(match=("other.example/**",)),)))
    answer, _ = run(judged(request(), engine_over(registry, elsewhere)))
    assert (answer.exit, answer.ground, answer.code) == (Exit.DENY, None, Code.NO_RULE)
    assert answer.line().startswith("deny NS-2007 rule=-: no rule is for registry.example.com/shop/cart; see: ")
    assert registry.asked == []


def test_most_specific_rule_decides_and_stands_in_the_line() -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    config = configuration()
    shop = config.rules[0]._replace(name="shop", match=("registry.example.com/shop/**",), verifiers=())
    answer, _ = run(judged(request(), engine_over(registry, config._replace(ruleset=RuleSet((*config.rules, shop))))))
    assert (answer.exit, answer.rule) == (Exit.DENY, "shop")
