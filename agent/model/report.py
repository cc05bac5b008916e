"""Reports: a subject and every outcome about it; the policy's input."""

from typing import NamedTuple

from agent.model.outcome import Outcome, Status


class Report(NamedTuple):
    """What is known of `subject` (`repository@digest`).

    `outcomes` are ordered by the digest of their evidence, so that equal facts give equal bytes.
    """

    subject: str
    outcomes: tuple[Outcome, ...]

    def with_status(self, status: Status) -> tuple[Outcome, ...]:
        """The outcomes that have `status`."""
        return tuple(outcome for outcome in self.outcomes if outcome.status is status)
