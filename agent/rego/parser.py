"""Tokens of a policy to its syntax tree: rules, bodies, expressions.

Grammar: OPA's policy reference, "Grammar"; the two versions of the language differ in what is a keyword and in what a
rule's head without `if` means, see `Dialect`.  Terms are in `agent.rego.terms`.

A tree is made of lists that JSON can hold; the first element says what it is::

    expression  [kind, line, column, ...]
      term [term]   not [expression]   assign [pattern, term]   unify [term, term]   some [names]
      somein [key or None, value, term]   every [key or None, value, term, body]   with [expression, [[target, term]]]

A rule is a dict, see `Parser._rule`.
"""

from agent.rego.faults import SyntaxFault
from agent.rego.lexer import Token, tokens
from agent.rego.nodes import Node
from agent.rego.terms import Dialect, TermParser

MAX_RULES = 2_000
MAX_EXPRESSIONS = 1_000
"""Most rules of one policy."""


class Module:
    """A parsed policy: the package's path, imports (alias -> path), and rules in the order of the text."""

    def __init__(self, package: list[str], imports: dict[str, list[str]], rules: list[dict[str, Node]]) -> None:
        """Keep them."""
        self.package = package
        self.imports = imports
        self.rules = rules


def parse(policy: str) -> Module:
    """Parse a policy of either version of the language.  Raises `SyntaxFault`.

    A text that version 0, which Ratify runs, can read is read as that; any other as version 1.  No text means
    different things in both, but for the heads that version 1 can't read.
    """
    found = tokens(policy)
    faults = []
    for dialect in (Dialect.v0(), Dialect.v1()):
        parser = Parser(found, dialect)
        try:
            module = parser.module()
        except SyntaxFault as fault:
            faults.append(fault)
        except RecursionError:
            faults.append(SyntaxFault(1, 1, "a policy that is nested too deep", "fewer terms in each other"))
        else:
            if parser.shadowing and not dialect.bare_bodies:
                raise parser.shadowing
            return module
    return _raise_furthest(faults)


def _raise_furthest(faults: list[SyntaxFault]) -> Module:
    raise max(faults, key=lambda fault: (fault.line, fault.column))


class Parser(TermParser):
    """Reads one module in one dialect."""

    shadowing: SyntaxFault | None = None
    """The first import under the name of another: version 1 refuses it, in version 0 the later one counts."""

    def module(self) -> Module:
        """The whole module.  Raises `SyntaxFault`."""
        if not self.is_word("package"):
            # Not what stands there: a path may have led to something that is no policy, and secret.
            raise self.fault("something else than a policy", "package and its name first")
        self.next()
        package = self._path()
        imports: dict[str, list[str]] = {}
        named: dict[str, str] = {}
        while self.is_word("import"):
            self._import(imports, named)
        rules: list[dict[str, Node]] = []
        while self.token.kind != "end":
            rules += self._rule_with_bodies()
            if len(rules) > MAX_RULES:
                raise self.fault(f"more than {MAX_RULES} rules", "fewer")
            if self.is_mark(";"):
                self.next()
        return Module(package, imports, rules)

    def _path(self, *, imported: bool = False) -> list[str]:
        """A dotted path, with texts in brackets as well: `a.b["c"]`.

        `imported`: words that an import makes keywords are plain names behind a dot, whether they are active or not.
        """
        path = [self.name("a name")]
        while True:
            if self.is_mark(".") and not self.token.blank:
                self.next()
                path.append(self.plain_name("a name") if imported else self.name("a name"))
            elif self.is_mark("[") and not self.token.blank:
                self.next()
                if self.token.kind != "text":
                    raise self.fault(self.shown(), "a text")
                path.append(self.next().text)
                self.expect("]")
            else:
                return path

    def _import(self, imports: dict[str, list[str]], named: dict[str, str]) -> None:
        """One import into `imports`.  `named`: what is imported so far, keywords too, by its name."""
        start = self.next()
        path = self._path(imported=True)
        alias = path[-1]
        if path[0] in ("data", "input") and self.is_word("as"):
            self.next()
            alias = self.name("a name")
        if alias in named and self.shadowing is None:
            got = f"an import of {'.'.join(path)[:80]} under the name {alias[:80]}"
            self.shadowing = self.fault_at(start, got, f"a name of its own: {named[alias][:80]} has this one")
        named.setdefault(alias, ".".join(path))
        if path[:2] == ["future", "keywords"] and len(path) <= 3:
            if not self.dialect.take_future_keywords(path[2:]):
                raise self.fault_at(start, f"an import of {'.'.join(path)}", "in, every, if or contains")
            return
        if path == ["rego", "v1"]:
            self.dialect.become_v1()
            return
        if path[0] not in ("data", "input"):
            raise self.fault_at(start, f"an import of {'.'.join(path)}", "a path that begins with data or input")
        imports[alias] = path

    # Rules

    def _rule_with_bodies(self) -> list[dict[str, Node]]:
        """A rule; the bodies that follow its own are rules with the same head."""
        rule = self._rule()
        rules = [rule]
        chainable = not rule["default"] and not rule["else"] and rule["braces"]
        while chainable and self.is_mark("{"):
            if not self.dialect.bare_bodies:
                raise self.fault("a second body", "if in front of the body")
            again = dict(rule, body=self._braced_body())
            again["else"] = []
            rules.append(again)
        return rules

    def _rule(self) -> dict[str, Node]:
        """One rule.

        `ref`: the head's terms, the first one a variable; `args`: a function's, or None; `contains`: the element of a
        multi-value rule, or None; `value`: a term; `body`: expressions, None without any; `else`: [value, body]s.
        """
        start = self.token
        is_default = self.is_word("default")
        if is_default:
            self.next()
        ref = self._head_ref()
        args: list[Node] | None = None
        if self.is_mark("(") and not self.token.blank:
            self.next()
            args = self.terms_until(")")
        rule: dict[str, Node] = {"line": start.line, "column": start.column, "default": is_default}
        rule |= {"ref": ref, "args": args, "contains": None, "value": None, "body": None, "else": [], "braces": False}
        if args is None and not is_default and self.dialect.contains and self.is_word("contains"):
            self.next()
            rule["contains"] = self.infix_term()
        elif self.is_mark("=") or self.is_mark(":="):
            self.next()
            rule["value"] = self.infix_term()
            if is_default:
                self._refuse_variables(rule["value"], start)
        elif is_default:
            raise self.fault(self.shown(), "a value: default NAME := VALUE")
        if not is_default:
            self._bodies(rule)
            self._settle(rule, start)
        return rule

    def _head_ref(self) -> list[Node]:
        line, column = self.token.line, self.token.column
        if self.token.kind != "name":
            raise self.fault(self.shown(), "a rule")
        ref: list[Node] = [["var", self.name("the name of a rule"), line, column]]
        while not self.token.blank:
            if self.is_mark("."):
                self.next()
                ref.append(["lit", self.name("a name"), "dot"])
            elif self.is_mark("["):
                self.next()
                ref.append(self.infix_term())
                self.expect("]")
            else:
                break
        return ref

    def _bodies(self, rule: dict[str, Node]) -> None:
        has_if = self.dialect.if_ and self.is_word("if")
        if has_if:
            self.next()
            rule["if"] = True
            rule["body"] = self._body_after_if(rule)
        elif self.is_mark("{") and self.dialect.bare_bodies:
            rule["body"] = self._braced_body()
            rule["braces"] = True
        while self.is_word("else"):
            if rule["body"] is None or rule["contains"] is not None:
                raise self.fault("an else", "it behind a rule with a body and one value only")
            self.next()
            value: Node = ["lit", True]
            if self.is_mark("=") or self.is_mark(":="):
                self.next()
                value = self.infix_term()
            body = None
            if self.dialect.if_ and self.is_word("if"):
                self.next()
                body = self._body_after_if(rule)
            elif self.is_mark("{") and self.dialect.bare_bodies:
                body = self._braced_body()
            rule["else"].append([value, body])
            if body is None:
                break

    def _refuse_variables(self, value: Node, start: Token) -> None:
        if value[0] in ("var", "ref", "call"):
            raise self.fault_at(
                start, "a default with a variable, a reference or a call", "a constant or a comprehension"
            )
        for each in value[1] if value[0] in ("arr", "set", "obj") else []:
            for inner in each if value[0] == "obj" else [each]:
                self._refuse_variables(inner, start)

    def _settle(self, rule: dict[str, Node], start: Token) -> None:
        """What a head without a value means."""
        ref = rule["ref"]
        has_if = rule.pop("if", False)
        if rule["value"] is None and rule["contains"] is None:
            if len(ref) == 2 and rule["args"] is None and not has_if:
                if not self.dialect.bare_bodies:
                    raise self.fault_at(start, "a rule p[x] or p.x without a value", "p contains x, or p[x] if ...")
                rule["contains"], rule["ref"] = ref[1], ref[:1]  # version 0: the set p contains x
            else:
                if rule["body"] is None and not (rule["args"] is not None or len(ref) > 1):
                    raise self.fault_at(start, "a name alone", "a rule with a value or a body")
                rule["value"] = ["lit", True]

    def _body_after_if(self, rule: dict[str, Node]) -> list[Node]:
        """A body in braces or one expression.  What reads as a set is a body: a set would always hold."""
        if self.is_mark("{"):
            saved = self.save()
            try:
                expression = self._literal()
            except SyntaxFault:
                expression = None
            if expression is None or _is_set(expression) or not self._ends_expression():
                self.restore(saved)
                rule["braces"] = True
                return self._braced_body()
            return [expression]
        return [self._literal()]

    def _ends_expression(self) -> bool:
        """Whether the rule can end here, or go on with an else."""
        return self.token.new_line or self.token.kind == "end" or self.is_mark(";") or self.is_word("else")

    def _braced_body(self) -> list[Node]:
        self.expect("{")
        body = self.body("}")
        self.expect("}")
        return body

    # Expressions

    def body(self, closing: str) -> list[Node]:
        """Expressions up to `closing`, at least one.  Raises `SyntaxFault`."""
        if self.is_mark(closing):
            raise self.fault("an empty body", "at least one expression")
        found = []
        while True:
            found.append(self._literal())
            if len(found) > MAX_EXPRESSIONS:
                raise self.fault(f"a body of more than {MAX_EXPRESSIONS} expressions", "fewer")
            if self.is_mark(";"):
                self.next()
            elif self.is_mark(closing):
                return found
            elif not self.token.new_line:
                raise self.fault(self.shown(), f"a line feed, ; or {closing}")

    def _literal(self) -> Node:
        """One expression with its `with`s."""
        line, column = self.token.line, self.token.column
        if self.is_word("not") and not self._next_is("="):
            self.next()
            if self.is_word("not"):
                raise self.fault("not not", "one not")
            return ["not", line, column, self._with(self._expression(), line, column)]
        if self.is_word("some"):
            return self._with(self._some(), line, column)
        if self.dialect.every and self.is_word("every"):
            return self._with(self._every(), line, column)
        return self._with(self._expression(), line, column)

    def _next_is(self, mark: str) -> bool:
        token = self.peek()
        return token.kind == "mark" and token.text == mark

    def _expression(self) -> Node:
        line, column = self.token.line, self.token.column
        left = self.infix_term(pairs=True)
        if self.is_mark(":="):
            self.next()
            return ["assign", line, column, left, self.infix_term(pairs=True)]
        if self.is_mark("="):
            self.next()
            return ["unify", line, column, left, self.infix_term(pairs=True)]
        return ["term", line, column, left]

    def _some(self) -> Node:
        start = self.next()
        terms = [self.simple_term()]
        while self.is_mark(","):
            self.next()
            terms.append(self.simple_term())
        if self.dialect.in_ and self.is_word("in"):
            if len(terms) > 2:
                raise self.fault_at(
                    start, f"some with {len(terms)} terms before in", "some VALUE in, or some KEY, VALUE in"
                )
            self.next()
            key = terms[0] if len(terms) == 2 else None
            return ["somein", start.line, start.column, key, terms[-1], self.infix_term()]
        names = []
        for term in terms:
            if term[0] != "var":
                raise self.fault_at(start, "some with a term that is no name", "names, or some ... in ...")
            names.append(term[1])
        return ["some", start.line, start.column, names]

    def _every(self) -> Node:
        start = self.next()
        first = self._every_name()
        key = None
        if self.is_mark(","):
            self.next()
            key, first = first, self._every_name()
        self.expect_word("in")
        domain = self.infix_term()
        return ["every", start.line, start.column, key, first, domain, self._braced_body()]

    def _every_name(self) -> Node:
        token = self.token
        return ["var", self.name("a name"), token.line, token.column]

    def _with(self, expression: Node, line: int, column: int) -> Node:
        withs: list[Node] = []
        while self.is_word("with"):
            self.next()
            target = self.simple_term()
            self.expect_word("as")
            withs.append([target, self.infix_term()])
        return ["with", line, column, expression, withs] if withs else expression


def _is_set(expression: Node) -> bool:
    return bool(expression[0] == "term" and expression[3][0] == "set")
