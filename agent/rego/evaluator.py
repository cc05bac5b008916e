"""Evaluates a compiled policy: input in, a value or nothing out.

Top-down, as OPA's reference describes it: an expression is a generator of the ways in which it can hold, a body tries
its expressions in order, a rule's document is found once per input.  Every step counts against `MAX_STEPS`; built-ins
that fail end the evaluation (OPA's strict mode): a `not` in front of them must not turn a failure into consent.

Reaches nothing: no clock but the time it is given, no network, files or environment.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from agent.rego import builtins
from agent.rego.documents import Rules, Tree, items_of, replaced, value_at
from agent.rego.faults import EvaluationFault
from agent.rego.nodes import Node
from agent.rego.values import Object, Set, Value, decimal, from_json, same

MAX_STEPS = 2_000_000
"""Most steps of one evaluation: some seconds of work, a thousand times what published policies need."""

UNDEFINED = builtins.UNDEFINED
"""The absence of a value."""

_Bindings = dict[str, Value]


class Program:
    """A compiled policy that can be asked."""

    def __init__(self, compiled: Node, *, max_steps: int = MAX_STEPS) -> None:
        """`compiled` is what `agent.rego.compiler.compile_policy` returned."""
        self._max_steps = max_steps
        self._root = Rules()
        for rule in compiled["rules"]:
            self._root.add(rule)

    def query(self, path: Sequence[str], value: object, *, now_ns: int) -> Value:
        """The document at `path` below `data` for an input (JSON), or `UNDEFINED`.

        `now_ns` is the time, in nanoseconds since 1970.  Raises `EvaluationFault`; `MemoryError` where that is bounded.
        """
        evaluation = _Evaluation(self._root, from_json(value), builtins.Context(now_ns), _Steps(self._max_steps))
        try:
            reference = ["ref", ["data"], [["lit", each] for each in path]]
            return next(evaluation.values(reference, {}), UNDEFINED)
        except RecursionError:
            raise EvaluationFault("more calls in each other than can be followed") from None


class _Steps:
    """Counts, and says when it was too much."""

    __slots__ = ("_left", "_most")

    def __init__(self, most: int) -> None:
        self._left = self._most = most

    def count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise EvaluationFault(f"more than {self._most} steps")


class _Evaluation:
    """One evaluation under one input."""

    def __init__(self, root: Rules, value: Value, context: "builtins.Context", steps: "_Steps") -> None:
        self._root = root
        self._input = value
        self._context = context
        self._known: dict[int, Value] = {}
        self._results: dict[Any, Value] = {}
        self._steps = steps

    # Documents

    def _document(self, node: Rules) -> Value:
        """The value of the rules at `node`, and of what is below it."""
        known = self._known
        found = known.get(id(node), known)
        if found is known:
            found = known[id(node)] = self._find_document(node)
        return found

    def _find_document(self, node: Rules) -> Value:
        if node.values:
            return self._one_value(node.values, [{} for _ in node.values])
        if node.partial and all(rule["set"] and not rule["suffix"] for rule in node.partial) and not node.below:
            return Set(value for rule in node.partial for _, value in self._solutions(rule))
        tree = Tree()
        for rule in node.partial:
            tree.declare(rule)
            for path, value in self._solutions(rule):
                tree.insert(path, value, is_set=rule["set"])
        for name, below in node.below.items():
            value = self._document(below) if below.values or below.partial or below.below else UNDEFINED
            if value is not UNDEFINED:
                tree.insert((name,), value, is_set=False)
        return tree.value()

    def _solutions(self, rule: Node) -> Iterator[tuple[tuple[Value, ...], Value]]:
        """Every path and value that a rule gives."""
        terms = [*rule["suffix"], rule["value"]]
        bindings: _Bindings = {}
        for _ in self._body(rule["body"], 0, bindings):
            for found in self._all(terms, rule["order"], bindings):
                yield tuple(found[:-1]), found[-1]

    def _one_value(self, rules: Sequence[Node], starts: Sequence[_Bindings]) -> Value:
        """The one value that rules with one value agree on; the default's if there is none."""
        found: Value = UNDEFINED
        default: Value = UNDEFINED
        one_constant = _have_one_constant(rules)
        for rule, start in zip(rules, starts, strict=True):
            if rule["default"]:
                default = next(self.values(rule["value"], start), UNDEFINED)
                continue
            if one_constant and found is not UNDEFINED:
                continue  # nothing else can come of it
            for value in self._clauses(rule, start):
                if found is not UNDEFINED and not same(found, value):
                    raise EvaluationFault(f"line {rule['line']}: {rule['name']} has more than one value")
                found = value
        return default if found is UNDEFINED else found

    def _clauses(self, rule: Node, bindings: _Bindings) -> Iterator[Value]:
        """The values of the first clause, the rule itself or one of its elses, that has any."""
        for clause in ([rule["value"], rule["body"]], *rule["else"]):
            value, body = clause
            has_any = False
            constant = value[0] == "lit"
            for _ in self._body(body, 0, bindings):
                for each in self.values(value, bindings):
                    has_any = True
                    yield each
                    if constant:
                        break
                if has_any and constant:
                    break
            if has_any:
                return

    def _call_function(self, path: list[str], args: Sequence[Value]) -> Value:
        key = (tuple(path), tuple(builtins.rank(each) for each in args))
        if key in self._results:
            return self._results[key]
        matching, starts = [], []
        for rule in self._root.at(path).functions:
            for bindings in self._matching([*zip(rule["args"], args, strict=True)], {}):
                matching.append(rule)
                starts.append(dict(bindings))
        found = self._results[key] = self._one_value(matching, starts)
        return found

    # Expressions

    def _body(self, body: Sequence[Node], position: int, bindings: _Bindings) -> Iterator[None]:
        """Once for every way in which all expressions from `position` on hold; `bindings` has it meanwhile."""
        if position == len(body):
            yield None
            return
        for _ in self._expression(body[position], bindings):
            yield from self._body(body, position + 1, bindings)

    def _expression(self, expression: Node, bindings: _Bindings) -> Iterator[None]:
        kind = expression[0]
        self._steps.count()
        if kind == "term":
            for value in self.values(expression[3], bindings):
                if value is not False:
                    yield None
        elif kind == "match":
            for value in self.values(expression[4], bindings):
                yield from self._match(expression[3], value, bindings)
        elif kind == "not":
            if not _holds(self._expression(expression[3], dict(bindings))):
                yield None
        elif kind == "somein":
            yield from self._some(expression, bindings)
        elif kind == "every":
            for collection in self.values(expression[5], bindings):
                if self._every(expression, collection, bindings):
                    yield None
        else:
            yield from self._with(expression, bindings)

    def _some(self, expression: Node, bindings: _Bindings) -> Iterator[None]:
        key, pattern, term = expression[3:6]
        for collection in self.values(term, bindings):
            for index, value in items_of(collection):
                self._steps.count()
                pairs = [(pattern, value)] if key is None else [(key, index), (pattern, value)]
                for _ in self._matching(pairs, bindings):
                    yield None

    def _every(self, expression: Node, collection: Value, bindings: _Bindings) -> bool:
        key, pattern, _, body = expression[3:7]
        if not isinstance(collection, (tuple, Set, Object)):
            return False
        for index, value in items_of(collection):
            self._steps.count()
            pairs = [(pattern, value)] if key is None else [(key, index), (pattern, value)]
            own = dict(bindings)
            if not any(_holds(self._body(body, 0, own)) for _ in self._matching(pairs, own)):
                return False
        return True

    def _with(self, expression: Node, bindings: _Bindings) -> Iterator[None]:
        targets = [target for target, _ in expression[4]]
        for found in self._all([term for _, term in expression[4]], None, bindings):
            value = self._input
            for path, new in zip(targets, found, strict=True):
                value = replaced(value, path, new)
            inner = _Evaluation(self._root, value, self._context, self._steps)
            yield from inner._expression(expression[3], bindings)

    # Patterns

    def _match(self, pattern: Node, value: Value, bindings: _Bindings) -> Iterator[None]:
        """Once for every way in which `pattern` is `value`; its variables are bound meanwhile."""
        kind = pattern[0]
        if kind == "var" and pattern[1] not in bindings:
            bindings[pattern[1]] = value
            yield None
            bindings.pop(pattern[1], None)
        elif kind == "arr":
            if isinstance(value, tuple) and len(value) == len(pattern[1]):
                for _ in self._matching([*zip(pattern[1], value, strict=True)], bindings):
                    yield None
        elif kind == "obj":
            if isinstance(value, Object) and len(value) == len(pattern[1]):
                for keys in self._all([key for key, _ in pattern[1]], None, bindings):
                    found = [value.get(key) for key in keys]
                    if all(found):
                        pairs = [(term, each[1]) for (_, term), each in zip(pattern[1], found, strict=True) if each]
                        for _ in self._matching(pairs, bindings):
                            yield None
        else:
            for own in self.values(pattern, bindings):
                if same(own, value):
                    yield None

    def _matching(self, pairs: Sequence[tuple[Node, Value]], bindings: _Bindings) -> Iterator[_Bindings]:
        if not pairs:
            yield bindings
            return
        for _ in self._match(*pairs[0], bindings):
            yield from self._matching(pairs[1:], bindings)

    # Terms

    def values(self, term: Node, bindings: _Bindings) -> Iterator[Value]:
        """Every value that `term` can have; free variables in brackets are bound meanwhile.  Raises as `query` does."""
        kind = term[0]
        if kind == "lit":
            yield term[1]
        elif kind == "var":
            yield bindings[term[1]]
        elif kind == "ref":
            yield from self._reference(term, bindings)
        elif kind == "call":
            yield from self._call(term, bindings)
        elif kind == "input":
            if self._input is not UNDEFINED:
                yield self._input
        elif kind == "data":
            yield self._document(self._root)
        elif kind == "num":
            yield decimal(term[1])
        elif kind == "arr":
            for found in self._all(term[1], term[2], bindings):
                yield tuple(found)
        elif kind == "set":
            for found in self._all(term[1], term[2], bindings):
                yield Set(found)
        elif kind == "obj":
            flat = [each for pair in term[1] for each in pair]
            for found in self._all(flat, term[2], bindings):
                yield Object(zip(found[::2], found[1::2], strict=True))
        else:
            yield self._comprehension(term, bindings)

    def _all(self, terms: Sequence[Node], order: Sequence[int] | None, bindings: _Bindings) -> Iterator[list[Value]]:
        """Values of several terms together, worked out in `order`, given in theirs."""
        found: list[Value] = [None] * len(terms)
        places = range(len(terms)) if order is None else order

        def rest(position: int) -> Iterator[list[Value]]:
            if position == len(places):
                yield list(found)
                return
            place = places[position]
            for value in self.values(terms[place], bindings):
                found[place] = value
                yield from rest(position + 1)

        return rest(0)

    def _call(self, term: Node, bindings: _Bindings) -> Iterator[Value]:
        _, name, args, line, _column, order = term
        for found in self._all(args, order, bindings):
            self._steps.count()
            if isinstance(name, list):
                value = self._call_function(name, found)
                if value is not UNDEFINED:
                    yield value
                continue
            try:
                if name == "walk":
                    yield from self._walk(found[0])
                    continue
                value = builtins.call(name, self._context, found)
            except EvaluationFault as fault:
                raise EvaluationFault(f"line {line}: {builtins.shown_name(name)}: {fault.message}") from None
            if value is not UNDEFINED:
                yield value

    def _walk(self, value: Value) -> Iterator[Value]:
        waiting: list[tuple[tuple[Value, ...], Value]] = [((), value)]
        while waiting:
            self._steps.count()
            path, each = waiting.pop()
            yield (path, each)
            if isinstance(each, (tuple, Set, Object)):
                waiting += reversed([((*path, index), below) for index, below in items_of(each)])

    def _comprehension(self, term: Node, bindings: _Bindings) -> Value:
        kind, body = term[0], term[-1]
        if kind == "objc":
            built = Object()
            for _ in self._body(body, 0, bindings):
                for key, value in self._all(term[1:3], None, bindings):
                    before = built.get(key)
                    if before is not None and not same(before[1], value):
                        raise EvaluationFault("an object has two values for one key")
                    built.pairs[builtins.rank(key)] = (key, value)
            return built
        found = [value for _ in self._body(body, 0, bindings) for value in self.values(term[1], bindings)]
        return tuple(found) if kind == "arrc" else Set(found)

    # References

    def _reference(self, term: Node, bindings: _Bindings) -> Iterator[Value]:
        head, args = term[1], term[2]
        if head[0] != "data":
            for value in self.values(head, bindings):
                yield from self._below(value, args, 0, bindings)
            return
        node, position = self._root, 0
        while position < len(args) and not (node.values or node.partial) and _is_bound(args[position], bindings):
            step = next(self.values(args[position], bindings), None)
            below = node.below.get(step) if isinstance(step, str) else None
            if below is None:
                return
            node, position = below, position + 1
        if not (node.values or node.partial or node.below):
            return  # functions are no documents
        value = self._document(node)
        if value is not UNDEFINED:
            yield from self._below(value, args, position, bindings)

    def _below(self, value: Value, args: Sequence[Node], position: int, bindings: _Bindings) -> Iterator[Value]:
        """The values that the brackets from `position` on lead to."""
        if position == len(args):
            yield value
            return
        arg = args[position]
        if _is_pattern(arg, bindings):
            for index, below in items_of(value):
                self._steps.count()
                for _ in self._match(arg, index, bindings):
                    yield from self._below(below, args, position + 1, bindings)
            return
        for index in self.values(arg, bindings):
            below = value_at(value, index)
            if below is not UNDEFINED:
                yield from self._below(below, args, position + 1, bindings)


def _have_one_constant(rules: Sequence[Node]) -> bool:
    """Whether all rules but a default have the same constant for a value."""
    values = [rule["value"] for rule in rules if not rule["default"]]
    if any(value[0] != "lit" for value in values) or any(rule["else"] for rule in rules):
        return False
    return all(same(value[1], values[0][1]) for value in values)


def _holds(ways: Iterator[None]) -> bool:
    """Whether there is any way.  The others are not looked at: what these bindings were is lost."""
    return any(True for _ in ways)


def _is_bound(term: Node, bindings: _Bindings) -> bool:
    return term[0] != "var" or term[1] in bindings


def _is_pattern(term: Node, bindings: _Bindings) -> bool:
    """Whether a term in brackets has variables that are still free."""
    if term[0] == "var":
        return term[1] not in bindings
    if term[0] == "arr":
        return any(_is_pattern(each, bindings) for each in term[1])
    return term[0] == "obj" and any(_is_pattern(each, bindings) for _, each in term[1])
