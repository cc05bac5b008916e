"""One judgement: what decides before verification, and what a verdict becomes."""

from agent.adapters.inline import NoTrace, OneByOne, SystemClock, run
from agent.engine import Engine
from agent.errors import Cause, Code, Exit, Unavailable
from agent.judgement import judge
from agent.model.answer import Ground
from agent.model.reference import Reference
from agent.model.request import PullRequest
from tests.engines import OnTheSpot
from tests.formats.support import SUBJECT, Answers, request
from tests.test_engine import STRANGER, TRUSTED, MemoryRegistry, configuration


def engine_over(registry: MemoryRegistry) -> Engine:
    """An engine that trusts `TRUSTED`."""
    return Engine(
        configuration(),
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
    answer, verdict = run(judge(request(), engine_over(registry)))
    assert (answer.exit, answer.ground, answer.rule) == (Exit.ALLOW, Ground.VERIFIED, "default")
    assert verdict is not None
    assert verdict.code is Code.VERIFIED


def test_image_of_a_stranger_is_denied() -> None:
    registry = MemoryRegistry()
    registry.sign(STRANGER)
    answer, _ = run(judge(request(), engine_over(registry)))
    assert (answer.exit, answer.ground, answer.code) == (Exit.DENY, None, Code.SIGNER_NOT_TRUSTED)


def test_listing_that_breaks_off_is_cannot_tell() -> None:
    registry = MemoryRegistry()
    registry.broken["listing"] = Unavailable("gone", cause=Cause.REGISTRY_UNAVAILABLE)
    answer, _ = run(judge(request(), engine_over(registry)))
    assert (answer.exit, answer.ground) == (Exit.CANNOT_TELL, None)


def test_canary_is_denied_before_anything_is_asked() -> None:
    registry = MemoryRegistry()
    registry.sign(TRUSTED)
    name = f"127.0.0.1:5000/nodeseal-canary@{SUBJECT.digest}"
    canary = PullRequest(name, Reference.parse(name), SUBJECT)
    answer, verdict = run(judge(canary, engine_over(registry)))
    assert (answer.exit, answer.code, verdict) == (Exit.DENY, Code.CANARY, None)
    assert registry.asked == []
