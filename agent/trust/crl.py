"""Certificate revocation lists: what one says of one certificate, with its delta list if there is one.

RFC 5280, sections 5 and 6.3, without indirect lists.  Pure: lists come in as bytes.  Whether a list is signed depends
on its bytes alone, and not on the time: that is cached for the daemon's sake (`REMEMBERED`).
"""

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from agent.trust import chain as chains
from agent.trust.algorithms import unfit_to_issue
from agent.trust.revocationstatus import CLOCK_SKEW, Status, Unusable, revoked_at

MAX_LIST = 16 * 1024 * 1024
"""Largest list taken, in bytes: about 400,000 revoked certificates."""

REMEMBERED = 4
"""Most lists in the cache of those that are signed: to check one of 16 MiB takes most of a second."""

_UNDERSTOOD = frozenset({ExtensionOID.ISSUING_DISTRIBUTION_POINT, ExtensionOID.DELTA_CRL_INDICATOR})
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


class RevocationList(NamedTuple):
    """A list that its issuer signed and that is in date; `delta_urls` name lists with what changed since."""

    crl: x509.CertificateRevocationList
    number: int | None
    delta_urls: tuple[str, ...]


def distribution_points(certificate: x509.Certificate) -> tuple[str, ...]:
    """The URLs of the lists that `certificate` may be on: all of them count.

    Raises `Unusable` for what can't be followed: a list without URL, by another issuer, or for some reasons only.
    """
    if chains.extension_of(certificate, x509.FreshestCRL) is not None:
        raise Unusable("names a delta list of its own, which is not supported")
    points = chains.extension_of(certificate, x509.CRLDistributionPoints)
    return tuple(_url(point) for point in (points.value if points is not None else ()))


def read_base(content: bytes, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> RevocationList:
    """A complete list for `certificate`, by its `issuer`.  Raises `Unusable`."""
    found = _read(content, certificate, issuer, now)
    if _extension(found, x509.DeltaCRLIndicator) is not None:
        raise Unusable("holds a delta list where a complete one should be")
    freshest = _extension(found, x509.FreshestCRL)
    delta_urls = tuple(_url(point) for point in freshest.value) if freshest is not None else ()
    return RevocationList(found, _number(found), delta_urls)


def read_delta(
    content: bytes, base: RevocationList, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> RevocationList:
    """A list of what changed since `base`.  Raises `Unusable`."""
    found = _read(content, certificate, issuer, now)
    indicator, number = _extension(found, x509.DeltaCRLIndicator), _number(found)
    if indicator is None or number is None or base.number is None:
        raise Unusable("holds no delta list where one should be")
    if number < base.number or indicator.value.crl_number > base.number:
        raise Unusable("holds a delta list that does not fit the complete one")
    return RevocationList(found, number, ())


def status(
    certificate: x509.Certificate, base: RevocationList, delta: RevocationList | None, signed: datetime | None
) -> Status:
    """What the lists say together: the later entry counts.  `signed` is an authentic time of signing.

    Raises `Unusable` for an entry with a critical extension that is not understood.
    """
    try:
        return _status(certificate, base, delta, signed)
    except Unusable:
        raise
    except Exception as error:
        raise Unusable(f"holds an entry that can't be read ({type(error).__name__})") from error


def _status(
    certificate: x509.Certificate, base: RevocationList, delta: RevocationList | None, signed: datetime | None
) -> Status:
    entry = base.crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if delta is not None:
        changed = delta.crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if changed is not None and (entry is None or changed.revocation_date_utc >= entry.revocation_date_utc):
            entry = changed
    if entry is None:
        return Status.GOOD
    for extension in entry.extensions:
        if extension.critical and not isinstance(extension.value, (x509.CRLReason, x509.InvalidityDate)):
            raise Unusable("holds an entry with a critical extension that is not understood")
    if _entry_extension(entry, x509.CRLReason, "reason") is x509.ReasonFlags.remove_from_crl:
        return Status.GOOD
    invalid_since = _entry_extension(entry, x509.InvalidityDate, "invalidity_date_utc")
    return revoked_at(invalid_since if isinstance(invalid_since, datetime) else None, signed)


def _read(
    content: bytes, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> x509.CertificateRevocationList:
    try:
        found = _signed(content, issuer)
        _check(found, certificate, now)
    except Unusable:
        raise
    except Exception as error:  # the library reads lazily: ValueError, TypeError, UnsupportedAlgorithm, ...
        raise Unusable(f"holds what is no revocation list ({type(error).__name__})") from error
    return found


@lru_cache(maxsize=REMEMBERED)
def _signed(content: bytes, issuer: x509.Certificate) -> x509.CertificateRevocationList:
    """The list, if its issuer signed it; cached.  Raises `Unusable`, which is not cached."""
    found = x509.load_der_x509_crl(content)
    if found.issuer != issuer.subject:
        raise Unusable("holds a list by another issuer")
    digest = found.signature_hash_algorithm
    if unfit_to_issue(issuer) or (digest is not None and isinstance(digest, chains.WEAK_HASHES)):
        raise Unusable("holds a list with a weak signature")
    if not found.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]
        raise Unusable("holds a list that its issuer did not sign")
    usage = chains.extension_of(issuer, x509.KeyUsage)
    if usage is not None and not usage.value.crl_sign:
        raise Unusable("holds a list by an issuer whose key may not sign lists")
    return found


def _check(found: x509.CertificateRevocationList, certificate: x509.Certificate, now: datetime) -> None:
    if found.last_update_utc > now + CLOCK_SKEW:
        raise Unusable("holds a list of a time to come")
    if found.next_update_utc is None or now > found.next_update_utc:
        raise Unusable("holds a list that is out of date")
    for extension in found.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise Unusable(f"holds a list with the critical extension {extension.oid.dotted_string}, not understood")
    scope = _extension(found, x509.IssuingDistributionPoint)
    if scope is not None and not _covers(scope.value, certificate):
        raise Unusable("holds a list for other certificates")


def _covers(scope: x509.IssuingDistributionPoint, certificate: x509.Certificate) -> bool:
    """Whether a list of this scope is a whole one for `certificate`."""
    if scope.indirect_crl or scope.only_some_reasons or scope.only_contains_attribute_certs:
        return False
    return not (scope.only_contains_user_certs if chains.is_ca(certificate) else scope.only_contains_ca_certs)


def _url(point: x509.DistributionPoint) -> str:
    if point.crl_issuer or point.reasons:
        raise Unusable("names an indirect or partial revocation list, which is not supported")
    for name in point.full_name or ():
        if isinstance(name, x509.UniformResourceIdentifier) and name.value.lower().startswith(("http://", "https://")):
            return name.value
    raise Unusable("names a revocation list without an http URL")


def _number(found: x509.CertificateRevocationList) -> int | None:
    number = _extension(found, x509.CRLNumber)
    return None if number is None else number.value.crl_number


def _extension(found: x509.CertificateRevocationList, kind: type[_Kind]) -> "x509.Extension[_Kind] | None":
    try:
        return found.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _entry_extension(entry: x509.RevokedCertificate, kind: type[x509.ExtensionType], attribute: str) -> object:
    try:
        return getattr(entry.extensions.get_extension_for_class(kind).value, attribute)
    except x509.ExtensionNotFound:
        return None
