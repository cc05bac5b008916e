"""A parsed policy to one that can be evaluated: names resolved, expressions in an order in which they are safe.

The steps, as OPA's compiler has them: (1) names: local variables get names of their own, others become references to
rules, imports, `input` and `data`; calls find their function and have its number of arguments; (2) safety: the
expressions of a body are put in an order in which each variable has a value when it is needed; (3) rules that share a
path agree on their kind, and none needs itself.  What OPA refuses for these reasons is refused.  Of its type checker
there is what `agent.rego.signatures` can tell; any other ill-typed call is found when it is evaluated.

The result is JSON::

    {"package": [...], "readsTime": bool, "rules": [{"path", "name", "line", "default", "args", "suffix", "set",
                                                     "value", "body", "else", "order"}]}
"""

from agent.rego import safety
from agent.rego.faults import SyntaxFault
from agent.rego.nodes import Node
from agent.rego.parser import Module, parse
from agent.rego.resolver import Resolver

FORMAT = 1
"""Version of the result's form."""

MAX_FAULTS = 20
"""Most faults told about one policy."""


def compile_policy(text: str) -> Node:
    """Compile a policy.  Raises `SyntaxFault`: if rules have faults of their own, one for each of them."""
    module = parse(text)
    paths = [_static_path(module, rule) for rule in module.rules]
    arities = _arities(module, paths)
    resolver = Resolver(module, arities)
    rules: list[Node] = []
    needs: list[tuple[tuple[str, ...], set[tuple[str, ...]]]] = []
    faults: dict[str, SyntaxFault] = {}  # by their text: several bodies behind one head share its faults
    for rule, path in zip(module.rules, paths, strict=True):
        resolver.needs = set()
        try:
            rules.append(_rule(rule, path, resolver))
        except SyntaxFault as fault:
            faults.setdefault(fault.message, fault)
        needs.append((path, resolver.needs))
    if faults:
        first, *more = faults.values()
        first.more = tuple(more[: MAX_FAULTS - 1])
        raise first
    _refuse_conflicts(rules)
    _refuse_recursion(needs, {tuple(rule["path"]): rule["line"] for rule in rules})
    return {"format": FORMAT, "package": module.package, "readsTime": resolver.reads_time, "rules": rules}


def _static_path(module: Module, rule: Node) -> tuple[str, ...]:
    """The package's path and the names of the rule's head, up to the first that is no constant."""
    path = [*module.package, rule["ref"][0][1]]
    for step in rule["ref"][1:]:
        if step[0] != "lit" or not isinstance(step[1], str):
            break
        path.append(step[1])
    return tuple(path)


def _arities(module: Module, paths: list[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Number of arguments of each function."""
    found: dict[tuple[str, ...], int] = {}
    for rule, path in zip(module.rules, paths, strict=True):
        if rule["args"] is not None:
            count = len(rule["args"])
            if len(path) != len(module.package) + len(rule["ref"]):
                raise SyntaxFault(rule["line"], rule["column"], "a function with a variable in its name", "names only")
            if found.setdefault(path, count) != count:
                expected = f"{found[path]}, as its other definitions have"
                raise SyntaxFault(rule["line"], rule["column"], f"a function of {count} arguments", expected)
    return found


def _rule(rule: Node, path: tuple[str, ...], resolver: Resolver) -> Node:
    depth = len(path) - len(resolver.package)
    suffix = rule["ref"][depth:]
    if rule["default"] and (suffix or rule["contains"] is not None):
        raise SyntaxFault(rule["line"], rule["column"], "a default for a rule with variables", "one for a name")
    scope = resolver.new_scope()
    args = None if rule["args"] is None else [resolver.pattern(arg, scope) for arg in rule["args"]]
    safe = safety.variables(args or [])
    is_set = rule["contains"] is not None
    heads = [*suffix, rule["contains"] if is_set else rule["value"]]
    terms, body, order = _clause(rule, heads, rule["body"], scope, safe, resolver)
    if rule["else"] and (suffix or is_set):
        raise SyntaxFault(rule["line"], rule["column"], "an else at a rule with many values", "one value")
    elses = []
    for value, else_body in rule["else"]:
        own = resolver.new_scope(scope)
        (else_value,), else_body, _ = _clause(rule, [value], else_body, own, safe, resolver)
        elses.append([else_value, else_body])
    return {
        "path": list(path),
        "name": ".".join(path[len(resolver.package) :]),
        "line": rule["line"],
        "default": rule["default"],
        "args": args,
        "suffix": terms[:-1],
        "set": is_set,
        "value": terms[-1],
        "body": body,
        "else": elses,
        "order": order,
    }


def _clause(
    rule: Node, heads: list[Node], body: Node, scope: dict[str, str], safe: set[str], resolver: Resolver
) -> tuple[list[Node], list[Node], list[int] | None]:
    """Head terms and body, resolved and in a safe order."""
    own = resolver.new_scope(scope)
    found = resolver.body(body or [], own)
    terms = [resolver.term(head, own) for head in heads]
    outer = safe | safety.variables(terms)
    ordered, known = safety.in_safe_order(found, set(safe), outer)
    order = safety.term_order(terms, known, outer)
    if order is None:
        missing = sorted(safety.variables(terms) - known)
        raise SyntaxFault(rule["line"], rule["column"], f"a head with {safety.named(missing)}", safety.EXPECTED)
    return terms, ordered, order if order != sorted(order) else None


def _refuse_conflicts(rules: list[Node]) -> None:
    kinds: dict[tuple[str, ...], tuple[str, int]] = {}
    for rule in rules:
        kind = "a function" if rule["args"] is not None else "a rule with parts" if rule["suffix"] else "a set"
        if not rule["set"] and not rule["suffix"] and rule["args"] is None:
            kind = "a rule with one value"
        path = tuple(rule["path"])
        before = kinds.setdefault(path, (kind, rule["line"]))
        if before[0] != kind:
            got = f"{rule['name']} as {kind}"
            raise SyntaxFault(rule["line"], 1, got, f"{before[0]}, which it is in line {before[1]}")
        if rule["default"]:
            defaults = [each for each in rules if each["default"] and each["path"] == rule["path"]]
            if len(defaults) > 1:
                raise SyntaxFault(defaults[1]["line"], 1, f"a second default of {rule['name']}", "one")
    for path, (kind, line) in kinds.items():
        for length in range(1, len(path)):
            above = kinds.get(path[:length])
            if above and above[0] in ("a rule with one value", "a set", "a function"):
                got = f"{'.'.join(path)} as {kind}"
                raise SyntaxFault(line, 1, got, f"nothing below {path[length - 1]}, {above[0]} in line {above[1]}")


def _refuse_recursion(
    needs: list[tuple[tuple[str, ...], set[tuple[str, ...]]]], lines: dict[tuple[str, ...], int]
) -> None:
    """Rules that need themselves, by whatever way, have no answer."""
    graph: dict[tuple[str, ...], set[tuple[str, ...]]] = {path: set() for path, _ in needs}
    for path, wanted in needs:
        for want in wanted:
            graph[path] |= {other for other in graph if other[: len(want)] == want or want[: len(other)] == other}
    done: set[tuple[str, ...]] = set()
    for start in graph:
        trail: dict[tuple[str, ...], None] = {}
        waiting = [(start, iter(graph[start]))] if start not in done else []
        trail[start] = None
        while waiting:
            path, others = waiting[-1]
            other = next(others, None)
            if other is None:
                done.add(path)
                trail.pop(path, None)
                waiting.pop()
            elif other in trail:
                raise SyntaxFault(lines[other], 1, f"{other[-1]}, which needs itself", "rules without recursion")
            elif other not in done:
                trail[other] = None
                waiting.append((other, iter(graph[other])))
