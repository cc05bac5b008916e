"""RFC 3161 timestamp tokens: DER to values.

A token is a CMS SignedData (RFC 5652, section 5) around a TSTInfo (RFC 3161, section 2.4.2).  `cryptography` reads the
DER; what each part must be is checked here, and whether the signature holds is for `agent.trust.timestamp` to say.
DER only: no indefinite lengths.  Import budget: dataclasses, so this is loaded only where there is a timestamp.
"""

from datetime import datetime, timedelta
from typing import Annotated, NamedTuple, TypeVar

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from agent.errors import LimitExceeded, Malformed

MAX_TOKEN_SIZE = 128 * 1024
"""Largest token taken, in bytes; real ones have three to eight KiB."""

MAX_ACCURACY = timedelta(hours=24)
"""Widest accuracy that can be meant; real ones are seconds."""

SHA256, SHA384, SHA512 = "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2", "2.16.840.1.101.3.4.2.3"

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"  # the second version, whose hash is not SHA-1
_BASELINE_POLICY = "0.4.0.2023.1.1"
_GRANTED = (0, 1)  # granted, granted with modifications
_SET = b"\x31"
_SEQUENCE = 0x30
_IDENTITIES = (b"\x30", b"\x80")  # issuer and serial number, key identifier
_ATTRIBUTES = b"\xa0"
_Kind = TypeVar("_Kind")


@asn1.sequence
class _ContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[asn1.TLV, asn1.Explicit(0)]


@asn1.sequence
class _EncapsulatedContent:
    content_type: ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class _SignedData:
    version: int
    digest_algorithms: asn1.SetOf[asn1.TLV]
    content: _EncapsulatedContent
    # Read as sequences, as the tags are the same: some authorities leave these sets unsorted, and nothing signs them.
    certificates: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    revocation_lists: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]
    signers: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _Attribute:
    type: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _Signer:
    version: int
    identity: asn1.TLV
    digest_algorithm: list[asn1.TLV]
    attributes: Annotated[asn1.SetOf[_Attribute] | None, asn1.Implicit(0)]
    signature_algorithm: list[asn1.TLV]
    signature: bytes
    unsigned: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]


@asn1.sequence
class _Imprint:
    algorithm: list[asn1.TLV]
    digest: bytes


@asn1.sequence
class _Accuracy:
    seconds: int | None
    milliseconds: Annotated[int | None, asn1.Implicit(0)]
    microseconds: Annotated[int | None, asn1.Implicit(1)]


@asn1.sequence
class _TstInfo:
    version: int
    policy: ObjectIdentifier
    imprint: _Imprint
    serial_number: int
    time: asn1.GeneralizedTime
    accuracy: _Accuracy | None
    ordering: Annotated[bool, asn1.Default(False)]
    nonce: int | None
    authority: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    extensions: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]


class CertificateHash(NamedTuple):
    """What a signing-certificate attribute says: the hash of the certificate, and the algorithm's object identifier."""

    algorithm: str
    digest: bytes


class Token(NamedTuple):
    """One timestamp token with one signer.

    `imprint` is the digest of what was timestamped, under `imprint_algorithm`; `accuracy` bounds how far `time` may be
    off; `certificates` are DER, in the token's order.  `content_digest` is what the signer says of `content`;
    `signed` is what `signature` was made over.  Algorithms are object identifiers.
    """

    imprint_algorithm: str
    imprint: bytes
    time: datetime
    accuracy: timedelta
    certificates: tuple[bytes, ...]
    signing_certificate: CertificateHash
    digest_algorithm: str
    signature_algorithm: str
    signature: bytes
    signed: bytes
    content: bytes
    content_digest: bytes


@asn1.sequence
class _Wrapper:
    parts: list[asn1.TLV]


@asn1.sequence
class _SigningCertificate:
    certificates: list[asn1.TLV]
    policies: list[asn1.TLV] | None


def granted(data: bytes) -> bytes:
    """The token in an authority's answer (RFC 3161, section 2.4.2).  Raises `Malformed` if it was not granted."""
    if len(data) > MAX_TOKEN_SIZE:
        raise LimitExceeded(f"timestamp: got {len(data)} bytes; expected at most {MAX_TOKEN_SIZE}")
    try:
        (response,) = _parts(data)
        parts = _parts(bytes(response.data)) if response.tag_bytes == bytes([_SEQUENCE]) else []
        status: int = _parts(bytes(parts[0].data))[0].parse(int)
    except Exception as error:  # as in `parse`
        raise Malformed(f"timestamp: got no RFC 3161 response in DER ({type(error).__name__})") from error
    if status not in _GRANTED or len(parts) != 2:
        raise Malformed(f"timestamp: got a response with status {str(status)[:20]}; expected one with a token")
    return _encoded(parts[1])


def parse(data: bytes) -> Token:
    """Read a token.  Raises `Malformed` or `LimitExceeded`; nothing in it is believed."""
    if len(data) > MAX_TOKEN_SIZE:
        raise LimitExceeded(f"timestamp: got {len(data)} bytes; expected at most {MAX_TOKEN_SIZE}")
    try:
        return _parse(data)
    except Malformed:
        raise
    except Exception as error:  # ValueError, TypeError, OverflowError: whatever the library makes of hostile bytes
        raise Malformed(f"timestamp: got no RFC 3161 token in DER ({type(error).__name__})") from error


def _parse(data: bytes) -> Token:
    outer = asn1.decode_der(_ContentInfo, data)
    _expect("content type", outer.content_type.dotted_string, _SIGNED_DATA)
    signed_data = outer.content.parse(_SignedData)
    _expect("signed content type", signed_data.content.content_type.dotted_string, _TST_INFO)
    signers = signed_data.signers.as_list()
    if len(signers) != 1:
        raise Malformed(f"timestamp: got {len(signers)} signers; expected one")
    signer = signers[0].parse(_Signer)
    content = signed_data.content.content
    info = asn1.decode_der(_TstInfo, content)
    _check_info(info)
    attributes = _attributes(signer.attributes)
    _expect("content type attribute", _single(attributes, _CONTENT_TYPE, ObjectIdentifier).dotted_string, _TST_INFO)
    return Token(
        imprint_algorithm=_algorithm(info.imprint.algorithm),
        imprint=info.imprint.digest,
        time=info.time.as_datetime(),
        accuracy=_accuracy(info),
        certificates=tuple(_encoded(each) for each in signed_data.certificates or []),
        signing_certificate=_signing_certificate(attributes),
        digest_algorithm=_algorithm(signer.digest_algorithm),
        signature_algorithm=_algorithm(signer.signature_algorithm),
        signature=signer.signature,
        signed=_signed(bytes(signers[0].data)),
        content=content,
        content_digest=_single(attributes, _MESSAGE_DIGEST, bytes),
    )


def _check_info(info: _TstInfo) -> None:
    if info.version != 1:
        raise Malformed(f"timestamp: got version {str(info.version)[:20]}; expected 1")
    for extension in info.extensions or []:
        if len(_parts(bytes(extension.data))) > 2:  # between name and value: critical, as false is left out in DER
            raise Malformed("timestamp: has a critical extension, which is not understood")


def _attributes(found: asn1.SetOf[_Attribute] | None) -> dict[str, list[asn1.TLV]]:
    """The signed attributes by object identifier.  Each may stand there once (RFC 5652, section 11)."""
    attributes: dict[str, list[asn1.TLV]] = {}
    for attribute in found.as_list() if found is not None else []:
        name = attribute.type.dotted_string
        if name in attributes:
            raise Malformed(f"timestamp: signed attribute {name} stands twice")
        attributes[name] = attribute.values.as_list()
    return attributes


def _single(attributes: dict[str, list[asn1.TLV]], name: str, kind: type[_Kind]) -> _Kind:
    values = attributes.get(name, [])
    if len(values) != 1:
        raise Malformed(f"timestamp: got {len(values)} values of the signed attribute {name}; expected one")
    value: _Kind = values[0].parse(kind)
    return value


def _signing_certificate(attributes: dict[str, list[asn1.TLV]]) -> CertificateHash:
    """What binds the token to one certificate: RFC 5816's attribute."""
    certificates = _single(attributes, _SIGNING_CERTIFICATE, _SigningCertificate).certificates
    if not certificates:
        raise Malformed(f"timestamp: signed attribute {_SIGNING_CERTIFICATE} names no certificate")
    # The first is the signer's: an algorithm that may be left out, a digest, a serial number that says nothing new.
    parts = _parts(bytes(certificates[0].data))
    if parts[0].tag_bytes == bytes([_SEQUENCE]):
        return CertificateHash(_algorithm(_parts(bytes(parts[0].data))), parts[1].parse(bytes))
    return CertificateHash(SHA256, parts[0].parse(bytes))


def _signed(signer: bytes) -> bytes:
    """What a signer with signed attributes signs: these, as a SET (RFC 5652, section 5.4).

    Found by their place, the fourth, where `_Signer` read them: a tag alone may stand elsewhere too, and then what was
    signed would be something else than what is believed.
    """
    identity, attributes = _parts(signer)[1:4:2]
    if identity.tag_bytes not in _IDENTITIES or attributes.tag_bytes != _ATTRIBUTES:
        raise Malformed("timestamp: got a signer without an identity or without signed attributes")
    return _tlv(_SET, bytes(attributes.data))


def _algorithm(parts: list[asn1.TLV]) -> str:
    """The object identifier of an AlgorithmIdentifier; of those that are taken, none has parameters that matter."""
    if not 1 <= len(parts) <= 2:
        raise Malformed(f"timestamp: got an algorithm of {len(parts)} parts; expected one or two")
    identifier: ObjectIdentifier = parts[0].parse(ObjectIdentifier)
    return identifier.dotted_string


def _accuracy(info: _TstInfo) -> timedelta:
    """How far the time may be off; a second under the policy that demands that (ETSI EN 319 421)."""
    given = info.accuracy
    if given is None:
        return timedelta(seconds=1 if info.policy.dotted_string == _BASELINE_POLICY else 0)
    parts = (given.seconds or 0, given.milliseconds or 0, given.microseconds or 0)
    accuracy = timedelta(seconds=parts[0], milliseconds=parts[1], microseconds=parts[2])
    if min(parts) < 0 or accuracy > MAX_ACCURACY:
        raise Malformed("timestamp: got an accuracy below nothing or above a day")
    return accuracy


def _expect(what: str, got: str, expected: str) -> None:
    if got != expected:
        raise Malformed(f"timestamp: {what}: got {got[:80]}; expected {expected}")


def _parts(data: bytes) -> list[asn1.TLV]:
    """The elements that stand one after another in `data`."""
    return asn1.decode_der(_Wrapper, _tlv(b"\x30", _tlv(b"\x30", data))).parts


def _encoded(element: asn1.TLV) -> bytes:
    return _tlv(element.tag_bytes, bytes(element.data))


def _tlv(tag: bytes, data: bytes) -> bytes:
    length = len(data)
    if length < 0x80:
        return tag + bytes([length]) + data
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return tag + bytes([0x80 | len(octets)]) + octets + data
