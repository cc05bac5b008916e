"""Configurations with one rule for everything, and policies that are evaluated on the spot."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone

from agent.adapters.inline import SystemClock
from agent.adapters.verdicts import NoVerdicts
from agent.config.config import Config, StoreSettings, VerifierSettings
from agent.engine import Engine
from agent.judgement import Judgement, judge, opened
from agent.model.answer import Answer
from agent.model.request import PullRequest
from agent.model.verdict import Verdict
from agent.ports import VerdictStore
from agent.rules import precedence
from agent.rules.breakglass import Moment
from agent.rules.floor import Floor
from agent.rules.precedence import Standing, Terms
from agent.rules.rule import EVERYTHING, PolicySettings, Rule
from agent.rules.ruleset import RuleSet

DEFAULT_RULE = Rule("default", (EVERYTHING,), (), PolicySettings("configpolicy", {}))
"""A rule for everything, as Ratify's configurations become."""


class Unhurried(SystemClock):
    """The present, in which nobody's patience ends, however busy the machine is."""

    def monotonic(self) -> float:
        """Always the same."""
        return 0.0


class OnTheSpot:
    """`ports.PolicyRunner` without a process of its own."""

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """See `ports.PolicyRunner.run`."""
        return evaluate()

    async def labour(self, work: Callable[[], bytes], left: list[float]) -> bytes:
        """See `ports.PolicyRunner.labour`."""
        return work()

    def within(self, seconds: float, owner: object = "", until: float = 0.0) -> "OnTheSpot":
        """See `agent.adapters.policy_thread.ThreadedWorker.within`."""
        return self


def one_rule(
    policy: PolicySettings, verifiers: Sequence[VerifierSettings], certificates: Mapping[str, bytes], **rule: object
) -> Config:
    """A configuration as Ratify's become; `rule` are further fields of its rule."""
    names = tuple(verifier.name for verifier in verifiers)
    only = Rule("default", (EVERYTHING,), names, policy, **rule)  # type: ignore[arg-type]
    return Config("g", (StoreSettings("oras", False),), tuple(verifiers), RuleSet((only,)), certificates)


def standing(config: Config, **changes: object) -> Standing:
    """What holds on a node without a bootstrap document now, under a configuration; `changes` are further fields."""
    usual = Standing(config.ruleset, Floor(), Moment(datetime.now(timezone.utc), 1000.0, "boot"), "node-1")
    return usual._replace(**changes)  # type: ignore[arg-type]


async def judged(
    request: PullRequest, engine: Engine, verdicts: VerdictStore | None = None, *, held: Standing | None = None
) -> Judgement:
    """What a door does with a request, on a node that says nothing of its own, or where `held` holds."""
    store = verdicts or NoVerdicts()
    case = await opened(request, held or standing(engine.config), store)
    return Judgement(case, None) if isinstance(case, Answer) else await judge(case, engine, store)


def terms_of(rule: Rule) -> Terms:
    """The terms that a rule for everything gives."""
    return Terms(rule, rule.enforcement, rule.failure_policy, exact_host=False)


def concluded(verdict: Verdict, image: str, rule: Rule = DEFAULT_RULE) -> Answer:
    """What containerd gets for a verdict under a rule for everything."""
    config = Config("g", (), (), RuleSet((rule,)), {})
    return precedence.conclude(verdict, terms_of(rule), image, standing(config))


async def verdict_of(engine: Engine, request: PullRequest) -> Verdict:
    """What an engine makes of an image under its only rule."""
    (rule,) = engine.config.rules
    return await engine.verify(request, rule)
