"""Names of a policy to what they mean: step (1) of `agent.rego.compiler`.

A local variable gets a name of its own (`x#3`), so that one name in two scopes is two variables; one that is never
declared keeps its name.  References to `data` are written out; calls are to a function of the policy, by its path, or
to a built-in, by its name.
"""

from agent.rego import builtins, signatures
from agent.rego.faults import SyntaxFault
from agent.rego.nodes import Node
from agent.rego.parser import Module

Scope = dict[str, str]
"""Declared names and what they are called in the result."""


class Resolver:
    """Resolves the rules of one module."""

    def __init__(self, module: Module, arities: dict[tuple[str, ...], int]) -> None:
        """`arities`: the module's functions and their numbers of arguments."""
        self.package = module.package
        self._imports = module.imports
        self._arities = arities
        self._globals = {rule["ref"][0][1] for rule in module.rules}
        for name in sorted(self._globals & {"input", "data"}):
            line = next(rule["line"] for rule in module.rules if rule["ref"][0][1] == name)
            raise SyntaxFault(line, 1, f"a rule called {name}", "another name")
        self._count = 0
        self._everies = 0
        self.reads_time = False
        self.needs: set[tuple[str, ...]] = set()
        """Paths of documents and functions that were referred to; whoever asks empties it before."""

    def new_scope(self, outer: Scope | None = None) -> Scope:
        """A scope inside `outer`."""
        return dict(outer or {})

    # Bodies

    def body(self, expressions: list[Node], scope: Scope) -> list[Node]:
        """A body; what it declares is added to `scope`, which must be its own.  Raises `SyntaxFault`."""
        declared: set[str] = set()
        found: list[Node] = []
        for expression in expressions:
            found += self._expression(expression, scope, declared)
        return found

    def _expression(self, node: Node, scope: Scope, declared: set[str]) -> list[Node]:
        kind, line, column = node[:3]
        if kind == "some":
            for name in node[3]:
                self._declare(name, line, column, scope, declared)
            return []
        if kind == "assign":
            value = self.term(node[4], scope)
            return [["unify", line, column, self._declaring(node[3], line, column, scope, declared), value]]
        if kind == "unify":
            return self._unify(self.term(node[3], scope), self.term(node[4], scope), line, column)
        if kind == "somein":
            collection = self.term(node[5], scope)
            key = None if node[3] is None else self._declaring(node[3], line, column, scope, declared)
            return [["somein", line, column, key, self._declaring(node[4], line, column, scope, declared), collection]]
        if kind == "every":
            domain = self.term(node[5], scope)
            inner, own = self.new_scope(scope), set[str]()
            key = None if node[3] is None else self._declaring(node[3], line, column, inner, own)
            value = self._declaring(node[4], line, column, inner, own)
            self._everies += 1
            body = self.body(node[6], self.new_scope(inner))
            self._everies -= 1
            return [["every", line, column, key, value, domain, body]]
        if kind == "not":
            inner_found = self._expression(node[3], self.new_scope(scope), set())
            if len(inner_found) != 1 or node[3][0] in ("assign", "somein"):
                raise SyntaxFault(line, column, "not in front of a declaration", "not in front of a condition")
            before = self._before_negation(inner_found[0])
            return [*before, ["not", line, column, inner_found[0]]]
        if kind == "with":
            targets = [[self._target(target, line, column), self.term(value, scope)] for target, value in node[4]]
            inner_found = self._expression(node[3], scope, declared)
            if not inner_found:
                raise SyntaxFault(line, column, "with behind a declaration", "with behind a condition")
            return [["with", line, column, each, targets] for each in inner_found]
        return self._term_expression(node[3], scope, line, column)

    def _term_expression(self, term: Node, scope: Scope, line: int, column: int) -> list[Node]:
        if term[0] == "call":
            arity = self._arity(self._function(term[1], scope, term))
            if arity is not None and len(term[2]) == arity + 1:  # the last argument is the result's pattern
                call = self.term([*term[:2], term[2][:-1], *term[3:]], scope)
                return self._unify(self.term(term[2][-1], scope), call, line, column)
        return [["term", line, column, self.term(term, scope)]]

    def _unify(self, left: Node, right: Node, line: int, column: int) -> list[Node]:
        """Arrays of one length are unified element by element: each may need values of the other."""
        if left[0] == right[0] == "arr" and len(left[1]) == len(right[1]) and left[1]:
            pairs = zip(left[1], right[1], strict=True)
            return [each for a, b in pairs for each in self._unify(a, b, line, column)]
        return [["unify", line, column, left, right]]

    def _before_negation(self, node: Node) -> list[Node]:
        """What `not node` needs to be defined, taken out of it: references and calls inside it.

        OPA's rewriting, which the meaning depends on: `not f(input.x)` doesn't hold where `input.x` is undefined, and
        `not f(input.x[_])` holds if it does for any.  Only what is compared for equality, or stands alone, may be
        undefined.
        """
        kind, line, column = node[:3]
        before: list[Node] = []
        if kind == "with":
            node[4] = [[target, self._taken(value, line, column, before)] for target, value in node[4]]
            return [*before, *(["with", line, column, each, node[4]] for each in self._before_negation(node[3]))]
        if kind == "unify":
            node[3:5] = [self._outer_taken(each, line, column, before) for each in node[3:5]]
        elif kind == "term" and node[3][0] == "call":
            take = self._outer_taken if node[3][1] == "equal" else self._taken
            node[3][2] = [take(each, line, column, before) for each in node[3][2]]
        elif kind == "term":
            node[3] = self._outer_taken(node[3], line, column, before)
        return before

    def _outer_taken(self, term: Node, line: int, column: int, before: list[Node]) -> Node:
        """The term with what is inside it taken out; a reference itself stays."""
        if term[0] != "ref":
            return self._taken(term, line, column, before)
        return ["ref", *self._inner_taken(term, line, column, before)]

    def _inner_taken(self, term: Node, line: int, column: int, before: list[Node]) -> list[Node]:
        head = term[1] if term[1][0] in ("data", "input", "var") else self._taken(term[1], line, column, before)
        return [head, [self._taken(each, line, column, before) for each in term[2]]]

    def _taken(self, term: Node, line: int, column: int, before: list[Node]) -> Node:
        """A variable in place of a reference or a call; `before` gets what binds it."""
        kind = term[0]
        if kind in ("arr", "set"):
            return [kind, [self._taken(each, line, column, before) for each in term[1]], None]
        if kind == "obj":
            return [kind, [[self._taken(each, line, column, before) for each in pair] for pair in term[1]], None]
        if kind not in ("ref", "call"):
            return term
        self._count += 1
        variable = ["var", f"_#{self._count}"]
        if kind == "ref":  # it binds no variables here, though a call that is taken out does
            before.append(["needing", line, column, variable, ["ref", *self._inner_taken(term, line, column, before)]])
        else:
            before.append(["unify", line, column, variable, term])
        return variable

    def _target(self, target: Node, line: int, column: int) -> list[str]:
        """The path below `input` that a `with` replaces."""
        head, args = (target[1], target[2]) if target[0] == "ref" else (target, [])
        texts = [each[1] for each in args if each[0] == "lit" and isinstance(each[1], str)]
        if head[:2] != ["var", "input"] or len(texts) != len(args):
            raise SyntaxFault(
                line, column, "with on something else than input", "with input, or input.NAME: no other is supported"
            )
        return texts

    # Declarations

    def pattern(self, term: Node, scope: Scope) -> Node:
        """A function's argument: its names are declared in `scope`."""
        return self._declaring(term, *_place(term), scope, set())

    def _declare(self, name: str, line: int, column: int, scope: Scope, declared: set[str]) -> None:
        if name in declared:
            raise SyntaxFault(line, column, f"a second declaration of {name} in one body", "another name")
        if name in ("input", "data"):
            raise SyntaxFault(line, column, f"a variable called {name}", "another name")
        declared.add(name)
        self._count += 1
        scope[name] = f"{name}#{self._count}"

    def _declaring(self, term: Node, line: int, column: int, scope: Scope, declared: set[str]) -> Node:
        """A pattern whose names are declared on the way."""
        kind = term[0]
        if kind == "var":
            if term[1] != "_":
                self._declare(term[1], term[2], term[3], scope, declared)
        elif kind == "arr":
            return ["arr", [self._declaring(each, line, column, scope, declared) for each in term[1]], None]
        elif kind == "obj":
            pairs = [[self.term(k, scope), self._declaring(v, line, column, scope, declared)] for k, v in term[1]]
            return ["obj", pairs, None]
        elif kind not in ("lit", "num"):
            raise SyntaxFault(
                line, column, "a declaration of something that is no name", "names, arrays or objects of names"
            )
        return self.term(term, scope)

    # Terms

    def term(self, term: Node, scope: Scope) -> Node:
        """A term.  Raises `SyntaxFault`."""
        kind = term[0]
        if kind in ("lit", "num"):
            return term[:2]
        if kind == "var":
            return self._variable(term, scope)
        if kind == "ref":
            head, args = self.term(term[1], scope), [self.term(each, scope) for each in term[2]]
            if head[0] == "ref" and head[1] in (["data"], ["input"]):
                args = [*head[2], *args]
                head = head[1]
            if head == ["data"]:
                self._note_need(args)
            return ["ref", head, args]
        if kind == "call":
            name = self._function(term[1], scope, term)
            args = [self.term(each, scope) for each in term[2]]
            arity = self._arity(name)
            if arity is not None and len(args) != arity:
                raise SyntaxFault(term[3], term[4], f"{term[1]} with {_counted(len(args))}", _counted(arity))
            if isinstance(name, str) and not self._everies:  # OPA's type checker doesn't look into them either
                signatures.check(name, args, term[3], term[4])
            return ["call", name, args, term[3], term[4], None]
        if kind in ("arr", "set"):
            return [kind, [self.term(each, scope) for each in term[1]], None]
        if kind == "obj":
            return [kind, [[self.term(key, scope), self.term(value, scope)] for key, value in term[1]], None]
        inner = self.new_scope(scope)
        body = self.body(term[-1], inner)
        return [kind, *(self.term(each, inner) for each in term[1:-1]), body]

    def _variable(self, term: Node, scope: Scope) -> Node:
        name = term[1]
        if name == "_":
            self._count += 1
            return ["var", f"_#{self._count}"]
        if name in scope:
            return ["var", scope[name]]
        if name in ("input", "data"):
            if name == "data":
                self.needs.add(())
            return [name]
        if name in self._imports:
            path = self._imports[name]
            args = [["lit", each] for each in path[1:]]
            if path[0] == "data":
                self._note_need(args)
            return ["ref", [path[0]], args] if args else [path[0]]
        if name in self._globals:
            args = [["lit", each] for each in (*self.package, name)]
            self._note_need(args)
            return ["ref", ["data"], args]
        return ["var", name]

    def _note_need(self, args: list[Node]) -> None:
        path: list[str] = []
        for each in args:
            if each[0] != "lit" or not isinstance(each[1], str):
                break
            path.append(each[1])
        self.needs.discard(())
        self.needs.add(tuple(path))

    # Functions

    def _function(self, name: str, scope: Scope, term: Node) -> str | list[str]:
        """The path of the policy's function, or the name of the built-in, that `name` means."""
        first, _, rest = name.partition(".")
        path = [first, *rest.split(".")] if rest else [first]
        if first in scope:
            raise SyntaxFault(term[3], term[4], f"a call of the variable {first}", "a function")
        if first in self._imports:
            path = [*self._imports[first], *path[1:]]
        elif first in self._globals:
            path = ["data", *self.package, *path]
        if path[0] in ("data", "input"):
            if tuple(path[1:]) not in self._arities or path[0] == "input":
                raise SyntaxFault(term[3], term[4], f"a call of {name}, which is no function here", "a function")
            self.needs.add(tuple(path[1:]))
            return path[1:]
        if name not in builtins.ARITIES:
            known = builtins.WHY_NOT.get(name) or builtins.WHY_NOT.get(f"{first}.*")
            got = f"a call of {name}, which is no function" if known is None else f"a call of {name}: {known}"
            raise SyntaxFault(
                term[3], term[4], got, builtins.nearest(name) or "a function of this policy or a built-in"
            )
        if name == "time.now_ns":
            self.reads_time = True
        return name

    def _arity(self, name: str | list[str]) -> int | None:
        return builtins.ARITIES[name] if isinstance(name, str) else self._arities[tuple(name)]


def _counted(count: int) -> str:
    return f"{count} argument{'' if count == 1 else 's'}"


def _place(term: Node) -> tuple[int, int]:
    return (term[2], term[3]) if term[0] == "var" else (1, 1)
