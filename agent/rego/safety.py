"""Puts the expressions of a body in an order in which every variable has a value when it is needed.

Step (2) of `agent.rego.compiler`.  What binds variables: a pattern that is unified with a term, `some ... in`, and
brackets of a reference.  What only needs them: everything else, `not` most of all.  A comprehension needs those of its
variables that stand outside it as well.
"""

from collections.abc import Iterable

from agent.rego.faults import SyntaxFault
from agent.rego.nodes import Node

EXPECTED = "each variable bound by an expression that is not negated"

_CLOSURES = ("arrc", "setc", "objc")


def variables(terms: Iterable[Node], *, closures: bool = False) -> set[str]:
    """All variables in terms; those in comprehensions if `closures`, else only those outside them."""
    found: set[str] = set()
    for term in terms:
        kind = term[0]
        if kind == "var":
            found.add(term[1])
        elif kind == "ref":
            found |= variables([term[1], *term[2]], closures=closures)
        elif kind in ("arr", "set"):
            found |= variables(term[1], closures=closures)
        elif kind == "call":
            found |= variables(term[2], closures=closures)
        elif kind == "obj":
            found |= variables((each for pair in term[1] for each in pair), closures=closures)
        elif kind in _CLOSURES and closures:
            found |= variables(term[1:-1], closures=True)
            for expression in term[-1]:
                found |= _in_expression(expression, closures=True)
    return found


def _in_expression(node: Node, *, closures: bool = False) -> set[str]:
    kind = node[0]
    if kind == "term":
        return variables([node[3]], closures=closures)
    if kind in ("unify", "match", "needing"):
        return variables(node[3:5], closures=closures)
    if kind == "not":
        return _in_expression(node[3], closures=closures)
    if kind == "somein":
        return variables([each for each in node[3:6] if each is not None], closures=closures)
    if kind == "with":
        return _in_expression(node[3], closures=closures) | variables((each for _, each in node[4]), closures=closures)
    found = variables([node[5]], closures=closures)
    if closures:
        found |= variables([each for each in node[3:5] if each is not None])
        for expression in node[6]:
            found |= _in_expression(expression, closures=True)
    return found


def in_safe_order(body: list[Node], safe: set[str], outer: set[str]) -> tuple[list[Node], set[str]]:
    """The body in a safe order, and the variables that have values behind it.

    `safe` have values before it; `outer` are variables that stand around it: a comprehension in it shares these.
    Raises `SyntaxFault`.
    """
    outer = outer | safe
    for expression in body:
        outer |= _in_expression(expression)
    waiting = list(body)
    ordered: list[Node] = []
    while waiting:
        left: list[Node] = []
        for expression in waiting:
            done = _placed(expression, safe, outer)
            if done is None:
                left.append(expression)
            else:
                ordered.append(done[0])
                safe = safe | done[1]
        if len(left) == len(waiting):
            first = left[0]
            missing = sorted(_in_expression(first) - safe) or sorted(
                (_in_expression(first, closures=True) & outer) - safe
            )
            raise SyntaxFault(first[1], first[2], named(missing), EXPECTED)
        waiting = left
    return ordered, safe


def named(names: list[str]) -> str:
    """Variables as a message names them."""
    shown = [name.partition("#")[0] for name in names]
    return f"unsafe {', '.join(dict.fromkeys(shown)) or 'variables'}, without a value here"


def term_order(terms: list[Node], safe: set[str], outer: set[str]) -> list[int] | None:
    """An order in which the terms can be worked out, None if there is none; what is in them is put in order too."""
    found = _in_order(terms, safe, outer)
    return None if found is None else found[0]


def _placed(node: Node, safe: set[str], outer: set[str]) -> tuple[Node, set[str]] | None:
    """The expression, and what it binds; None if something that it needs has no value yet."""
    kind, line, column = node[:3]
    if kind == "term":
        bound = _ready(node[3], safe, outer)
        return None if bound is None else (node, bound)
    if kind in ("unify", "match"):
        for pattern, term in ((node[3], node[4]), (node[4], node[3])):
            bound = _ready(term, safe, outer)
            if bound is not None:
                own = _pattern_ready(pattern, safe | bound, outer)
                if own is not None:
                    return ["match", line, column, pattern, term], bound | own
        return None
    if kind == "needing":
        bound = _ready(node[4], safe, outer) if variables([node[4]]) <= safe else None
        return None if bound is None else (["match", *node[1:]], variables([node[3]]))
    if kind == "not":
        if not _in_expression(node[3]) <= safe:
            return None
        inner = _placed(node[3], safe, outer)
        return None if inner is None else (["not", line, column, inner[0]], set())
    if kind == "somein":
        bound = _ready(node[5], safe, outer)
        if bound is None:
            return None
        for pattern in node[3:5]:
            own = set() if pattern is None else _pattern_ready(pattern, safe | bound, outer)
            if own is None:
                return None
            bound = bound | own
        return node, bound
    if kind == "with":
        bound = _ready(["arr", [each for _, each in node[4]], None], safe, outer)
        inner = None if bound is None else _placed(node[3], safe | bound, outer)
        return None if inner is None or bound is None else (["with", line, column, inner[0], node[4]], bound | inner[1])
    return _placed_every(node, safe, outer)


def _placed_every(node: Node, safe: set[str], outer: set[str]) -> tuple[Node, set[str]] | None:
    bound = _ready(node[5], safe, outer)
    if bound is None:
        return None
    inside: set[str] = set()
    for expression in node[6]:
        inside |= _in_expression(expression, closures=True)
    own = variables([each for each in node[3:5] if each is not None])
    if not ((inside & outer) - own) <= safe | bound:
        return None
    body, _ = in_safe_order(node[6], safe | bound | own, outer)
    return [*node[:6], body], bound


def _ready(term: Node, safe: set[str], outer: set[str]) -> set[str] | None:
    """What working out `term` binds; None if it needs a variable without a value.  Orders what is in it."""
    kind = term[0]
    if kind == "var":
        return set() if term[1] in safe else None
    if kind == "ref":
        bound = _ready(term[1], safe, outer)
        for arg in term[2]:
            if bound is None:
                return None
            own = _pattern_ready(arg, safe | bound, outer)
            bound = None if own is None else bound | own
        return bound
    if kind in ("arr", "set", "call", "obj"):
        place = 2 if kind != "call" else 5
        inner = [each for pair in term[1] for each in pair] if kind == "obj" else term[2 if kind == "call" else 1]
        found = _in_order(inner, safe, outer)
        if found is None:
            return None
        term[place] = None if found[0] == sorted(found[0]) else found[0]
        return found[1]
    if kind in _CLOSURES:
        if not variables([term], closures=True) & outer <= safe:
            return None
        heads = variables(term[1:-1])
        body, known = in_safe_order(term[-1], safe, outer | heads)
        term[-1] = body
        if _in_order(term[1:-1], known, outer) is None:
            line, column = (body[0][1], body[0][2]) if body else (1, 1)
            raise SyntaxFault(line, column, named(sorted(heads - known)), EXPECTED)
        return set()
    return set()


def _pattern_ready(term: Node, safe: set[str], outer: set[str]) -> set[str] | None:
    """What matching `term` with a value binds; None if it needs a variable without a value."""
    kind = term[0]
    if kind == "var":
        return {term[1]} - safe
    if kind not in ("arr", "obj"):
        return _ready(term, safe, outer)
    bound: set[str] = set()
    if kind == "obj":
        found = _in_order([key for key, _ in term[1]], safe, outer)
        if found is None:
            return None
        bound = found[1]
    for each in term[1]:
        own = _pattern_ready(each[1] if kind == "obj" else each, safe | bound, outer)
        if own is None:
            return None
        bound = bound | own
    return bound


def _in_order(terms: list[Node], safe: set[str], outer: set[str]) -> tuple[list[int], set[str]] | None:
    """An order in which the terms can be worked out, and what they bind; None if there is none."""
    order: list[int] = []
    bound: set[str] = set()
    waiting = list(range(len(terms)))
    while waiting:
        left = []
        for place in waiting:
            own = _ready(terms[place], safe | bound, outer)
            if own is None:
                left.append(place)
            else:
                order.append(place)
                bound |= own
        if len(left) == len(waiting):
            return None
        waiting = left
    return order, bound
