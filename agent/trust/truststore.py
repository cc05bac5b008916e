"""Trust stores: which certificates vouch for signers and timestamp authorities.

Notary Project, trust store and trust policy specification, "Trust Store".  Stores have a type and a name ("ca:prod").
Ratify's `verificationCerts` are one heap without a name: they stand behind every name that has no store of its own.
On the pull path: certificates are bytes, compared and never parsed here.
"""

from typing import Mapping, NamedTuple, Sequence, cast

TYPES = ("ca", "signingAuthority", "tsa")


class TrustStores(NamedTuple):
    """Certificates (DER) by store, and those that stand behind every other name."""

    named: Mapping[str, frozenset[bytes]]
    unnamed: frozenset[bytes] = frozenset()

    def certificates(self, stores: Sequence[str], store_type: str) -> frozenset[bytes]:
        """What is in those of `stores` ("ca:prod") that are of `store_type`."""
        wanted = [store for store in stores if store.startswith(f"{store_type}:")]
        return frozenset[bytes]().union(*(self.named.get(store, self.unnamed) for store in wanted))

    @classmethod
    def from_json(cls, value: Mapping[str, object], certificates: Mapping[str, bytes]) -> "TrustStores":
        """Read the form that a snapshot holds: `{"named": {store: [SHA-256]}, "unnamed": [SHA-256]}`."""
        named = cast("Mapping[str, Sequence[str]]", value["named"])
        unnamed = cast("Sequence[str]", value["unnamed"])
        return cls(
            {store: frozenset(certificates[each] for each in hashes) for store, hashes in named.items()},
            frozenset(certificates[each] for each in unnamed),
        )
