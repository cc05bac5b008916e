"""How much of cosign's signatures is looked at for one image: in number, bytes and time."""

import pytest

from agent.adapters.inline import OneByOne, SystemClock
from agent.errors import Code
from agent.gathering import LOOKED_AT_LEAST, MAX_EVIDENCE, PATIENCE
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.reference import Repository
from agent.model.verdict import Decision
from agent.trust.publickeys import PublicKey, holds
from tests.formats.support import SUBJECT
from tests.signing_cosign import (
    bundle,
    layer,
    payload,
    statement,
)
from tests.test_engine_cosign import Cosigned, good_bundle, good_layer, of, registry
from tests.test_engine_unseen import SlowClock

__all__ = ["registry"]


def test_crowd_of_referrers_hides_no_tag(registry: Cosigned) -> None:
    for i in range(MAX_EVIDENCE + 5):
        registry.refer(bundle(statement(SUBJECT, predicate={"n": i}), "P-256", 1))
    assert of(registry).decision is Decision.DENY
    registry.tag(good_layer())
    assert of(registry).decision is Decision.ALLOW


def test_layers_with_the_same_bytes_are_fetched_once(registry: Cosigned) -> None:
    said = payload(SUBJECT)
    registry.tag(layer(said, "P-256", 1), layer(said, "P-256", 2), layer(said))
    assert of(registry).decision is Decision.ALLOW
    assert registry.asked.count(str(Digest.of(said))) == 1


def test_layers_beyond_patience_are_not_fetched(registry: Cosigned) -> None:
    strange = [layer(payload(SUBJECT, optional={"n": i}), "P-256", 1) for i in range(LOOKED_AT_LEAST + 5)]
    registry.tag(*strange, good_layer())
    found = of(registry, clock=SlowClock(PATIENCE + 1))
    assert found.decision is Decision.DENY
    fetched = [each for each in registry.asked if each in {str(Digest.of(one.content)) for one in strange}]
    assert len(fetched) == LOOKED_AT_LEAST
    assert of(registry).decision is Decision.ALLOW


def test_layers_are_pieces_too_of_what_may_be_looked_at(registry: Cosigned) -> None:
    strange = [layer(payload(SUBJECT, optional={"n": i}), "P-256", 1) for i in range(LOOKED_AT_LEAST + 5)]
    registry.refer(*strange)
    late = registry.refer(good_bundle())
    assert of(registry, clock=SlowClock(PATIENCE + 1)).decision is Decision.DENY
    assert str(late.digest) not in registry.asked
    assert of(registry).decision is Decision.ALLOW


def test_what_was_fetched_before_patience_ran_out_is_not_verified_after() -> None:
    seconds = [0.0]

    class Clock(SystemClock):
        """One that stands still until somebody moves it."""

        def monotonic(self) -> float:
            """See `ports.Clock`."""
            return seconds[0]

    class Late(Cosigned):
        """Its bundles take long."""

        async def blob(self, repository: Repository, descriptor: Descriptor, limit: int) -> bytes:
            """See `ports.Registry`."""
            seconds[0] += PATIENCE + 1 if "bundle" in descriptor.media_type else 0
            return await super().blob(repository, descriptor, limit)

    registry = Late()
    registry.refer(*(layer(payload(SUBJECT, optional={"n": i}), "P-256", 1) for i in range(LOOKED_AT_LEAST)))
    registry.refer(good_bundle())
    assert of(registry, clock=Clock()).decision is Decision.DENY
    del registry.listed[0]
    assert of(registry, clock=Clock()).decision is Decision.ALLOW


@pytest.mark.parametrize(("seconds", "decision"), [(25.0, Decision.ALLOW), (2.5, Decision.DENY), (-1.0, Decision.DENY)])
def test_patience_ends_before_the_time_for_an_answer(registry: Cosigned, seconds: float, decision: Decision) -> None:
    for i in range(LOOKED_AT_LEAST):
        registry.refer(bundle(statement(SUBJECT, predicate={"n": i}), "P-256", 1))
    registry.refer(good_bundle())
    look = 2.0
    assert of(registry, clock=SlowClock(look), deadline=look + seconds).decision is decision


def test_verifying_layers_ends_once_patience_has_run_out(registry: Cosigned, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]

    class Clock(SystemClock):
        """As late as signatures were tried, a second each."""

        def monotonic(self) -> float:
            """See `ports.Clock`."""
            return seconds[0]

    def made(self: PublicKey, signature: bytes, signed: bytes, digests: dict[str, bytes] | None = None) -> bool:
        """Take a second."""
        seconds[0] += 1
        return holds(self.key, signature, signed, digests)

    monkeypatch.setattr(PublicKey, "made", made)
    strange = [layer(payload(SUBJECT, optional={"n": i}), "P-256", 1) for i in range(60)]
    registry.tag(*strange, good_layer())
    found = of(registry, clock=Clock())
    assert (found.decision, found.code) == (Decision.DENY, Code.EVIDENCE_LIMIT)
    assert seconds[0] == LOOKED_AT_LEAST
    registry.tag(*strange[: LOOKED_AT_LEAST - 1], good_layer())
    seconds[0] = 0
    assert of(registry, clock=Clock()).decision is Decision.ALLOW


def test_others_go_on_between_the_signatures_of_a_manifest(registry: Cosigned) -> None:
    pauses: list[None] = []

    class Counting(OneByOne):
        """Counts the pauses."""

        async def pause(self) -> None:
            """See `ports.Concurrent`."""
            pauses.append(None)

    registry.tag(*(layer(payload(SUBJECT, optional={"n": i}), "P-256", 1) for i in range(5)))
    assert of(registry, concurrent=Counting()).decision is Decision.DENY
    assert len(pauses) == 5
