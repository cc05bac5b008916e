"""Ratify's config policy: per artifact type, any or all of the outcomes must have passed.

The algorithm is Ratify's own (`policy.plugin.name: configPolicy`): a type that is listed must be there and satisfied;
types that are not listed fall under `default`, and must be satisfied once they are there; no outcome is a denial.
A skipped outcome counts as passed: the configuration itself asked for no more.
"""

from datetime import datetime
from typing import Mapping, Sequence

from agent.model.outcome import Status
from agent.model.report import Report

ANY, ALL = "any", "all"
DEFAULT_KEY = "default"


class ConfigPolicy:
    """`requirements` maps artifact types to "any" or "all"; `default` (itself "all" by default) is for the others."""

    one_verifier = True
    sees_everything = False
    is_program = False
    fresh_for = None

    def __init__(self, requirements: Mapping[str, str]) -> None:
        """Keep the requirements; the key "default" is taken out of them."""
        self._requirements = {key: value for key, value in requirements.items() if key != DEFAULT_KEY}
        self._default = requirements.get(DEFAULT_KEY, ALL)

    @classmethod
    def load(cls, settings: Mapping[str, object]) -> "ConfigPolicy":
        """See `Policy.load`."""
        requirements = settings.get("artifactVerificationPolicies", {})
        return cls(dict(requirements) if isinstance(requirements, dict) else {})

    def evaluate(self, report: Report, *, inconclusive_passes: bool, now: datetime) -> bool:
        """See `Policy.evaluate`."""
        passing = {Status.PASSED, Status.SKIPPED} | ({Status.INCONCLUSIVE} if inconclusive_passes else set())
        by_type: dict[str, list[bool]] = {}
        for artifact in report.artifacts:
            for outcome in artifact.outcomes:
                by_type.setdefault(artifact.artifact_type, []).append(outcome.status in passing)
        if not by_type:
            return False
        return all(
            self._satisfied(artifact_type, by_type.get(artifact_type, []))
            for artifact_type in {*self._requirements, *by_type}
        )

    def allow_stands(self, artifact_types: Sequence[str], report: Report) -> bool:
        """See `Policy.allow_stands`: a type under "any" of which one passed can't turn yes into no.

        One of which nothing was seen can, as the first that is seen of it may fail.
        """
        passed = {
            artifact.artifact_type
            for artifact in report.artifacts
            if any(outcome.status in (Status.PASSED, Status.SKIPPED) for outcome in artifact.outcomes)
        }
        return all(each in passed and self._requirement(each) == ANY for each in artifact_types)

    def refusal(self, report: Report) -> str:
        """See `Policy.refusal`."""
        return f"the policy asks for more than the {len(report.outcomes)} signatures found"

    def _satisfied(self, artifact_type: str, passed: Sequence[bool]) -> bool:
        if not passed:
            return False
        return any(passed) if self._requirement(artifact_type) == ANY else all(passed)

    def _requirement(self, artifact_type: str) -> str:
        return self._requirements.get(artifact_type, self._default)
