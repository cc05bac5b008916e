"""What is wrong with a policy is told with its place; what is too much ends with a fault, never without one."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rego.compiler import MAX_FAULTS, compile_policy
from agent.rego.evaluator import Program
from agent.rego.faults import EvaluationFault, SyntaxFault
from agent.rego.lexer import MAX_SIZE
from tests.rego.modules import MODULES
from tests.rego.support import answer, fault_of


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("", "line 1, column 1: got something else than a policy; expected package and its name first"),
        ("package t\nx := 1 2", "line 2, column 8: got '2'; expected a rule"),
        ("package t\nx {\n  y > 1\n}", "line 3, column 3: got unsafe y, without a value here"),
        ("package t\nx = y { true }", "line 2, column 1: got a head with unsafe y, without a value here"),
        ("package t\nx { count() }", "line 2, column 10: got count with 0 arguments; expected 1 argument"),
        ("package t\nx { cuont([1]) }", "line 2, column 10: got a call of cuont, which is no function; expected count"),
        ("package t\nx { http.send({}) }", "a call of http.send: a policy reaches no network here"),
        ("package t\nx { opa.runtime() }", "a call of opa.runtime: a policy can't read the environment here"),
        ('package t\nx { io.jwt.decode("") }', "a call of io.jwt.decode: it does not exist here"),
        ('package t\nx { rand.intn("a", 3) }', "a call of rand.intn: a policy has the same answer each time here"),
        ("package t\nx { y }\ny { x }", "which needs itself; expected rules without recursion"),
        (
            "package t\nimport foo.bar\nx := 1",
            "line 2, column 1: got an import of foo.bar; expected a path that begins",
        ),
        ("package t\nimport future.keywords.foo\nx := 1", "expected in, every, if or contains"),
        ("package t\nx { true with data.t.z as 1 }", "with on something else than input"),
        ('package t\nx := "abc', "line 2, column 6: got a text without an end"),
        ('package t\nx := "\\ud800"', "a text with half a character"),
        ("package t\nx := 1\u00e9", "line 2, column 7: got the character '\\xe9'"),
        ("package t\nx := 1\ny := 2 }", "line 3, column 8: got '}'; expected a rule"),
        (
            "package t\nx := 1\nx(a) = a",
            "line 3, column 1: got x as a function; expected a rule with one value, which it is in line 2",
        ),
        ("package t\nf(a) = a\nf(a, b) = b", "line 3, column 1: got a function of 2 arguments; expected 1"),
        ("package t\nx := 1e999", "a number out of range"),
        ('package t\nx := 1 + "a"', "line 2, column 8: got + with a string; expected a number"),
        ("package t\nx { false; minus(null, 1) }", "got - with null; expected a number or a set"),
        ("package t\nx := count([]) + count(5)", "got count with a number; expected a string or an array or an object"),
        (
            "package t\nimport rego.v1\nimport input.a\nimport data.b as a\nx := 1",
            "line 4, column 1: got an import of data.b under the name a; expected a name of its own: input.a has this",
        ),
        ("package t\nx := " + "1" * 500, "a number of 500 characters; expected at most 400"),
    ],
)
def test_a_fault_says_where_it_is_what_was_got_and_what_was_expected(policy: str, message: str) -> None:
    assert message in fault_of(policy)


def faults_of(policy: str) -> list[str]:
    """Everything told about a policy that can't be used, by lines."""
    with pytest.raises(SyntaxFault) as found:
        compile_policy(policy)
    return [f"{each.line}: {each.got}" for each in (found.value, *found.value.more)]


def test_each_rule_with_a_fault_is_told() -> None:
    rules = ["x := nonsense(1)", "y { z }", "good := 1", 'w := lower("a") + lower(1)', "v := count()"]
    assert faults_of("package t\n" + "\n".join(rules)) == [
        "2: a call of nonsense, which is no function",
        "3: unsafe z, without a value here",
        "5: lower with a number",
        "6: count with 0 arguments",
    ]


def test_a_fault_in_the_head_of_several_bodies_is_told_once() -> None:
    assert len(faults_of("package t\nf(lower(1)) { true } { false }\nx := nonsense(1)")) == 2


def test_no_more_faults_are_told_than_a_person_reads() -> None:
    policy = "package t\n" + "".join(f"a{i} := nonsense(1)\n" for i in range(100))
    assert len(faults_of(policy)) == MAX_FAULTS


def test_a_policy_that_is_too_long_is_refused() -> None:
    assert "expected at most" in fault_of("package t\n" + "#" * MAX_SIZE)


@pytest.mark.parametrize("opening", ["[", "{", "(", '{"a":', "[1|x:=", "f("])
def test_a_policy_that_is_nested_too_deep_is_refused(opening: str) -> None:
    assert "terms in each other" in fault_of("package t\nx := " + opening * 5_000)


def test_too_many_rules_are_refused() -> None:
    assert "more than 2000 rules" in fault_of("package t\n" + "".join(f"a{i} := 1\n" for i in range(2_001)))


def test_an_evaluation_that_takes_too_many_steps_ends_with_a_fault() -> None:
    policy = "package t\nx := count([1 | numbers.range(1, 1000)[_] > 0; numbers.range(1, 1000)[_] > 0])"
    program = Program(compile_policy(policy), max_steps=10_000)
    with pytest.raises(EvaluationFault, match="^more than 10000 steps$"):
        program.query(["t", "x"], {}, now_ns=0)


def test_calls_in_each_other_without_end_are_a_fault() -> None:
    chain = "".join(f"f{i}(a) = f{i + 1}(a)\n" for i in range(400))
    assert "calls in each other" in fault_of(f"package t\nx := f0(1)\n{chain}f400(a) = a\n")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ('to_number("a")', "line 2: to_number: got string"),
        ("1 / 0", "line 2: /: divide by zero"),
        ('1 + [x | x := "a"][0]', "line 2: +: got string"),
        ("numbers.range(0, 100000)", "more than 100000 numbers"),
        ("numbers.range(100000, 0)", "more than 100000 numbers"),
        ("numbers.range_step(0, 200000, 2)", "more than 100000 numbers"),
        ("bits.lsh(1, 100000)", "expected 0 to 4096"),
        ('time.clock([1, "Europe/Berlin"])', "expected the time zone UTC: no other is known here"),
        ('replace("aaaa", "a", replace(replace("aaaa", "a", x), "b", x))', "a text of more than"),
        ('sprintf("%9999999d", [1])', "a text of more than"),
        ("product(numbers.range(1, 3000))", "a number of more than 4096 bits"),
        ('json.unmarshal("1e99999")', "a number of too many digits"),
    ],
)
def test_a_built_in_that_fails_is_a_fault_with_its_line(expression: str, message: str) -> None:
    policy = f"package t\ny {{ z := {expression} }}\nx := 1 {{ y }}\n".replace(", x)", ', concat("", input.long))')
    assert message in fault_of(policy, value={"long": ["b" * 2_000] * 10})


@pytest.mark.parametrize("numbers", ["numbers.range(1, 100000)", "numbers.range_step(0, 199999, 2)"])
def test_as_many_numbers_as_a_range_may_have_are_taken(numbers: str) -> None:
    program = Program(compile_policy(f"package t\nx := count({numbers})"))
    assert program.query(["t", "x"], {}, now_ns=0) == 100_000


def test_a_failing_built_in_is_no_consent_behind_a_negation() -> None:
    policy = "package t\nx { not to_number(input.a) == 1 }"
    assert "to_number" in fault_of(policy, value={"a": "no number"})


def test_rules_that_contradict_each_other_are_a_fault() -> None:
    assert fault_of("package t\nx = 1\nx = 2") == "line 3: x has more than one value"


@given(st.text(alphabet=string.printable, max_size=200))
def test_any_text_is_a_policy_or_a_fault(text: str) -> None:
    try:
        compile_policy(text)
    except SyntaxFault as fault:
        assert fault.line >= 1 and fault.column >= 1


@given(st.sampled_from(sorted(MODULES.values())), st.integers(0, 200), st.integers(0, 30), st.text(max_size=5))
def test_any_change_of_a_policy_is_a_policy_or_a_fault(text: str, start: int, length: int, new: str) -> None:
    found = answer(f"package t\n{text[:start]}{new}{text[start + length :]}\n", "t.x", {"a": 1, "list": []})
    assert len(found) == 1
