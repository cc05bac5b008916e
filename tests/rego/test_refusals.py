"""What the language does not have, or not there, is refused with its place; so is what a function can't take."""

import pytest

from tests.rego.support import answer, fault_of

V1 = "package t\nimport rego.v1\n"
UNSAFE = "expected each variable bound by an expression that is not negated"


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("package t[1]\nx := 1", "line 1, column 11: got '1'; expected a text"),
        (V1 + "x if { true } { true }", "line 3, column 15: got a second body; expected if in front of the body"),
        ("package t\ndefault x", "got the end of the policy; expected a value: default NAME := VALUE"),
        (V1 + "x contains 1 if { true } else := 2", "got an else; expected it behind a rule with a body and one value"),
        ("package t\nx := 1 else := 2", "line 2, column 8: got an else; expected it behind a rule with a body"),
        ("package t\ndefault x = [y]", "got a default with a variable, a reference or a call; expected a constant"),
        ('package t\ndefault x = {"a": {y}}', "got a default with a variable, a reference or a call"),
        (V1 + "p[1]", "got a rule p[x] or p.x without a value; expected p contains x, or p[x] if ..."),
        ("package t\nx { " + "true; " * 1_000 + "true }", "got a body of more than 1000 expressions; expected fewer"),
        ("package t\nx { not not true }", "line 2, column 9: got not not; expected one not"),
        (
            V1 + "x if { some a, b, c in [1] }",
            "some with 3 terms before in; expected some VALUE in",
        ),
        ("package t\nx { some y with input as 1 }", "got with behind a declaration; expected with behind a condition"),
        ("package t\nx { y := 1; y(1) }", "line 2, column 14: got a call of the variable y; expected a function"),
        ("package t\nf[a](b) = 1 { a := b }", "got a function with a variable in its name; expected names only"),
        ("package t\ndefault x[a] = 1", "got a default for a rule with variables; expected one for a name"),
        ("package t\nx := input[0](1)", "got arguments; expected the name of a function before them"),
        ("package t\nx := input.1", "line 2, column 12: got '1'; expected a name"),
    ],
)
def test_what_stands_where_it_may_not_is_told_with_its_place(policy: str, message: str) -> None:
    assert message in fault_of(policy)


@pytest.mark.parametrize(
    ("body", "unsafe"),
    [
        ("every y in z { y > 1 }", "z"),
        ("every y in [1] { y > z }", "z"),
        ("some y in z", "y, z"),
        ("some [y, z] in w", "w, y, z"),
        ("count(y) > 1", "y"),
        ("y := [z | w := 1]", "z"),
        ('{y: 1} = {"a": 1}', "y"),
        ("[y | z := q] = [1]", "q, z"),
    ],
)
def test_a_variable_that_nothing_binds_is_unsafe_wherever_it_stands(body: str, unsafe: str) -> None:
    assert f"got unsafe {unsafe}, without a value here; {UNSAFE}" in fault_of(f"{V1}x if {{ {body} }}")


@pytest.mark.parametrize(
    ("expression", "value", "message"),
    [
        ("sum(input.v)", "a", "sum: got string"),
        ("array.concat([], input.v)", "a", "array.concat: got string"),
        ("intersection({input.v})", 1, "intersection: got number 1; expected a set"),
        ("object.remove(input.v, [])", [1], "object.remove: got array"),
        ("object.subset([1], input.v)", "a", "expected two objects, two sets, two arrays, or an array and a set"),
        ("sort(input.v)", {"a": 1}, "sort: got object"),
        ('indexof_n("abc", input.v)', "", "indexof_n: empty search character"),
        ('glob.match("a", [input.v], "a")', "ab", "glob.match: a delimiter that is not one character"),
        ('glob.match(input.v, [], "a")', "[a", "expected a glob whose [ has its ]"),
        ('glob.match(input.v, [], "a")', "{a", "expected a glob whose { has its }"),
        ('regex.match(input.v, "a")', "a" * 70_000, "regex.match: a pattern of more than "),
        ("time.parse_rfc3339_ns(input.v)", "2026-01-01T00:00:00+25:00", "expected a time zone that there is"),
        ("time.parse_rfc3339_ns(input.v)", "2026-13-01T00:00:00Z", "expected a time that there is"),
        ("time.parse_duration_ns(input.v)", ".h", "expected a duration like 1h30m"),
        ("time.add_date(0, input.v, 0, 0)", 9999, "expected a time between 1678 and 2262"),
        ("base64url.decode(input.v)", "+/", "expected base64url"),
        ("units.parse(input.v)", "1q", "expected a number with a unit"),
        ("units.parse_bytes(input.v)", "1q", "expected a number with a unit of bytes"),
    ],
)
def test_a_function_tells_what_it_can_not_take(expression: str, value: object, message: str) -> None:
    assert message in fault_of(f"package t\nx := {expression}", value={"v": value})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("{1, 2} - {2}", [1]),
        ('"a", 1 in {"a": 1}', True),
        ('"b", 1 in {"a": 1}', False),
        ("1, 1 in {1}", True),
        ("2, 1 in [1]", False),
        ('1, 2 in "a"', False),
        ('object.get({"a": {1}}, ["a", 1], 0)', 1),
        ('object.get({"a": {1}}, ["a", 2], 0)', 0),
        ("object.subset([1, 2], {2})", True),
        ('object.subset({"a": {"b": 1}}, {"a": {"b": 2}})', False),
        ('object.subset({"a": {1}}, {"a": {2}})', False),
        ('sprintf("%x %X %q", ["J", "J", "a"])', '4a 4A "a"'),
        ('sprintf("%", [])', "%!(NOVERB)"),
        ('regex.replace("ab", "a", "$$")', "$b"),
        ("time.diff(1700000000000000000, 1600000000000000000)", [3, 2, 1, 9, 46, 40]),
        ("time.diff(1583020800000000000, 1580428800000000000)", [0, 1, 1, 0, 0, 0]),
    ],
)
def test_what_a_function_gives_at_its_edges(expression: str, value: object) -> None:
    policy = f"package t\nimport future.keywords\nx = y {{ y := {expression} }}"
    assert answer(policy, "t.x", {}) == {"value": value}


def test_rules_that_give_one_key_two_values_are_a_fault() -> None:
    assert "rules give one key of an object two values" in fault_of(
        'package t\np[x] = 1 { x := "a" }\np.a.b = 2 { true }', "t.p"
    )
