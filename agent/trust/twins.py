"""The other certificates that say the same as one: an ECDSA signature has a twin, which anybody can make.

Of (r, s) it is (r, n - s), which holds wherever the first does (SEC 1, section 4.1.4): other bytes, so another
fingerprint, of the very same certificate.  RSA and Ed25519 have none.  Pure.
"""

from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

_ECDSA = "1.2.840.10045.4.3."  # ecdsa-with-SHA2, RFC 5758, section 3.2
_ORDERS = (
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    (1 << 521) - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
)
"""Of P-256, P-384 and P-521 (SEC 2): the issuer's curve is not asked for, since one of another is nobody's."""

_SEQUENCE, _BIT_STRING = 0x30, 0x03


def of(der: bytes) -> Iterator[bytes]:
    """The twins of a certificate, as DER; none of what can't be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        if not certificate.signature_algorithm_oid.dotted_string.startswith(_ECDSA):
            return
        r, s = decode_dss_signature(certificate.signature)
    except ValueError:
        return
    signed = certificate.tbs_certificate_bytes
    end = len(der) - len(_field(_BIT_STRING, b"\0" + certificate.signature))
    before = der[der.index(signed) : end]  # what is signed, and the algorithm
    for order in _ORDERS:
        if s < order:
            yield _field(_SEQUENCE, before + _field(_BIT_STRING, b"\0" + encode_dss_signature(r, order - s)))


def _field(tag: int, content: bytes) -> bytes:
    """One field (X.690, section 8.1)."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
