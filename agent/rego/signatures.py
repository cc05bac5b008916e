"""What the arguments of built-in functions may be, as far as a policy's text says what they are.

A literal or a collection of another type is refused when the policy is compiled, as by OPA's type checker (OPA's policy
reference, "Built-in Functions", has the types).  Nothing is inferred: what a variable, a reference or a call is, and
what is inside a collection, shows when it is evaluated.
"""

from collections.abc import Mapping, Sequence

from agent.rego import builtins
from agent.rego.faults import SyntaxFault
from agent.rego.nodes import Node
from agent.rego.values import type_name

_COLLECTIONS = {"arr": "array", "arrc": "array", "obj": "object", "objc": "object", "set": "set", "setc": "set"}

_TAKEN_BY: Mapping[str, str] = {
    "number": "abs ceil floor round bits.negate",
    "number number": "plus mul div rem numbers.range bits.and bits.or bits.xor bits.lsh bits.rsh format_int",
    "number number number": "numbers.range_step",
    "number|set number|set": "minus",
    "set": "intersection union",
    "set set": "and or set_diff",
    "string|array|object|set": "count",
    "array|set": "sum product max min sort all any",
    "null|boolean|number|string": "to_number",
    "array": "array.reverse object.union_n",
    "array array": "array.concat",
    "array number number": "array.slice",
    "object": "object.keys",
    "object any any": "object.get",
    "object object": "object.union",
    "object array|object|set": "object.remove object.filter",
    "array|object|set array|object|set": "object.subset",
    "object array|set": "json.filter json.remove graph.reachable",
    "string": "trace lower upper trim_space strings.reverse regex.is_valid glob.quote_meta base64.encode base64.decode "
    "base64.is_valid base64url.encode base64url.encode_no_pad base64url.decode hex.encode hex.decode urlquery.encode "
    "urlquery.decode json.unmarshal json.is_valid crypto.md5 crypto.sha1 crypto.sha256 units.parse units.parse_bytes "
    "time.parse_rfc3339_ns time.parse_duration_ns",
    "string string": "contains endswith startswith indexof indexof_n split trim trim_left trim_right trim_prefix "
    "trim_suffix strings.count regex.match re_match regex.split semver.compare net.cidr_contains",
    "string string string": "replace regex.replace",
    "string string number": "regex.find_n regex.find_all_string_submatch_n",
    "string number number": "substring",
    "string array": "sprintf",
    "string array|set": "concat",
    "string array|null string": "glob.match",
    "string|array|set string|array|set": "strings.any_prefix_match strings.any_suffix_match",
    "object string": "strings.replace_n",
    "number|array": "time.date time.clock time.weekday",
    "number number number number": "time.add_date",
    "number|array number|array": "time.diff",
}
"""Types of the arguments -> the functions that take these.  A function that is not here takes anything."""

_TYPES = {name: types.split() for types, names in _TAKEN_BY.items() for name in names.split()}


def check(name: str, args: Sequence[Node], line: int, column: int) -> None:
    """Check what stands in a call of the built-in `name`.  Raises `SyntaxFault` at `line` and `column`."""
    for types, arg in zip(_TYPES.get(name, ()), args, strict=False):
        given = _type(arg)
        if given and types != "any" and given not in types.split("|"):
            got = f"{builtins.shown_name(name)} with {_with_article(given)}"
            raise SyntaxFault(line, column, got, " or ".join(map(_with_article, types.split("|"))))


def _type(term: Node) -> str:
    """The type that a term has for certain; empty if that shows later."""
    kind = term[0]
    if kind == "lit":
        return type_name(term[1])
    return "number" if kind == "num" else _COLLECTIONS.get(kind, "")


def _with_article(given: str) -> str:
    if given == "null":
        return given
    return f"an {given}" if given[0] in "ao" else f"a {given}"
