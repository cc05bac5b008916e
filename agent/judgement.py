"""One judgement: a pull request becomes an answer, the same way behind every door.

Steps 2, 3 and 9 of docs/architecture.md, "One pull", around the engine's.  A door opens a case (`opened`): then it is
known what will be said if there is no configuration to verify with, or no time; `judge` does the rest.
"""

from datetime import timedelta
from typing import NamedTuple

from agent.engine import Engine
from agent.errors import Cause, Code
from agent.model.answer import Answer
from agent.model.request import PullRequest
from agent.model.verdict import Decision, Remembered, Verdict
from agent.ports import VerdictStore
from agent.rules import precedence
from agent.rules.precedence import Standing, Terms

KNOWN_FOR = timedelta(minutes=10)
"""For how long a verification that is remembered is not written again: each write is paid for by a pull."""


class Case(NamedTuple):
    """A request that nothing decided before verification, and all that is known of it by then."""

    request: PullRequest
    standing: Standing
    terms: Terms
    before: Remembered | None

    def unverified(self, cause: Cause, message: str) -> Answer:
        """What containerd gets without verification: there is no configuration to verify with, or no time."""
        return self.answer(precedence.not_verified(cause, message, self.request.repository, self.standing))

    def answer(self, verdict: Verdict) -> Answer:
        """What containerd gets for a verdict."""
        return precedence.conclude(verdict, self.terms, self.request.name, self.standing, self.before)


class Judgement(NamedTuple):
    """The answer, and what it rests on; `verdict` is None if nothing had to be verified."""

    answer: Answer
    verdict: Verdict | None


async def opened(request: PullRequest, standing: Standing, verdicts: VerdictStore) -> Answer | Case:
    """The answer, if one is due before any network; otherwise the case that verification has to decide."""
    digest = str(request.subject.digest)
    early = precedence.before_verification(request.repository, digest, request.name, standing)  # (2)
    if early is not None:
        return early
    terms = precedence.terms_for(request.repository, standing)
    before = await verdicts.recall(terms.rule.ground, request.identity) if terms.rule else None  # (3)
    return Case(request, standing, terms, before)


async def judge(case: Case, engine: Engine, verdicts: VerdictStore) -> Judgement:
    """Decide a case.  Raises nothing but bugs."""
    rule = case.terms.rule
    if rule is None:
        verdict = precedence.no_rule(case.request.repository)
        return Judgement(case.answer(verdict), verdict)
    verdict = await engine.verify(case.request, rule)
    remembered = Remembered(case.standing.moment.wall, verdict.usable_until)
    if verdict.code is Code.VERIFIED and _is_news(case.before, remembered):  # (9)
        await verdicts.remember(rule.ground, case.request.identity, remembered)
    elif verdict.decision is Decision.DENY:
        await verdicts.forget(rule.ground, case.request.identity)
    return Judgement(case.answer(verdict), verdict)


def _is_news(before: Remembered | None, found: Remembered) -> bool:
    if before is None or before.usable_until != found.usable_until:
        return True
    return not timedelta(0) <= found.verified_at - before.verified_at < KNOWN_FOR
