"""Whose signatures count where Sigstore vouches: identities, or keys whose signatures a log keeps.

The same for all layouts, so that none forgets a check (the class of CVE-2026-22703).  Loaded where a configuration asks
for it.
"""

from collections.abc import Mapping
from datetime import datetime

from agent.codec import strictjson
from agent.formats.cosign_signature import Signature
from agent.formats.cosign_signers import Keys, NotTrusted, Signer
from agent.trust import publickeys
from agent.trust.deniedsigners import Made
from agent.trust.keyless import Presented
from agent.trust.sigstoredemands import SigstoreDemands
from agent.trust.transparency import Signed


class Sigstore:
    """Identities; or `keys`, if no identity is wanted."""

    def __init__(self, keys: Keys, demands: Mapping[str, object], material: Mapping[str, bytes], now: datetime) -> None:
        """`demands` are in their JSON form; `material` is DER by its SHA-256."""
        self._keys = keys
        self._demands = SigstoreDemands.from_json(demands)
        self._material = material
        self._now = now

    def signer(self, signature: Signature) -> Signer:
        """See `Signers.signer`."""
        if self._demands.identities:
            return self._identified(signature)
        key = self._keys.key(signature)
        vouchers = signature.vouchers()
        signed = Signed(signature.signature, signature.signed, signature.payload, key=publickeys.encoded(key.key))
        presented = Presented(signed, _stamped(signature), (), vouchers.entries, vouchers.timestamps)
        times = self._demands.check_logged(presented, self._material, self._now)
        found = self._keys.signer(signature)
        if not times.logs:  # none was asked for, and none has it
            return found._replace(times=times.moments)
        return found._replace(
            how=f"{found.how}, and logged ({times.logs})", who=f"{found.who}, and logged", times=times.moments
        )

    def _identified(self, signature: Signature) -> Signer:
        vouchers = signature.vouchers()
        if not vouchers.certificates:
            raise NotTrusted("signer not trusted: signed with a key; expected a certificate of one of the identities")
        leaf, *attached = vouchers.certificates
        signed = Signed(signature.signature, signature.signed, signature.payload, certificate=leaf)
        presented = Presented(signed, _stamped(signature), tuple(attached), vouchers.entries, vouchers.timestamps)
        known = self._demands.recognise(presented, self._material, self._now)
        signer = known.signer
        subject, issuer = (ascii(text)[1:-1] for text in (signer.subject, signer.issuer))
        said = {"Subject": signer.subject, "Issuer": signer.issuer, **signer.claims}
        name = strictjson.canonical([signer.issuer, signer.subject]).decode("ascii")
        made = Made(known.key, known.chain, signer.issuer, signer.subject)
        how, who = f"signed by {subject} (issuer {issuer})", f"as that of {subject}"
        return Signer(how, who, said, name, made, known.until, known.times)


def _stamped(signature: Signature) -> bytes:
    return signature.signature if signature.stamped is None else signature.stamped
