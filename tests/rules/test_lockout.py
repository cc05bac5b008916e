"""What a rule set means for the images that a node needs to come up."""

from datetime import datetime, timedelta, timezone

import pytest

from agent.rules import lists, lockout
from agent.rules.floor import Bootstrap, Floor
from agent.rules.lockout import Needs
from agent.rules.rule import Default, Enforcement, PolicySettings, Rule
from agent.rules.ruleset import Allowed, ConfiguredBreakGlass, Denied, Exemption, RuleSet

NOW = datetime(2027, 3, 1, 12, tzinfo=timezone.utc)
SOON = NOW + timedelta(hours=1)
DIGEST, OTHER = "sha256:" + "5" * 64, "sha256:" + "6" * 64
CNI = "quay.io/cni/agent"
NEEDED = f"{CNI}:1@{DIGEST}"
FINE, WARNED, LOCKED_OUT = "fine", "warned", "locked out"
AUDIT = Default(Enforcement.AUDIT)


def rule(*match: str, enforcement: Enforcement = Enforcement.ENFORCE) -> Rule:
    """A rule with one verifier."""
    return Rule("cni", match, ("key",), PolicySettings("nodeseal", {}), enforcement=enforcement)


def judged(ruleset: RuleSet, image: str = NEEDED, floor: Floor = Floor()) -> tuple[str, str]:  # noqa: B008
    """What it means for the image, and what is told."""
    found = list(lockout.threats(ruleset, floor, NOW, lockout.references([image])))
    if not found:
        return FINE, ""
    return (LOCKED_OUT if found[0].locked_out else WARNED), f"{found[0].got}; {found[0].expected}"


@pytest.mark.parametrize(
    ("ruleset", "image", "outcome", "said"),
    [
        (RuleSet((), AUDIT), NEEDED, FINE, ""),
        (RuleSet((), Default(Enforcement.DISABLED)), NEEDED, FINE, ""),
        (RuleSet(()), NEEDED, LOCKED_OUT, f"no rule for {NEEDED}"),
        (RuleSet((), AUDIT, (Denied("quay.io/**"),)), NEEDED, LOCKED_OUT, f"quay.io/**, which refuses {NEEDED}"),
        (RuleSet((), AUDIT, (Denied(CNI, DIGEST),)), NEEDED, LOCKED_OUT, f"{CNI}@{DIGEST}, which refuses"),
        (RuleSet((), AUDIT, (Denied(CNI, OTHER),)), NEEDED, FINE, ""),
        (RuleSet((), AUDIT, (Denied(CNI, DIGEST),)), f"{CNI}:1", FINE, ""),
        (RuleSet((), AUDIT, (Denied("**"),), exempt=(Exemption(CNI),)), NEEDED, LOCKED_OUT, "**, which refuses"),
        (RuleSet((rule("quay.io/**"),)), NEEDED, WARNED, "the rule cni"),
        (RuleSet((rule("quay.io/**", enforcement=Enforcement.AUDIT),)), NEEDED, FINE, ""),
        (RuleSet((), exempt=(Exemption(CNI),)), NEEDED, FINE, ""),
        (RuleSet((), exempt=(Exemption(CNI, owner="another"),)), NEEDED, LOCKED_OUT, "no rule"),
        (RuleSet((), exempt=(Exemption(CNI, (DIGEST,)),)), NEEDED, FINE, ""),
        (RuleSet((), exempt=(Exemption(CNI, (OTHER,)),)), NEEDED, LOCKED_OUT, "no rule"),
        (RuleSet((), exempt=(Exemption(CNI, (OTHER,)),)), f"{CNI}:1", WARNED, "without the digest"),
        (RuleSet((), allow=(Allowed(CNI, DIGEST, SOON, "it"),)), NEEDED, WARNED, "for a while is over"),
        (RuleSet((), allow=(Allowed(CNI, DIGEST, NOW, "it"),)), NEEDED, LOCKED_OUT, "no rule"),
        (RuleSet((), break_glass=(ConfiguredBreakGlass(CNI, SOON, "it"),)), NEEDED, WARNED, "for a while is over"),
        (RuleSet((), AUDIT, break_glass=(ConfiguredBreakGlass(CNI, SOON, "it"),)), NEEDED, FINE, ""),
        (RuleSet(()), lists.USUAL_SANDBOX, FINE, ""),
        (RuleSet((), AUDIT, (Denied("registry.k8s.io/**"),)), lists.USUAL_SANDBOX, LOCKED_OUT, "pause"),
        (RuleSet(()), "registry.k8s.io/kube-apiserver:v1.33.0", FINE, ""),
    ],
)
def test_each_place_in_the_precedence(ruleset: RuleSet, image: str, outcome: str, said: str) -> None:
    found = judged(ruleset, image)
    assert found[0] == outcome
    assert said in found[1]


def test_the_next_step_is_told() -> None:
    assert "allowLockout: true" in judged(RuleSet(()))[1]
    assert "an exemption" in judged(RuleSet(()))[1]
    assert "allowLockout: true" in judged(RuleSet((), AUDIT, (Denied("**"),)))[1]


def test_the_floor_counts() -> None:
    assert judged(RuleSet((), AUDIT), floor=Floor(Enforcement.ENFORCE))[0] == LOCKED_OUT
    etcd = "registry.k8s.io/etcd:3.5"
    assert judged(RuleSet(()), etcd, Floor(without_digest=()))[0] == LOCKED_OUT


def test_what_is_no_reference_is_passed_over() -> None:
    assert judged(RuleSet(()), "no reference") == (FINE, "")


def test_what_a_node_needs_of_which_nobody_says_it_binds_nobody() -> None:
    assert lockout.needs(Bootstrap()) == Needs((lists.USUAL_SANDBOX,), binding=False)
    assert lockout.needs(Bootstrap(needs=())) == Needs((), binding=True)
