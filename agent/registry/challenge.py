"""WWW-Authenticate, read by its grammar: RFC 9110, 11.6.1; Bearer's parameters: RFC 6750, 3.

Several lines, several challenges in a line, quoted strings with escapes and commas.  What does not fit the grammar is
refused as a whole: a challenge that two readers see differently must not choose where we go.
"""

from typing import Mapping, NamedTuple, Sequence

from agent.errors import LimitExceeded, Malformed
from agent.registry.limits import MAX_CHALLENGE_LENGTH, MAX_CHALLENGE_PARAMETERS, MAX_CHALLENGES

_WHERE = "WWW-Authenticate"
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TOKEN68 = frozenset("-._~+/0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BLANK = frozenset(" \t")


class Challenge(NamedTuple):
    """One challenge.  Scheme and names of parameters are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse(lines: Sequence[str]) -> tuple[Challenge, ...]:
    """Read every challenge of a response's WWW-Authenticate lines.  Raises `Malformed` or `LimitExceeded`."""
    length = sum(map(len, lines))
    if length > MAX_CHALLENGE_LENGTH:
        raise LimitExceeded(f"{_WHERE}: got {length} characters; expected at most {MAX_CHALLENGE_LENGTH}")
    found: list[Challenge] = []
    for line in lines:
        _Reader(line, found).read()
    return tuple(found)


class _Reader:
    """Reads one line from left to right; `found` gets what was read."""

    def __init__(self, text: str, found: list[Challenge]) -> None:
        self._text = text
        self._at = 0
        self._found = found

    def read(self) -> None:
        """All challenges.  A comma separates both challenges and parameters; what follows a comma decides."""
        parameters: dict[str, str] | None = None
        self._skip(separators=True)
        while self._at < len(self._text):
            name = self._run(_TOKEN)
            if not name:
                raise self._error("a name")
            if parameters is not None and self._parameter(name, parameters):
                self._end_of_element()
                continue
            if self._peek() not in ("", ",", *_BLANK):
                raise self._error("a blank after the scheme")
            parameters = {}
            self._challenge(name, parameters)
            self._arguments(parameters)

    def _arguments(self, parameters: dict[str, str]) -> None:
        """What follows a scheme: nothing, one token68, or the first parameter."""
        self._skip()
        if self._peek() in ("", ","):
            self._end_of_element()
            return
        start = self._at
        name = self._run(_TOKEN)
        if not (name and self._parameter(name, parameters)):
            self._at = start
            if not self._run(_TOKEN68):
                raise self._error("a parameter")
            self._run(frozenset("="))
        self._end_of_element()

    def _parameter(self, name: str, parameters: dict[str, str]) -> bool:
        """Read `= value` after `name`; false, with nothing read, if that is not what follows."""
        start = self._at
        self._skip()
        if self._peek() == "=":
            self._at += 1
            self._skip()
            value = self._quoted() if self._peek() == '"' else self._run(_TOKEN) or None
            if value is not None:
                self._keep(name.lower(), value, parameters)
                return True
        self._at = start
        return False

    def _keep(self, name: str, value: str, parameters: dict[str, str]) -> None:
        if name in parameters:
            raise Malformed(f"{_WHERE}: got the parameter {ascii(name[:40])} twice in one challenge; expected it once")
        if len(parameters) >= MAX_CHALLENGE_PARAMETERS:
            raise LimitExceeded(f"{_WHERE}: got more than {MAX_CHALLENGE_PARAMETERS} parameters in one challenge")
        parameters[name] = value

    def _challenge(self, scheme: str, parameters: dict[str, str]) -> None:
        if len(self._found) >= MAX_CHALLENGES:
            raise LimitExceeded(f"{_WHERE}: got more than {MAX_CHALLENGES} challenges")
        self._found.append(Challenge(scheme.lower(), parameters))

    def _quoted(self) -> str:
        """A quoted string's value, without its escapes."""
        value: list[str] = []
        self._at += 1
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character == '"':
                return "".join(value)
            if character == "\\":
                character = self._peek()
                self._at += 1
            if not (character == "\t" or character >= " ") or character == "\x7f":
                raise self._error("a printable character")
            value.append(character)
        raise self._error("the end of a quoted string")

    def _end_of_element(self) -> None:
        self._skip()
        if self._peek() not in ("", ","):
            raise self._error("a comma")
        self._skip(separators=True)

    def _skip(self, *, separators: bool = False) -> None:
        while self._at < len(self._text) and (
            self._text[self._at] in _BLANK or (separators and self._text[self._at] == ",")
        ):
            self._at += 1

    def _run(self, allowed: frozenset[str]) -> str:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in allowed:
            self._at += 1
        return self._text[start : self._at]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _error(self, expected: str) -> Malformed:
        got = ascii(self._text[self._at : self._at + 20])
        return Malformed(f"{_WHERE}: got {got} at {self._at}; expected {expected}")
