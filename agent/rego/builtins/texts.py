"""Texts.  Positions count characters, as in OPA."""

from agent.rego.builtins import Context
from agent.rego.builtins import arguments as take
from agent.rego.faults import EvaluationFault
from agent.rego.values import Value, is_number, shown

MAX_TEXT = 4 * 1024 * 1024
"""Longest text that a function makes, in characters."""


def concat(_: Context, glue: Value, parts: Value) -> Value:
    return _bounded(take.text(glue).join(take.text(each) for each in take.members(parts)))


def contains(_: Context, text: Value, part: Value) -> Value:
    return take.text(part) in take.text(text)


def endswith(_: Context, text: Value, end: Value) -> Value:
    return take.text(text).endswith(take.text(end))


def startswith(_: Context, text: Value, start: Value) -> Value:
    return take.text(text).startswith(take.text(start))


def format_int(_: Context, value: Value, base: Value) -> Value:
    """Fractions are cut off."""
    formats = {2: "b", 8: "o", 10: "d", 16: "x"}
    if base not in formats:
        raise take.wrong(base, "2, 8, 10 or 16")
    return format(int(take.number(value)), formats[base])


def indexof(_: Context, text: Value, part: Value) -> Value:
    if not take.text(part):
        raise EvaluationFault("empty search character")
    return take.text(text).find(part)


def indexof_n(_: Context, text: Value, part: Value) -> Value:
    if not take.text(part):
        raise EvaluationFault("empty search character")
    whole = take.text(text)
    return tuple(i for i in range(len(whole)) if whole.startswith(part, i))


def lower(_: Context, text: Value) -> Value:
    """Character by character, as in Go: none becomes two."""
    return "".join(each.lower()[:1] for each in take.text(text))


def upper(_: Context, text: Value) -> Value:
    """Character by character, as in Go: none becomes two."""
    return "".join(each.upper() if len(each.upper()) == 1 else each for each in take.text(text))


def replace(_: Context, text: Value, old: Value, new: Value) -> Value:
    whole, before, after = take.text(text), take.text(old), take.text(new)
    if len(whole) + (whole.count(before)) * len(after) > MAX_TEXT:
        raise _too_long()
    return whole.replace(before, after)


def split(_: Context, text: Value, by: Value) -> Value:
    whole, mark = take.text(text), take.text(by)
    return tuple(whole.split(mark)) if mark else tuple(whole)


def substring(_: Context, text: Value, start: Value, length: Value) -> Value:
    whole, first, count = take.text(text), take.whole(start), take.whole(length)
    if first < 0:
        raise EvaluationFault("negative offset")
    return whole[first:] if count < 0 else whole[first : first + count]


def trim(_: Context, text: Value, characters: Value) -> Value:
    return take.text(text).strip(take.text(characters)) if characters else take.text(text)


def trim_left(_: Context, text: Value, characters: Value) -> Value:
    return take.text(text).lstrip(take.text(characters)) if characters else take.text(text)


def trim_right(_: Context, text: Value, characters: Value) -> Value:
    return take.text(text).rstrip(take.text(characters)) if characters else take.text(text)


def trim_prefix(_: Context, text: Value, start: Value) -> Value:
    return take.text(text).removeprefix(take.text(start))


def trim_suffix(_: Context, text: Value, end: Value) -> Value:
    return take.text(text).removesuffix(take.text(end))


def trim_space(_: Context, text: Value) -> Value:
    """The white space of Go: unlike Python's, without the separators U+001C to U+001F."""
    spaces = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
    return take.text(text).strip(spaces)


def strings_reverse(_: Context, text: Value) -> Value:
    return take.text(text)[::-1]


def strings_any_prefix_match(_: Context, texts: Value, starts: Value) -> Value:
    return any(each.startswith(start) for each in _texts(texts) for start in _texts(starts))


def strings_any_suffix_match(_: Context, texts: Value, ends: Value) -> Value:
    return any(each.endswith(end) for each in _texts(texts) for end in _texts(ends))


def strings_count(_: Context, text: Value, part: Value) -> Value:
    return take.text(text).count(take.text(part))


def strings_replace_n(_: Context, replacements: Value, text: Value) -> Value:
    """At each place the first of the replacements, in the order of their keys, whose old text stands there."""
    whole = take.text(text)
    pairs = [(take.text(old), take.text(new)) for old, new in take.an_object(replacements)]
    found, i, length = [], 0, 0
    while i <= len(whole):
        for old, new in pairs:
            if whole.startswith(old, i):
                found.append(new if old else new + whole[i : i + 1])
                i += len(old) or 1
                break
        else:
            found.append(whole[i : i + 1])
            i += 1
        length += len(found[-1])
        if length > MAX_TEXT:
            raise _too_long()
    return "".join(found)


def sprintf(_: Context, layout: Value, values: Value) -> Value:
    """Go's verbs, for what values of Rego are."""
    return _bounded(_formatted(take.text(layout), list(take.array(values))))


def _texts(value: Value) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [take.text(each) for each in take.members(value)]


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise _too_long()
    return text


def _too_long() -> EvaluationFault:
    return EvaluationFault(f"a text of more than {MAX_TEXT} characters")


def _formatted(layout: str, values: list[Value]) -> str:
    import re

    found, used, last = [], 0, 0
    for match in re.finditer(r"%([-+# 0]*)(\d*)(?:\.(\d*))?(.|$)", layout, re.DOTALL):
        found.append(layout[last : match.start()])
        last = match.end()
        flags, width, precision, verb = match.groups()
        if verb == "%":
            found.append("%")
        elif not verb:
            found.append("%!(NOVERB)")
        elif used >= len(values):
            found.append(f"%!{verb}(MISSING)")
        else:
            found.append(_verb(verb, values[used], flags, int(width or 0), precision))
            used += 1
    found.append(layout[last:])
    extra = ", ".join(f"{_go_type(each)}={shown(each, quoted=False)}" for each in values[used:])
    return "".join(found) + (f"%!(EXTRA {extra})" if extra else "")


def _verb(verb: str, value: Value, flags: str, width: int, precision: str | None) -> str:
    if width > MAX_TEXT or len(precision or "") > 3:
        raise _too_long()
    body = _verb_body(verb, value, flags, precision)
    if "-" in flags:
        return body.ljust(width)
    if "0" in flags and is_number(value) and verb in "dxXobfeEgGv":
        return body[:1] + body[1:].rjust(width - 1, "0") if body[:1] in "+-" else body.rjust(width, "0")
    return body.rjust(width)


def _verb_body(verb: str, value: Value, flags: str, precision: str | None) -> str:
    plain = shown(value, quoted=False)
    if verb in "vs":
        if verb == "s" and is_number(value):
            return f"%!s({_go_type(value)}={plain})"
        return plain[: int(precision)] if verb == "s" and precision else plain
    sign = "+" if "+" in flags and is_number(value) and value >= 0 else ""
    if verb in "dxXob" and isinstance(value, int) and not isinstance(value, bool):
        return sign + format(value, verb)
    if verb in "feEgG" and is_number(value) and not isinstance(value, int):
        digits = 6 if precision is None and verb in "feE" else precision
        return sign + (format(float(value), f".{digits or 0}{verb}") if digits is not None else repr(float(value)))
    if verb == "q" and isinstance(value, str):
        return shown(value)
    if verb in "xX" and isinstance(value, str):
        return value.encode().hex() if verb == "x" else value.encode().hex().upper()
    if verb == "T":
        return _go_type(value)
    return f"%!{verb}({_go_type(value)}={plain})"


def _go_type(value: Value) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "int"
    if is_number(value):
        return "float64"
    return "string"
