"""Text of a policy to tokens.  Pure; bounded by `MAX_SIZE`.

Lexical elements as OPA's reference gives them (https://www.openpolicyagent.org/docs/policy-reference, "Grammar"): the
words that are keywords only in one version of the language are names here, and told apart by the parser.
"""

import json
import re
from typing import NamedTuple

from agent.rego.faults import SyntaxFault

MAX_SIZE = 256 * 1024
"""Most characters of one policy; the longest published ones have some thousands."""

MAX_NUMBER_LENGTH = 400
"""Most characters of one number."""

_TOKEN = re.compile(
    r"""
      (?P<blank>[ \t\r\n]+|\#[^\n]*)
    | (?P<number>(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<text>"(?:[^"\\\n\x00-\x1f]|\\.)*")
    | (?P<raw>`[^`]*`)
    | (?P<mark>:=|==|!=|<=|>=|[-+*/%&|=<>(){}\[\],:;.])
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """A token: its kind, its text (a string's value), where it stands, and what is in front of it.

    `kind` is `name`, `number`, `text`, `mark` or `end`; `line` and `column` count from 1.  `new_line` and `blank`: a
    line feed, or any white space, is between the token before and this one.
    """

    kind: str
    text: str
    line: int
    column: int
    new_line: bool
    blank: bool


def tokens(policy: str) -> list[Token]:
    """All tokens of `policy`, the last one of kind `end`.  Raises `SyntaxFault`."""
    if len(policy) > MAX_SIZE:
        raise SyntaxFault(1, 1, f"a policy of {len(policy)} characters", f"at most {MAX_SIZE}")
    found: list[Token] = []
    position, line, line_start = 0, 1, 0
    new_line = blank = True
    while position < len(policy):
        match = _TOKEN.match(policy, position)
        column = position - line_start + 1
        if match is None or not match.lastgroup:
            raise SyntaxFault(line, column, _strange(policy, position), "a term, a rule or an expression")
        kind, text = match.lastgroup, match.group()
        if kind == "blank":
            new_line, blank = new_line or "\n" in text, True
        else:
            found.append(Token(*_read(kind, text, line, column), line, column, new_line, blank))
            new_line = blank = False
        feeds = text.count("\n")
        if feeds:
            line += feeds
            line_start = position + text.rindex("\n") + 1
        position = match.end()
    found.append(Token("end", "", line, position - line_start + 1, True, True))
    return found


def _read(kind: str, text: str, line: int, column: int) -> tuple[str, str]:
    if kind == "raw":
        return "text", text[1:-1]
    if kind == "number" and len(text) > MAX_NUMBER_LENGTH:
        raise SyntaxFault(line, column, f"a number of {len(text)} characters", f"at most {MAX_NUMBER_LENGTH}")
    if kind != "text":
        return kind, text
    try:
        value = json.loads(text)
    except ValueError:
        raise SyntaxFault(line, column, "a text with a wrong escape", "the escapes of JSON") from None
    if any("\ud800" <= each <= "\udfff" for each in value):
        raise SyntaxFault(line, column, "a text with half a character", "whole characters")
    return "text", value


def _strange(policy: str, position: int) -> str:
    character = policy[position]
    return f"a text without an end, {character}" if character in '"`' else f"the character {ascii(character)}"
