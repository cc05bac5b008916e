"""The second look before a denial: once what a mirror lists is not enough, the registry itself is asked."""

from collections.abc import Callable, Sequence

import pytest

from agent.adapters.inline import NoTrace, OneByOne, SystemClock, run
from agent.engine import Engine
from agent.errors import Code
from agent.model.descriptor import Descriptor
from agent.model.reference import Repository
from agent.model.verdict import Decision, Verdict
from agent.ports import Clock
from tests.engines import OnTheSpot, Unhurried, verdict_of
from tests.formats.support import Answers, request
from tests.test_engine import STRANGER, TRUSTED, UNREACHABLE, MemoryRegistry, configuration


def asked(
    registry: MemoryRegistry,
    *insist: Callable[[], bool],
    deadline: float | None = None,
    clock: Clock | None = None,
) -> tuple[Decision, Code, int]:
    """How it ended, and after how many requests."""
    engine = Engine(
        configuration(),
        registry=registry, revocation=Answers(), concurrent=OneByOne(), policies=OnTheSpot(),
        clock=clock or Unhurried(),
        trace=NoTrace(), deadline=deadline, insist=insist,
    )  # fmt: skip
    found: Verdict = run(verdict_of(engine, request()))
    return found.decision, found.code, len(registry.asked)


class Behind(MemoryRegistry):
    """A mirror's list holds a stranger's signature; `found` is what the registry itself has."""

    def __init__(self, *, believed: bool = True) -> None:
        """`believed`: the registry was not asked."""
        super().__init__()
        self.sign(STRANGER)
        self.found: Callable[[], object] = lambda: None
        self.insisted = 0
        self._believed = believed

    def insist(self) -> bool:
        """Have the registry asked from now on."""
        self.insisted += 1
        self.found()
        return self._believed


DENIED = (Decision.DENY, Code.SIGNER_NOT_TRUSTED)


def test_signature_that_the_registry_alone_has_is_enough() -> None:
    registry = Behind()
    registry.found = lambda: registry.sign(TRUSTED)
    assert asked(registry, registry.insist)[:2] == (Decision.ALLOW, Code.VERIFIED)
    assert asked(Behind())[:2] == DENIED


def test_denial_stays_one_where_the_registry_has_no_more_or_does_not_answer() -> None:
    registry = Behind()
    assert asked(registry, registry.insist)[:2] == DENIED
    silent = Behind()
    silent.found = lambda: silent.broken.update({"listing": UNREACHABLE})
    assert asked(silent, silent.insist)[:2] == DENIED


def test_nobody_is_asked_again_where_nobody_was_believed() -> None:
    before, registry = asked(Behind()), Behind(believed=False)
    assert asked(registry, registry.insist) == before


def test_each_registry_is_told_to_insist() -> None:
    first, second = Behind(), Behind()
    asked(first, first.insist, second.insist)
    assert (first.insisted, second.insisted) == (1, 1)


@pytest.mark.parametrize("signers", [[TRUSTED], []])
def test_what_is_no_denial_needs_no_second_look(signers: Sequence[object]) -> None:
    registry = Behind()
    registry.listed.clear()
    if signers:
        registry.sign(TRUSTED)
    else:
        registry.broken["listing"] = UNREACHABLE
    assert asked(registry, registry.insist)[0] is not Decision.DENY
    assert not registry.insisted


def test_second_look_that_would_take_as_long_as_the_first_makes_no_denial_a_matter_of_time() -> None:
    class Slow(Behind):
        """What lies there takes its time to read."""

        async def manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
            """Later."""
            clock.seconds += self.seconds
            return await super().manifest(repository, descriptor)

        seconds = 0.0

    class Later(SystemClock):
        """Goes on when somebody waits."""

        seconds = 100.0

        def monotonic(self) -> float:
            """See `ports.Clock`."""
            return self.seconds

    for seconds, looks in ((3.0, 1), (4.5, 0)):
        clock, registry = Later(), Slow()
        registry.seconds = seconds
        assert asked(registry, registry.insist, deadline=108.0, clock=clock)[:2] == DENIED
        assert registry.insisted == looks


def test_without_time_for_it_the_denial_is_told_at_once() -> None:
    registry = Behind()
    registry.found = lambda: registry.sign(TRUSTED)
    assert asked(registry, registry.insist, deadline=2.0)[:2] == DENIED
    assert asked(registry, registry.insist, deadline=60.0)[0] is Decision.ALLOW
