"""Signature algorithms: which one a key demands, and whether a signature holds.

Notary Project signature specification, "Signature Algorithm Requirements": the algorithm is derived from the signing
certificate's key and nothing else, so that an envelope can't choose a weaker one.  `cryptography` does the mathematics.
"""

from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509 import Certificate

from agent.errors import Code, Malformed


class SignatureInvalid(Malformed):
    """The signature does not hold under the signer's key, or the algorithm is not the key's."""

    code = Code.SIGNATURE_INVALID


class Algorithm(NamedTuple):
    """A signature algorithm by its JOSE name."""

    name: str
    digest: hashes.HashAlgorithm


_RSA = {
    2048: Algorithm("PS256", hashes.SHA256()),
    3072: Algorithm("PS384", hashes.SHA384()),
    4096: Algorithm("PS512", hashes.SHA512()),
}
_EC = {
    "secp256r1": Algorithm("ES256", hashes.SHA256()),
    "secp384r1": Algorithm("ES384", hashes.SHA384()),
    "secp521r1": Algorithm("ES512", hashes.SHA512()),
}

_MIN_RSA_BITS = 2048  # the least of what may sign images: no issuer may be weaker
_MAX_RSA_BITS = 8192
_MAX_RSA_EXPONENT = (
    2**31 - 1
)  # Go's limit.  Checking a signature costs what its key makes it cost: strangers choose keys


def algorithm_of(certificate: Certificate) -> Algorithm:
    """The one algorithm that the certificate's key signs with.  Raises `SignatureInvalid` for other keys."""
    key = _public_key(certificate)
    if isinstance(key, rsa.RSAPublicKey):
        if key.public_numbers().e > _MAX_RSA_EXPONENT:
            raise SignatureInvalid("signing key: got RSA with an exponent above 2^31; expected a usual one")
        found, what = _RSA.get(key.key_size), f"RSA of {key.key_size} bits"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        found, what = _EC.get(key.curve.name), f"elliptic curve {key.curve.name}"
    else:
        found, what = None, type(key).__name__
    if found is None:
        raise SignatureInvalid(
            f"signing key: got {what}; expected RSA of 2048, 3072 or 4096 bits, P-256, P-384 or P-521"
        )
    return found


def unfit_to_issue(certificate: Certificate) -> str:
    """What the certificate's key is, if nothing issued with it may count: too weak, too costly, unusual; else empty."""
    return unfit(_public_key(certificate))


def unfit(key: object) -> str:
    """What a public key is, if nothing signed with it may count: too weak, too costly, unusual; else empty."""
    if isinstance(key, rsa.RSAPublicKey):
        if key.public_numbers().e > _MAX_RSA_EXPONENT:
            return "RSA with an exponent above 2^31"
        return "" if _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS else f"RSA of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "" if key.curve.name in _EC else f"elliptic curve {key.curve.name}"
    return "" if isinstance(key, ed25519.Ed25519PublicKey) else type(key).__name__


def verify_signature(certificate: Certificate, algorithm: str, signature: bytes, signed: bytes) -> None:
    """Check `signature` over `signed` with the certificate's key; `algorithm` is what the envelope claims.

    ECDSA signatures are the two integers side by side (RFC 7518, section 3.4).  Raises `SignatureInvalid`.
    """
    expected = algorithm_of(certificate)
    if algorithm != expected.name:
        raise SignatureInvalid(
            f"alg: got {ascii(algorithm)[:20]}; expected {expected.name}, which the signing key demands"
        )
    key = _public_key(certificate)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(mgf=padding.MGF1(expected.digest), salt_length=padding.PSS.DIGEST_LENGTH)
            key.verify(signature, signed, pss, expected.digest)
            return
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(_der(signature, key.curve.key_size), signed, ec.ECDSA(expected.digest))
            return
    except InvalidSignature:
        raise SignatureInvalid("signature: does not hold under the signing certificate's key") from None
    raise SignatureInvalid(f"signing key: got {type(key).__name__}; expected RSA or an elliptic curve")


def verify_data(certificate: Certificate, signature: bytes, signed: bytes, digest: hashes.HashAlgorithm) -> None:
    """Check a signature as X.509, OCSP and CMS have them: RSA with PKCS #1 v1.5, or ECDSA in DER.

    Raises `SignatureInvalid` also for a key that nothing should be signed with (`unfit_to_issue`).
    """
    unfit = unfit_to_issue(certificate)
    if unfit:
        raise SignatureInvalid(f"signing key: got {unfit}; expected a usual one")
    key = _public_key(certificate)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), digest)
            return
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(digest))
            return
    except InvalidSignature:
        raise SignatureInvalid("signature: does not hold under the signing certificate's key") from None
    raise SignatureInvalid(f"signing key: got {type(key).__name__}; expected RSA or an elliptic curve")


def _public_key(certificate: Certificate) -> object:
    try:
        return certificate.public_key()
    except Exception as error:
        raise SignatureInvalid(f"signing key: can't be read ({type(error).__name__})") from error


def _der(signature: bytes, key_size: int) -> bytes:
    length = (key_size + 7) // 8
    if len(signature) != 2 * length:
        raise SignatureInvalid(f"signature: got {len(signature)} bytes; expected {2 * length} for this curve")
    return encode_dss_signature(int.from_bytes(signature[:length], "big"), int.from_bytes(signature[length:], "big"))
