"""Signers who are denied, from the list to the verdict: what else is there still counts, and nothing more does."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.inline import NoTrace, OneByOne, run
from agent.engine import Engine
from agent.errors import Cause, Code, Unavailable
from agent.model.digest import Digest
from agent.model.signer import DeniedSigner
from agent.model.verdict import Decision, Verdict
from tests.engines import OnTheSpot, Unhurried, verdict_of
from tests.formats.support import SUBJECT, Answers, request
from tests.signing_cosign import layer, payload, public_der
from tests.test_engine_cosign import Cosigned
from tests.test_engine_signers import by_key, by_layer, configured

ENTRIES = [DeniedSigner(key=sha256(public_der(number=number)).hexdigest()) for number in range(3)]
"""One for each of the keys that the verifier `release` trusts."""

ALLOWED, DENIED = (Decision.ALLOW, Code.VERIFIED), (Decision.DENY, Code.SIGNER_DENIED)


def asked(registry: Cosigned, denied: Sequence[DeniedSigner], threshold: int = 1, policy: Any = None) -> Verdict:
    """The verdict where so many of three keys must have signed, and some are denied."""
    config = configured(threshold, policy or {"any": ["release"]}).config._replace(denied_signers=tuple(denied))
    engine = Engine(
        config, registry=registry, revocation=Answers(), concurrent=OneByOne(), policies=OnTheSpot(),
        clock=Unhurried(), trace=NoTrace(),
    )  # fmt: skip
    return run(verdict_of(engine, request()))


def told(found: Verdict) -> tuple[Decision, Code]:
    """How it ended."""
    return found.decision, found.code


def signed(by_tag: Sequence[int], by_bundle: Sequence[int]) -> Cosigned:
    """A registry with these keys' signatures."""
    registry = Cosigned()
    if by_tag:
        registry.tag(*map(by_layer, by_tag))
    for number in by_bundle:
        registry.refer(by_key(number))
    return registry


def test_image_that_a_denied_signer_alone_signed_is_denied_and_the_code_says_why() -> None:
    for registry in (signed([0], []), signed([], [0]), signed([9, 0], [0, 9])):
        assert told(asked(registry, [])) == ALLOWED
        assert told(asked(registry, [ENTRIES[1]])) == ALLOWED
        assert told(asked(registry, [ENTRIES[0]])) == DENIED


def test_signature_of_another_signer_is_enough_wherever_both_lie() -> None:
    for registry in (signed([0, 1], []), signed([1], [0]), signed([0], [1]), signed([], [0, 1])):
        assert told(asked(registry, [ENTRIES[0]])) == ALLOWED
        assert told(asked(registry, ENTRIES[:2])) == DENIED


def test_denied_signer_is_not_counted() -> None:
    registry = signed([0, 1], [2])
    assert told(asked(registry, [], 3)) == ALLOWED
    assert asked(registry, [ENTRIES[2]], 3).decision is Decision.DENY
    assert told(asked(registry, [ENTRIES[2]], 2)) == ALLOWED


def test_what_nobody_answers_for_stays_what_it_is() -> None:
    gone = layer(payload(SUBJECT, optional={"a": "b"}), number=1)
    registry = Cosigned()
    registry.tag(by_layer(0), gone)
    registry.broken[str(Digest.of(gone.content))] = Unavailable("no answer", cause=Cause.REGISTRY_UNAVAILABLE)
    assert told(asked(registry, [])) == ALLOWED
    assert asked(registry, [ENTRIES[0]]).decision is Decision.CANNOT_TELL


_SIGNERS = st.lists(st.integers(0, 3), max_size=3)


@pytest.mark.unmeasured
@given(_SIGNERS, _SIGNERS, st.integers(1, 3), st.sets(st.integers(0, 2)), st.integers(0, 2))
def test_one_entry_more_never_lets_anything_more_in(
    by_tag: list[int], by_bundle: list[int], threshold: int, denied: set[int], more: int
) -> None:
    registry = signed(by_tag, by_bundle)
    before, after = (
        asked(registry, [ENTRIES[each] for each in sorted(entries)], threshold) for entries in (denied, denied | {more})
    )
    assert before.decision is Decision.ALLOW or after.decision is Decision.DENY
    left = ({*by_tag, *by_bundle} & {0, 1, 2}) - denied - {more}
    assert (after.decision is Decision.ALLOW) is (len(left) >= threshold)
