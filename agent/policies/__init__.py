"""Policies: what is enough.  A report comes in, yes or no goes out.

`POLICIES` is the only list of them: normalised plugin name -> "module:class" of a `Policy`.
"""

from importlib import import_module
from typing import Mapping, Protocol, Sequence, cast

from agent.model.outcome import Outcome

POLICIES: Mapping[str, str] = {
    "configpolicy": "agent.policies.configpolicy:ConfigPolicy",
}


class Policy(Protocol):
    """Decides whether outcomes are enough."""

    @classmethod
    def load(cls, settings: Mapping[str, object]) -> "Policy":
        """Make a policy from its settings in the snapshot."""
        ...

    def evaluate(self, outcomes: Sequence[Outcome], *, inconclusive_passes: bool) -> bool:
        """Whether the outcomes satisfy the policy, with inconclusive ones taken as failed or as passed."""
        ...

    def allow_stands(self, artifact_types: Sequence[str]) -> bool:
        """Whether a yes stands however unknown outcomes of these artifact types turn out; "*" is every type."""
        ...


def normalised(name: str) -> str:
    """A policy's name as Ratify compares it: lower case, without '-'."""
    return name.lower().replace("-", "")


def policy_class(name: str) -> type[Policy]:
    """The class behind a key of `POLICIES`.  Raises `KeyError` for a name that is not there."""
    module, _, attribute = POLICIES[normalised(name)].partition(":")
    return cast("type[Policy]", getattr(import_module(module), attribute))
