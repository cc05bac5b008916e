"""Policies whose documents OPA gave: `modules.txt` in `tests/assets/rego` has them, `answers.json` its answers.

Each is the text behind `package t`; the query is `data.t.x`, the input that of `expressions.py`.
"""

import pathlib

ASSETS = pathlib.Path(__file__).parents[1] / "assets/rego"

MODULES: dict[str, str] = {
    name.strip(): text.strip("\n")
    for name, _, text in (
        part.partition("\n") for part in (ASSETS / "modules.txt").read_text("utf-8").split("### ")[1:]
    )
}
"""By what they show."""


NEGATIONS: tuple[str, ...] = tuple(
    line
    for line in r"""
count(input.missing) == 1
input.missing == 1
[lower(input.missing)] == 1
input.a[lower(input.missing)]
{"a": lower(input.missing)} == 1
input.missing[0] == 1
lower(input.missing) == "a"
lower(input.missing)
startswith(input.missing, "a")
-input.missing == 1
input.missing + 1 == 2
[1 | lower(input.missing)] == []
input.list[count(input.missing)]
lower(input.missing) in ["a"]
f(input.missing)
f(f(input.missing))
f(g)
f(h)
[f(input.missing)]
input.a[input.missing]
input.a[input.missing] == 1
h == 1
{f(input.missing)}
f(input.missing) == f(input.missing)
count([y | y := lower(input.missing)]) == 5
[input.missing] == [1]
input.missing < 1
{"a": input.missing} == {"a": 1}
f([input.missing])
f(input.missing.x)
input.list[f(1)]
split(input.missing, "a")[0] == "b"
split(input.missing, "a")[0]
every y in input.missing { y }
every y in input.list { y.n > 1 }
startswith(input.list[_].name, "z")
startswith(input.list[_].name, "x")
input.list[i].n == 1; i := 0
input.list[i].n > 5; i = 0
f(input.list[_].n > 2)
input.missing != 1
[input.a.b, 1] == [1, 1]
input.list[input.matrix[0][1]].n == 2
input.list[input.missing].n == 2
f(1) with input.a as input.missing
f(input.q) with input.q as 1
f(input.q) with input.q as false
1 in input.missing
input.missing in [1]
startswith("a", "b"); startswith("a", "a")
{x | x := input.missing} == set()
input.list[_].n
data.t.nothing
data.t.nothing == 1
startswith(data.t.nothing, "a")
h
g
y.z == 1; y := input.a
f(y.z); y := input.a
f(y.b.c); y := input.a
input == 1
f(input)
({1} | input.missing) == {1}
count(input.missing) > 0
true == input.missing
input.missing = 1
object.get(input, "missing", 0) == 1
object.get(input.missing, "missing", 0) == 1
""".splitlines()
    if line
)
"""What stands behind a `not` in the rule `x`; `f` is the identity, `g` and `h` have no value."""
