"""Certificates of keyless signatures: for whom a Fulcio certificate authority issued them, and whether they count.

Sigstore certificate specification and client specification, "Certificate"; OIDs: Fulcio's oid-info.md.  The chain is
checked at every time that is known of the signature ("hybrid model": the certificate authorities must be valid then as
well, GHSA-wfqv-66vq-46rm).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from types import MappingProxyType
from typing import NamedTuple

from cryptography import x509
from cryptography.x509 import ObjectIdentifier

from agent.errors import Code, Malformed
from agent.trust import chain as chains
from agent.trust import paths, sct
from agent.trust.trustedroot import TrustedRoot, Window

MAX_TEXT = 2048
"""Longest identity or claim taken, in characters: an address of a workflow has 200."""

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_UTF8_STRING, _LONG = 0x0C, 0x80
_ARC = "1.3.6.1.4.1.57264.1."
_ISSUER_RAW, _ISSUER = _ARC + "1", _ARC + "8"
_USERNAME = ObjectIdentifier(_ARC + "7")
CLAIMS: Mapping[str, str] = MappingProxyType({
    "buildSignerURI": "9",
    "buildSignerDigest": "10",
    "runnerEnvironment": "11",
    "sourceRepositoryURI": "12",
    "sourceRepositoryDigest": "13",
    "sourceRepositoryRef": "14",
    "sourceRepositoryIdentifier": "15",
    "sourceRepositoryOwnerURI": "16",
    "sourceRepositoryOwnerIdentifier": "17",
    "buildConfigURI": "18",
    "buildConfigDigest": "19",
    "buildTrigger": "20",
    "runInvocationURI": "21",
    "sourceRepositoryVisibilityAtSigning": "22",
    "deploymentEnvironment": "23",
    "tokenSubject": "24",
})  # fmt: skip
"""What a certificate may say of how a build was started: name -> last arc of its OID; a DER UTF8String each."""


class NotTrusted(Malformed):
    """No certificate authority that is trusted issued the certificate."""

    code = Code.SIGNER_NOT_TRUSTED


class NotValidThen(Malformed):
    """A certificate of the chain was not valid when the image was signed."""

    code = Code.CERTIFICATE_NOT_VALID_NOW


class Signer(NamedTuple):
    """For whom a certificate was issued, and who said so: `subject` is its one name (URI, e-mail, user name)."""

    subject: str
    issuer: str
    claims: Mapping[str, str]


class Issued(NamedTuple):
    """The chain of a certificate, itself first, and until when it holds.

    That ends with the first of its certificates, or with the authority's time.
    """

    chain: tuple[x509.Certificate, ...]
    end: datetime


def check(
    leaf: x509.Certificate,
    attached: Sequence[x509.Certificate],
    root: TrustedRoot,
    material: Mapping[str, bytes],
    moments: Sequence[datetime],
    certificate_logs: int,
    *,
    told: str = "signed at",
) -> Issued:
    """Check the chain of `leaf` at each of `moments`, and that it is in `certificate_logs` distinct logs.

    `told` is what people are told of a moment.

    `attached` certificates came along, and may be on the way to an authority that names none on it: one that does has
    said which of its root's issuers are meant.  What is trusted is in `root`, with its DER in `material`.
    Authorities may overlap in time: the first that fits is enough.  Raises `Malformed`.
    """
    failure: Malformed | None = None
    for authority in root.certificate_authorities:
        known = chains.parse_chain([material[name] for name in authority.certificates])
        path = paths.find(leaf, known if len(known) > 1 else attached, known[-1:])
        if len(path) < 2:  # an authority is trusted to issue, not to sign
            continue
        try:
            chains.check_chain(path, anchored=True)
            for moment in moments:
                _check_valid(path, moment, told)
                if not authority.window.holds(moment):
                    raise NotValidThen(f"the certificate authority did not count at {moment:{_TIME}}")
            logs = sct.logs_of(leaf, path[1], root.certificate_logs, material) if certificate_logs else frozenset()
            if len(logs) < certificate_logs:
                got, expected = len(logs), certificate_logs
                raise sct.SctInvalid(f"certificate: is in {got} trusted certificate logs; expected {expected} (SCT)")
            return Issued(tuple(path), _end(path, authority.window))
        except Malformed as error:
            failure = failure or error
    issuer = ascii(leaf.issuer.rfc4514_string())[1:-1][:120]
    raise failure or NotTrusted(f"signer not trusted: the certificate's issuer ({issuer}) is not in {root.name}")


def _check_valid(path: Sequence[x509.Certificate], moment: datetime, told: str) -> None:
    """Raises `NotValidThen` unless each certificate was valid.  The signer's has no subject to call it by."""
    for certificate in path:
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not start <= moment <= end:
            who = "the signer's certificate"
            if certificate is not path[0]:
                who = f"certificate {chains.subject_of(certificate)}"
            raise NotValidThen(f"{who} is valid {start:{_TIME}} to {end:{_TIME}}; {told} {moment:{_TIME}}")


def _end(path: Sequence[x509.Certificate], window: Window) -> datetime:
    end = min(each.not_valid_after_utc for each in path)
    if window.end is None or window.end >= end.timestamp():  # which may be beyond all calendars
        return end
    return datetime.fromtimestamp(window.end, timezone.utc)


def signer_of(leaf: x509.Certificate) -> Signer:
    """For whom a certificate was issued.  Raises `ChainInvalid` unless it says so in one way."""
    raw = _extension(leaf, _ISSUER_RAW)
    encoded = _extension(leaf, _ISSUER)
    issuers = {
        *([_text(raw, "issuer")] if raw is not None else []),
        *([_utf8(encoded, "issuer")] if encoded is not None else []),
    }
    if len(issuers) != 1:
        got = "two that differ" if issuers else "none"
        raise chains.ChainInvalid(f"certificate: issuer of the identity: got {got}; expected one ({_ISSUER})")
    claims = {}
    for name, arc in CLAIMS.items():
        value = _extension(leaf, _ARC + arc)
        if value is not None:
            claims[name] = _utf8(value, name)
    return Signer(_subject(leaf), issuers.pop(), MappingProxyType(claims))


def _subject(leaf: x509.Certificate) -> str:
    extension = chains.extension_of(leaf, x509.SubjectAlternativeName)
    names = list(extension.value) if extension is not None else []
    if len(names) != 1:
        raise chains.ChainInvalid(f"certificate: got {len(names)} subject alternative names; expected exactly one")
    name = names[0]
    if isinstance(name, (x509.UniformResourceIdentifier, x509.RFC822Name)):
        return _text(name.value.encode("utf-8", "replace"), "subject")
    if isinstance(name, x509.OtherName) and name.type_id == _USERNAME:
        return _utf8(name.value, "subject")
    raise chains.ChainInvalid("certificate: subject alternative name: expected a URI, an e-mail address or a user name")


def _extension(leaf: x509.Certificate, dotted: str) -> bytes | None:
    """The content of an extension; no two can have one OID, or the certificate could not have been read."""
    for extension in leaf.extensions:
        if extension.oid.dotted_string == dotted and isinstance(extension.value, x509.UnrecognizedExtension):
            return extension.value.value
    return None


def _utf8(der: bytes, what: str) -> str:
    """The text of a DER UTF8String, and nothing behind it.  By hand: the library's reader takes long to import."""
    length, start = (der[1], 2) if len(der) > 1 else (0, 0)
    if length & _LONG:
        start += length & ~_LONG
        length = int.from_bytes(der[2:start], "big")
    if not der or der[0] != _UTF8_STRING or der[:start] != _header(length) or len(der) != start + length:
        raise chains.ChainInvalid(f"certificate: {what}: got {len(der)} bytes that are no UTF8String in DER")
    return _text(der[start:], what)


def _header(length: int) -> bytes:
    """Tag and length, in the one spelling that DER has."""
    if length < _LONG:
        return bytes([_UTF8_STRING, length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([_UTF8_STRING, _LONG | len(octets)]) + octets


def _text(data: bytes, what: str) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise chains.ChainInvalid(f"certificate: {what}: got bytes that are not UTF-8") from None
    if not 0 < len(text) <= MAX_TEXT or not text.isprintable():
        raise chains.ChainInvalid(f"certificate: {what}: got an unprintable text, or {len(text)} characters")
    return text
