"""Whether who made a signature is on the list of signers that are denied.

Asked of a signature that holds, about who is known by then to have made it: were what a signature calls its key enough,
whoever attaches it would choose the answer.  Loaded when there is a signature.  Light, and pure.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from agent.errors import Code, Malformed
from agent.model.signer import DeniedSigner

_SHOWN = 16
_SHOWN_TEXT = 160


class SignerDenied(Malformed):
    """The signature holds, and who made it is denied."""

    code = Code.SIGNER_DENIED


class Made(NamedTuple):
    """Who made a signature, as far as that was verified.

    `key` is the key's SHA-256 as in `DeniedSigner`, `certificates` the DER of the signer's chain, none for a key alone;
    `issuer` and `subject` are the identity that a Sigstore instance vouches for, empty for any other signature.
    """

    key: str
    certificates: tuple[bytes, ...] = ()
    issuer: str = ""
    subject: str = ""


def check(denied: Sequence[DeniedSigner], made: Made) -> None:
    """Raises `SignerDenied` if an entry means who made the signature."""
    if not denied:
        return
    certificates = _fingerprints(made.certificates) if any(each.certificate for each in denied) else set()
    for entry in denied:
        if entry.key and entry.key == made.key:
            raise _denied(f"the key sha256:{entry.key[:_SHOWN]}")
        if entry.certificate in certificates:
            raise _denied(f"the certificate sha256:{entry.certificate[:_SHOWN]}")
        if made.subject and (entry.issuer or entry.subject) and _means(entry, made):
            subject, issuer = (ascii(text)[1:-1][:_SHOWN_TEXT] for text in (made.subject, made.issuer))
            raise _denied(f"{subject}, issuer {issuer}")


def _fingerprints(certificates: Sequence[bytes]) -> set[str]:
    """Those of the certificates, and of the other spellings that whoever attaches them may choose."""
    from agent.trust import twins

    spellings = (spelling for each in certificates for spelling in (each, *twins.of(each)))
    return {sha256(each).hexdigest() for each in spellings}


def _means(entry: DeniedSigner, made: Made) -> bool:
    """Whether all that an entry says of an identity is true of this one."""
    said = ((entry.issuer, made.issuer), (entry.subject, made.subject))
    return all(_covers(written, given) for written, given in said if written)


def _covers(written: str, given: str) -> bool:
    """Whether a pattern means a text.  One that can't be read any more means every text: it must not end in silence."""
    from agent.trust import signeridentity  # where there is an identity it is there already

    pattern = signeridentity.Pattern(*written.split(" ", 1))
    return pattern.covers(given) or bool(signeridentity.defect(pattern))


def _denied(who: str) -> SignerDenied:
    return SignerDenied(f"signer denied by the configuration ({who})")
