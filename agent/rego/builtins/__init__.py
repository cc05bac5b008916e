"""The built-in functions, by family; a family is imported when one of its functions is called.

`FAMILIES` is the only list: family -> name of the function and number of its arguments.  The function for `a.b` is
`a_b` in the family's module; it takes the `Context` and values of Rego and returns one, or `UNDEFINED`.  It raises
`EvaluationFault` for what OPA calls an error.  Meanings: OPA's policy reference, "Built-in Functions".

None of them reaches the network, files, the environment or chance.  `WHY_NOT` names those of OPA that are missing.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, cast

from agent.rego.faults import EvaluationFault
from agent.rego.values import Value, rank

__all__ = ["ARITIES", "FAMILIES", "UNDEFINED", "WHY_NOT", "Context", "call", "nearest", "rank", "shown_name"]


class _Undefined:
    """The type of `UNDEFINED`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Value = _Undefined()
"""What has no value."""


class Context(NamedTuple):
    """What functions may know beside their arguments: the time, in nanoseconds since 1970, the same throughout."""

    now_ns: int


FAMILIES: Mapping[str, Mapping[str, int]] = {
    "basics": {
        "equal": 2, "neq": 2, "lt": 2, "lte": 2, "gt": 2, "gte": 2,
        "plus": 2, "minus": 2, "mul": 2, "div": 2, "rem": 2, "and": 2, "or": 2,
        "abs": 1, "ceil": 1, "floor": 1, "round": 1, "numbers.range": 2, "numbers.range_step": 3,
        "bits.and": 2, "bits.or": 2, "bits.xor": 2, "bits.negate": 1, "bits.lsh": 2, "bits.rsh": 2,
        "count": 1, "sum": 1, "product": 1, "max": 1, "min": 1, "sort": 1, "all": 1, "any": 1,
        "is_array": 1, "is_boolean": 1, "is_null": 1, "is_number": 1, "is_object": 1, "is_set": 1, "is_string": 1,
        "type_name": 1, "to_number": 1, "print": -1, "trace": 1,
    },
    "collections": {
        "array.concat": 2, "array.reverse": 1, "array.slice": 3,
        "internal.member_2": 2, "internal.member_3": 3, "intersection": 1, "union": 1, "set_diff": 2,
        "object.get": 3, "object.keys": 1, "object.remove": 2, "object.filter": 2, "object.union": 2,
        "object.union_n": 1, "object.subset": 2, "json.filter": 2, "json.remove": 2,
        "graph.reachable": 2, "walk": 1,
    },
    "texts": {
        "concat": 2, "contains": 2, "endswith": 2, "startswith": 2, "format_int": 2, "indexof": 2, "indexof_n": 2,
        "lower": 1, "upper": 1, "replace": 3, "split": 2, "sprintf": 2, "substring": 3, "trim": 2, "trim_left": 2,
        "trim_right": 2, "trim_prefix": 2, "trim_suffix": 2, "trim_space": 1, "strings.reverse": 1,
        "strings.any_prefix_match": 2, "strings.any_suffix_match": 2, "strings.count": 2, "strings.replace_n": 2,
    },
    "patterns": {
        "regex.match": 2, "re_match": 2, "regex.is_valid": 1, "regex.split": 2, "regex.find_n": 3,
        "regex.find_all_string_submatch_n": 3, "regex.replace": 3, "glob.match": 3, "glob.quote_meta": 1,
    },
    "encodings": {
        "base64.encode": 1, "base64.decode": 1, "base64.is_valid": 1, "base64url.encode": 1,
        "base64url.encode_no_pad": 1, "base64url.decode": 1, "hex.encode": 1, "hex.decode": 1,
        "urlquery.encode": 1, "urlquery.decode": 1, "json.marshal": 1, "json.unmarshal": 1, "json.is_valid": 1,
        "crypto.md5": 1, "crypto.sha1": 1, "crypto.sha256": 1, "semver.compare": 2, "semver.is_valid": 1,
        "units.parse": 1, "units.parse_bytes": 1, "net.cidr_contains": 2,
    },
    "times": {
        "time.now_ns": 0, "time.parse_rfc3339_ns": 1, "time.parse_duration_ns": 1, "time.date": 1, "time.clock": 1,
        "time.weekday": 1, "time.add_date": 4, "time.diff": 2,
    },
}  # fmt: skip
"""Every function; -1: any number of arguments."""

ARITIES: Mapping[str, int | None] = {
    name: None if arity < 0 else arity for family in FAMILIES.values() for name, arity in family.items()
}
"""Number of arguments by name, None for any."""

_FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}

_NETWORK = "a policy reaches no network here"
_NO_CHANCE = "a policy has the same answer each time here"
_NOT_HERE = "it does not exist here"
WHY_NOT: Mapping[str, str] = {
    "http.send": _NETWORK,
    "net.lookup_ip_addr": _NETWORK,
    "opa.runtime": "a policy can't read the environment here",
    "rand.intn": _NO_CHANCE,
    "uuid.rfc4122": _NO_CHANCE,
    "time.parse_ns": f"{_NOT_HERE}: time.parse_rfc3339_ns reads what reports and SBOMs hold",
    "time.format": _NOT_HERE,
} | {
    f"{family}.*": _NOT_HERE
    for family in (
        "aws",
        "providers",
        "crypto",
        "graph",
        "graphql",
        "io",
        "json",
        "net",
        "object",
        "regex",
        "rego",
        "strings",
        "yaml",
        "units",
        "uuid",
        "glob",
        "hex",
        "time",
        "rand",
    )
}
"""Functions of OPA that are missing, or `FAMILY.*`, and why."""

_OPERATORS = {
    "equal": "==", "neq": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "plus": "+", "minus": "-",
    "mul": "*", "div": "/", "rem": "%", "and": "&", "or": "|", "internal.member_2": "in", "internal.member_3": "in",
}  # fmt: skip


def call(name: str, context: Context, args: Sequence[Value]) -> Value:
    """The value of a function, a key of `ARITIES`.  Raises `EvaluationFault`."""
    module = import_module(f"{__name__}.{_FAMILY_OF[name]}")
    function = cast("Callable[..., Value]", getattr(module, name.replace(".", "_") + ("_" if name in _PYTHONS else "")))
    return function(context, *args)


_PYTHONS = frozenset({"and", "or", "abs", "round", "sum", "max", "min", "all", "any", "print"})
"""Names that are Python's own: their functions have an underscore behind the name."""


def shown_name(name: str) -> str:
    """What stands in the policy for a function."""
    return _OPERATORS.get(name, name)


def nearest(name: str) -> str:
    """The function that `name` may have been meant as; empty if none is near."""
    import difflib  # not for whoever evaluates: it costs a pull 2 ms

    return next(iter(difflib.get_close_matches(name, [each for each in ARITIES if each not in _OPERATORS], 1)), "")


def fault(got: str, expected: str) -> EvaluationFault:
    """A fault of a function's argument."""
    return EvaluationFault(f"got {got}; expected {expected}")
