"""Who must have signed the images of which repositories: keys, or identities that a Sigstore instance vouches for.

What Ratify calls a trust policy of its cosign verifier; a verifier of our own is one for everything.  A scope is
matched with `repository@digest`, never with a tag, which is a label.  Light: keys are named by their fingerprints, and
what concerns Sigstore is JSON that `agent.trust.sigstoredemands` reads when there is a signature.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from agent.model.request import PullRequest

EVERYTHING = "*"


class SigningPolicy(NamedTuple):
    """One statement.

    `scopes` are `*` (where no other statement is for an image), a beginning with `*` behind it, `HOST/REPOSITORY`, or
    that with `@DIGEST`.  `keys` are fingerprints (`agent.trust.publickeys`), one of which must have signed;
    `annotations` must all stand in what was signed.  `sigstore` is what Sigstore must vouch for, in its JSON form;
    empty for nothing.  `threshold` is how many different signers are wanted: who counts them is the rule's policy.
    """

    name: str
    scopes: tuple[str, ...]
    keys: tuple[str, ...]
    annotations: Mapping[str, str] = MappingProxyType({})
    sigstore: Mapping[str, object] = MappingProxyType({})
    threshold: int = 1

    def to_json(self) -> dict[str, object]:
        """The JSON form that a snapshot holds."""
        return {
            "name": self.name,
            "scopes": list(self.scopes),
            "keys": list(self.keys),
            "annotations": dict(self.annotations),
            **({"sigstore": dict(self.sigstore)} if self.sigstore else {}),
            **({"threshold": self.threshold} if self.threshold > 1 else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "SigningPolicy":
        """Read back what `to_json` wrote."""
        fields = dict(value)
        return cls(scopes=tuple(fields.pop("scopes")), keys=tuple(fields.pop("keys")), **fields)  # type: ignore[arg-type]


def select(policies: Sequence[SigningPolicy], request: PullRequest) -> SigningPolicy | None:
    """The statement for an image: the one with a scope that covers it, else the one for everything, else None."""
    scope = request.repository.scope
    names = (scope, f"{scope}@{request.subject.digest}")
    for policy in policies:
        if any(each != EVERYTHING and _covers(each, names) for each in policy.scopes):
            return policy
    return next((policy for policy in policies if EVERYTHING in policy.scopes), None)


def overlap(first: str, second: str) -> bool:
    """Whether some image is in both scopes, neither of which is the one for everything."""
    if first.endswith(EVERYTHING):
        beginning = first[:-1]
        return second.rstrip(EVERYTHING).startswith(beginning) or (
            second.endswith(EVERYTHING) and beginning.startswith(second[:-1])
        )
    if second.endswith(EVERYTHING):
        return overlap(second, first)
    return first == second or first.partition("@")[0] == second or second.partition("@")[0] == first


def _covers(scope: str, names: tuple[str, str]) -> bool:
    return names[1].startswith(scope[:-1]) if scope.endswith(EVERYTHING) else scope in names
