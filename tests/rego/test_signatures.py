"""Arguments whose type a policy's text shows are taken and refused as by OPA's type checker."""

import pytest

from agent.rego import signatures
from tests.rego import argument_types
from tests.rego.support import answer, fault_of


def are_refused(policies: list[str]) -> list[bool]:
    """Whether each policy is refused here."""
    return ["error" in answer(policy, "t.x", {}) for policy in policies]


@pytest.mark.unmeasured
def test_a_literal_is_taken_where_opa_takes_its_type() -> None:
    ours, theirs = argument_types.taken(are_refused), argument_types.recorded()
    assert ours.keys() == theirs.keys()
    assert {name: types for name, types in ours.items() if types != theirs[name]} == {}


def test_only_functions_that_exist_are_listed() -> None:
    assert signatures._TYPES.keys() <= argument_types.recorded().keys()


@pytest.mark.parametrize(
    "expression",
    ['y := 1 + "a"', "plus(1, [], y)", "not lower(null)", 'y := [z | z := "a" - 1]', "y := input.a + {1}"],
)
def test_what_is_wrong_is_told_though_it_is_never_reached(expression: str) -> None:
    assert "line 2, column" in fault_of(f"package t\nx {{ false; {expression} }}")


def test_a_condition_of_every_is_left_to_the_evaluation_as_by_opa() -> None:
    policy = "package t\nimport rego.v1\nx if { every e in input.a { count(1.5) != e } }\n"
    assert answer(policy, "t.x", {"a": []}) == {"value": True}
    assert "error" in answer(policy, "t.x", {"a": [1]})
    after = policy.replace("} }", "}; count(1.5) == 1 }")
    assert "count with a number" in fault_of(after)


@pytest.mark.parametrize("expression", ["input.a + 1", "count(input.a)", "startswith(input.a, input.b)"])
def test_what_the_text_does_not_show_is_left_to_the_evaluation(expression: str) -> None:
    assert answer(f"package t\nx {{ false; {expression} }}\n", "t.x", {}) == {"undefined": True}
