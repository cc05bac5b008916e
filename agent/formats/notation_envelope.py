"""What every envelope of a Notary Project signature says, however it is encoded.

Notary Project, signature specification, "Signed Attributes" and "Unsigned Attributes".  An envelope format (JWS, COSE)
reads its own encoding into `Attributes`; the checks that hold for all formats are made here, so that none forgets one.
"""

from datetime import datetime
from typing import Mapping, NamedTuple, Sequence

from agent.codec import members, strictjson
from agent.errors import Code, Malformed
from agent.model.descriptor import Descriptor

PAYLOAD_TYPE = "application/vnd.cncf.notary.payload.v1+json"
MAX_ENVELOPE_SIZE = 256 * 1024
"""Largest envelope taken, in bytes; real ones have two to twenty KiB, most of it certificates."""

SCHEME_X509 = "notary.x509"
SCHEME_SIGNING_AUTHORITY = "notary.x509.signingAuthority"

PREFIX = "io.cncf.notary."
SCHEME = PREFIX + "signingScheme"
SIGNING_TIME = PREFIX + "signingTime"
AUTHENTIC_SIGNING_TIME = PREFIX + "authenticSigningTime"
EXPIRY = PREFIX + "expiry"
PLUGIN = PREFIX + "verificationPlugin"
PLUGIN_VERSION = PREFIX + "verificationPluginMinVersion"
TIMESTAMP_SIGNATURE = PREFIX + "timestampSignature"

TIMES = (SIGNING_TIME, AUTHENTIC_SIGNING_TIME, EXPIRY)
"""Signed attributes that are times: a format reads them into `datetime`s."""

_TIME_OF_SCHEME = {SCHEME_X509: SIGNING_TIME, SCHEME_SIGNING_AUTHORITY: AUTHENTIC_SIGNING_TIME}
_KNOWN_CRITICAL = frozenset((SCHEME, AUTHENTIC_SIGNING_TIME, EXPIRY, PLUGIN, PLUGIN_VERSION))


class Unsupported(Malformed):
    """Evidence of a kind that is not read here."""

    code = Code.EVIDENCE_UNSUPPORTED


class Attributes(NamedTuple):
    """A format's reading of an envelope, before any check that is not about encoding.

    `algorithm` has its JOSE name; `critical` holds the names that are marked so; `signed` holds the signed attributes
    by name, those in `TIMES` as `datetime`; `chain` is DER, signing certificate first; `timestamp` is the RFC 3161
    token, or empty.
    """

    algorithm: str
    content_type: object
    critical: Sequence[object]
    signed: Mapping[str, object]
    chain: tuple[bytes, ...]
    timestamp: bytes
    signature: bytes
    signing_input: bytes
    payload: bytes


class Envelope(NamedTuple):
    """What an envelope says.  Nothing in it is believed before `signature` was checked over `signing_input`.

    `chain` is DER, signing certificate first; times have time zones; `signing_time` is the one of the scheme; `plugin`
    is the verification plugin that the signature demands, or empty; `timestamp` is the RFC 3161 token over `signature`,
    or empty.
    """

    algorithm: str
    chain: tuple[bytes, ...]
    signature: bytes
    signing_input: bytes
    payload: bytes
    scheme: str
    signing_time: datetime
    expiry: datetime | None
    plugin: str
    timestamp: bytes


def checked(attributes: Attributes) -> Envelope:
    """The envelope, if its attributes are what they must be.  Raises `Malformed`."""
    if attributes.content_type != PAYLOAD_TYPE:
        raise Malformed(f"content type: got {ascii(attributes.content_type)[:80]}; expected {PAYLOAD_TYPE}")
    signed = attributes.signed
    scheme = _text(signed, SCHEME)
    if scheme not in _TIME_OF_SCHEME:
        raise Unsupported(f"signing scheme: got {ascii(scheme)[:60]}; expected one of {', '.join(_TIME_OF_SCHEME)}")
    _check_critical(attributes, scheme)
    signing_time = _signing_time(signed, scheme)
    expiry = signed.get(EXPIRY)
    if isinstance(expiry, datetime) and expiry <= signing_time:
        raise Malformed(f"expiry: got {expiry:%Y-%m-%dT%H:%M:%SZ}, not after the signing time")
    return Envelope(
        algorithm=attributes.algorithm,
        chain=attributes.chain,
        signature=attributes.signature,
        signing_input=attributes.signing_input,
        payload=attributes.payload,
        scheme=scheme,
        signing_time=signing_time,
        expiry=expiry if isinstance(expiry, datetime) else None,
        plugin=_text(signed, PLUGIN) if PLUGIN in signed or PLUGIN_VERSION in signed else "",
        timestamp=attributes.timestamp,
    )


def target_artifact(payload: bytes) -> Descriptor:
    """The image that a payload was signed for.  Raises `Malformed`."""
    value = members.of(strictjson.decode(payload, "signed payload", limit=MAX_ENVELOPE_SIZE), "signed payload")
    return Descriptor.from_json(value.get("targetArtifact"), "signed payload: targetArtifact")


def _check_critical(attributes: Attributes, scheme: str) -> None:
    """The critical attributes: those that must be marked are, and none is marked that we don't know."""
    signed, critical = attributes.signed, attributes.critical
    demanded = {SCHEME}
    if EXPIRY in signed:
        demanded.add(EXPIRY)
    if scheme == SCHEME_SIGNING_AUTHORITY:
        demanded.add(AUTHENTIC_SIGNING_TIME)
    for name in sorted(demanded.difference(each for each in critical if isinstance(each, str))):
        raise Malformed(f"crit: {name} is not marked critical; expected it to be")
    for marked in critical:
        if marked not in _KNOWN_CRITICAL:
            raise Malformed(f"crit: got the unknown attribute {ascii(marked)[:80]}; expected only known ones")
        if marked not in signed:
            raise Malformed(f"crit: names {ascii(marked)[:80]}, which is not in the protected header")


def _signing_time(signed: Mapping[str, object], scheme: str) -> datetime:
    """The signing time of the scheme.  The other scheme's must not be there: critical or not, nobody would heed it."""
    mine = _TIME_OF_SCHEME[scheme]
    for other in (SIGNING_TIME, AUTHENTIC_SIGNING_TIME):
        if other != mine and other in signed:
            raise Malformed(f"{other}: got it with the signing scheme {scheme}; expected {mine} alone")
    moment = signed.get(mine)
    if not isinstance(moment, datetime):
        raise Malformed(f"{mine}: got nothing; expected the time of signing")
    return moment


def _text(signed: Mapping[str, object], name: str) -> str:
    value = signed.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{name}: got {ascii(value)[:40]}; expected a text")
    return value
