"""Trust policies: which signers count for which repositories, and how strictly.

Notary Project, trust store and trust policy specification 1.0, OCI trust policies.  Verification levels are data
(`LEVELS`).  Behind the pull path: reads back what `agent.trust.trustpolicy_document` found good, and checks nothing
again; imports neither `cryptography` nor anything slow.
"""

from typing import Mapping, NamedTuple, Sequence

from agent.model.outcome import Action, Check
from agent.model.reference import Repository

_E, _L, _S = Action.ENFORCE, Action.LOG, Action.SKIP
LEVELS: Mapping[str, Mapping[Check, Action]] = {
    name: dict(zip(Check, actions, strict=True))
    for name, actions in {
        # integrity, authenticity, authenticTimestamp, expiry, revocation
        "strict": (_E, _E, _E, _E, _E),
        "permissive": (_E, _E, _L, _L, _L),
        "audit": (_E, _L, _L, _L, _L),
        "skip": (_S, _S, _S, _S, _S),
    }.items()
}
SKIP = "skip"
"""The level at which nothing is verified: every image of the statement's repositories passes, signed or not."""

ALWAYS, AFTER_CERT_EXPIRY = "always", "afterCertExpiry"
"""When timestamps are verified: whenever a `tsa` store is named, or only once a certificate is not valid now."""


class TrustPolicy(NamedTuple):
    """One statement.  `identities` is None where any identity counts ("*").

    `stores` are `TYPE:NAME`, looked up in `agent.trust.truststore`.
    """

    name: str
    level: str
    scopes: tuple[str, ...]
    actions: Mapping[Check, Action]
    stores: tuple[str, ...]
    identities: tuple[Mapping[str, str], ...] | None
    verify_timestamp: str = ALWAYS

    def to_json(self) -> dict[str, object]:
        """The JSON form that a snapshot holds."""
        return {
            "name": self.name,
            "level": self.level,
            "scopes": list(self.scopes),
            "actions": {check.value: action.value for check, action in self.actions.items()},
            "stores": list(self.stores),
            "identities": None if self.identities is None else [dict(each) for each in self.identities],
            "verify_timestamp": self.verify_timestamp,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "TrustPolicy":
        """Read back what `to_json` wrote."""
        fields = dict(value)
        actions = {Check(check): Action(action) for check, action in fields.pop("actions").items()}  # type: ignore[attr-defined]
        return cls(actions=actions, **fields)  # type: ignore[arg-type]


def select(policies: Sequence[TrustPolicy], repository: Repository) -> TrustPolicy | None:
    """The policy for a repository: the one that names it, else the one for everything ("*"), else None."""
    for scope in (repository.scope, "*"):
        for policy in policies:
            if scope in policy.scopes:
                return policy
    return None
