"""Ratify's Rego policy: a program over the whole report; its answer is `data.ratify.policy.valid`.

Only `true` is a yes: nothing else, and nothing at all, is a no.  A program is not monotone: more evidence may turn its
yes into a no, so that an allowance never stands while something is unknown.  What passes reports on without deciding
(`passthroughEnabled`) never allows, as in Ratify.
"""

from datetime import datetime
from typing import Any, Mapping, Sequence

from agent.errors import PolicyFault
from agent.model.report import Report
from agent.policies import ratifyreport
from agent.rego.evaluator import Program
from agent.rego.faults import EvaluationFault

QUERY = ("ratify", "policy", "valid")
"""The path below `data` of what decides."""

READING_TIME = 60.0
"""Seconds for which an answer counts that depends on the time."""


class RegoPolicy:
    """A compiled program, or None for what only passes reports on."""

    one_verifier = False
    sees_everything = True
    is_program = True

    def __init__(self, compiled: Any, name: str) -> None:
        """`compiled` is what `agent.rego.compiler.compile_policy` returned; `name` is its document's."""
        self._compiled = compiled
        self._name = name
        self.fresh_for = READING_TIME if compiled is not None and compiled["readsTime"] else None

    @classmethod
    def load(cls, settings: Mapping[str, object]) -> "RegoPolicy":
        """See `Policy.load`."""
        return cls(settings["compiled"], str(settings["name"]))

    def evaluate(self, report: Report, *, inconclusive_passes: bool, now: datetime) -> bool:
        """See `Policy.evaluate`."""
        if self._compiled is None:
            return False
        value = ratifyreport.policy_input(report, inconclusive_passes=inconclusive_passes)
        nanoseconds = int(now.timestamp()) * 10**9 + now.microsecond * 1000
        try:
            return Program(self._compiled).query(QUERY, value, now_ns=nanoseconds) is True
        except EvaluationFault as fault:
            raise PolicyFault(f"{self._name}: {fault.message}") from None

    def allow_stands(self, artifact_types: Sequence[str], report: Report) -> bool:
        """See `Policy.allow_stands`."""
        return not artifact_types

    def refusal(self, report: Report) -> str:
        """See `Policy.refusal`."""
        if self._compiled is None:
            return "passthroughEnabled: the policy passes reports on and decides nothing"
        return f"{self._name} does not allow what was found ({len(report.artifacts)} artifacts)"
