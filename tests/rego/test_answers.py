"""The answers here are OPA's, but for those that are listed with their reasons."""

import pytest

from tests.rego.questions import ON_PURPOSE, Question, questions, recorded, why_other
from tests.rego.support import answer

ANSWERS = recorded()


def kind_and_value(found: object) -> object:
    """What two answers are compared by: of errors only that they are some."""
    assert isinstance(found, dict)
    if "value" in found:
        return ("value", found["value"])
    return ("error",) if "error" in found else ("undefined",)


def nearly(value: object) -> object:
    """Fractions are exact here, and decimal digits there: compared as floating-point numbers."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-12)
    if isinstance(value, (list, tuple)):
        return type(value)(nearly(each) for each in value)
    return {key: nearly(each) for key, each in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("question", [pytest.param(each, id=each.name) for each in questions()])
def test_the_answer_is_opas(question: Question) -> None:
    ours = kind_and_value(answer(question.policy, question.document, question.input))
    theirs = kind_and_value(ANSWERS[question.name])
    if why_other(question):
        assert ours != theirs, "no longer another answer: take it off the list"
    else:
        assert ours == nearly(theirs)


def test_every_recorded_answer_has_its_question_and_every_exception_too() -> None:
    names = {each.name for each in questions()}
    assert names == ANSWERS.keys()
    assert ON_PURPOSE.keys() <= names | {name.partition(" / ")[0] for name in names}


def test_true_is_no_number_wherever_values_are_compared() -> None:
    for text in ("true == 1", "{true} == {1}", '{"a": true} == {"a": 1}', "[true] == [1]", "1 in [true]", "false == 0"):
        assert answer(f"package t\nimport future.keywords\nx = y {{ y := {text} }}\n", "t.x", {}) == {"value": False}


def test_whole_numbers_are_exact_and_fractions_are_too() -> None:
    expressions = ("9007199254740993 == 9007199254740992", "0.1 + 0.2 != 0.3", "(1 / 3) * 3 != 1")
    for text in expressions:
        assert answer(f"package t\nx = y {{ y := {text} }}\n", "t.x", {}) == {"value": False}
