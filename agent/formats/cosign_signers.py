"""Whose signatures count: keys, one of which must have made a signature.

Identities, and logs, are in `agent.formats.cosign_sigstore`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from agent.errors import Code, Malformed
from agent.formats.cosign_signature import Signature
from agent.trust import publickeys
from agent.trust.deniedsigners import Made
from agent.trust.publickeys import PublicKey

_SHOWN = 16


class NotTrusted(Malformed):
    """Nobody who is trusted made the signature."""

    code = Code.SIGNER_NOT_TRUSTED


class Altered(Malformed):
    """The signature does not hold under the very key that it names."""

    code = Code.SIGNATURE_INVALID


class Signer(NamedTuple):
    """Who signed, in four ways: for the list of checks, for the message, for whoever evaluates the report, and `name`.

    `name` is one name for one signer.  `until` is as in `agent.trust.keyless.Recognised`; `times` are those at which
    others knew the signature, each verified, none if nobody vouches for one.  `made` tells whether he is denied.
    """

    how: str
    who: str
    said: Mapping[str, str]
    name: str
    made: Made
    until: datetime | None = None
    times: tuple[datetime, ...] = ()


class Signers(Protocol):
    """All whose signatures count."""

    def signer(self, signature: Signature) -> Signer:
        """Which of them made the signature.  Raises `Malformed`; `Unavailable` if nobody can tell."""
        ...


class Keys:
    """Keys alone."""

    def __init__(self, keys: Sequence[PublicKey]) -> None:
        """`keys` are all that count."""
        self._keys = keys

    def signer(self, signature: Signature) -> Signer:
        """See `Signers.signer`."""
        key = self.key(signature)
        return Signer(
            f"signed with the key {key.fingerprint}",
            f"with the key {_shown(key)}",
            {"Key": f"sha256:{key.fingerprint}"},
            f"sha256:{key.fingerprint}",
            Made(key.fingerprint),
        )

    def key(self, signature: Signature) -> PublicKey:
        """The key that made the signature.  A hint only says which is tried first.  Raises `Malformed`."""
        if signature.has_certificate:
            raise NotTrusted("signer not trusted: signed with a certificate; expected one of the keys")
        digests: publickeys.Digests = {}  # a statement may be large, and the keys many
        for key in sorted(self._keys, key=lambda each: each.hint != signature.hint):
            if key.made(signature.signature, signature.signed, digests):
                return key
        named = next((key for key in self._keys if key.hint == signature.hint), None)
        if named is not None:
            raise Altered(f"signature: does not hold under the key {_shown(named)}, which the bundle names")
        known = ", ".join(_shown(key) for key in self._keys[:3]) + (", ..." if len(self._keys) > 3 else "")
        raise NotTrusted(f"signer not trusted: none of the keys made the signature ({known})")


def _shown(key: PublicKey) -> str:
    return f"sha256:{key.fingerprint[:_SHOWN]}"
