"""Public keys that sign images: read when a configuration is published, and whether a signature is one of theirs.

The key alone says which algorithms count, never a signature (Sigstore's algorithm registry,
https://github.com/sigstore/architecture-docs/blob/main/algorithm-registry.md, narrowed to what cosign signs with):

========================  ==============================================================================
ECDSA, P-256              SHA-256
ECDSA, P-384              SHA-384 as the registry has it, or SHA-256 as cosign signed up to version 3.1.1
ECDSA, P-521              SHA-512, or SHA-256, likewise
RSA of 2048 to 4096 bits  SHA-256, PKCS #1 v1.5
Ed25519                   its own (RFC 8032)
========================  ==============================================================================

ECDSA signatures are DER.  All other keys are refused.  Pure; `cryptography` does the mathematics.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from agent.errors import Malformed, Problem
from agent.model.documents import Document

if TYPE_CHECKING:
    from cryptography.x509 import Certificate  # images that a key alone has signed need none of it

Key = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
Digests = dict[str, bytes]
"""Digests of one text by the algorithms' names."""

EXPECTED = "P-256, P-384, P-521, RSA of 2048 to 4096 bits or Ed25519"
"""The keys that count, in words."""

MAX_SIGNATURE_SIZE = 1024
"""Most bytes of a signature: RSA of 4096 bits makes 512."""

_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 4096
_USUAL_EXPONENT = 65537
_MAX_EXPONENT = 2**31 - 1  # Go's limit, and with it cosign's
_SHA256 = hashes.SHA256()
_DIGESTS: dict[str, tuple[hashes.HashAlgorithm, ...]] = {
    "secp256r1": (_SHA256,),
    "secp384r1": (hashes.SHA384(), _SHA256),
    "secp521r1": (hashes.SHA512(), _SHA256),
}


class PublicKey(NamedTuple):
    """A key that may sign images.  `fingerprint` is the SHA-256 (hexadecimal) of its SubjectPublicKeyInfo, as DER."""

    key: Key
    fingerprint: str

    @property
    def hint(self) -> str:
        """What a bundle calls the key that it was signed with.  It proves nothing."""
        return b64encode(bytes.fromhex(self.fingerprint)).decode("ascii")

    def made(self, signature: bytes, signed: bytes, digests: Digests | None = None) -> bool:
        """Whether `signature` is this key's over `signed`; see `holds`."""
        return holds(self.key, signature, signed, digests)


def load(der: bytes) -> PublicKey:
    """The key in a SubjectPublicKeyInfo.  Raises `Malformed` for what is none, or none that counts."""
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed(f"got a public key that can't be read; expected {EXPECTED}") from None
    got = _unfit(key)
    if got or not isinstance(key, Key):
        raise Malformed(f"got {got or type(key).__name__}; expected {EXPECTED}")
    return PublicKey(key, hashlib.sha256(encoded(key)).hexdigest())


def encoded(key: Key) -> bytes:
    """The key's SubjectPublicKeyInfo, as DER: one form for each key, however it was written."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def spki(certificate: "Certificate") -> bytes:
    """The SubjectPublicKeyInfo of a certificate's key, as DER.  Raises `Malformed` for a key that can't be read."""
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed(f"certificate: got a public key that can't be read; expected {EXPECTED}") from None


def read(documents: Iterable[Document], where: str, problems: list[Problem]) -> dict[str, bytes]:
    """Every key in `documents` (PEM, any number in each): SHA-256 (hexadecimal) -> DER; for publishing alone."""
    from agent.codec import pem  # never on a pull

    found: dict[str, bytes] = {}
    for document in documents:
        origin = f"{where}: {document.origin}"
        try:
            keys = [load(der) for der in pem.public_keys(document.content)]
        except Malformed as error:
            got, _, expected = error.message.removeprefix("got ").partition("; expected ")
            problems.append(Problem(origin, got, expected))
            continue
        for each in keys:
            if isinstance(each.key, rsa.RSAPublicKey) and each.key.public_numbers().e != _USUAL_EXPONENT:
                got = f"RSA with the exponent {each.key.public_numbers().e}"
                problems.append(Problem(origin, got, f"{_USUAL_EXPONENT}, as everybody has it", fatal=False))
            found[each.fingerprint] = encoded(each.key)
    return found


def holds(key: Key, signature: bytes, signed: bytes, digests: Digests | None = None) -> bool:
    """Whether `signature` is the key's over `signed`, by an algorithm that counts for such a key.

    `digests` are those of `signed` that are known, and gets the others: whoever tries many keys hashes it once.
    """
    if len(signature) > MAX_SIGNATURE_SIZE:
        return False
    digests = {} if digests is None else digests
    if isinstance(key, ec.EllipticCurvePublicKey):
        return any(_holds_under(key, signature, signed, digest, digests) for digest in _DIGESTS[key.curve.name])
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, _digest(signed, _SHA256, digests), padding.PKCS1v15(), Prehashed(_SHA256))
        else:
            key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _holds_under(
    key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes, algorithm: hashes.HashAlgorithm, digests: Digests
) -> bool:
    try:
        key.verify(signature, _digest(signed, algorithm, digests), ec.ECDSA(Prehashed(algorithm)))
    except InvalidSignature:
        return False
    return True


def _digest(signed: bytes, algorithm: hashes.HashAlgorithm, digests: Digests) -> bytes:
    if algorithm.name not in digests:
        digests[algorithm.name] = hashlib.new(algorithm.name, signed).digest()
    return digests[algorithm.name]


def _unfit(key: object) -> str:
    """What a key is, if it does not count; else empty."""
    if isinstance(key, rsa.RSAPublicKey):
        if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
            return f"RSA of {key.key_size} bits"
        return "RSA with an exponent above 2^31" if key.public_numbers().e > _MAX_EXPONENT else ""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "" if key.curve.name in _DIGESTS else f"elliptic curve {key.curve.name}"
    return "" if isinstance(key, ed25519.Ed25519PublicKey) else type(key).__name__
