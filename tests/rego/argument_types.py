"""Which types each built-in takes for each argument: a literal of each type in a call that never runs."""

import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import cast

from agent.rego.builtins import ARITIES

TAKEN = pathlib.Path(__file__).parents[1] / "assets" / "rego" / "types.json"

LITERALS: Mapping[str, tuple[str, ...]] = {
    "null": ("null",),
    "boolean": ("true",),
    "number": ("1", "1.5"),
    "string": ('"a"', "`a`"),
    "array": ("[]", '[1, "UTC"]', "[y | y := input.z[_]]"),
    "object": ("{}", '{"a": 1}', '{"a": y | y := input.z[_]}'),
    "set": ("set()", "{{1}}", "{y | y := input.z[_]}"),
}
"""Literals by type.  A type is taken where one of its literals is: some functions ask more of a collection."""


def questions() -> Iterator[tuple[tuple[str, int, str], str]]:
    """Function, argument and type, and the policies that ask for them."""
    for name, arity in ARITIES.items():
        for place in range(arity or 0):
            for kind, literals in LITERALS.items():
                for literal in literals:
                    args = [literal if i == place else f"input.a{i}" for i in range(arity or 0)]
                    body = f"false; y := {name}({', '.join(args)})"
                    yield (name, place, kind), f"package t\nx = y {{ {body} }}\n"


def taken(is_refused: Callable[[list[str]], list[bool]]) -> dict[str, list[list[str]]]:
    """The types of each function's arguments.  `is_refused` says of each policy whether it is."""
    found: dict[str, list[list[str]]] = {name: [[] for _ in range(arity or 0)] for name, arity in ARITIES.items()}
    asked = list(questions())
    for ((name, place, kind), _), refused in zip(asked, is_refused([policy for _, policy in asked]), strict=True):
        if not refused and kind not in found[name][place]:
            found[name][place].append(kind)
    return found


def recorded() -> Mapping[str, list[list[str]]]:
    """The types that OPA takes."""
    return cast("Mapping[str, list[list[str]]]", json.loads(TAKEN.read_text()))
