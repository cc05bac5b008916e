"""Policies: what is enough.  A report comes in, yes or no goes out.

`POLICIES` is the only list of them: name -> "module:class" of a `Policy`.  Ratify's have its plugins' names,
normalised; `nodeseal` is the one of our own rules.
"""

from datetime import datetime
from importlib import import_module
from typing import Mapping, Protocol, Sequence, cast

from agent.model.report import Report

POLICIES: Mapping[str, str] = {
    "configpolicy": "agent.policies.configpolicy:ConfigPolicy",
    "nodeseal": "agent.policies.threshold:ThresholdPolicy",
    "regopolicy": "agent.policies.regopolicy:RegoPolicy",
}


class Policy(Protocol):
    """Decides whether what was found is enough.

    `one_verifier`: the first verifier that looks at a type takes an artifact, as in Ratify; else all that do.
    `sees_everything`: artifacts that nobody verifies count too, and what is nested in each.  `is_program`: evaluating
    takes time and memory that others have a say in.  `fresh_for`: seconds for which its word counts, None for ever.
    """

    one_verifier: bool
    sees_everything: bool
    is_program: bool
    fresh_for: float | None

    @classmethod
    def load(cls, settings: Mapping[str, object]) -> "Policy":
        """Make a policy from its settings in the snapshot."""
        ...

    def evaluate(self, report: Report, *, inconclusive_passes: bool, now: datetime) -> bool:
        """Whether the report satisfies the policy, with inconclusive outcomes taken as failed or as passed.

        Raises `PolicyFault`.
        """
        ...

    def allow_stands(self, report: Report, artifact_types: Sequence[str]) -> bool:
        """Whether a yes to the report stands, however unknown outcomes of these types turn out; "*" is every type."""
        ...

    def refusal(self, report: Report) -> str:
        """What it asks for that the report has not, though nothing in it failed."""
        ...


def normalised(name: str) -> str:
    """A policy's name as Ratify compares it: lower case, without '-'."""
    return name.lower().replace("-", "")


def evaluated(
    name: str, settings: Mapping[str, object], report: Report, *, inconclusive_passes: bool, now: datetime
) -> bool:
    """What a policy of `POLICIES` with such settings says (`Policy.evaluate`), wherever it is asked."""
    return policy_class(name).load(settings).evaluate(report, inconclusive_passes=inconclusive_passes, now=now)


def policy_class(name: str) -> type[Policy]:
    """The class behind a key of `POLICIES`.  Raises `KeyError` for a name that is not there."""
    module, _, attribute = POLICIES[normalised(name)].partition(":")
    return cast("type[Policy]", getattr(import_module(module), attribute))
