"""Policies whose documents OPA gave: `tests/assets/rego/answers.json` has its answers.

Each is the text behind `package t`; the query is `data.t.x`, the input that of `expressions.py`.
"""

MODULES: dict[str, str] = {
    name.strip(): text.strip("\n")
    for name, _, text in (
        part.partition("\n")
        for part in r"""complete rule
x = 1
### complete rule with :=
x := 1
### default only
default x := 5
### default overridden
default x = false
x { input.a }
### default with body that fails
default x = false
x { input.zzz }
### two bodies
x = 1 { false }
x = 1 { true }
### chained bodies
x { false } { true }
### conflict
x = 1 { true }
x = 2 { true }
### same value twice
x = 1 { true }
x = 1 { true }
### true and one are two values
x = true { true }
x = 1 { true }
### many solutions conflict
x = y { y := [1, 2][_] }
### many solutions same value
x = y { y := [1, 1][_] }
### constant with many solutions
x = "a" { [1, 2][_] }
### else chain
x = 1 { false } else = 2 { false } else = 3 { true }
### else without body
x = 1 { false } else = 4
### else sees arguments only
f(a) = 1 { a > 5 } else = a { true }
x := f(3)
### else first wins
x = 1 { true } else = 2 { true }
### partial set
s[y] { y := [1, 2, 2][_] }
x := s
### partial set membership
s[y] { y := [1, 2][_] }
x { s[2] }
### partial set missing member
s[y] { y := [1, 2][_] }
default x := "no"
x = "yes" { s[3] }
### partial set iteration
s[y] { y := [1, 2][_] }
x := [y | s[y]]
### partial set dotted
s.a { true }
x := s
### partial object
o[k] = v { v := ["a", "b"][k] }
x := o
### partial object conflict
o[k] = v { k := "a"; v := [1, 2][_] }
x := o
### partial object same values
o[k] = v { k := "a"; v := [1, 1][_] }
x := o
### empty partial set
s[y] { y := 1; false }
x := s
### empty partial object
o[k] = v { k := 1; v := 1; false }
x := o
### count of an empty set rule
s[y] { y := 1; false }
x := count(s)
### ref heads
a.b.c = 1 { true }
a.b.d = 2 { true }
x := a
### ref heads with variables
a[i].n = y { y := input.list[i].n }
x := a
### ref head set
import future.keywords
a.b contains 1 if true
a.b contains 2
x := a
### ref head with variable and set
import future.keywords
a[k] contains v if { some v in [1, 2]; k := "k" }
x := a
### v0 three part head without value
q.a[y] { y := 1 }
x := q
### if with braces
import future.keywords.if
x := 1 if { true }
### if without braces
import future.keywords.if
x := 1 if true
### if with comparison
import future.keywords.if
x if 1 < 2
### map rule with if
import future.keywords
p[y] if { y := "k" }
x := p
### contains
import future.keywords.contains
p contains 1
x := p
### contains with if
import future.keywords
p contains y if some y in [3, 4]
x := p
### rego.v1
import rego.v1
x if { input.a }
### rego.v1 refuses bare bodies
import rego.v1
x { true }
### v1 text without import
x if { 1 in [1] }
### v1 contains text without import
p contains 1
x := p
### v0 refuses if without import and mixes
x = 1 if { true }
y { true }
### function
f(a) = b { b := a + 1 }
x := f(2)
### function without body
f(a) = a * 2
x := f(4)
### function true by default
f(a) { a > 1 }
x := f(2)
### function undefined
f(a) { a > 1 }
x := f(0)
### function several definitions
f(a) = "one" { a == 1 }
f(a) = "two" { a == 2 }
x := [f(1), f(2)]
### function patterns
f([a, b]) = a + b
x := f([1, 2])
### function pattern does not match
f([a, b]) = a + b
x := f([1, 2, 3])
### function with constant arguments
f("a") = 1
f("b") = 2
x := f("b")
### function object pattern
f({"k": v}) = v
x := f({"k": 7})
### function wildcard argument
f(_, b) = b
x := f(1, 2)
### function conflict
f(a) = 1 { a > 0 }
f(a) = 2 { a > 1 }
x := f(2)
### function default
default f(_) := "none"
f(a) := "big" { a > 5 }
x := [f(1), f(6)]
### function arity
f(a) = a
x := f(1, 2)
### function arities differ
f(a) = a
f(a, b) = b
x := 1
### function called as relation
f(a) = a + 1
x = y { f(1, y) }
### built-in called as relation
x = y { plus(1, 2, y) }
### function argument shadows rule
a := 5
f(a) = a
x := f(1)
### function is no document
f(a) = a
x := data.t
### recursion of a rule
x { y }
y { x }
### recursion of a function
f(a) = f(a - 1)
x := f(3)
### recursion through data
x = data.t
### recursion through a variable
y = 1
x = data.t[z] { z := "y" }
### unsafe
x { y > 1 }
### unsafe in head
x = y { true }
### unsafe negation
x { not y }
### unsafe wildcard in negation
x { not input.list[_].n == 7 }
### negation
x { not input.missing }
### negation of false
x { not false }
### negation of zero
x { not 0 }
### negation of a function call that is undefined
f(a) { a == 1 }
x { not f(2) }
### negation of nested calls
x { not startswith(lower(input.missing), "a") }
### negation of a nested function that is undefined
f(a) = a { a == 1 }
x { not count(f(2)) == 1 }
### negation with a variable bound later
x { not y == 3; y := 2 }
### negation of a comprehension
x { not [y | y := input.list[_].n; y > 2] == [] }
### order does not matter
x = z { z = y + 1; y = 2 }
### unification of arrays
x = [a, b] { [a, 2] = [1, b] }
### unification of nested arrays
x = [a, b] { [a, [b, 3]] = [1, [2, 3]] }
### unification of objects
x = a { {"k": a} = {"k": 5} }
### unification of objects of other keys
x = a { {"k": a} = {"k": 5, "l": 1} }
### unification with input
x = [n, m] { {"n": n, "name": m} = input.list[1] }
### unification fails
x { [1, 2] = [1, 3] }
### unification of two variables
x = a { a = b; b = 3 }
### variable equals itself
x { a = a }
### equality needs values
x { a == 1 }
### assignment twice
x { a := 1; a := 2 }
### assignment after use
x { a == 1; a := 1 }
### assignment of an array pattern
x = a + b { [a, b] := [1, 2] }
### some
x = i { some i; input.list[i].n == 2 }
### some shadows rule
i := 7
x = i { some i; input.list[i].n == 2 }
### rule used in brackets
i := 1
x = v { v := input.list[i].n }
### some twice
x { some i; some i; i = 1 }
### some in array
import future.keywords.in
x = [i, v] { some i, v in ["a"] }
### some in object
import future.keywords.in
x = k { some k, "v" in {"k": "v"} }
### some in set
import future.keywords.in
x = y { some y in {3} }
### some in pattern
import future.keywords.in
x = [y | some {"n": y} in [{"n": 1}, {"n": 2}, {"m": 3}]]
### some in non collection
import future.keywords.in
x { some y in "abc" }
### in
import future.keywords.in
x { 2 in [1, 2] }
### not in
import future.keywords.in
x { not 3 in [1, 2] }
### key in
import future.keywords.in
x { "a", 1 in {"a": 1} }
### every
import future.keywords.every
x { every y in [1, 2] { y > 0 } }
### every fails
import future.keywords.every
x { every y in [1, 2] { y > 1 } }
### every empty
import future.keywords.every
x { every y in [] { y > 1 } }
### every key
import future.keywords.every
x { every k, v in {"a": "a"} { k == v } }
### every undefined domain
import future.keywords.every
x { every y in input.missing { y } }
### every over a text
import future.keywords.every
x { every y in input.a.b.c { y } }
### every with iteration inside
import future.keywords
x { every y in input.list { input.list[_].n == y.n } }
### every with bound variable
import future.keywords
x { m := 0; every y in input.list { y.n > m } }
### every nested
import future.keywords
x { every row in input.matrix { some c in row; c == 1 } }
### not every
import future.keywords
x { not every y in input.list { y.n > 1 } }
### closures share outer variables
x = c { n := 2; c := [y | y := input.list[_].n; y > n] }
### closures share undeclared outer variables
x = c { i = 1; c := [v | v := input.list[i].n] }
### closures have their own variables
x = [a, b] { a := [i | input.list[i].n > 1]; b := [i | input.list[i].n < 2] }
### closure variable then outer use
x = [c, i] { c := [i | input.list[i]]; i := 9 }
### nested closures
x = [[c | c := r[_]] | r := input.matrix[_]]
### closure in head
x = {n: 1 | n := input.list[_].name} { true }
### object comprehension conflict
x = {"k": v | v := [1, 2][_]}
### variables in brackets
x = [i, j] { input.matrix[i][j] == 0; i < j }
### same variable twice in brackets
x = [i | input.matrix[i][i] == 1]
### bracket with expression
x = v { i := 0; v := input.list[i + 1].n }
### bracket with reference
x = v { v := input.list[input.matrix[0][0]].n }
### bracket with unbound inner reference
x = [v | v := input.list[input.matrix[0][_]].n]
### bracket with pattern in set
s := {[1, "a"], [2, "b"]}
x = [k | s[[k, "b"]]]
### dot with keyword
x := {"if": 1}["if"]
### dot with in
y := {"in": 2}
x := y.in
### call then reference
x := split("a/b", "/")[1]
### call then dot
x := json.unmarshal("{\"a\": 1}").a
### iterating a call
x = [p | p := split("a/b", "/")[_]]
### walk
x = {p | [p, v] := walk(input.a); v == 3}
### walk relation
x = {p | walk(input.a, [p, 3])}
### walk with path pattern
x = {k | walk(input.a, [["b", k], _])}
### with input
y { input.q == 1 }
x { y with input as {"q": 1} }
### with input path
y = input.q.r
x = z { z := y with input.q.r as 5 }
### with keeps other input
y = input.list[0].n
x = z { z := y with input.q as 5 }
### with twice
y = [input.q, input.r]
x = z { z := y with input.q as 1 with input.r as 2 }
### with on a function
f(_) = input.q
x = z { z := f(1) with input.q as 3 }
### not with
y { input.q == 1 }
x { not y with input as {"q": 2} }
### import input
import input.a as aa
x := aa.b.c
### import data
import data.t.y
y := 4
x := data.t.y
### import last name
import input.list
x := count(list)
### import rule of own package
import data.t.y as z
y := 4
x := z
### import unknown
import foo.bar
x := 1
### import twice
import input.a
import input.a
x := a.b.c
### import a keyword that another import made one
import future.keywords.every
import future.keywords.in
x { every y in [1] { y in [1] } }
### import all keywords and one of them
import future.keywords
import future.keywords.if
import future.keywords.in
x if { 1 in [1] }
### import one keyword and all of them
import future.keywords.in
import future.keywords
x if { 1 in [1] }
### import a keyword twice
import future.keywords.in
import future.keywords.in
x { 1 in [1] }
### import a keyword twice in v1
import future.keywords.in
import future.keywords.in
x if { 1 in [1] }
### import rego.v1 and a keyword
import rego.v1
import future.keywords.in
x if { 1 in [1] }
### import a keyword and rego.v1
import future.keywords.in
import rego.v1
x if { 1 in [1] }
### import rego.v1 and all keywords
import rego.v1
import future.keywords
x if { 1 in [1] }
### import rego.v1 and a keyword do not bring v0 back
import rego.v1
import future.keywords.if
x { true }
### import rego.v1 twice
import rego.v1
import rego.v1
x if { true }
### import under the name of rego.v1
import rego.v1
import input.v1
x if { true }
### import twice in v1
import rego.v1
import input.a
import input.a
x := a.b.c
### import another under a name in v1
import input.a
import data.t.a
x if { a }
### import another under a name in v0
import input.list
import input.a as list
x := list.b.c
### import a path with a keyword
import future.keywords
import input.in.if as a
x := 1
### import a path with a keyword in v1
import input.in
x if { true }
### import a path with a word that is always one
import input.not as a
x := 1
### import under a keyword
import future.keywords.in
import input.list as in
x := 1
### import something that is called as a built-in
import input.count
x := count([1])
### import something that is called as a function of the policy
import input.t.f as g
f(a) = a
x := g(1)
### data reference
y := 3
x := data.t.y
### data iteration
y := 3
z := 4
x = [k | data.other[k]]
### data missing
x := data.nothing.here
### data brackets
y := 3
x := data["t"]["y"]
### data function call
f(a) = a + 1
x := data.t.f(1)
### undefined function
x := g(1)
### rule named like a built-in
count := 3
x := count
### function named like a built-in
count(a) = 99
x := count([1])
### local named like a built-in
x = count { count := 5 }
### local named like the package
x = t { t := 5 }
### variable named like the package in a comprehension
x := [t | [p, t] := walk(input.a); t == 3]
### comment
# comment
x := 1 # other
### semicolons
x { 1 == 1; 2 == 2; }
### one line of several
x { true; y := 2; y == 2 }
### newline separated
x {
  true

  2 == 2
}
### newline inside operators
x := 1 +
  2
### newline before operator
x {
  y := 1
  y
    == 1
}
### array over lines
x := [
  1,
  2,
]
### object over lines
x := {
  "a": 1,
  "b": 2,
}
### set with trailing comma
x := {1, 2,}
### empty body
x { }
### missing brace
x { true
### stray text
x := 1 2
### assignment to a call
x { count([1]) := 1 }
### keyword as a name
not := 1
x := 1
### default with a variable
default x := y
y := 1
### default with a comprehension
default x := [1 | true]
### two defaults
default x := 1
default x := 2
### rule and function
x := 1
x(a) = a
### rule and set
x := 1
x[y] { y := 1 }
### rule below a rule
x := 1
x.y := 2
### object below a partial object
p[k] = v { k := "a"; v := 1 }
p.b = 2 { true }
x := p
### object conflict below a partial object
p[k] = v { k := "b"; v := 1 }
p.b = 2 { true }
x := p
### set rule gives arrays
s[[a, b]] { a := 1; b := [2, 3][_] }
x := [b | s[[1, b]]]
### set rule with constant
s["c"] { true }
x := s
### set rule with reference
s[input.list[_].n] { true }
x := s
### head reference
x = input.a.b.c { true }
### head reference with variable
x = input.list[i].n { i := 2 }
### head reference that iterates
s[n] = input.list[i].n { n := input.list[i].name }
x := s
### head call
x = count(input.list) { true }
### number as a key
x := {1: "a"}[1]
### null is a value
x = null
### false is a value
x = false
### rule is false in a body
y = false
x { y }
### rule is null in a body
y = null
x { y }
### condition is a text
x { "a" }
### condition is undefined
x { input.missing }
### condition is false in input
x { input.matrix[0][0] == 1 }
### failing built-in
x { to_number("a") == 1 }
### failing built-in behind false
x { false; to_number("a") == 1 }
### failing built-in in a negation
x { not to_number(input.list[0].name) == 1 }
### failing built-in in another rule
y { to_number("a") }
x := 1
### comparison of different types
x { 1 < "a" }
### chain of rules
a { b }
b { c }
c { input.a }
x { a }
### set intersection of rules
s[y] { y := [1, 2][_] }
u[y] { y := [2, 3][_] }
x := s & u
### array of rules
a := 1
b := 2
x := [a, b]
### string escapes
x := "a\n\u00e9\\\"/"
### raw strings
x := `a\n"b"`
### wrong escape
x := "\q"
### large number
x := 123456789012345678901234567890
### small number
x := 0.000001
### number forms
x := [1e2, 1E2, 1.5e+1]
### wrong number
x := 01
### tabs
x	:=	1
### union in array brackets
y := {1}
z := {2}
x := [y | z]
### union in parentheses
y := {1}
z := {2}
x := (y | z)
### comparison of unions
x { {1} | {2} == {1, 2} }
### minus without spaces
x = z { y := 3; z := y-1 }
### negative in array
x := [-1, - 1]
### modulo
x := 7 % 4
### assign with comparison
x = z { z := 1 == 1 }
### in with comparison
import future.keywords.in
x = z { z := 1 in [1] == true }
### member with pair in call
import future.keywords.in
x := [(0, 1 in [1]), 2]
### not in parentheses
x { not (1 == 2) }
### wildcard twice
x = [a | [a, _, _] := [1, 2, 3]]
### underscore names
_y := 1
x := _y
### unused some
x { some i; true }
### some with a number
x { some 1 }
### every without in
import future.keywords
x { every y { true } }
### with without as
x { input.a with input.a }
### package again
package t
x := 1
### else in a set
s[y] { y := 1 } else { y := 2 }
x := s
### else in v1
import rego.v1
x := 1 if { false } else := 2 if { true }
### else if chain
import rego.v1
x := "a" if {
  input.zzz
} else := "b" if {
  input.a
} else := "c"
### if with two on a line
import rego.v1
x if { true } y if { true }
### if object literal body
import rego.v1
x if {"a": 1}
### if set comprehension body
import rego.v1
x if {1 | true}
### v1 default
import rego.v1
default x := false
x if input.zzz
### v1 shadowing of input
import rego.v1
x if { input := 1; input == 1 }
### v0 shadowing of data
x { data := 1; data == 1 }
### rule called input
input := 1
x := input
### import and rule of one name
import input.a
a := 1
x := a
### vars before declaration in closures
x = y { y := [z | z := w; w := 1] }
### deep reference
x := input.a.b.c.d.e
### object of objects
x := {"a": {"b": [1, {"c": 2}]}}.a.b[1].c
### iteration over a scalar
x = [y | y := input.a.b.c[_]]
### iteration over a text
x = [y | y := "abc"[_]]
### keys of an object
x = [k | input.a[k]]
### set of sets
x := {{1}, {1}, {2}}
### sum over a rule
prices[n] { n := input.list[_].n }
x := sum(prices)
### sprintf with rules
x := sprintf("%s has %d", [input.list[0].name, count(input.list)])
### json text keys
x := json.marshal({1: "a", "b": {2}})
### array comprehension keeps order
x := [n | n := [3, 1, 2][_]]
### set order
x := [n | {3, 1, 2}[n]]
### object order
x := [k | {"b": 1, "a": 2}[k]]
### comparing with undefined
x { input.missing != 1 }
### negated comparison with undefined
x { not input.missing == 1 }
### several withs and negation
y { input.a == 1 }
x { not y with input.a as 2; y with input.a as 1 }
### assignment from rule
y := {"k": 1}
x = v { v := y.k }
### function over rule
f(s) = count(s)
s[y] { y := [1, 2][_] }
x := f(s)
### function calls function
f(a) = g(a) + 1
g(a) = a * 2
x := f(3)
### function with closure
f(a) = [b | b := a[_]; b > 1]
x := f([1, 2, 3])
### function with else and arrays
f(a) = "empty" { count(a) == 0 } else = "some" { count(a) < 3 } else = "many"
x := [f([]), f([1]), f([1, 2, 3])]
### argument used twice
f(a, a) = a
x := f(1, 1)
### rule value from comparison
x := 1 == 1
### rule value undefined
x := input.missing
### rule value false
x := input.matrix[0][1] == 1
### rule with value and body
x := n { n := input.list[0].n }
### default true
default x = true
x = false { input.list }
""".split("### ")
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
