"""Tokens to terms: literals, references, calls, collections, comprehensions, infix operators.

Their form is that of `agent.rego.nodes`.  Operators are calls of their built-in function (`plus`, `equal`, ...), as in
OPA.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.rego.faults import SyntaxFault
from agent.rego.lexer import Token
from agent.rego.nodes import Node

MAX_DEPTH = 100
"""Deepest nesting of terms and bodies."""

MAX_WHOLE_DIGITS = 400
"""Most digits that a whole number may have once its exponent is written out."""

WORDS = ("package", "import", "default", "not", "with", "as", "else", "true", "false", "null", "some")
"""What is a keyword in every version, and nowhere a name."""

_LEVELS: tuple[dict[str, str], ...] = (
    {"==": "equal", "!=": "neq", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"},
    {"|": "or"},
    {"&": "and"},
    {"+": "plus", "-": "minus"},
    {"*": "mul", "/": "div", "%": "rem"},
)
_SHORT = 18  # digits of a number that every reader of JSON takes
_CONSTANTS = {"true": True, "false": False, "null": None}


class Dialect:
    """What is a keyword, and whether a body may follow a head without `if`."""

    def __init__(self, *, words: bool, bare_bodies: bool) -> None:
        """`words`: in, every, if and contains are keywords without an import."""
        self.in_ = self.every = self.if_ = self.contains = words
        self.bare_bodies = bare_bodies

    @classmethod
    def v0(cls) -> "Dialect":
        """The language of OPA before 1.0, which Ratify runs."""
        return cls(words=False, bare_bodies=True)

    @classmethod
    def v1(cls) -> "Dialect":
        """The language of OPA 1.0."""
        return cls(words=True, bare_bodies=False)

    def become_v1(self) -> None:
        """`import rego.v1`."""
        self.in_ = self.every = self.if_ = self.contains = True
        self.bare_bodies = False

    def take_future_keywords(self, names: list[str]) -> bool:
        """`import future.keywords`, or of one of them; false if there is none of that name."""
        for name in names or ["in", "every", "if", "contains"]:
            if name not in ("in", "every", "if", "contains"):
                return False
            setattr(self, f"{name}_" if name in ("in", "if") else name, True)
            if name == "every":
                self.in_ = True
        return True

    def is_keyword(self, word: str) -> bool:
        """Whether `word` can't be a name."""
        later = {"in": self.in_, "every": self.every, "if": self.if_, "contains": self.contains}
        return word in WORDS or later.get(word, False)


class TermParser:
    """Reads terms from a list of tokens.  `body` belongs to the class below: comprehensions have one."""

    def __init__(self, found: list[Token], dialect: Dialect) -> None:
        """`found` ends with a token of kind `end`."""
        self._tokens = found
        self._position = 0
        self._depth = 0
        self.dialect = dialect

    body: Callable[[str], list[Node]]

    # Tokens

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._position]

    def peek(self) -> Token:
        """The one behind it."""
        return self._tokens[min(self._position + 1, len(self._tokens) - 1)]

    def next(self) -> Token:
        """Take the token that comes next."""
        token = self.token
        if token.kind != "end":
            self._position += 1
        return token

    def save(self) -> tuple[int, int]:
        """Where we are, for `restore`."""
        return self._position, self._depth

    def restore(self, saved: tuple[int, int]) -> None:
        """Go back."""
        self._position, self._depth = saved

    def is_mark(self, mark: str) -> bool:
        """Whether this mark comes next."""
        return self.token.kind == "mark" and self.token.text == mark

    def is_word(self, word: str) -> bool:
        """Whether this word comes next."""
        return self.token.kind == "name" and self.token.text == word

    def expect(self, mark: str) -> None:
        """Take this mark.  Raises `SyntaxFault`."""
        if not self.is_mark(mark):
            raise self.fault(self.shown(), mark)
        self.next()

    def expect_word(self, word: str) -> None:
        """Take this word.  Raises `SyntaxFault`."""
        if not self.is_word(word):
            raise self.fault(self.shown(), word)
        self.next()

    def name(self, what: str) -> str:
        """Take a name that is no keyword.  Raises `SyntaxFault`."""
        if self.token.kind != "name" or self.dialect.is_keyword(self.token.text):
            raise self.fault(self.shown(), what)
        return self.next().text

    def plain_name(self, what: str) -> str:
        """Take a name, also one that is a keyword once it is imported.  Raises `SyntaxFault`."""
        if self.token.kind != "name" or self.token.text in WORDS:
            raise self.fault(self.shown(), what)
        return self.next().text

    def shown(self) -> str:
        """The token that comes next, as a message names it."""
        if self.token.kind == "end":
            return "the end of the policy"
        return f"{ascii(self.token.text)[1:-1][:40]!r}"

    def fault(self, got: str, expected: str) -> SyntaxFault:
        """A fault at the token that comes next."""
        return self.fault_at(self.token, got, expected)

    @staticmethod
    def fault_at(token: Token, got: str, expected: str) -> SyntaxFault:
        """A fault at a token."""
        return SyntaxFault(token.line, token.column, got, expected)

    # Terms

    def infix_term(self, *, pairs: bool = False, first: Node = None) -> Node:
        """A term with operators.  `first` is its first operand if that was read already.

        `pairs`: `key, value in collection` may stand here.
        """
        with self._deeper():
            left = self._level(0, first)
            if pairs and self.dialect.in_ and self.is_mark(","):
                saved = self.save()
                self.next()
                value = self._level(0)
                if self.is_word("in"):
                    at = self.next()
                    left = ["call", "internal.member_3", [left, value, self._level(0)], at.line, at.column]
                else:
                    self.restore(saved)
            while self.dialect.in_ and self.is_word("in"):
                at = self.next()
                left = ["call", "internal.member_2", [left, self._level(0)], at.line, at.column]
            return left

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        """One level of nesting.  Raises `SyntaxFault` if it is one too many."""
        if self._depth == MAX_DEPTH:
            raise self.fault(f"more than {MAX_DEPTH} terms in each other", "fewer")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def _level(self, level: int, first: Node = None) -> Node:
        if level == len(_LEVELS):
            return self.simple_term() if first is None else first
        operators = _LEVELS[level]
        left = self._level(level + 1, first)
        while self.token.kind == "mark" and self.token.text in operators:
            operator = self.next()
            right = self._level(level + 1)
            left = ["call", operators[operator.text], [left, right], operator.line, operator.column]
        return left

    def simple_term(self) -> Node:
        """A term without operators, with what follows it directly: brackets, dots, arguments."""
        token = self.token
        with self._deeper():
            if token.kind == "text":
                return ["lit", self.next().text]
            if token.kind == "number":
                self.next()
                return _number(token)
            if token.kind == "name":
                return self._named()
            if self.is_mark("-") and self.peek().kind == "number":
                self.next()
                return _number(self.next(), "-")
            if self.is_mark("("):
                self.next()
                inner = self.infix_term(pairs=True)
                self.expect(")")
                return inner
            if self.is_mark("["):
                return self._ref_on(self._array())
            if self.is_mark("{"):
                return self._ref_on(self._object_or_set())
            raise self.fault(self.shown(), "a term")

    def _named(self) -> Node:
        token = self.token
        if token.text in _CONSTANTS:
            self.next()
            return ["lit", _CONSTANTS[token.text]]
        if token.text == "set" and self.peek()[:2] == ("mark", "("):
            saved = self.save()
            self.next()
            self.next()
            if self.is_mark(")"):
                self.next()
                return self._ref_on(["set", []])
            self.restore(saved)
        # `contains` is a built-in function as well, whatever else it is.
        if token.text == "contains" and self.peek()[:2] == ("mark", "("):
            self.next()
            return self._ref_on(["var", "contains", token.line, token.column])
        return self._ref_on(["var", self.name("a term"), token.line, token.column])

    def _ref_on(self, head: Node) -> Node:
        """The brackets, dots and arguments directly behind `head`."""
        args: list[Node] = []
        term = head
        while not self.token.blank:
            if self.is_mark("."):
                self.next()
                args.append(["lit", self._field()])
            elif self.is_mark("["):
                self.next()
                args.append(self.infix_term())
                self.expect("]")
            elif self.is_mark("("):
                path = _call_path(head, args)
                if path is None:
                    raise self.fault("arguments", "the name of a function before them")
                at = self.next()
                head = ["call", path, self.terms_until(")"), at.line, at.column]
                args = []
            else:
                break
            term = ["ref", head, args]
        return head if not args else term

    def _field(self) -> str:
        if self.token.kind != "name":
            raise self.fault(self.shown(), "a name")
        return self.next().text

    def terms_until(self, closing: str) -> list[Node]:
        """Terms separated by commas, and `closing`.  Raises `SyntaxFault`."""
        found = []
        while not self.is_mark(closing):
            found.append(self.infix_term())
            if not self.is_mark(","):
                break
            self.next()
        self.expect(closing)
        return found

    def _array(self) -> Node:
        """An array, or the comprehension of one.

        What a collection begins with is read once, whatever it turns out to be: reading it again for each of them
        would take time exponential in the depth.
        """
        self.expect("[")
        if self.is_mark("]"):
            self.next()
            return ["arr", []]
        first = self.simple_term()
        if self.is_mark("|"):
            return ["arrc", first, self._comprehension_body("]")]
        return ["arr", self._rest_of_terms(self.infix_term(first=first), "]")]

    def _rest_of_terms(self, first: Node, closing: str) -> list[Node]:
        if self.is_mark(","):
            self.next()
            return [first, *self.terms_until(closing)]
        self.expect(closing)
        return [first]

    def _comprehension_body(self, closing: str) -> list[Node]:
        self.next()
        body = self.body(closing)
        self.expect(closing)
        return body

    def _object_or_set(self) -> Node:
        self.expect("{")
        if self.is_mark("}"):
            self.next()
            return ["obj", []]
        first = self.simple_term()
        if self.is_mark("|"):
            return ["setc", first, self._comprehension_body("}")]
        key = self.infix_term(first=first)
        if not self.is_mark(":"):
            return ["set", self._rest_of_terms(key, "}")]
        self.next()
        value = self.simple_term()
        if self.is_mark("|"):
            return ["objc", key, value, self._comprehension_body("}")]
        pairs = [[key, self.infix_term(first=value)]]
        while self.is_mark(","):
            self.next()
            if self.is_mark("}"):
                break
            key = self.infix_term()
            self.expect(":")
            pairs.append([key, self.infix_term()])
        self.expect("}")
        return ["obj", pairs]


def _call_path(head: Node, args: list[Node]) -> str | None:
    if head[0] != "var" or any(each[0] != "lit" or not isinstance(each[1], str) for each in args):
        return None
    return ".".join([head[1], *(each[1] for each in args)])


def _number(token: Token, sign: str = "") -> Node:
    text = sign + token.text
    if text.lstrip("-").isdigit() and len(text) <= _SHORT:
        return ["lit", int(text)]
    mantissa, _, exponent = text.lower().partition("e")
    if abs(int(exponent or "0")) + len(mantissa) > MAX_WHOLE_DIGITS:
        raise SyntaxFault(token.line, token.column, "a number out of range", f"at most {MAX_WHOLE_DIGITS} digits")
    return ["num", text]
