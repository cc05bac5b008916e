"""One judgement: a pull request becomes an answer, the same way behind every door.

Steps 2 and 9 of docs/architecture.md, "One pull", around the engine's.
"""

from typing import NamedTuple

from agent.engine import Engine
from agent.model.answer import Answer
from agent.model.request import PullRequest
from agent.model.verdict import Verdict
from agent.rules import precedence


class Judgement(NamedTuple):
    """The answer, and what it rests on; `verdict` is None if nothing had to be verified."""

    answer: Answer
    verdict: Verdict | None


async def judge(request: PullRequest, engine: Engine) -> Judgement:
    """Decide one pull.  Raises nothing but bugs."""
    early = precedence.before_verification(request.repository)
    if early is not None:
        return Judgement(early, None)
    rule = precedence.rule_for(engine.config.rules, request.repository)
    if rule is None:
        return Judgement(precedence.no_rule(request), None)
    verdict = await engine.verify(request, rule)
    return Judgement(precedence.conclude(verdict, rule, request), verdict)
