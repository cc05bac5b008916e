"""What holds whatever is configured, remembered and found."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import Cause, Code, Exit
from agent.model.answer import Ground
from agent.model.verdict import Decision, Remembered
from agent.rules import lists, precedence
from agent.rules.breakglass import BreakGlass, Moment
from agent.rules.floor import STRICTEST, Floor
from agent.rules.rule import ACTIONS, EVERYTHING, Default, Enforcement, FailureAction, FailurePolicy
from agent.rules.ruleset import Exemption, RuleSet
from tests.rules import worlds
from tests.rules.worlds import VERDICTS, World

pytestmark = pytest.mark.unmeasured  # what is generated goes where the other tests of this folder go

OPEN = Floor(break_glass_for_all=True)
WRITTEN_DOWN = {Ground.EXEMPT, Ground.ALLOWED_BY_DIGEST, Ground.BREAK_GLASS, Ground.DISABLED, Ground.AUDIT}
"""Grounds on which an image passes because somebody wrote that it does."""


@given(worlds.worlds)
def test_exit_code_0_has_a_ground_and_nothing_else_has_one(world: World) -> None:
    answer = world.answer()
    assert (answer.exit is Exit.ALLOW) is (answer.ground is not None)
    assert (answer.would is not None) is (answer.ground is Ground.AUDIT)
    assert answer.line()
    assert answer.precedence in range(2, 9)


@given(worlds.worlds)
def test_no_failure_policy_and_no_memory_turns_a_denial_into_an_allowance(world: World) -> None:
    answer = world._replace(verdict=VERDICTS[Decision.DENY]).answer()
    assert answer.exit is Exit.DENY or answer.ground in WRITTEN_DOWN


@given(worlds.worlds, worlds.failure_policies)
def test_denial_under_enforcement_is_a_denial_under_every_failure_policy(world: World, policy: FailurePolicy) -> None:
    denied = world._replace(verdict=VERDICTS[Decision.DENY], standing=_bare(world))
    assert denied.under(policy).exit is Exit.DENY


@given(worlds.worlds)
def test_only_what_is_written_down_lets_pass_an_image_that_never_was_verified(world: World) -> None:
    never = world._replace(before=None)
    answer = never.under(FailurePolicy())
    assert answer.exit is not Exit.ALLOW or answer.ground in WRITTEN_DOWN or answer.code is Code.VERIFIED


@given(worlds.worlds)
def test_where_nothing_is_written_down_nothing_passes_that_never_was_verified(world: World) -> None:
    answer = world._replace(before=None, standing=_bare(world)).under(FailurePolicy())
    assert (answer.exit is Exit.ALLOW) is (answer.code is Code.VERIFIED)


def _bare(world: World) -> precedence.Standing:
    """Without lists (built-in ones too), break-glass, and any enforcement but the strict one."""
    ruleset = world.standing.ruleset
    rules = tuple(rule._replace(enforcement=Enforcement.ENFORCE, rollout=100) for rule in ruleset.rules)
    bare = ruleset._replace(rules=rules, default=Default(), deny=(), allow=(), exempt=())
    floor = world.standing.floor._replace(without_digest=())
    return world.standing._replace(ruleset=bare, floor=floor, break_glass=())


@given(worlds.worlds, st.sampled_from(["127.0.0.1", "127.0.0.1:5000"]))
def test_canary_goes_before_the_deny_list_and_all_that_lets_pass(world: World, host: str) -> None:
    glass = BreakGlass("0001", EVERYTHING, "why", world.standing.moment, worlds.NOW + timedelta(hours=1))
    exempt = (Exemption(EVERYTHING, insecure=True),)
    standing = world.standing._replace(
        ruleset=world.standing.ruleset._replace(exempt=exempt), floor=OPEN, break_glass=(glass,)
    )
    canary = world._replace(repository=worlds.repository(f"{host}/nodeseal-canary"), standing=standing)
    assert canary.answer() is precedence.CANARY_ANSWER


@given(worlds.worlds)
def test_deny_list_goes_before_everything(world: World) -> None:
    ruleset = world.standing.ruleset
    for entry in ruleset.deny:
        listed = lists.denied((entry,), world.repository, world.digest)
        assert not listed or (world.answer().exit, world.answer().precedence) == (Exit.DENY, precedence.DENY_LIST)


def raised(one: Floor, other: Floor) -> Floor:
    """The lowest floor that is not below either."""
    return Floor(
        enforcement=one.raised(other.enforcement),
        failure_policy=_strictest(one.failure_policy, other.failure_policy),
        longest_break_glass=min(one.longest_break_glass, other.longest_break_glass),
        break_glass_for_all=one.break_glass_for_all and other.break_glass_for_all,
        without_digest=tuple(each for each in one.without_digest if each in other.without_digest),
    )


def _strictest(one: FailurePolicy, other: FailurePolicy) -> FailurePolicy:
    def strictest(actions: Iterable[FailureAction]) -> FailureAction:
        return max(actions, key=ACTIONS.index)

    causes = {cause: strictest((one.written(cause), other.written(cause))) for cause in Cause}
    return FailurePolicy(strictest((one.default, other.default)), causes)


@given(worlds.worlds, worlds.floors)
@example(
    World(
        worlds.repository(worlds.NAMES[0]),
        worlds.DIGESTS[0],
        precedence.Standing(RuleSet(()), Floor(), Moment(worlds.NOW, 0.0, "")),
        VERDICTS[Decision.DENY],
        None,
    ),
    STRICTEST,
)
def test_raising_the_floor_never_lets_pass_what_was_blocked(world: World, floor: Floor) -> None:
    before, after = world.answer(), world.answer(floor=raised(world.standing.floor, floor))
    assert before.exit is Exit.ALLOW or after.exit is not Exit.ALLOW


@given(worlds.floors)
def test_nothing_is_stricter_than_the_strictest_floor(floor: Floor) -> None:
    higher = raised(STRICTEST, floor)
    assert higher._replace(failure_policy=STRICTEST.failure_policy) == STRICTEST
    assert {higher.failure_policy.written(cause) for cause in Cause} == {FailureAction.FAIL}


@given(worlds.worlds, worlds.failure_policies, worlds.failure_policies)
def test_lowering_a_failure_policy_never_blocks_what_passed(
    world: World, lower: FailurePolicy, other: FailurePolicy
) -> None:
    assert world.under(_strictest(lower, other)).exit is not Exit.ALLOW or world.under(lower).exit is Exit.ALLOW


@given(worlds.worlds, worlds.memories)
def test_memory_never_blocks_what_passes_without_one(world: World, before: Remembered | None) -> None:
    without = world._replace(before=None).answer()
    assert without.exit is not Exit.ALLOW or world._replace(before=before).answer().exit is Exit.ALLOW


NODES = [f"ip-10-0-{i // 256}-{i % 256}.example.internal" for i in range(10_000)]


@given(st.sampled_from(NODES) | st.text(min_size=1, max_size=80), st.integers(0, 100), st.integers(0, 100))
def test_node_that_enforces_goes_on_enforcing_as_the_rollout_grows(name: str, one: int, other: int) -> None:
    less, more = sorted((one, other))
    assert precedence.in_share(name, less) is precedence.in_share(name, less)
    assert not precedence.in_share(name, less) or precedence.in_share(name, more)
    assert precedence.in_share(name, 100)
    assert not precedence.in_share(name, 0)


def test_which_nodes_enforce_never_changes() -> None:
    enforcing = [i for i, name in enumerate(NODES[:40]) if precedence.in_share(name, 20)]
    assert enforcing == [2, 3, 8, 10, 22, 24, 25, 26, 36, 38]


def test_rollout_is_about_right_over_many_nodes() -> None:
    for percent in (1, 5, 20, 50, 80, 99):
        share = sum(precedence.in_share(name, percent) for name in NODES) / 100
        assert abs(share - percent) < 1.5, percent


def test_node_without_a_name_enforces() -> None:
    assert precedence.in_share("", 0)
