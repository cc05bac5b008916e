"""Asks our engine as the questions of this folder are asked."""

import json
import time

from agent.rego.compiler import compile_policy
from agent.rego.evaluator import UNDEFINED, Program
from agent.rego.faults import EvaluationFault, SyntaxFault
from agent.rego.values import to_json


def answer(policy: str, document: str, value: object, *, now_ns: int | None = None) -> dict[str, object]:
    """Our answer in the form of OPA's; what was compiled goes through JSON, as it does in a snapshot."""
    try:
        program = Program(json.loads(json.dumps(compile_policy(policy))))
        found = program.query(document.split("."), value, now_ns=time.time_ns() if now_ns is None else now_ns)
    except (SyntaxFault, EvaluationFault) as fault:
        return {"error": fault.message}
    return {"undefined": True} if found is UNDEFINED else {"value": to_json(found)}


def value_of(expression: str, value: object = None) -> object:
    """The value of an expression.  Raises `AssertionError` if it has none."""
    found = answer(f"package t\nimport future.keywords\nx = y {{ y := {expression} }}\n", "t.x", value or {})
    assert "value" in found, found
    return found["value"]


def fault_of(policy: str, document: str = "t.x", value: object = None) -> str:
    """The message of what is wrong with a policy.  Raises `AssertionError` if nothing is."""
    found = answer(policy, document, value or {})
    assert "error" in found, found
    return str(found["error"])
