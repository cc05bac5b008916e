"""Policies made by chance from a small grammar, for a second opinion: they mix what the tables show one by one."""

import random

_INPUTS = ("input.a.b.c", "input.list", "input.list[_].n", "input.list[i].name", "input.missing", "input.matrix[i][j]",
           "input.a", "input.missing.x")  # fmt: skip
_LISTS = ("[1, 2]", "{1, 2}", '{"n": 1}', "[[1], [1]]", "[]", "s")
_CONSTANTS = ("1", "2", "0", '"xa"', '"b"', "true", "false", "null", "[]", "{}", "[1, 2]", "{1, 2}", '{"n": 1}', "1.5")
_UNARY = ("count({})", "is_string({})", "type_name({})", "[z | z := {}]", "{{z | z := {}}}", "sort([{}])", "f({})",
          "sum([z | z := {}; is_number(z)])", "json.marshal({})", '{{"k": {}}}', "[{}, 1]")  # fmt: skip
_BINARY = ("{} == {}", "{} != {}", "{} < {}", "{} >= {}", "{} in {}", "[{}, {}]", 'object.get({{"k": {}}}, "k", {})')


def policy(seed: int) -> str:
    """A policy of the package `t` with the rules `x`, `r0`, `r1`, `s` and the function `f`."""
    chance = random.Random(seed)
    rules = [
        "f(a) = b { b := [a] } else = 0",
        f"r0 {_body(chance, ())}",
        f"r1 = {chance.choice(_CONSTANTS)} {_body(chance, ('r0',))}",
        f"s[v] {{ v := {_term(chance, ('r0',), 1)} }}",
    ]
    if chance.random() < 0.5:
        rules.append(f"default r1 = {chance.choice(_CONSTANTS)}")
    known = ("r0", "r1", "s", "count(s)", "s[_]")
    rules += [f"x {_body(chance, known)}" for _ in range(chance.randint(1, 2))]
    if chance.random() < 0.5:
        rules.append("default x = false")
    return "package t\nimport future.keywords\n" + "\n".join(rules) + "\n"


def _body(chance: random.Random, rules: tuple[str, ...]) -> str:
    return "{ " + "; ".join(_expression(chance, rules, i) for i in range(chance.randint(1, 3))) + " }"


def _expression(chance: random.Random, rules: tuple[str, ...], number: int) -> str:
    kind = chance.randint(0, 7)
    term = _term(chance, rules, 2)
    if kind == 0:
        return f"v{number} := {term}"
    if kind == 1:
        return f"not {term}"
    if kind == 2:
        return f"some w{number} in {chance.choice(_INPUTS + _LISTS)}; {_compared(chance, f'w{number}', rules)}"
    if kind == 3:
        return f"every e in {chance.choice(_INPUTS + _LISTS)} {{ {_compared(chance, 'e', rules)} }}"
    if kind == 4:
        return f"u{number} = {term}; u{number} != {chance.choice(_CONSTANTS)}"
    if kind == 5:
        return f"not {chance.choice(_BINARY).format(_term(chance, rules, 1), chance.choice(_CONSTANTS))}"
    if kind == 6:
        return f"{term} with input.missing as {chance.choice(_CONSTANTS)}"
    return term


def _compared(chance: random.Random, name: str, rules: tuple[str, ...]) -> str:
    return chance.choice(("{0} != {1}", "not {0} == {1}", "{0} > {1}", "[{0}, {1}] != 1", "not {0} in [{1}]")).format(
        name, _term(chance, rules, 1)
    )


def _term(chance: random.Random, rules: tuple[str, ...], depth: int) -> str:
    kind = chance.randint(0, 4 if depth else 1)
    if kind == 0:
        return chance.choice(_CONSTANTS)
    if kind == 1:
        return chance.choice((*_INPUTS, *rules))
    if kind in (2, 3):
        return chance.choice(_UNARY).format(_term(chance, rules, depth - 1))
    return f"({chance.choice(_BINARY).format(_term(chance, rules, depth - 1), _term(chance, rules, depth - 1))})"
