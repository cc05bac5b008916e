"""A rule:

which repositories it is for, what is looked at, what is enough, and its name, which stands in every message.
"""

from collections.abc import Mapping
from typing import NamedTuple

EVERYTHING = "**"


class PolicySettings(NamedTuple):
    """Which policy decides (a key of `agent.policies.POLICIES`), and its settings, a JSON object."""

    name: str
    settings: Mapping[str, object]


class Rule(NamedTuple):
    """`match` are patterns over repositories (`agent.rules.matching`); `verifiers` are names, in order.

    `allow_without_evidence`: an image that nothing points at passes, and a Rego policy alone says what is enough.
    `evidence_repository` is the repository (`HOST/PATH`) that evidence lies in; empty for the image's own.
    """

    name: str
    match: tuple[str, ...]
    verifiers: tuple[str, ...]
    policy: PolicySettings
    allow_without_evidence: bool = False
    evidence_repository: str = ""
