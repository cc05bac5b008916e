"""One judgement: a pull request becomes an answer, the same way behind every door.

Steps 2, 3 and 9 of docs/architecture.md, "One pull", around the engine's.  A door opens a case (`opened`): then it is
known what will be said if there is no configuration to verify with, or no time; `judge` does the rest.
"""

from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from agent.errors import Cause, Code
from agent.model.answer import Answer, Ground
from agent.model.outcome import Outcome, Status
from agent.model.request import PullRequest
from agent.model.verdict import NOTHING, Decision, Memory, Verdict
from agent.ports import VerdictStore
from agent.rules import age, failure, lifetimes, precedence
from agent.rules.precedence import Standing, Terms
from agent.rules.rule import Rule


class Case(NamedTuple):
    """A request that nothing decided before verification, and all that is known of it by then."""

    request: PullRequest
    standing: Standing
    terms: Terms
    before: Memory

    def unverified(self, cause: Cause, message: str) -> Answer:
        """What containerd gets without verification: there is no configuration to verify with, or no time."""
        return self.answer(precedence.not_verified(cause, message, self.request.repository, self.standing))

    def answer(self, verdict: Verdict) -> Answer:
        """What containerd gets for a verdict."""
        return precedence.conclude(verdict, self.terms, self.request.name, self.standing, self.before.verified)

    def known(self) -> "Judgement | None":
        """What was said of the image not long ago, and is said again without asking anybody; None if nothing was."""
        last = self.before.last
        if last is None:
            return None
        last = last._replace(fresh_until=lifetimes.fresh_until(last, self.standing.ruleset.lifetimes))
        return self.judgement(last.verdict, last.fresh_until) if last.is_fresh(self.standing.moment.wall) else None

    async def shared(self, judgement: "Judgement", verdicts: VerdictStore) -> "Judgement":
        """What somebody else's judgement of the same image means here: the name is another, and so may the rules be."""
        if judgement.verdict is None or judgement.until is None or self.terms.rule is None:
            answer = judgement.answer
            return judgement._replace(answer=answer._replace(image=self.request.name if answer.image else ""))
        before = await verdicts.recall(self.terms.rule.ground, self.request.described)
        case = self if before.verified is not None else self._replace(before=before)
        return case.judgement(judgement.verdict, judgement.until)

    def judgement(self, verdict: Verdict, until: datetime) -> "Judgement":
        """A verdict that is used again until a moment: no longer than an earlier one that stands in for it.

        Nor than configuration and keys count that it was judged under.
        """
        answer, before = self.answer(verdict), self.before.verified
        until = age.bounded(until, self.standing, self.terms.rule)
        if answer.precedence == precedence.CANNOT_TELL and answer.ground is not None and before is not None:
            until = min(until, before.usable_until or until)
            if answer.ground is Ground.STALE:
                until = min(until, failure.stale_until(before, verdict.causes, self.standing.ruleset.stale))
        return Judgement(answer, verdict, until)


class Judgement(NamedTuple):
    """The answer, and what it rests on; `verdict` is None if nothing had to be verified.

    `until` is for how long the same may be answered as long as nothing on the node changes; None for not again.
    """

    answer: Answer
    verdict: Verdict | None
    until: datetime | None = None


async def opened(request: PullRequest, standing: Standing, verdicts: VerdictStore) -> Answer | Case:
    """The answer, if one is due before any network; otherwise the case that verification has to decide.

    Under a configuration that is too old, or with such keys, nothing is verified, nor is anything said again.
    """
    digest = str(request.subject.digest)
    early = precedence.before_verification(request.repository, digest, request.name, standing)  # (2)
    if early is not None:
        return early
    terms = precedence.terms_for(request.repository, standing)
    before = await verdicts.recall(terms.rule.ground, request.described) if terms.rule else NOTHING  # (3)
    case, trouble = Case(request, standing, terms, before), age.trouble(standing, terms.rule)
    return case.unverified(*trouble) if trouble else case


class Verifies(Protocol):
    """What verifies one image: `agent.engine.Engine`, or what stands in front of it."""

    async def verify(self, request: PullRequest, rule: Rule) -> Verdict:
        """See `Engine.verify`."""
        ...


async def judge(case: Case, engine: Verifies, verdicts: VerdictStore) -> Judgement:
    """Decide a case by verification, and remember what was found.  Raises nothing but bugs."""
    rule = case.terms.rule
    if rule is None:
        verdict = precedence.no_rule(case.request.repository)
        return Judgement(case.answer(verdict), verdict, _unless_changed(case.standing))
    verdict = await engine.verify(case.request, rule)
    now, image = case.standing.moment.wall, case.request.described
    for certificate in _revoked(verdict):
        await verdicts.doubt(rule.ground, certificate, now)
    before = await verdicts.recall(rule.ground, image)  # others may have judged it in the meantime
    if before.verified is None:
        case = case._replace(before=before)  # it counts no longer: denied meanwhile, or in doubt
    return case.judgement(verdict, await _remember(case, rule.ground, verdict, before, verdicts))  # (9)


def early_until(answer: Answer, request: PullRequest, standing: Standing) -> datetime | None:
    """For how long an answer that was due before any network may be given again: see `Judgement.until`.

    Break-glass ends by a clock that not everybody reads, so it is looked at each time.  So is whether the configuration
    is still too old.
    """
    if answer.precedence in (precedence.CANARY, precedence.BREAK_GLASS, precedence.CANNOT_TELL):
        return None
    until = _unless_changed(standing)
    if answer.precedence == precedence.ALLOW_LIST:
        end = precedence.listed_until(request.repository, str(request.subject.digest), standing)
        return min(until, end) if end else None
    return until


def _unless_changed(standing: Standing) -> datetime:
    """The end of an answer that only a change on the node can alter."""
    return standing.moment.wall + timedelta(seconds=standing.ruleset.lifetimes.allow)


async def _remember(case: Case, ground: str, verdict: Verdict, before: Memory, verdicts: VerdictStore) -> datetime:
    """Until when it is said again."""
    now, image = case.standing.moment.wall, case.request.described
    if verdict.decision is not Decision.DENY and before.last is not None and before.last.at > now:
        return now  # somebody began later, and knows better
    memory = lifetimes.remembered(verdict, before, now, case.standing.ruleset.lifetimes)
    await verdicts.remember(ground, image, memory)
    return memory.last.fresh_until if memory.last else now


def _revoked(verdict: Verdict) -> list[str]:
    """What tells the certificates that were found to be revoked from others."""
    failed = verdict.report.anywhere(Status.FAILED) if verdict.report else ()
    return sorted({_certificate(outcome) for outcome in failed if outcome.code is Code.CERTIFICATE_REVOKED})


def _certificate(outcome: Outcome) -> str:
    return next((check.certificate for check in outcome.checks if check.certificate), outcome.message)
