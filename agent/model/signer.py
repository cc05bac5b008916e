"""A signer whose signatures never count, whatever else a configuration says of him.

Sigstore and cosign know no revocation: a list of such entries is the only lever.  See `agent.trust.deniedsigners`.
"""

from typing import NamedTuple


class DeniedSigner(NamedTuple):
    """One entry of the list: a key, a certificate, or an identity; what is empty stands for anything.

    `key` is the SHA-256 (hexadecimal) of the public key's SubjectPublicKeyInfo, `certificate` that of a certificate's
    DER, which may be the signer's or one of its chain.  `issuer` and `subject` are an identity that a Sigstore instance
    vouches for, each `KIND TEXT` as in `agent.trust.signeridentity.Pattern`.
    """

    key: str = ""
    certificate: str = ""
    issuer: str = ""
    subject: str = ""
