"""Every question whose answer OPA gave, and the few where the answer here is another one on purpose."""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from tests.rego.expressions import EXPRESSIONS, INPUT
from tests.rego.modules import MODULES, NEGATIONS
from tests.rego.reports import POLICIES, REPORTS

ANSWERS = pathlib.Path(__file__).parents[1] / "assets" / "rego" / "answers.json"

ON_PURPOSE: Mapping[str, str] = {
    "expression: 100000000000000000000 + 1": "whole numbers are exact; OPA rounds sums to 64 bits",
    "expression: [1, 2][5]": "OPA's type checker refuses it; undefined here",
    "expression: [1, 2][-1]": "OPA's type checker refuses it; undefined here",
    "module: function pattern does not match": "OPA's type checker refuses it; undefined here",
    "module: negation of a nested function that is undefined": "OPA's type checker refuses it; undefined here",
    "module: unification of objects of other keys": "OPA finds no safe order; undefined here",
    "module: some in non collection": "OPA's type checker refuses it; undefined here",
    "module: unused some": "OPA refuses a variable that is declared for nothing",
    "module: v0 shadowing of data": "input and data are no names for anything else here",
    "module: rule called input": "input and data are no names for anything else here",
    "negation: [lower(input.missing)] == 1": "OPA's type checker refuses it; undefined here",
    'negation: {"a": lower(input.missing)} == 1': "OPA's type checker refuses it; undefined here",
    "negation: h == 1": "OPA's type checker refuses it; it holds here",
    "policy: runtime": "nothing reads the environment here: refused",
    "policy: jsonpatch": "json.patch does not exist here: refused",
}
"""Question -> why the answer here is not OPA's; a policy's name stands for its questions about every report."""


class Question(NamedTuple):
    """What is asked: `document` is the path below `data`."""

    name: str
    policy: str
    document: str
    input: object


def questions() -> Iterator[Question]:
    """All of them."""
    for text in EXPRESSIONS:
        policy = f"package t\nimport future.keywords\nx = y {{ y := {text} }}\n"
        yield Question(f"expression: {text}", policy, "t.x", INPUT)
    for name, text in MODULES.items():
        yield Question(f"module: {name}", f"package t\n{text}\n", "t.x", INPUT)
    for text in NEGATIONS:
        policy = "package t\nimport future.keywords\nf(y) = y\ng = 0 { input.missing }\nh { input.missing }\n"
        yield Question(f"negation: {text}", f"{policy}x {{ not {text} }}\n", "t.x", INPUT)
    for name, policy in POLICIES.items():
        for report, value in REPORTS.items():
            yield Question(f"policy: {name} / {report}", policy, "ratify.policy.valid", value)


def recorded() -> Mapping[str, Mapping[str, object]]:
    """OPA's answers by the question's name: `{"value": ...}`, `{"undefined": true}` or `{"error": "..."}`."""
    return cast("Mapping[str, Mapping[str, object]]", json.loads(ANSWERS.read_text()))


def why_other(question: Question) -> str:
    """Why the answer here is another one; empty if it must be OPA's."""
    return ON_PURPOSE.get(question.name) or ON_PURPOSE.get(question.name.partition(" / ")[0], "")
