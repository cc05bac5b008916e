"""Rules: for which repositories, who verifies, what is enough, what a denial and what "cannot tell" mean.

A rule's name stands in every message.  What no word says is the strict one: `Enforce`, `Fail`.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from agent.errors import Cause

EVERYTHING = "**"


class Enforcement(str, Enum):
    """What verification is for, the weakest first.

    `Disabled`: images pass unverified.  `Audit`: they are verified and pass all the same, with what would have been.
    """

    DISABLED = "Disabled"
    AUDIT = "Audit"
    ENFORCE = "Enforce"


class FailureAction(str, Enum):
    """What "cannot tell" means, the weakest first.

    `IgnoreIfVerifiedBefore`: the image passes if it was verified before on the same ground, and that still counts.
    """

    IGNORE = "Ignore"
    IGNORE_IF_VERIFIED_BEFORE = "IgnoreIfVerifiedBefore"
    FAIL = "Fail"


ENFORCEMENTS = tuple(Enforcement)
"""From the weakest to the strictest."""

ACTIONS = tuple(FailureAction)
"""From the weakest to the strictest."""


class FailurePolicy(NamedTuple):
    """What "cannot tell" means by its cause; `default` for causes without a word of their own."""

    default: FailureAction = FailureAction.FAIL
    causes: Mapping[Cause, FailureAction] = MappingProxyType({})

    def written(self, cause: Cause) -> FailureAction:
        """What is written for `cause`, before limits and floor."""
        return self.causes.get(cause, self.default)


class PolicySettings(NamedTuple):
    """Which policy decides (a key of `agent.policies.POLICIES`), and its settings, a JSON object."""

    name: str
    settings: Mapping[str, object]


class KeysUsed(NamedTuple):
    """Keys that were fetched (`agent.config.keysources`): what names their source, and for how many seconds they count.

    `name` is the key provider's, for people.
    """

    source: str
    name: str
    keep_for: float


class Rule(NamedTuple):
    """`match` are patterns over repositories (`agent.rules.matching`); `verifiers` are names, in order.

    `allow_without_evidence`: an image that nothing points at passes, and a Rego policy alone says what is enough.
    `evidence_repository` is the repository (`HOST/PATH`) that evidence lies in; empty for the image's own.
    `rollout` is the percentage of nodes that enforce, if `enforcement` is `Enforce`; the others audit.  `ground` names
    what a verdict under the rule rests on: verifiers, policy, trust material (`agent.config.canonical`).  `owner` is
    the document that it stands in, empty for a configuration that is one document: see `agent.rules.ruleset`.  `keys`
    are those of its verifiers that were fetched.
    """

    name: str
    match: tuple[str, ...]
    verifiers: tuple[str, ...]
    policy: PolicySettings
    allow_without_evidence: bool = False
    evidence_repository: str = ""
    enforcement: Enforcement = Enforcement.ENFORCE
    failure_policy: FailurePolicy = FailurePolicy()
    rollout: int = 100
    ground: str = ""
    owner: str = ""
    keys: tuple[KeysUsed, ...] = ()


class Default(NamedTuple):
    """What holds where no rule matches: nothing is verified there, so it is a denial, subject to `enforcement`."""

    enforcement: Enforcement = Enforcement.ENFORCE
    failure_policy: FailurePolicy = FailurePolicy()
    owner: str = ""
