"""Trust stores: which certificates stand behind a name such as `ca:prod`.

Notary Project, trust store and trust policy specification 1.0, "Trust Store".  What is in a store is decided when a
configuration is published (`agent.formats.notation_options`).  Behind the pull path: DER bytes alone, no
`cryptography`.
"""

from hashlib import sha256
from typing import Collection, Mapping, NamedTuple, Sequence

CA, SIGNING_AUTHORITY, TSA = "ca", "signingAuthority", "tsa"
TYPES = (CA, SIGNING_AUTHORITY, TSA)
"""What a store is for: signers; signers whose time is vouched for by whom they belong to; timestamps."""


class TrustStores(NamedTuple):
    """All trust stores of one verifier: `TYPE:NAME` -> certificates as DER."""

    named: Mapping[str, frozenset[bytes]]

    def certificates(self, stores: Sequence[str], store_type: str) -> frozenset[bytes]:
        """The certificates, as DER, of those `stores` (`TYPE:NAME`) that are of `store_type`."""
        found = (self.named.get(store, frozenset()) for store in stores if store.startswith(f"{store_type}:"))
        return frozenset().union(*found)

    def to_json(self) -> dict[str, object]:
        """The JSON form that a snapshot holds: certificates by their SHA-256."""
        return {store: _names(certificates) for store, certificates in self.named.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Sequence[str]], certificates: Mapping[str, bytes]) -> "TrustStores":
        """Read back what `to_json` wrote; `certificates` maps SHA-256 (hexadecimal) to DER."""
        return cls({store: frozenset(certificates[name] for name in names) for store, names in value.items()})


def _names(certificates: Collection[bytes]) -> list[str]:
    return sorted(sha256(der).hexdigest() for der in certificates)
