"""An RFC 3161 timestamp authority of the tests' own: good, or wrong in one way.  No I/O.

    authority = usual_tsa()
    good = token(signature, authority)
    bad = token(signature, authority, flaw="tampered_signature")
    late = token(signature, authority, at=datetime(...))
    unfit = token(signature, usual_tsa(purposes=(CODE_SIGNING,)))

`usual_tsa` makes the certificates, `token` the countersignature over a signature's bytes, `answer` what an authority
answers to a client's query.  `tests.simulators.responder` puts it on HTTP.
"""

import hashlib
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from tests import signing
from tests.simulators import der

QUERY_TYPE = "application/timestamp-query"
REPLY_TYPE = "application/timestamp-reply"

Flaw = Literal[
    "",
    "other_imprint",
    "tampered_signature",
    "tampered_info",
    "no_signing_certificate",
    "wrong_signing_certificate",
    "signing_certificate_v1",
    "imprecise",
    "version_2",
    "other_content_type",
    "no_certificates",
    "weak_imprint",
    "trailing_bytes",
]
"""What may be wrong with a token.

other_imprint: of other bytes.  tampered_info: the time stamp information differs from what was signed.
no_signing_certificate, wrong_...: the attribute signing-certificate-v2.  signing_certificate_v1: the older one,
of a SHA-1 hash, alone.  imprecise: true to twenty minutes.  weak_imprint: of SHA-1.
"""

_HASHES: dict[str, tuple[str, Any]] = {
    "sha1": ("1.3.14.3.2.26", hashes.SHA1()),  # noqa: S303  the defect of one test
    "sha256": ("2.16.840.1.101.3.4.2.1", hashes.SHA256()),
    "sha384": ("2.16.840.1.101.3.4.2.2", hashes.SHA384()),
    "sha512": ("2.16.840.1.101.3.4.2.3", hashes.SHA512()),
}
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_DATA = "1.2.840.113549.1.7.1"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_RSA = "1.2.840.113549.1.1.1"
_ECDSA = {"sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}
_POLICY = "1.3.6.1.4.1.99999.1"
_REJECTION = 2
_IMPRECISION = 20 * 60


class Query(NamedTuple):
    """What a client asks: a hash, by the name of its algorithm, and perhaps a nonce to be told again."""

    hash_name: str
    imprint: bytes
    nonce: int | None


def usual_tsa(
    common_name: str = "time.example.com",
    *,
    kind: str = "P-256",
    number: int = 0,
    purposes: tuple[ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,),
    purposes_critical: bool = True,
    **changes: Any,
) -> signing.Signer:
    """A timestamp authority's chain, certificate first, under a root of its own; the defaults are as RFC 3161 wants it.

    `changes` are those of `tests.signing.Profile`, for the authority's own certificate.  Another `number`: other keys.
    """
    extensions = changes.pop("extensions", ())
    critical = changes.pop("critical_extensions", ())
    if purposes and purposes_critical:
        critical = (*critical, x509.ExtendedKeyUsage(purposes))
    elif purposes:
        extensions = (*extensions, x509.ExtendedKeyUsage(purposes))
    leaf = signing.Profile(signing.name(common_name), kind=kind, key_number=1000 + 10 * number)
    return signing.signer(
        leaf._replace(purposes=(), extensions=extensions, critical_extensions=critical, **changes),
        signing.ca_profile(f"{common_name} Root CA", key_number=1001 + 10 * number),
    )


def token(
    signature: bytes,
    tsa: signing.Signer,
    *,
    at: datetime | None = None,
    flaw: Flaw = "",
    hash_name: str = "sha256",
    accuracy: int | None = 1,
    nonce: int | None = None,
) -> bytes:
    """The countersignature over `signature`, by `tsa`: a DER ContentInfo, as an envelope's header carries it.

    `at` is when it was made (now), `accuracy` is in seconds (None: it says nothing), `hash_name` is what the imprint is
    made with ("sha256", "sha384", "sha512").
    """
    if flaw == "weak_imprint":
        hash_name = "sha1"
    imprint = hashlib.new(hash_name, signature).digest()
    return countersigned(Query(hash_name, imprint, nonce), tsa, at=at, flaw=flaw, accuracy=accuracy)


def countersigned(
    query: Query, tsa: signing.Signer, *, at: datetime | None = None, flaw: Flaw = "", accuracy: int | None = 1
) -> bytes:
    """As `token`, for an imprint that a client made."""
    moment = (at or datetime.now(timezone.utc)).astimezone(timezone.utc)
    imprint = bytes(len(query.imprint)) if flaw == "other_imprint" else query.imprint
    if flaw == "imprecise":
        accuracy = _IMPRECISION
    info = _info(query._replace(imprint=imprint), moment, accuracy, version=2 if flaw == "version_2" else 1)
    content_type = _DATA if flaw == "other_content_type" else _TST_INFO
    digest_name = {"P-384": "sha384", "P-521": "sha512"}.get(tsa.kind, "sha256")
    attributes = [
        _attribute(_CONTENT_TYPE, der.identifier(content_type)),
        _attribute(_MESSAGE_DIGEST, der.octets(hashlib.new(digest_name, info).digest())),
        *_signing_certificate(tsa.chain[0], flaw),
    ]
    signed = der.set_of(*attributes)
    raw = _sign(tsa, digest_name, signed)
    if flaw == "tampered_signature":
        raw = _other_than(tsa, digest_name, signed)
    if flaw == "tampered_info":
        info = _info(query._replace(imprint=imprint), moment - timedelta(seconds=1), accuracy)
    leaf = tsa.chain[0]
    signer_info = der.sequence(
        der.integer(1),
        der.sequence(leaf.issuer.public_bytes(), der.integer(leaf.serial_number)),
        _algorithm(digest_name),
        b"\xa0" + signed[1:],
        _signature_algorithm(tsa, digest_name),
        der.octets(raw),
    )
    encoded = [each.public_bytes(serialization.Encoding.DER) for each in tsa.chain]
    certificates = b"" if flaw == "no_certificates" else b"\xa0" + der.set_of(*encoded)[1:]
    signed_data = der.sequence(
        der.integer(3),
        der.set_of(_algorithm(digest_name)),
        der.sequence(der.identifier(content_type), der.explicit(0, der.octets(info))),
        certificates,
        der.set_of(signer_info),
    )
    whole = der.sequence(der.identifier(_SIGNED_DATA), der.explicit(0, signed_data))
    return whole + b"\x00" if flaw == "trailing_bytes" else whole


def read_query(data: bytes) -> Query:
    """What a client's TimeStampReq asks."""
    _, imprint, *rest = der.values(der.read(data)[1])
    algorithm, hashed = der.values(imprint[1])
    dotted = der.tlv(*der.values(algorithm[1])[0])
    name = next(name for name, (oid, _) in _HASHES.items() if der.identifier(oid) == dotted)
    nonces = [int.from_bytes(content, "big", signed=True) for tag, content in rest if tag == 0x02]
    return Query(name, hashed[1], nonces[0] if nonces else None)


def answer(
    request: bytes, tsa: signing.Signer, *, at: datetime | None = None, flaw: Flaw = "", accuracy: int | None = 1
) -> bytes:
    """An authority's TimeStampResp to a client's TimeStampReq."""
    granted = der.sequence(der.integer(0))
    return der.sequence(granted, countersigned(read_query(request), tsa, at=at, flaw=flaw, accuracy=accuracy))


def refusal() -> bytes:
    """A TimeStampResp without a token."""
    return der.sequence(der.sequence(der.integer(_REJECTION), der.sequence(der.text("not today"))))


def _info(query: Query, moment: datetime, accuracy: int | None, *, version: int = 1) -> bytes:
    return der.sequence(
        der.integer(version),
        der.identifier(_POLICY),
        der.sequence(_algorithm(query.hash_name), der.octets(query.imprint)),
        der.integer(x509.random_serial_number()),
        der.time(moment),
        b"" if accuracy is None else der.sequence(der.integer(accuracy)),
        b"" if query.nonce is None else der.integer(query.nonce),
    )


def _attribute(dotted: str, value: bytes) -> bytes:
    return der.sequence(der.identifier(dotted), der.set_of(value))


def _signing_certificate(leaf: x509.Certificate, flaw: Flaw) -> list[bytes]:
    if flaw == "no_signing_certificate":
        return []
    if flaw == "signing_certificate_v1":
        thumbprint = der.octets(leaf.fingerprint(hashes.SHA1()))  # noqa: S303  the older attribute knows no other
        return [_attribute(_SIGNING_CERTIFICATE, der.sequence(der.sequence(der.sequence(thumbprint))))]
    hashed = bytes(32) if flaw == "wrong_signing_certificate" else leaf.fingerprint(hashes.SHA256())
    return [_attribute(_SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(der.sequence(der.octets(hashed)))))]


def _algorithm(name: str) -> bytes:
    return der.sequence(der.identifier(_HASHES[name][0]), der.null())


def _signature_algorithm(tsa: signing.Signer, digest_name: str) -> bytes:
    if isinstance(signing.key(tsa.kind, tsa.key_number), rsa.RSAPrivateKey):
        return der.sequence(der.identifier(_RSA), der.null())
    return der.sequence(der.identifier(_ECDSA[digest_name]))


def _sign(tsa: signing.Signer, digest_name: str, data: bytes) -> bytes:
    digest = _HASHES[digest_name][1]
    private = signing.key(tsa.kind, tsa.key_number)
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(data, padding.PKCS1v15(), digest)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(data, ec.ECDSA(digest))
    raise AssertionError(f"a timestamp authority's key is RSA or of a curve; got {tsa.kind}")


def _other_than(tsa: signing.Signer, digest_name: str, data: bytes) -> bytes:
    """A well-formed signature by the right key, over something else."""
    return _sign(tsa, digest_name, data + b"\x00")
