"""Configurations with one rule for everything, and policies that are evaluated on the spot."""

from collections.abc import Callable, Mapping, Sequence

from agent.config.config import Config, StoreSettings, VerifierSettings
from agent.engine import Engine
from agent.model.request import PullRequest
from agent.model.verdict import Verdict
from agent.rules.rule import EVERYTHING, PolicySettings, Rule

DEFAULT_RULE = Rule("default", (EVERYTHING,), (), PolicySettings("configpolicy", {}))
"""A rule for everything, as Ratify's configurations become."""


class OnTheSpot:
    """`ports.PolicyRunner` without a process of its own."""

    async def run(self, evaluate: Callable[[], bool]) -> bool:
        """See `ports.PolicyRunner.run`."""
        return evaluate()


def one_rule(
    policy: PolicySettings, verifiers: Sequence[VerifierSettings], certificates: Mapping[str, bytes], **rule: object
) -> Config:
    """A configuration as Ratify's become; `rule` are further fields of its rule."""
    names = tuple(verifier.name for verifier in verifiers)
    only = Rule("default", (EVERYTHING,), names, policy, **rule)  # type: ignore[arg-type]
    return Config("g", (StoreSettings("oras", False),), tuple(verifiers), (only,), certificates)


async def verdict_of(engine: Engine, request: PullRequest) -> Verdict:
    """What an engine makes of an image under its only rule."""
    (rule,) = engine.config.rules
    return await engine.verify(request, rule)
