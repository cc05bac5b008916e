"""OCSP answers: what one says of one certificate.

RFC 6960; RFC 5019, section 2.1.1, for the request.  Pure: a request's bytes go out, an answer's come in.
"""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from agent.trust import chain as chains
from agent.trust.algorithms import SignatureInvalid, verify_data
from agent.trust.revocationstatus import CLOCK_SKEW, Status, Told, Unusable, revoked_at

MAX_ANSWER = 20 * 1024
"""Largest answer taken, in bytes."""

_STRONG = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def responders(certificate: x509.Certificate) -> tuple[str, ...]:
    """The URLs of the OCSP responders that `certificate` names."""
    access = chains.extension_of(certificate, x509.AuthorityInformationAccess)
    return tuple(
        description.access_location.value
        for description in (access.value if access is not None else ())
        if description.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(description.access_location, x509.UniformResourceIdentifier)
    )


def request(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """The request for one certificate, as DER.  Its hash names, it protects nothing: responders expect SHA-1."""
    return _request(certificate, issuer, hashes.SHA1()).public_bytes(Encoding.DER)  # noqa: S303 - see above


def read(
    content: bytes, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime, signed: datetime | None
) -> Told:
    """What an answer says of `certificate`, and when the next one is due.

    `signed` is an authentic time of signing: a certificate that became invalid later was good then.  Raises `Unusable`
    for an answer that says nothing: about another certificate, by nobody who may say it, too old, an error.
    """
    try:
        response = ocsp.load_der_ocsp_response(content)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise Unusable(f"answers {response.response_status.name.lower()}")
        _check_signature(response, issuer, now)
        single = _answer_about(response, certificate, issuer)
        if single.this_update_utc > now + CLOCK_SKEW:
            raise Unusable("answers with a time to come")
        if single.next_update_utc is None or now > single.next_update_utc:
            raise Unusable("answers with something out of date")
        if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
            return Told(Status.UNKNOWN)
        if single.certificate_status is ocsp.OCSPCertStatus.GOOD:
            return Told(Status.GOOD, single.next_update_utc)
        return Told(revoked_at(_invalidity_date(response), signed), single.next_update_utc)
    except Unusable:
        raise
    except Exception as error:  # the library reads lazily: ValueError, TypeError, UnsupportedAlgorithm, ...
        raise Unusable(f"answers with what is no OCSP response ({type(error).__name__})") from error


def _answer_about(
    response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate
) -> ocsp.OCSPSingleResponse:
    for single in response.responses:
        if single.serial_number != certificate.serial_number:
            continue
        asked = _request(certificate, issuer, single.hash_algorithm)
        if (single.issuer_name_hash, single.issuer_key_hash) == (asked.issuer_name_hash, asked.issuer_key_hash):
            return single
    raise Unusable("answers about another certificate")


def _check_signature(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> None:
    """The answer is signed by the issuer, or by whom the issuer gave that right (RFC 6960, section 4.2.2.2)."""
    digest = response.signature_hash_algorithm
    if not isinstance(digest, _STRONG):
        raise Unusable("answers with a signature that is not made with SHA-2")
    for candidate in (issuer, *response.certificates[: chains.MAX_CERTIFICATES]):
        if not _is_named(response, candidate):
            continue
        if candidate != issuer and not _may_answer(candidate, issuer, now):
            continue
        try:
            verify_data(candidate, response.signature, response.tbs_response_bytes, digest)
        except SignatureInvalid:
            continue
        return
    raise Unusable("answers with a signature by nobody who may")


def _is_named(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return response.responder_name == certificate.subject
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest == response.responder_key_hash


def _may_answer(certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    purposes = chains.extension_of(certificate, x509.ExtendedKeyUsage)
    return (
        purposes is not None
        and ExtendedKeyUsageOID.OCSP_SIGNING in purposes.value
        and chains.is_issued_by(certificate, issuer)
        and not chains.not_valid_at([certificate], now)
    )


def _invalidity_date(response: ocsp.OCSPResponse) -> datetime | None:
    try:
        return response.single_extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
    except (x509.ExtensionNotFound, ValueError):  # ValueError: several answers
        return None


def _request(
    certificate: x509.Certificate, issuer: x509.Certificate, algorithm: hashes.HashAlgorithm
) -> ocsp.OCSPRequest:
    return ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, algorithm).build()
