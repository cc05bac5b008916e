"""Signed configurations: which keys may sign one, and which of them did.

The keys are those of the node's floor (`signedBy`); the signatures are what ordinary tools make over a statement.  The
key alone says which algorithms count, never a signature:

=============================  ====================================================
ECDSA, P-256                   SHA-256
ECDSA, P-384 or P-521          SHA-256, SHA-384 or SHA-512: what tools take differs
RSA of 2048 to 8192 bits       SHA-256, PKCS #1 v1.5 or PSS with any length of salt
Ed25519                        its own (RFC 8032)
=============================  ====================================================

Pure; runs when a configuration is put in force, never on a pull.  `cryptography` does the mathematics.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from agent.codec import pem
from agent.errors import Malformed
from agent.trust.algorithms import unfit

MAX_KEYS = 16
"""Most keys of one node: each costs a verification for each signature."""

_SHA256 = hashes.SHA256()
_LARGER_CURVES = (_SHA256, hashes.SHA384(), hashes.SHA512())


class SigningKey(NamedTuple):
    """A public key that may sign configurations.  `fingerprint` is the SHA-256 of it as DER, as people compare it."""

    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    fingerprint: str


def signing_key(text: str) -> SigningKey:
    """Read one key of the floor.  Raises `Malformed`, whose message holds nothing of what is no public key."""
    der = pem.public_key(text.encode("utf-8", "replace"))
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed(f"got a public key that can't be read; expected {_EXPECTED}") from None
    got = unfit(key)
    if got or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise Malformed(f"got {got or type(key).__name__}; expected {_EXPECTED}")
    return SigningKey(key, f"sha256:{sha256(der).hexdigest()}")


def signer(statement: bytes, signed: Sequence[bytes], keys: Sequence[SigningKey]) -> SigningKey | None:
    """The first of `keys` that made one of the signatures `signed` over `statement`; None if none did."""
    return next((key for key in keys if any(_holds(key.key, each, statement) for each in signed)), None)


_EXPECTED = "RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519"


def _holds(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey, signature: bytes, signed: bytes
) -> bool:
    """Whether `signature` is the key's over `signed`, by any algorithm that counts for such a key."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _passes(key.verify, signature, signed)
    if isinstance(key, rsa.RSAPublicKey):
        pss = padding.PSS(mgf=padding.MGF1(_SHA256), salt_length=padding.PSS.AUTO)
        return any(_passes(key.verify, signature, signed, way, _SHA256) for way in (padding.PKCS1v15(), pss))
    digests = _LARGER_CURVES if key.curve.key_size > 256 else (_SHA256,)
    return any(_passes(key.verify, signature, signed, ec.ECDSA(digest)) for digest in digests)


def _passes(verify: Callable[..., None], *arguments: object) -> bool:
    try:
        verify(*arguments)
    except InvalidSignature:
        return False
    return True
