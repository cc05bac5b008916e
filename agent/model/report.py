"""Reports: a subject and everything that was found about it; the policy's input."""

from collections.abc import Iterator
from typing import NamedTuple

from agent.model.digest import Digest
from agent.model.outcome import Outcome, Status


class Artifact(NamedTuple):
    """One referrer of `subject` (`repository@digest`): `digest` is its manifest's.

    `outcomes` are those of the verifiers that look at its type, in the configuration's order; none if nobody does.
    `nested` are its own referrers, as far as a policy wants to know of them.  `refers`: its manifest points at the
    subject; what a tag names need not, and then whoever signed it may have meant it of another image.
    """

    subject: str
    digest: Digest
    artifact_type: str
    outcomes: tuple[Outcome, ...]
    nested: "tuple[Artifact, ...]" = ()
    refers: bool = True

    def all_outcomes(self) -> Iterator[Outcome]:
        """Its own outcomes, and those of what is nested in it."""
        yield from self.outcomes
        for artifact in self.nested:
            yield from artifact.all_outcomes()

    def grounds(self) -> Iterator[Outcome]:
        """Those of them that somebody who is trusted may stand behind, for the subject."""
        yield from (outcome for outcome in self.outcomes if not outcome.unsigned)
        for artifact in self.nested if self.refers else ():
            yield from artifact.grounds()


class Report(NamedTuple):
    """What is known of `subject` (`repository@digest`).

    `artifacts` are ordered by digest, so that equal facts give equal bytes.  `defects` are failed outcomes of content
    whose type nobody knows: a list that is broken, more referrers than are looked at.  `seen_whole`: the policy saw
    every artifact and all that is nested in it, which is told in Ratify's nested form.
    """

    subject: str
    artifacts: tuple[Artifact, ...] = ()
    defects: tuple[Outcome, ...] = ()
    seen_whole: bool = False

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes of the subject's own referrers, and the defects."""
        return (*(outcome for artifact in self.artifacts for outcome in artifact.outcomes), *self.defects)

    def with_status(self, status: Status) -> tuple[Outcome, ...]:
        """Those of `outcomes` that have `status`."""
        return tuple(outcome for outcome in self.outcomes if outcome.status is status)

    def everything(self) -> tuple[Outcome, ...]:
        """All outcomes, nested ones and defects too."""
        return (*(each for artifact in self.artifacts for each in artifact.all_outcomes()), *self.defects)

    def anywhere(self, *statuses: Status) -> tuple[Outcome, ...]:
        """All outcomes that have one of `statuses`, nested ones too."""
        return tuple(outcome for outcome in self.everything() if outcome.status in statuses)

    def grounds(self, *statuses: Status) -> tuple[Outcome, ...]:
        """All outcomes that have one of `statuses` and are a ground for something: see `Outcome.unsigned`."""
        found = (each for artifact in self.artifacts for each in artifact.grounds())
        return tuple(outcome for outcome in found if outcome.status in statuses)
