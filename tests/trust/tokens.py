"""RFC 3161 tokens, right ones and wrong ones, as an authority of the tests' own makes them."""

import hashlib
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.signing import Profile, Signer, ca_profile, certificate, key, name
from tests.simulators.der import identifier, integer, octets, sequence, tlv

TSA_ROOT = ca_profile("Timestamping Root CA", key_number=41)
TSA_ISSUER = ca_profile("Timestamping Issuing CA", path_length=0, key_number=42)
TSA = Profile(
    name("tsa.example.com"),
    purposes=(),
    key_number=43,
    critical_extensions=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]),),
)
_OIDS = {"sha256": "2.16.840.1.101.3.4.2.1", "sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3",
         "sha1": "1.3.14.3.2.26"}  # fmt: skip
_HASHES: dict[str, Any] = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


def authority(profile: Profile = TSA, *, issuer: Profile = TSA_ISSUER, root: Profile = TSA_ROOT) -> Signer:
    """A timestamp authority under an issuing CA, under a root."""
    profiles = [profile, issuer, root]
    chain = [certificate(each, profiles[min(i + 1, 2)]) for i, each in enumerate(profiles)]
    return Signer(tuple(chain), profile.kind, profile.key_number)


class Token(NamedTuple):
    """What can be said of a token; the defaults are a good one's."""

    time: datetime = datetime.now(timezone.utc).replace(microsecond=0)
    time_text: str = ""
    accuracy: timedelta | None = timedelta(seconds=1)
    imprint_hash: str = "sha256"
    imprint: bytes | None = None
    digest: str = "sha256"
    version: int = 1
    policy: str = "1.2.3.4.1"
    attribute: str = "v2"
    attribute_hash: str = "sha256"
    names: x509.Certificate | None = None
    content_digest: bytes | None = None
    attribute_content_type: str = "1.2.840.113549.1.9.16.1.4"
    content_type: str = "1.2.840.113549.1.9.16.1.4"
    signature_algorithm: str = ""
    flip: bool = False
    signers: int = 1
    certificates: tuple[x509.Certificate, ...] | None = None
    twice: bool = False
    critical_extension: bool = False
    signed_attributes: bool = True
    identity: bytes = b""
    signature: bytes = b""


GOOD_TOKEN = Token()


def token(signed: bytes, signer: Signer, made: Token = GOOD_TOKEN) -> bytes:
    """A token over `signed` by an authority, with its chain but for the root."""
    content = _tst_info(signed, made)
    leaf = made.names or signer.chain[0]
    attributes = [
        _attribute("1.2.840.113549.1.9.3", identifier(made.attribute_content_type)),
        _attribute("1.2.840.113549.1.9.4", octets(made.content_digest or hashlib.new(made.digest, content).digest())),
    ]
    if made.attribute:
        attributes.append(_signing_certificate(leaf, made))
    if made.twice:
        attributes.append(attributes[0])
    attributes.sort()
    signed_attributes = b"".join(attributes)
    private = key(signer.kind, signer.key_number)
    message = tlv(0x31, signed_attributes)
    if isinstance(private, rsa.RSAPrivateKey):
        signature = private.sign(message, padding.PKCS1v15(), _HASHES[made.digest])
        algorithm = made.signature_algorithm or "1.2.840.113549.1.1.1"
    else:
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        signature = private.sign(message, ec.ECDSA(_HASHES[made.digest]))
        algorithm = made.signature_algorithm or f"1.2.840.10045.4.3.{int(made.digest[3:]) // 128}"
    signature = made.signature or signature
    if made.flip:
        signature = signature[:-1] + bytes([signature[-1] ^ 1])
    info = sequence(
        integer(1),
        made.identity or sequence(signer.chain[0].issuer.public_bytes(), integer(signer.chain[0].serial_number)),
        sequence(identifier(_OIDS[made.digest])),
        tlv(0xA0, signed_attributes) if made.signed_attributes else b"",
        sequence(identifier(algorithm)),
        octets(signature),
    )
    certificates = made.certificates if made.certificates is not None else signer.chain[:-1]
    ders = b"".join(each.public_bytes(Encoding.DER) for each in certificates)
    signed_data = sequence(
        integer(3),
        tlv(0x31, sequence(identifier(_OIDS[made.digest]))),
        sequence(identifier(made.content_type), tlv(0xA0, octets(content))),
        tlv(0xA0, ders) if ders else b"",
        tlv(0x31, info * made.signers),
    )
    return sequence(identifier("1.2.840.113549.1.7.2"), tlv(0xA0, signed_data))


def _tst_info(signed: bytes, made: Token) -> bytes:
    imprint = made.imprint if made.imprint is not None else hashlib.new(made.imprint_hash, signed).digest()
    accuracy = b""
    if made.accuracy is not None:
        seconds, microseconds = divmod(made.accuracy // timedelta(microseconds=1), 1_000_000)
        parts = integer(seconds) if seconds else b""
        for tag, value in ((0x80, microseconds // 1000), (0x81, microseconds % 1000)):
            parts += tlv(tag, integer(value)[2:]) if value else b""
        accuracy = sequence(parts)
    extension = sequence(identifier("1.2.3.4.5"), tlv(0x01, b"\xff"), octets(b"x"))
    return sequence(
        integer(made.version),
        identifier(made.policy),
        sequence(sequence(identifier(_OIDS[made.imprint_hash])), octets(imprint)),
        integer(4711),
        tlv(0x18, (made.time_text or made.time.strftime("%Y%m%d%H%M%SZ")).encode()),
        accuracy,
        tlv(0xA1, extension) if made.critical_extension else b"",
    )


def _signing_certificate(leaf: x509.Certificate, made: Token) -> bytes:
    der = leaf.public_bytes(Encoding.DER)
    if made.attribute == "v1":
        found = octets(hashlib.sha1(der, usedforsecurity=False).digest())
        return _attribute("1.2.840.113549.1.9.16.2.12", sequence(sequence(sequence(found))))
    found = octets(hashlib.new(made.attribute_hash, der).digest())
    algorithm = b"" if made.attribute_hash == "sha256" else sequence(identifier(_OIDS[made.attribute_hash]))
    return _attribute("1.2.840.113549.1.9.16.2.47", sequence(sequence(sequence(algorithm, found))))


def _attribute(kind: str, value: bytes) -> bytes:
    return sequence(identifier(kind), tlv(0x31, value))
