"""Timestamps: that somebody trusted saw a signature at some time.

RFC 3161, as the Notary Project's trust store and trust policy specification asks for it ("Steps", timestamp
countersignature).  The numbers in comments are those of the list in `check`.  Whether the authority's certificates were
revoked is asked elsewhere (`agent.trust.revocation`).
"""

import hashlib
from datetime import datetime
from typing import NamedTuple, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.x509 import Certificate

from agent.codec import cms
from agent.errors import Code, Malformed
from agent.trust import chain as chains
from agent.trust import paths
from agent.trust.algorithms import SignatureInvalid, verify_data

_HASHES: dict[str, hashes.HashAlgorithm] = {
    cms.SHA256: hashes.SHA256(),
    cms.SHA384: hashes.SHA384(),
    cms.SHA512: hashes.SHA512(),
}
_RSA = "1.2.840.113549.1.1.1"
_DIGEST_OF_SIGNATURE = {
    "1.2.840.113549.1.1.11": cms.SHA256,
    "1.2.840.113549.1.1.12": cms.SHA384,
    "1.2.840.113549.1.1.13": cms.SHA512,
    "1.2.840.10045.4.3.2": cms.SHA256,
    "1.2.840.10045.4.3.3": cms.SHA384,
    "1.2.840.10045.4.3.4": cms.SHA512,
}


class TimestampInvalid(Malformed):
    """A timestamp that proves nothing about this signature."""

    code = Code.TIMESTAMP_INVALID


class Timestamp(NamedTuple):
    """A time that a trusted authority vouches for: it was between `earliest` and `latest`.

    `chain` is the authority's, signing certificate first, the trusted root last.
    """

    earliest: datetime
    latest: datetime
    chain: tuple[Certificate, ...]


def check(token: bytes, signature: bytes, roots: frozenset[bytes]) -> Timestamp:
    """What `token` proves of the `signature` that it was made over; `roots` are the trusted authorities' roots, DER.

    1. The token is one, and over these very bytes, under SHA-2.
    2. The certificate that it names as its signer's is in it.
    3. The signed attributes are about its content, and its signature holds under that certificate.
    4. That certificate's chain ends at a trusted root.
    5. The chain is fit for timestamping, and was valid at the time that the token names.

    Raises `TimestampInvalid`.
    """
    try:
        return _checked(token, signature, roots)
    except TimestampInvalid:
        raise
    except Malformed as error:  # of the token's encoding, or of its authority's certificates
        raise TimestampInvalid(f"timestamp: {error.message.removeprefix('timestamp: ')}") from error


def _checked(token: bytes, signature: bytes, roots: frozenset[bytes]) -> Timestamp:
    read = cms.parse(token)  # (1)
    if _digest(read.imprint_algorithm, signature, "imprint") != read.imprint:
        raise TimestampInvalid("timestamp: is of other bytes than this signature")
    certificates = chains.parse_chain(read.certificates)
    signer = _signer(read, certificates)  # (2)
    if _digest(read.digest_algorithm, read.content, "digest") != read.content_digest:  # (3)
        raise TimestampInvalid("timestamp: what was signed is not its content")
    _check_signature(read, signer)
    trusted = chains.parse_chain(sorted(roots), limited=False)
    path = paths.find(signer, certificates, trusted)  # (4)
    if not path:
        raise TimestampInvalid(f"timestamp: its authority is not trusted ({chains.subject_of(signer)})")
    chains.check_chain(path, timestamping=True)  # (5)
    outside = chains.not_valid_at(path, read.time)
    if outside:
        raise TimestampInvalid(f"timestamp: {outside}")
    try:
        return Timestamp(read.time - read.accuracy, read.time + read.accuracy, path)
    except OverflowError:
        raise TimestampInvalid("timestamp: names a time outside of all calendars") from None


def check_by(response: bytes, signature: bytes, authority: Sequence[bytes]) -> Timestamp:
    """What an authority's `response` proves of the `signature`: the time that it names, without accuracy.

    `authority` is its chain (DER), its own certificate first, as a Sigstore instance names its authorities: the signer
    is known, so that its certificate need not be in the token, and no other one there counts; the last of the chain is
    trusted as it is.  Raises `TimestampInvalid`.
    """
    try:
        read = cms.parse(cms.granted(response))
        known = chains.parse_chain(authority)
        if _digest(read.imprint_algorithm, signature, "imprint") != read.imprint:
            raise TimestampInvalid("timestamp: is of other bytes than this signature")
        named = read.signing_certificate
        if _digest(named.algorithm, authority[0], "certificate hash") != named.digest:
            raise TimestampInvalid("timestamp: is not of the authority that is trusted")
        if _digest(read.digest_algorithm, read.content, "digest") != read.content_digest:
            raise TimestampInvalid("timestamp: what was signed is not its content")
        _check_signature(read, known[0])
        path = paths.find(known[0], known, known[-1:])
        if not path:
            raise TimestampInvalid("timestamp: its authority's certificates do not lead to the trusted one")
        chains.check_chain(path, timestamping=True, anchored=True)
        outside = chains.not_valid_at(path, read.time)
        if outside:
            raise TimestampInvalid(f"timestamp: {outside}")
        return Timestamp(read.time, read.time, path)
    except TimestampInvalid:
        raise
    except Malformed as error:
        raise TimestampInvalid(f"timestamp: {error.message.removeprefix('timestamp: ')}") from error


def outside_of(timestamp: Timestamp, chain: Sequence[Certificate]) -> str:
    """Which certificate of a signer was not valid throughout the timestamp's span, as a text for people, or empty."""
    return chains.not_valid_at(chain, timestamp.earliest) or chains.not_valid_at(chain, timestamp.latest)


def _signer(token: cms.Token, certificates: Sequence[Certificate]) -> Certificate:
    """The certificate whose hash the token's signed attributes hold."""
    named = token.signing_certificate
    for certificate, der in zip(certificates, token.certificates, strict=True):
        if _digest(named.algorithm, der, "certificate hash") == named.digest:
            return certificate
    raise TimestampInvalid("timestamp: the certificate that it names as its signer's is not in it")


def _check_signature(token: cms.Token, signer: Certificate) -> None:
    algorithm = token.signature_algorithm
    implied = token.digest_algorithm if algorithm == _RSA else _DIGEST_OF_SIGNATURE.get(algorithm)
    if implied is None or implied != token.digest_algorithm:
        raise TimestampInvalid(f"timestamp: got signature algorithm {algorithm}; expected RSA or ECDSA with SHA-2")
    try:
        verify_data(signer, token.signature, token.signed, _HASHES[implied])
    except SignatureInvalid as error:
        raise TimestampInvalid(f"timestamp: {error.message}") from None


def _digest(algorithm: str, data: bytes, what: str) -> bytes:
    found = _HASHES.get(algorithm)
    if found is None:
        raise TimestampInvalid(f"timestamp: got {what} under {algorithm[:60]}; expected SHA-256, SHA-384 or SHA-512")
    return hashlib.new(found.name, data).digest()
