"""Certificate chains of signatures: structure, certificate rules, validity.

Notary Project signature specification, "Certificate Requirements".  Whether anybody trusts the chain is another
question (`agent.trust.truststore`).  The numbers in comments are those of the list in `check_chain`.

What depends on the bytes of a chain alone, and not on the time, is cached for the daemon's sake (`REMEMBERED`).
"""

from datetime import datetime
from functools import lru_cache
from typing import Sequence, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, ExtensionOID

from agent.errors import Code, LimitExceeded, Malformed
from agent.trust.algorithms import unfit_to_issue

MAX_CERTIFICATES = 16
"""Longest chain taken; code signing hierarchies have three or four."""

MAX_CERTIFICATE_SIZE = 16 * 1024
"""Largest certificate taken, in bytes of DER; real ones have one to four KiB."""

MAX_CHAIN_SIZE = 64 * 1024
"""Largest chain taken, in bytes of DER: anybody can attach one, and reading it costs time."""

REMEMBERED = 64
"""Most chains in each cache, of those read and of those found to be sound: a cluster has few signers."""

_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,  # critical where the subject is empty; no identity is taken from it
        ExtensionOID.CERTIFICATE_POLICIES,  # none is demanded, so that any will do
    }
)
_ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

WEAK_HASHES = (hashes.MD5, hashes.SHA1)
_OTHER_USAGES = (
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)  # beside digitalSignature
_FORBIDDEN_PURPOSES = {
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any",
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
}


class ChainInvalid(Malformed):
    """The certificates of a signature are not a chain that may sign code."""

    code = Code.CERTIFICATE_CHAIN_INVALID


def parse_chain(ders: Sequence[bytes], *, limited: bool = True) -> tuple[x509.Certificate, ...]:
    """Read certificates, signing certificate first.  Raises `ChainInvalid` or `LimitExceeded`.

    Not `limited` in number are those of a trust store, which nobody from outside chose.
    """
    if not limited:
        return tuple(_parse(der, f"certificate {i + 1} of {len(ders)}") for i, der in enumerate(ders))
    if not ders:
        raise ChainInvalid("certificate chain: got no certificate; expected at least the signing certificate")
    if len(ders) > MAX_CERTIFICATES:
        raise LimitExceeded(f"certificate chain: got {len(ders)} certificates; expected at most {MAX_CERTIFICATES}")
    if sum(map(len, ders)) > MAX_CHAIN_SIZE:
        raise LimitExceeded(f"certificate chain: got {sum(map(len, ders))} bytes; expected at most {MAX_CHAIN_SIZE}")
    return _read(tuple(ders))


@lru_cache(maxsize=REMEMBERED)
def _read(ders: tuple[bytes, ...]) -> tuple[x509.Certificate, ...]:
    return tuple(_parse(der, f"certificate {i + 1} of {len(ders)}") for i, der in enumerate(ders))


def check_chain(chain: Sequence[x509.Certificate], *, timestamping: bool = False, anchored: bool = False) -> None:
    """Check a chain from `parse_chain`, signing certificate first.  Raises `ChainInvalid` at the first defect.

    `timestamping` is for the chain of a timestamp authority instead of an image's signer; `anchored` for one within a
    Sigstore instance, whose last certificate is trusted as it is, and whose certificates are for one purpose alone.

    1. Each certificate is of version 3, and has no critical extension that nobody here understands (RFC 5280,
       section 4.2), name constraints among them.
    2. The keys of issuers are such as may be relied on, and cost no more than usual.
    3. No signature in the chain uses MD5 or SHA-1.
    4. Each certificate is issued by the next one; the last is self-signed; no other is self-issued.
    5. Each issuer is a CA: critical basic constraints, path length kept, critical key usage with keyCertSign.
    6. The signing certificate may sign code and nothing that endangers others (key usage, extended key usage); a
       timestamp authority's may sign timestamps and nothing else.
    7. If anchored: the signing certificate is for signing code (or timestamps), and so are the issuers that say what
       they are for.  Certificates may be issued by the last one though it is not self-signed.
    """
    _check(tuple(chain), timestamping, anchored)


@lru_cache(maxsize=REMEMBERED)
def _check(chain: tuple[x509.Certificate, ...], timestamping: bool, anchored: bool) -> None:
    """The rules of `check_chain`, cached; what is raised is not."""
    try:
        for certificate in chain:
            _check_form(certificate)
        for issuer in chain if timestamping else chain[1:]:
            _check_issuing_key(issuer)
        _check_links(chain, anchored=anchored)
        for depth, issuer in enumerate(chain[1:]):
            _check_ca(issuer, depth)
        _check_leaf(chain[0], timestamping=timestamping)
        if anchored:
            _check_purpose(chain, timestamping=timestamping)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise ChainInvalid(f"certificate chain: a certificate can't be read ({type(error).__name__})") from error


def not_valid_at(chain: Sequence[x509.Certificate], moment: datetime) -> str:
    """Which certificate is outside its validity at `moment`, as a text for people; empty if none is."""
    for certificate in chain:
        if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
            return (
                f"certificate {subject_of(certificate)} is valid {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ} "
                f"to {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}; it is {moment:%Y-%m-%dT%H:%M:%SZ}"
            )
    return ""


def names_revocation_source(chain: Sequence[x509.Certificate]) -> bool:
    """Whether a certificate of `chain`, the root left out, names anybody who could have revoked it."""
    return any(_names_responder(each) or _names_list(each) for each in chain[:-1])


def subject_of(certificate: x509.Certificate) -> str:
    """The subject as people write it (RFC 4514); certificates of keyless signatures have none."""
    return certificate.subject.rfc4514_string() or "(no subject)"


def extension_of(certificate: x509.Certificate, kind: type[_Kind]) -> "x509.Extension[_Kind] | None":
    """The extension of class `kind`, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` has the name that the certificate gives its issuer, and its key signed it."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether the certificate is issued and signed by itself."""
    return certificate.issuer == certificate.subject and is_issued_by(certificate, certificate)


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether the certificate says that it is a CA."""
    constraints = extension_of(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.value.ca


def _names_responder(certificate: x509.Certificate) -> bool:
    access = extension_of(certificate, x509.AuthorityInformationAccess)
    return access is not None and any(
        description.access_method == AuthorityInformationAccessOID.OCSP for description in access.value
    )


def _names_list(certificate: x509.Certificate) -> bool:
    kinds: tuple[type[x509.ExtensionType], ...] = (x509.CRLDistributionPoints, x509.FreshestCRL)
    return any(extension_of(certificate, kind) is not None for kind in kinds)


def _parse(der: bytes, where: str) -> x509.Certificate:
    if len(der) > MAX_CERTIFICATE_SIZE:
        raise LimitExceeded(f"{where}: got {len(der)} bytes; expected at most {MAX_CERTIFICATE_SIZE}")
    try:
        certificate = x509.load_der_x509_certificate(der)
        # The library reads these when they are first asked for: now, while whatever it raises is this certificate's.
        _ = (certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string())
        _ = (certificate.extensions, certificate.signature_hash_algorithm)
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except Exception as error:  # ValueError, TypeError, InvalidVersion, UnsupportedAlgorithm, DuplicateExtension, ...
        raise ChainInvalid(f"{where}: can't be read ({type(error).__name__})") from error
    return certificate


def _check_form(certificate: x509.Certificate) -> None:
    """(1)"""
    if certificate.version is not x509.Version.v3:
        raise ChainInvalid(f"certificate {subject_of(certificate)}: of version {certificate.version.name}; expected v3")
    for extension in certificate.extensions:
        if extension.oid == ExtensionOID.NAME_CONSTRAINTS:
            raise ChainInvalid(f"certificate {subject_of(certificate)}: has name constraints, which are not understood")
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise ChainInvalid(
                f"certificate {subject_of(certificate)}: "
                f"critical extension {extension.oid.dotted_string} is not understood"
            )


def _check_issuing_key(certificate: x509.Certificate) -> None:
    """(2)"""
    unfit = unfit_to_issue(certificate)
    if unfit:
        expected = "RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519"
        raise ChainInvalid(f"certificate {subject_of(certificate)}: issues with {unfit}; expected {expected}")


def _check_links(chain: Sequence[x509.Certificate], *, anchored: bool) -> None:
    for i, certificate in enumerate(chain):  # (3)
        if isinstance(certificate.signature_hash_algorithm, WEAK_HASHES):
            name = certificate.signature_hash_algorithm.name
            raise ChainInvalid(f"certificate {subject_of(certificate)}: signed with {name}; expected SHA-256 or better")
        if i + 1 < len(chain):  # (4)
            if certificate.issuer == certificate.subject:
                raise ChainInvalid(f"certificate {subject_of(certificate)}: self-issued, but not the last of the chain")
            if not is_issued_by(certificate, chain[i + 1]):
                raise ChainInvalid(
                    f"certificate {subject_of(certificate)}: not issued by the next one in the chain, "
                    f"{subject_of(chain[i + 1])}"
                )
    if not anchored and not is_self_signed(chain[-1]):
        raise ChainInvalid(
            f"certificate chain: the last certificate, {subject_of(chain[-1])}, is not self-signed; expected the root"
        )


def _check_ca(certificate: x509.Certificate, depth: int) -> None:
    """(5); `depth` is the number of CA certificates between this one and the signing certificate."""
    who = f"certificate {subject_of(certificate)}"
    constraints = extension_of(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.critical or not constraints.value.ca:
        raise ChainInvalid(f"{who}: issues certificates without critical basic constraints with cA")
    if constraints.value.path_length is not None and constraints.value.path_length < depth:
        raise ChainInvalid(f"{who}: path length {constraints.value.path_length}; there are {depth} CAs below it")
    usage = extension_of(certificate, x509.KeyUsage)
    if usage is None or not usage.critical or not usage.value.key_cert_sign:
        raise ChainInvalid(f"{who}: issues certificates without critical key usage keyCertSign")


def _check_leaf(certificate: x509.Certificate, *, timestamping: bool) -> None:
    """(6)"""
    who = f"signing certificate {subject_of(certificate)}"
    if is_ca(certificate):
        raise ChainInvalid(f"{who}: is a CA; expected an end-entity certificate")
    usage = extension_of(certificate, x509.KeyUsage)
    # Of a timestamp authority the specification only says that it should be critical.
    if usage is None or not (usage.critical or timestamping) or not usage.value.digital_signature:
        raise ChainInvalid(f"{who}: no critical key usage digitalSignature")
    others = [name for name in _OTHER_USAGES if getattr(usage.value, name)]
    if usage.value.key_agreement:
        others += [name for name in ("encipher_only", "decipher_only") if getattr(usage.value, name)]
    if others:
        raise ChainInvalid(f"{who}: key usage also has {', '.join(others)}; expected digitalSignature alone")
    purposes = extension_of(certificate, x509.ExtendedKeyUsage)
    if timestamping:
        if purposes is None or not purposes.critical or list(purposes.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
            raise ChainInvalid(f"{who}: expected the critical extended key usage timeStamping, and no other")
        return
    for purpose in purposes.value if purposes is not None else ():
        if purpose in _FORBIDDEN_PURPOSES:
            raise ChainInvalid(f"{who}: extended key usage {_FORBIDDEN_PURPOSES[purpose]} must not sign images")


def _check_purpose(chain: Sequence[x509.Certificate], *, timestamping: bool) -> None:
    """(7)"""
    wanted = ExtendedKeyUsageOID.TIME_STAMPING if timestamping else ExtendedKeyUsageOID.CODE_SIGNING
    for i, certificate in enumerate(chain):
        purposes = extension_of(certificate, x509.ExtendedKeyUsage)
        given = [] if purposes is None else list(purposes.value)
        if i == 0 and wanted not in given or given and not {wanted, _ANY}.intersection(given):
            who, name = subject_of(certificate), "timeStamping" if timestamping else "codeSigning"
            raise ChainInvalid(f"certificate {who}: is not for {name}; expected that extended key usage")
