"""What an evaluation works on: rules by their paths, documents put together from their values, places in values."""

from collections.abc import Iterator, Sequence
from typing import Any

from agent.rego.builtins import UNDEFINED, rank
from agent.rego.faults import EvaluationFault
from agent.rego.nodes import Node
from agent.rego.values import Object, Set, Value, same


class Rules:
    """The rules at one path below `data`, and the documents below it."""

    __slots__ = ("below", "functions", "partial", "values")

    def __init__(self) -> None:
        """Empty."""
        self.below: dict[str, Rules] = {}
        self.functions: list[Node] = []
        self.values: list[Node] = []
        self.partial: list[Node] = []

    def add(self, rule: Node) -> None:
        """Put a rule where its path says."""
        node = self
        for step in rule["path"]:
            node = node.below.setdefault(step, Rules())
        if rule["args"] is not None:
            node.functions.append(rule)
        elif rule["suffix"] or rule["set"]:
            node.partial.append(rule)
        else:
            node.values.append(rule)

    def at(self, path: Sequence[str]) -> "Rules":
        """The rules at a path that has some."""
        node = self
        for step in path:
            node = node.below[step]
        return node


class Tree:
    """A document put together from rules whose paths have variables: objects, and sets at their leaves."""

    __slots__ = ("below", "members", "whole")

    def __init__(self) -> None:
        """Empty."""
        self.below: dict[Any, tuple[Value, Tree]] = {}
        self.members: list[Value] | None = None
        self.whole: Value = UNDEFINED

    def declare(self, rule: Node) -> None:
        """Make room for what a rule may give: a set that is empty is a value."""
        if rule["set"] and not rule["suffix"] and self.members is None:
            self.members = []

    def insert(self, path: tuple[Value, ...], value: Value, *, is_set: bool) -> None:
        """Put a value, or a set's member, at a path.  Raises `EvaluationFault` for a contradiction."""
        node = self
        for step in path:
            if node.whole is not UNDEFINED or node.members is not None:
                raise EvaluationFault("rules give one path two kinds of values")
            _, node = node.below.setdefault(rank(step), (step, Tree()))
        if is_set:
            node.members = [] if node.members is None else node.members
            node.members.append(value)
        elif node.below or (node.whole is not UNDEFINED and not same(node.whole, value)):
            raise EvaluationFault("rules give one key of an object two values")
        else:
            node.whole = value
        if node.members is not None and (node.below or node.whole is not UNDEFINED):
            raise EvaluationFault("rules give one path two kinds of values")

    def value(self) -> Value:
        """The document."""
        if self.whole is not UNDEFINED:
            return self.whole
        if self.members is not None:
            return Set(self.members)
        return Object((step, node.value()) for step, node in self.below.values())


def items_of(value: Value) -> Iterator[tuple[Value, Value]]:
    """Indexes and values of a collection; nothing for a value that is none."""
    if isinstance(value, tuple):
        return enumerate(value)
    if isinstance(value, Object):
        return iter(value)
    if isinstance(value, Set):
        return ((each, each) for each in value)
    return iter(())


def value_at(value: Value, index: Value) -> Value:
    """What is at an index or key of a collection, `UNDEFINED` if nothing is."""
    if isinstance(value, tuple):
        whole = isinstance(index, int) and not isinstance(index, bool)
        return value[index] if whole and 0 <= index < len(value) else UNDEFINED
    if isinstance(value, Object):
        pair = value.get(index)
        return UNDEFINED if pair is None else pair[1]
    if isinstance(value, Set):
        return index if index in value else UNDEFINED
    return UNDEFINED


def replaced(value: Value, path: Sequence[str], new: Value) -> Value:
    """`value` with `new` at `path`; objects are made on the way."""
    if not path:
        return new
    pairs = value if isinstance(value, Object) else ()
    inner = value_at(value, path[0])
    return Object([*pairs, (path[0], replaced(inner, path[1:], new))])
