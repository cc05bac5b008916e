"""The policy of our own rules: how many of some verifiers must have verified something.

`any: [a, b]` is one of them, `all: [a, b]` is each of them, `{threshold: 2, of: [a, b, c]}` is two.  A verifier counts
once, however much it verified; what fails beside it takes nothing away, so that whoever may push to a repository can't
block an image with a bad signature.  More evidence never turns yes into no: an allowance stands while something is
unknown.
"""

from datetime import datetime
from typing import Mapping, Sequence, cast

from agent.model.outcome import Status
from agent.model.report import Report


class ThresholdPolicy:
    """At least `threshold` of the verifiers `of` must have verified something, or exempted the image."""

    one_verifier = False
    sees_everything = False
    is_program = False
    fresh_for = None

    def __init__(self, threshold: int, of: Sequence[str]) -> None:
        """`threshold` is at least 1 and at most the number of different names in `of`."""
        self._threshold = threshold
        self._of = tuple(of)

    @classmethod
    def load(cls, settings: Mapping[str, object]) -> "ThresholdPolicy":
        """See `Policy.load`."""
        return cls(cast("int", settings["threshold"]), cast("list[str]", settings["of"]))

    def evaluate(self, report: Report, *, inconclusive_passes: bool, now: datetime) -> bool:
        """See `Policy.evaluate`."""
        passing = {Status.PASSED, Status.SKIPPED} | ({Status.INCONCLUSIVE} if inconclusive_passes else set())
        return len(self._verified(report, passing)) >= max(self._threshold, 1)

    def allow_stands(self, artifact_types: Sequence[str]) -> bool:
        """See `Policy.allow_stands`."""
        return True

    def refusal(self, report: Report) -> str:
        """See `Policy.refusal`."""
        verified = self._verified(report, {Status.PASSED, Status.SKIPPED})
        by = f" (by {', '.join(sorted(verified))})" if verified else ""
        return f"verified by {len(verified)}{by}; the rule asks for {self._threshold} of {', '.join(self._of)}"

    def _verified(self, report: Report, passing: set[Status]) -> set[str]:
        found = {outcome.verifier for outcome in report.outcomes if outcome.status in passing}
        return found & set(self._of)
