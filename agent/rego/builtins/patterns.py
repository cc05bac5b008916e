"""Regular expressions and globs, by RE2: the syntax that OPA has, in time linear in the text."""

import re as _re
from functools import partial
from typing import Any

from agent.rego.builtins import Context
from agent.rego.builtins import arguments as take
from agent.rego.faults import EvaluationFault
from agent.rego.values import Value

MAX_PATTERN = 10_000
MAX_MEMORY = 8 * 1024 * 1024


def _compiled(pattern: str) -> Any:
    """A pattern of RE2.  Raises `EvaluationFault`."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    if len(pattern) > MAX_PATTERN:
        raise EvaluationFault(f"a pattern of more than {MAX_PATTERN} characters")
    try:
        return re2.compile(pattern, options=options)
    except re2.error:
        raise take.wrong(pattern, "a regular expression") from None


def regex_match(_: Context, pattern: Value, text: Value) -> Value:
    return _compiled(take.text(pattern)).search(take.text(text)) is not None


re_match = regex_match


def regex_is_valid(_: Context, pattern: Value) -> Value:
    if not isinstance(pattern, str):
        return False
    try:
        _compiled(pattern)
    except EvaluationFault:
        return False
    return True


def regex_split(_: Context, pattern: Value, text: Value) -> Value:
    """As Go splits: without what groups match, and no empty part in front of a first empty match."""
    whole = take.text(text)
    found: list[str] = []
    last, end = 0, -1
    for match in _matches(pattern, whole, -1) if whole else []:
        end = match.start()
        if match.end() != 0:
            found.append(whole[last:end])
        last = match.end()
    return tuple(found) if end == len(whole) else (*found, whole[last:])


def regex_find_n(_: Context, pattern: Value, text: Value, limit: Value) -> Value:
    return tuple(match.group() for match in _matches(pattern, text, limit))


def regex_find_all_string_submatch_n(_: Context, pattern: Value, text: Value, limit: Value) -> Value:
    return tuple((match.group(), *(each or "" for each in match.groups())) for match in _matches(pattern, text, limit))


def _matches(pattern: Value, text: Value, limit: Value) -> list[Any]:
    """Matches one after another; an empty one right behind another is none, as in Go."""
    count, end = take.whole(limit), -1
    found: list[Any] = []
    for match in _compiled(take.text(pattern)).finditer(take.text(text)):
        if 0 <= count <= len(found):
            break
        if match.span() != (end, end):
            found.append(match)
        end = match.end()
    return found


def regex_replace(_: Context, text: Value, pattern: Value, new: Value) -> Value:
    """`$1`, `${1}` and `${name}` in `new` are what groups matched, as in Go."""
    whole, layout = take.text(text), take.text(new)
    found: list[str] = []
    last = 0
    for match in _matches(pattern, whole, -1):
        groups = {str(i): each or "" for i, each in enumerate([match.group(), *match.groups()])} | match.groupdict()
        found.append(whole[last : match.start()])
        found.append(_re.sub(r"\$(?:\$|(\w+)|\{(\w+)\})", partial(_expanded, groups), layout))
        last = match.end()
    return "".join((*found, whole[last:]))


def _expanded(groups: dict[str, str], reference: "_re.Match[str]") -> str:
    if reference.group() == "$$":
        return "$"
    return groups.get(reference.group(1) or reference.group(2)) or ""


def glob_match(_: Context, pattern: Value, delimiters: Value, text: Value) -> Value:
    """`*` stops at delimiters, `**` doesn't; no delimiters given means a full stop, null means none."""
    marks = [] if delimiters is None else [take.text(each) for each in take.array(delimiters)] or ["."]
    return _compiled(f"(?s)^(?:{_from_glob(take.text(pattern), marks)})$").search(take.text(text)) is not None


def glob_quote_meta(_: Context, text: Value) -> Value:
    return "".join(f"\\{each}" if each in "*?\\[]{}" else each for each in take.text(text))


def _from_glob(pattern: str, delimiters: list[str]) -> str:
    """A glob of OPA as a regular expression.  Raises `EvaluationFault`."""
    if any(len(each) != 1 for each in delimiters):
        raise EvaluationFault("a delimiter that is not one character")
    one = f"[^{''.join(map(_re.escape, delimiters))}]" if delimiters else "."
    found: list[str] = []
    depth = i = 0
    while i < len(pattern):
        each = pattern[i]
        i += 1
        if each == "*":
            found.append(".*" if pattern[i : i + 1] == "*" else f"{one}*")
            i += pattern[i : i + 1] == "*"
        elif each == "?":
            found.append(one)
        elif each == "[":
            end = pattern.find("]", i)
            if end < 0:
                raise take.wrong(pattern, "a glob whose [ has its ]")
            inner = pattern[i:end]
            negated = inner[:1] in ("!", "^")
            found.append(f"[{'^' if negated else ''}{_in_class(inner[negated:])}]")
            i = end + 1
        elif each == "{":
            depth += 1
            found.append("(?:")
        elif each == "}" and depth:
            depth -= 1
            found.append(")")
        elif each == "," and depth:
            found.append("|")
        elif each == "\\" and i < len(pattern):
            found.append(_re.escape(pattern[i]))
            i += 1
        else:
            found.append(_re.escape(each))
    if depth:
        raise take.wrong(pattern, "a glob whose { has its }")
    return "".join(found)


def _in_class(text: str) -> str:
    return "".join(f"\\{each}" if each in "\\[]^" else each for each in text)
