"""The floor: what counts, whatever a configuration in force says."""

import pytest

from agent.errors import Cause
from agent.rules import precedence
from agent.rules.breakglass import Moment
from agent.rules.floor import NEVER_IGNORED, STRICTEST, Floor
from agent.rules.rule import ENFORCEMENTS, Default, Enforcement, FailureAction, FailurePolicy, PolicySettings, Rule
from agent.rules.ruleset import Exemption, RuleSet
from tests.rules.worlds import DIGESTS, NOW, repository

IMAGE = repository("registry.example.com/shop/cart")
MOMENT = Moment(NOW, 1000.0, "boot")


def standing(floor: Floor, node: str = "node-1", **fields: object) -> precedence.Standing:
    """What holds under a rule with these fields, and a default."""
    rule = Rule("shop", ("registry.example.com/shop/**",), (), PolicySettings("", {}), **fields)  # type: ignore[arg-type]
    return precedence.Standing(RuleSet((rule,), Default(Enforcement.DISABLED)), floor, MOMENT, node)


@pytest.mark.parametrize("written", Enforcement)
@pytest.mark.parametrize("lowest", Enforcement)
def test_enforcement_is_raised_to_the_floor_with_and_without_a_rule(written: Enforcement, lowest: Enforcement) -> None:
    holding = standing(Floor(enforcement=lowest), enforcement=written)
    assert precedence.terms_for(IMAGE, holding).enforcement is max(written, lowest, key=ENFORCEMENTS.index)
    unmatched = precedence.terms_for(repository("other.example.net/a"), holding)
    assert (unmatched.rule, unmatched.enforcement, unmatched.exact_host) == (None, lowest, False)


def test_disabled_rule_is_verified_where_the_floor_audits() -> None:
    disabled = standing(Floor(), enforcement=Enforcement.DISABLED)
    assert precedence.before_verification(IMAGE, DIGESTS[0], str(IMAGE), disabled) is not None
    raised = disabled._replace(floor=Floor(enforcement=Enforcement.AUDIT))
    assert precedence.before_verification(IMAGE, DIGESTS[0], str(IMAGE), raised) is None


def test_rollout_makes_nobody_audit_where_the_floor_enforces() -> None:
    assert precedence.terms_for(IMAGE, standing(Floor(), rollout=0)).enforcement is Enforcement.AUDIT
    enforcing = standing(Floor(enforcement=Enforcement.ENFORCE), rollout=0)
    assert precedence.terms_for(IMAGE, enforcing).enforcement is Enforcement.ENFORCE


def test_node_without_a_name_enforces_what_is_rolled_out() -> None:
    assert precedence.terms_for(IMAGE, standing(Floor(), node="", rollout=0)).enforcement is Enforcement.ENFORCE


def test_rollout_turns_only_enforcing_into_auditing() -> None:
    disabled = standing(Floor(), enforcement=Enforcement.DISABLED, rollout=0)
    assert precedence.terms_for(IMAGE, disabled).enforcement is Enforcement.DISABLED


@pytest.mark.parametrize("cause", Cause)
def test_floor_that_says_nothing_ignores_what_is_written_but_for_two_causes(cause: Cause) -> None:
    wanted = FailureAction.FAIL if cause in NEVER_IGNORED else FailureAction.IGNORE
    assert Floor().action(cause, FailureAction.IGNORE) is wanted
    assert Floor().action(cause, FailureAction.FAIL) is FailureAction.FAIL


def test_floor_lets_no_less_than_its_own_action() -> None:
    floor = Floor(failure_policy=FailurePolicy(FailureAction.IGNORE_IF_VERIFIED_BEFORE))
    for cause in Cause:
        assert floor.action(cause, FailureAction.IGNORE) is FailureAction.IGNORE_IF_VERIFIED_BEFORE
        assert floor.action(cause, FailureAction.FAIL) is FailureAction.FAIL


@pytest.mark.parametrize(
    ("without_digest", "digests", "exempt"),
    [
        (("**",), (), True),
        ((), (), False),
        (("registry.example.com/shop/**",), (), True),
        (("registry.example.com/other/**",), (), False),
        ((), (DIGESTS[0],), True),
        ((), (DIGESTS[1],), False),
        (("**",), (DIGESTS[1],), False),
    ],
)
def test_exemption_without_digests_counts_as_far_as_the_floor_says(
    without_digest: tuple[str, ...], digests: tuple[str, ...], exempt: bool
) -> None:
    holding = standing(Floor(without_digest=without_digest))
    ruleset = holding.ruleset._replace(exempt=(Exemption("registry.example.com/**", digests),))
    answer = precedence.before_verification(IMAGE, DIGESTS[0], str(IMAGE), holding._replace(ruleset=ruleset))
    assert (answer is not None) is exempt


def test_strictest_floor_lets_nothing_lack_digests_not_even_built_in_exemptions() -> None:
    holding = standing(STRICTEST)
    control_plane = repository("registry.k8s.io/kube-proxy")
    assert precedence.before_verification(control_plane, DIGESTS[0], "", holding) is None
    assert precedence.before_verification(control_plane, DIGESTS[0], "", standing(Floor())) is not None
