"""The policy of our own rules: how many of some verifiers must have verified something.

`any: [a, b]` is one of them, `all: [a, b]` is each of them, `{threshold: 2, of: [a, b, c]}` is two.  A verifier counts
once, however much it verified; one that asks for several signers counts if as many different ones signed, wherever
their signatures lie.  What fails beside it takes nothing away, so that whoever may push to a repository can't block an
image with a bad signature.  More evidence never turns yes into no: an allowance stands while something is unknown.
"""

from datetime import datetime
from types import MappingProxyType
from typing import Mapping, Sequence, cast

from agent.model.outcome import Status
from agent.model.report import Report


class ThresholdPolicy:
    """At least `threshold` of the verifiers `of` must have verified something, or exempted the image."""

    one_verifier = False
    sees_everything = False
    is_program = False
    fresh_for = None

    def __init__(self, threshold: int, of: Sequence[str], signers: Mapping[str, int] = MappingProxyType({})) -> None:
        """`threshold` is at least 1 and at most the number of different names in `of`.

        `signers` says how many different signers there must be for a verifier, where that is more than one.
        """
        self._threshold = threshold
        self._of = tuple(of)
        self._signers = signers

    @classmethod
    def load(cls, settings: Mapping[str, object]) -> "ThresholdPolicy":
        """See `Policy.load`."""
        signers = cast("Mapping[str, int]", settings.get("signers", {}))
        return cls(cast("int", settings["threshold"]), cast("list[str]", settings["of"]), signers)

    def evaluate(self, report: Report, *, inconclusive_passes: bool, now: datetime) -> bool:
        """See `Policy.evaluate`."""
        passing = {Status.PASSED, Status.SKIPPED} | ({Status.INCONCLUSIVE} if inconclusive_passes else set())
        return len(self._verified(report, passing)) >= max(self._threshold, 1)

    def allow_stands(self, artifact_types: Sequence[str], report: Report) -> bool:
        """See `Policy.allow_stands`."""
        return True

    def refusal(self, report: Report) -> str:
        """See `Policy.refusal`."""
        verified = self._verified(report, {Status.PASSED, Status.SKIPPED})
        by = f" (by {', '.join(sorted(verified))})" if verified else ""
        few = "".join(
            f"; {name} found {len(_signers(report, name))} of {self._signers[name]} different signers"
            for name in self._of
            if name in self._signers and name not in verified
        )
        return f"verified by {len(verified)}{by}; the rule asks for {self._threshold} of {', '.join(self._of)}{few}"

    def _verified(self, report: Report, passing: set[Status]) -> set[str]:
        found = {outcome.verifier for outcome in report.outcomes if outcome.status in passing}
        return {name for name in found & set(self._of) if self._is_enough(report, name, passing)}

    def _is_enough(self, report: Report, name: str, passing: set[Status]) -> bool:
        """Whether a verifier found as many signers as it asks for; what is unknown may be all that are missing."""
        wanted = self._signers.get(name, 1)
        if wanted == 1 or len(_signers(report, name)) >= wanted:
            return True
        return any(each.verifier == name and each.status in passing - {Status.PASSED} for each in report.outcomes)


def _signers(report: Report, name: str) -> set[str]:
    passed = (each for each in report.outcomes if each.verifier == name and each.status is Status.PASSED)
    return {signer for each in passed for signer in each.signers}
