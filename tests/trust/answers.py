"""OCSP answers and revocation lists, right ones and wrong ones, as an authority of the tests' own gives them."""

from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from tests.signing import Profile, Signer, ca_profile, key, name, signer

NOW = datetime.now(timezone.utc).replace(microsecond=0)
HOUR = timedelta(hours=1)
OCSP_URL = "http://ocsp.example.com/{}"
LIST_URL = "http://crl.example.com/{}.crl"

ROOT = ca_profile("Revoking Root CA", key_number=31)


def asked_at(url: str) -> x509.AuthorityInformationAccess:
    """The extension that names an OCSP responder."""
    location = x509.UniformResourceIdentifier(url)
    return x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, location)])


def listed_at(*urls: str, **changes: Any) -> x509.CRLDistributionPoints:
    """The extension that names revocation lists, each a distribution point."""
    return x509.CRLDistributionPoints([_point(url, **changes) for url in urls])


def chain_with(*extensions: x509.ExtensionType, issuing: tuple[x509.ExtensionType, ...] = ()) -> Signer:
    """A signer under an intermediate CA; its certificate has `extensions`, the CA's has `issuing`."""
    return signer(
        Profile(name("leaf.example.com"), extensions=extensions, key_number=33),
        ca_profile("Revoking Issuing CA", path_length=0, key_number=32, extensions=issuing),
        ROOT,
    )


class Ocsp(NamedTuple):
    """What can be said of an OCSP answer; the defaults are a good one's."""

    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD
    this_update: datetime = NOW - HOUR
    next_update: datetime | None = NOW + HOUR
    signed_with: int = 0
    delegate: x509.Certificate | None = None
    by_name: bool = False
    digest: Any = hashes.SHA256()
    serial_of: x509.Certificate | None = None
    issuer: x509.Certificate | None = None
    certificate_hash: Any = hashes.SHA1()  # noqa: S303


GOOD_ANSWER = Ocsp()


def ocsp_answer(
    certificate: x509.Certificate, issuer: x509.Certificate, key_number: int, made: Ocsp = GOOD_ANSWER
) -> bytes:
    """An answer about `certificate`, signed with key `key_number` unless `made` says otherwise."""
    revoked = made.status is ocsp.OCSPCertStatus.REVOKED
    responder = made.delegate or issuer
    encoding = ocsp.OCSPResponderEncoding.NAME if made.by_name else ocsp.OCSPResponderEncoding.HASH
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=made.serial_of or certificate,
        issuer=made.issuer or issuer,
        algorithm=made.certificate_hash,
        cert_status=made.status,
        this_update=made.this_update,
        next_update=made.next_update,
        revocation_time=NOW - HOUR if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
    )
    builder = builder.responder_id(encoding, responder)
    if made.delegate:
        builder = builder.certificates([made.delegate])
    private = key("P-256", made.signed_with or key_number)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return builder.sign(private, made.digest).public_bytes(Encoding.DER)


class Entry(NamedTuple):
    """One revoked certificate on a list."""

    serial_number: int
    reason: x509.ReasonFlags | None = x509.ReasonFlags.key_compromise
    at: datetime = NOW - HOUR
    invalid_since: datetime | None = None
    critical: x509.ExtensionType | None = None


class List(NamedTuple):
    """What can be said of a revocation list; the defaults are a good one's, without entries."""

    entries: tuple[Entry, ...] = ()
    this_update: datetime = NOW - HOUR
    next_update: datetime | None = NOW + HOUR
    issuer: x509.Name | None = None
    signed_with: int = 0
    number: int | None = 7
    delta_of: int | None = None
    freshest: tuple[str, ...] = ()
    scope: x509.IssuingDistributionPoint | None = None
    critical: x509.ExtensionType | None = None


GOOD_LIST = List()


def revocation_list(issuer: x509.Certificate, key_number: int, made: List = GOOD_LIST) -> bytes:
    """A list by `issuer`, signed with key `key_number` unless `made` says otherwise."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(made.issuer or issuer.subject)
    builder = builder.last_update(made.this_update).next_update(made.next_update or NOW + HOUR)
    if made.number is not None:
        builder = builder.add_extension(x509.CRLNumber(made.number), critical=False)
    if made.delta_of is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(made.delta_of), critical=True)
    if made.freshest:
        builder = builder.add_extension(x509.FreshestCRL([_point(url) for url in made.freshest]), critical=False)
    for extension in (made.scope, made.critical):
        if extension is not None:
            builder = builder.add_extension(extension, critical=True)
    for entry in made.entries:
        builder = builder.add_revoked_certificate(_entry(entry))
    private = key("P-256", made.signed_with or key_number)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return builder.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)


def _entry(entry: Entry) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(entry.serial_number).revocation_date(entry.at)
    if entry.reason is not None:
        builder = builder.add_extension(x509.CRLReason(entry.reason), critical=False)
    if entry.invalid_since is not None:
        builder = builder.add_extension(x509.InvalidityDate(entry.invalid_since.replace(tzinfo=None)), critical=False)
    if entry.critical is not None:
        builder = builder.add_extension(entry.critical, critical=True)
    return builder.build()


def _point(url: str, **changes: Any) -> x509.DistributionPoint:
    parts: dict[str, Any] = {"relative_name": None, "reasons": None, "crl_issuer": None}
    return x509.DistributionPoint(full_name=[x509.UniformResourceIdentifier(url)], **(parts | changes))
