"""Expressions whose values OPA gave: `tests/assets/rego/answers.json` has its answers."""

EXPRESSIONS: tuple[str, ...] = tuple(
    line
    for line in r"""
1 + 2
5 - 8
-3
2 - -3
-2 * 3
1 / 2
1 / 3
10 / 5
7 % 3
-7 % 3
7 % -3
1 % 0
1 / 0
1.5 % 2
0.1 + 0.2
1e3
1.5e-2
1.0
3.14 * 2
100000000000000000000 + 1
1 + 2 * 3
(1 + 2) * 3
10 - 2 - 3
2 * 3 % 4
1 == 1.0
1 < "a"
null < false
true < 0
"a" < [1]
[1] < {}
{} < {1}
[1, 2] < [1, 3]
[1] < [1, 0]
{"a": 1} < {"a": 2}
{"a": 1} < {"b": 0}
{1, 2} < {1, 3}
"a" != "b"
1 != 1
true == 1
false == 0
null == false
"1" == 1
[] == {}
{} == set()
{1} == {1.0}
{1, true}
{"b": 1, "a": 2}
{1, 2} | {2, 3}
{1, 2} & {2, 3}
{1, 2} - {2}
{1} - 1
1 - {1}
"a" + "b"
1 + true
[1] | [2]
abs(-3)
abs(-1.5)
ceil(1.2)
floor(-1.2)
round(1.5)
round(-1.5)
round(2.5)
round(0.4)
numbers.range(1, 3)
numbers.range(3, 1)
numbers.range(1, 1)
numbers.range_step(1, 6, 2)
numbers.range_step(6, 1, 2)
numbers.range_step(1, 6, 0)
bits.and(6, 3)
bits.or(6, 3)
bits.xor(6, 3)
bits.negate(6)
bits.lsh(1, 4)
bits.rsh(16, 2)
bits.and(1.5, 1)
count([1, 2])
count({1, 1})
count({"a": 1})
count("h\u00e9llo")
sum([1, 2.5])
sum({1, 2})
sum([])
sum(["a"])
product([2, 3])
product([])
max([1, "a", 3])
max([])
min({3, 1})
min([])
sort([3, "a", null, 1])
sort({3, 1})
all([true, 1])
all([])
any([false, true])
any([])
is_array([])
is_set({1})
is_object({})
is_boolean(1)
is_number(1.5)
is_string("a")
is_null(null)
is_null(1)
type_name(1)
type_name({1})
type_name(null)
type_name({"a": 1})
type_name([])
type_name(true)
to_number("1.5")
to_number("abc")
to_number("0x10")
to_number("1e3")
to_number(" 1")
to_number("")
to_number(null)
to_number(true)
to_number(3)
array.concat([1], [2])
array.concat([1], {2})
array.reverse([1, 2])
array.slice([1, 2, 3], 1, 2)
array.slice([1, 2, 3], -1, 5)
array.slice([1, 2, 3], 2, 1)
1 in [1, 2]
3 in {1, 2}
"v" in {"k": "v"}
"k" in {"k": "v"}
("k", "v" in {"k": "v"})
(0, "a" in ["a"])
1 in "abc"
[1, 2 in [2]]
intersection({{1, 2}, {2, 3}})
union({{1}, {2}})
intersection(set())
object.get({"a": 1}, "a", 0)
object.get({"a": 1}, "b", 0)
object.get({"a": {"b": 2}}, ["a", "b"], 0)
object.get({"a": {"b": 2}}, ["a", "c"], 0)
object.get({"a": [1, 2]}, ["a", 1], 0)
object.get({"a": 1}, [], 0)
object.keys({"a": 1, "b": 2})
object.remove({"a": 1, "b": 2}, ["a"])
object.remove({"a": 1, "b": 2}, {"a"})
object.remove({"a": 1, "b": 2}, {"a": 0})
object.filter({"a": 1, "b": 2}, ["a"])
object.union({"a": {"x": 1}, "b": 1}, {"a": {"y": 2}, "b": 3})
object.union_n([{"a": 1}, {"b": 2}, {"a": 3}])
object.subset({"a": 1, "b": 2}, {"a": 1})
object.subset({"a": 1}, {"a": 2})
object.subset({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}})
object.subset([1, 2, 3], [2, 3])
object.subset([1, 2, 3], [1, 3])
object.subset({1, 2}, {1})
object.subset([1, 2], {2})
json.filter({"a": {"b": 1, "c": 2}, "d": 3}, ["a/b"])
json.filter({"a": {"b": 1, "c": 2}, "d": 3}, [["a", "c"], "d"])
json.remove({"a": {"b": 1, "c": 2}, "d": 3}, ["a/b"])
json.remove({"a": [1, 2, 3]}, ["a/1"])
graph.reachable({"a": ["b"], "b": ["c"], "c": []}, ["a"])
graph.reachable({"a": {"b"}, "b": ["x"]}, {"a"})
[p | walk({"a": [1, {"b": 2}]}, [p, _])]
[v | [_, v] := walk({"a": [1, {2}]})]
concat(",", ["a", "b"])
concat(",", {"b", "a"})
concat(",", [1])
contains("abc", "b")
contains("abc", "")
endswith("abc", "bc")
startswith("abc", "ab")
startswith("abc", 1)
startswith(null, "a")
format_int(255, 16)
format_int(-5, 2)
format_int(15.5, 10)
format_int(8, 8)
format_int(1, 3)
indexof("abc", "c")
indexof("abc", "x")
indexof("\u00e9\u00e9a", "a")
indexof("abc", "")
indexof_n("abab", "b")
indexof_n("aaa", "aa")
indexof_n("abc", "z")
lower("AbC")
upper("\u00dfx")
lower("\u0130")
replace("aaa", "a", "b")
replace("abc", "", "-")
split("a/b/c", "/")
split("abc", "")
split("", "/")
split("", "")
sprintf("%s-%d-%v", ["a", 1, true])
sprintf("%v %v %v", [[1, "a"], {"k": {1}}, null])
sprintf("%d%%", [5])
sprintf("%5d|%-5d|%05d", [1, 2, 3])
sprintf("%.2f", [1.239])
sprintf("%.3s", ["abcdef"])
sprintf("%q", ["a\"b"])
sprintf("%x %X %o %b", [255, 255, 8, 5])
sprintf("%s", [1])
sprintf("%d", ["a"])
sprintf("%s", [])
sprintf("x", [1])
sprintf("%s %s", ["a"])
sprintf("%t", [true])
sprintf("%v", ["a"])
sprintf("%5s|%-5s|", ["a", "b"])
sprintf("%+d", [5])
sprintf("%s", [["a"]])
sprintf("%v", [1.5])
sprintf("%d", [1.5])
sprintf("%s", [true])
sprintf("%v", [set()])
substring("abcdef", 1, 2)
substring("abcdef", 2, -1)
substring("abc", 5, 1)
substring("abc", -1, 1)
substring("abc", 1, 10)
substring("h\u00e9llo", 1, 2)
trim("  a ", " ")
trim("xxaxx", "x")
trim("abc", "")
trim_left("xxa", "x")
trim_right("axx", "x")
trim_prefix("abc", "a")
trim_prefix("abc", "x")
trim_suffix("abc", "c")
trim_space("\t a \n")
trim_space("\u00a0a\u2003")
strings.reverse("ab\u00e9")
strings.any_prefix_match("abc", "a")
strings.any_prefix_match(["xa", "b"], ["x"])
strings.any_suffix_match({"ab"}, {"c", "b"})
strings.count("abab", "ab")
strings.count("abc", "")
strings.replace_n({"a": "1", "b": "2"}, "aabb")
strings.replace_n({"<": "&lt;", ">": "&gt;"}, "<a>")
regex.match("^a.c$", "abc")
regex.match("b", "abc")
regex.match("(", "a")
regex.match("(?i)ABC", "xabc")
regex.match(`\d+`, "a1")
regex.match(`^\p{L}+$`, "h\u00e9")
regex.match("a(?=b)", "ab")
regex.match("a$", "a\n")
regex.match(".", "\n")
regex.is_valid("(")
regex.is_valid("a+")
regex.is_valid("a(?=b)")
regex.split(",", "a,b,,c")
regex.split("", "abc")
regex.split("x*", "axb")
regex.split("a", "")
regex.find_n("a.", "abacad", 2)
regex.find_n("a.", "abacad", -1)
regex.find_n("x", "abc", -1)
regex.find_n("a*", "baac", -1)
regex.find_all_string_submatch_n("a(.)", "abac", -1)
regex.find_all_string_submatch_n("(x)?a", "a", -1)
regex.replace("abc", "b", "x")
regex.replace("foo-bar", "(\\w+)-(\\w+)", "$2-$1")
regex.replace("foo", "(o)", "${1}x")
regex.replace("foo", "(?P<n>o)", "$n$")
regex.replace("foo", "(o)", "$1x")
glob.match("*.github.com", [], "api.github.com")
glob.match("*.github.com", [], "api.cdn.github.com")
glob.match("**.github.com", [], "api.cdn.github.com")
glob.match("*:github:com", [":"], "api:github:com")
glob.match("*.github.com", null, "api.cdn.github.com")
glob.match("api.?ithub.com", [], "api.github.com")
glob.match("{cat,bat,[fr]at}", [], "rat")
glob.match("{cat,bat,[fr]at}", [], "zat")
glob.match("[!a]b", [], "ab")
glob.match("[a-c]x", [], "bx")
glob.match("a\\*", [], "a*")
glob.match("a\\*", [], "ab")
glob.match("r/*", ["/"], "r/x")
glob.match("r/*", ["/"], "r/x/y")
glob.match("a.b", [], "axb")
glob.match("*", [], "")
glob.match("", [], "")
glob.match("{a,b*}c", [], "bxc")
glob.quote_meta("*.github.com")
base64.encode("a\u00e9")
base64.decode("YQ==")
base64.decode("YQ")
base64.decode("*")
base64.is_valid("YQ==")
base64.is_valid("YQ")
base64url.encode("<<???>>")
base64url.encode_no_pad("a")
base64url.decode("YQ")
base64url.decode("PDw_Pz8-Pg==")
hex.encode("az")
hex.decode("617a")
hex.decode("6")
urlquery.encode("a b&c/\u00e9")
urlquery.decode("a+b%26")
urlquery.decode("%zz")
json.marshal({"b": [1, 2.5], "a": "<x>"})
json.marshal({1, "a"})
json.marshal("\u2028")
json.unmarshal("{\"a\": [1, 2.5, null]}")
json.unmarshal("{")
json.unmarshal("1e2")
json.unmarshal("NaN")
json.is_valid("{}")
json.is_valid("{a}")
crypto.md5("a")
crypto.sha1("a")
crypto.sha256("a")
semver.compare("1.2.0", "1.10.0")
semver.compare("1.0.0-alpha.1", "1.0.0-alpha.beta")
semver.compare("1.0.0", "1.0.0-rc.1")
semver.compare("1.0.0-1", "1.0.0-a")
semver.compare("1.0.0+a", "1.0.0+b")
semver.compare("1.0", "1.0.0")
semver.is_valid("1.0.0")
semver.is_valid("v1.0.0")
semver.is_valid(1)
units.parse("1K")
units.parse("1Ki")
units.parse("100m")
units.parse("1M")
units.parse("x")
units.parse_bytes("1KB")
units.parse_bytes("1kib")
units.parse_bytes("10")
units.parse_bytes("1.5MiB")
net.cidr_contains("10.0.0.0/8", "10.1.2.3")
net.cidr_contains("10.0.0.0/8", "10.1.0.0/16")
net.cidr_contains("10.0.0.0/8", "11.0.0.1")
net.cidr_contains("10.0.0.0/8", "x")
time.parse_rfc3339_ns("2024-01-01T00:00:00Z")
time.parse_rfc3339_ns("2024-01-01T00:00:00.123456789+02:00")
time.parse_rfc3339_ns("2024-02-30T00:00:00Z")
time.parse_rfc3339_ns("2024-01-01")
time.parse_rfc3339_ns("1969-12-31T23:59:59.5Z")
time.parse_rfc3339_ns("3024-01-01T00:00:00Z")
time.parse_rfc3339_ns("2024-01-01t00:00:00z")
time.parse_rfc3339_ns("2024-01-01T24:00:00Z")
time.parse_duration_ns("1h30m")
time.parse_duration_ns("1.5s")
time.parse_duration_ns("-2ms")
time.parse_duration_ns("1d")
time.parse_duration_ns("")
time.parse_duration_ns("0")
time.parse_duration_ns("1us")
time.date(1700000000000000000)
time.clock(1700000000000000000)
time.clock([1700000000000000000, "UTC"])
time.weekday(1700000000000000000)
time.date(-1)
time.add_date(1706659200000000000, 0, 1, 0)
time.add_date(1700000000000000000, 1, -14, 40)
time.diff(1700000000000000000, 1600000000000000000)
time.diff(1706659200000000000, 1709251200000000000)
[x | x := [3, 1, 2][_]]
{x | x := [3, 1, 1][_]}
{k: v | v := ["a", "b"][k]}
{v: 1 | v := ["a", "a"][_]}
{"a": k | k := [1, 2][_]}
[x | some x in {2, 1}]
[[k, v] | some k, v in {"b": 2, "a": 1}]
[y | x := [1, 2][_]; y := x * 2]
[x | x := 1; false]
{x: y | some x, y in [5, 6]}
[1, [2, {"a": {3}}]][1][1].a
{"a": 1}["a"]
"abc"[0]
[1, 2][5]
[1, 2][-1]
{1, 2}[1]
{1, 2}[3]
{[1, 2], [3, 4]}[[1, x]]
{"a": {"b": 1}}.a.b
set()
{}
[]
`raw\n`
"tab\tnew\nquote\"\u0041"
input.a
input.a.b.c
input["a"]
input.missing
input.list[_].n
input.list[i].n
count(input.list)
[n | n := input.list[_].n]
{n | n := input.list[_].n; n > 1}
sum([n | n := input.list[_].n])
startswith(input.list[_].name, "x")
[i | startswith(input.list[i].name, "x")]
[i | input.list[i].n == 2]
[[i, j] | input.matrix[i][j] == 1]
[x | x := input.matrix[_][_]]
walk(input.a)
json.marshal(input)
nonsense(1)
count()
count(1, 2, 3)
count(undefined_variable)
""".splitlines()
    if line
)

INPUT: dict[str, object] = {
    "a": {"b": {"c": 3}},
    "list": [{"n": 1, "name": "xa"}, {"n": 2, "name": "b"}, {"n": 3, "name": "xc"}],
    "matrix": [[1, 0], [0, 1]],
}
