"""A real OPA is asked again:

the recorded answers are its answers, and policies made by chance mean the same to both.
"""

import os

import pytest

from tests.rego.expressions import INPUT
from tests.rego.questions import questions, recorded
from tests.rego.random_policies import policy
from tests.rego.record import answers
from tests.rego.support import answer
from tests.rego.test_answers import kind_and_value, nearly
from tests.testbed import opa

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

SEEDS = range(3_000)


@pytest.fixture(autouse=True)
def _debian() -> None:
    if os.geteuid() != 0 or not os.access("/usr/bin/apt-get", os.X_OK):
        pytest.skip("OPA is built from Debian's packages, which takes root")


def test_the_recorded_answers_are_opas() -> None:
    asked = answers()
    assert asked.keys() == {each.name for each in questions()}
    assert {name: kind_and_value(each) for name, each in asked.items()} == {
        name: kind_and_value(each) for name, each in recorded().items()
    }


def test_policies_made_by_chance_mean_the_same_here() -> None:
    """Where OPA gives an answer, so do we, and the same one; its type checker refuses some that have one here.

    A built-in that fails ends an evaluation in both, but OPA does not always come to it: then we deny, and it answers.
    """
    policies = [policy(seed) for seed in SEEDS]
    asked = opa.ask({"policy": each, "query": "data.t.x", "input": INPUT} for each in policies)
    compared = faults = 0
    for text, theirs in zip(policies, asked, strict=True):
        ours = answer(text, "t.x", INPUT)
        if "error" in theirs:
            assert "error" in ours or "type_error" in str(theirs), (text, theirs, ours)
        elif "error" in ours:
            assert "compile" not in str(ours)
            faults += 1
        else:
            assert kind_and_value(ours) == nearly(kind_and_value(theirs)), (text, theirs, ours)
            compared += 1
    assert compared > len(SEEDS) // 3
    assert faults < len(SEEDS) // 500
