"""Notary Project signatures in JWS envelopes: the envelope's parts and signed attributes.

Notary Project, JWS signature envelope specification.  What comes out is the same for every envelope format; the
format-agnostic checks are in `agent.formats.notation`.
"""

import re
from datetime import datetime, timedelta, timezone
from typing import Mapping, NamedTuple

from agent.codec import jose, strictjson
from agent.errors import Malformed
from agent.model.descriptor import Descriptor

MEDIA_TYPE = "application/jose+json"
PAYLOAD_TYPE = "application/vnd.cncf.notary.payload.v1+json"
MAX_ENVELOPE_SIZE = 256 * 1024
"""Largest envelope taken, in bytes; real ones have two to ten KiB, most of it certificates."""

SCHEME_X509 = "notary.x509"
_PREFIX = "io.cncf.notary."
_SCHEME = _PREFIX + "signingScheme"
_SIGNING_TIME = _PREFIX + "signingTime"
_AUTHENTIC_SIGNING_TIME = _PREFIX + "authenticSigningTime"
_EXPIRY = _PREFIX + "expiry"
_PLUGIN = _PREFIX + "verificationPlugin"
_PLUGIN_VERSION = _PREFIX + "verificationPluginMinVersion"
_KNOWN_CRITICAL = frozenset((_SCHEME, _AUTHENTIC_SIGNING_TIME, _EXPIRY, _PLUGIN, _PLUGIN_VERSION))
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?"
    r"(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])\Z"
)


class Envelope(NamedTuple):
    """What an envelope says.  Nothing in it is believed before `signature` was checked over `signing_input`.

    `chain` is DER, signing certificate first; times have time zones; `plugin` is the verification plugin that the
    signature demands, or empty.
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


def parse(data: bytes) -> Envelope:
    """Read an envelope.  Raises `Malformed` or `LimitExceeded`."""
    jws = jose.parse(data, limit=MAX_ENVELOPE_SIZE)
    protected = jws.protected
    if protected.get("cty") != PAYLOAD_TYPE:
        raise Malformed(f"cty: got {ascii(protected.get('cty'))[:80]}; expected {PAYLOAD_TYPE}")
    if "b64" in protected:
        raise Malformed("b64: got an unencoded payload (RFC 7797); expected base64url")
    scheme = _text(protected, _SCHEME)
    _check_critical(protected, scheme)
    signing_time = _signing_time(protected, scheme)
    expiry = _time(protected, _EXPIRY) if _EXPIRY in protected else None
    if expiry is not None and expiry <= signing_time:
        raise Malformed(f"expiry: got {expiry:%Y-%m-%dT%H:%M:%SZ}, not after the signing time")
    return Envelope(
        algorithm=_text(protected, "alg"),
        chain=_chain(jws.unprotected),
        signature=jws.signature,
        signing_input=jws.signing_input,
        payload=jws.payload,
        scheme=scheme,
        signing_time=signing_time,
        expiry=expiry,
        plugin=_text(protected, _PLUGIN) if _PLUGIN in protected or _PLUGIN_VERSION in protected else "",
    )


def target_artifact(payload: bytes) -> Descriptor:
    """The image that a payload was signed for.  Raises `Malformed`."""
    value = strictjson.decode(payload, "signed payload", limit=MAX_ENVELOPE_SIZE)
    if not isinstance(value, dict):
        raise Malformed(f"signed payload: got {type(value).__name__}; expected an object")
    return Descriptor.from_json(value.get("targetArtifact"), "signed payload: targetArtifact")


def _check_critical(protected: Mapping[str, object], scheme: str) -> None:
    """The critical attributes: those that must be marked are, and none is marked that we don't know."""
    critical = protected.get("crit")
    if not isinstance(critical, list) or not critical or not all(isinstance(name, str) for name in critical):
        raise Malformed(f"crit: got {ascii(critical)[:80]}; expected a list of names")
    demanded = {_SCHEME}
    if _EXPIRY in protected:
        demanded.add(_EXPIRY)
    if scheme != SCHEME_X509:
        demanded.add(_AUTHENTIC_SIGNING_TIME)
    for name in sorted(demanded.difference(critical)):
        raise Malformed(f"crit: {name} is not marked critical; expected it to be")
    for name in critical:
        if name not in protected:
            raise Malformed(f"crit: names {ascii(name)[:80]}, which is not in the protected header")
        if name not in _KNOWN_CRITICAL:
            raise Malformed(f"crit: got the unknown attribute {ascii(name)[:80]}; expected only known ones")


def _signing_time(protected: Mapping[str, object], scheme: str) -> datetime:
    """The signing time of the scheme.  The other scheme's must not be there: critical or not, nobody would heed it."""
    mine, others = _SIGNING_TIME, _AUTHENTIC_SIGNING_TIME
    if scheme != SCHEME_X509:
        mine, others = others, mine
    if others in protected:
        raise Malformed(f"{others}: got it with the signing scheme {ascii(scheme)[:60]}; expected {mine} alone")
    return _time(protected, mine)


def _chain(unprotected: Mapping[str, object]) -> tuple[bytes, ...]:
    certificates = unprotected.get("x5c")
    if not isinstance(certificates, list) or not all(isinstance(item, str) for item in certificates):
        raise Malformed(f"x5c: got {type(certificates).__name__}; expected a list of certificates")
    return tuple(jose.base64_standard(item, f"x5c[{i}]") for i, item in enumerate(certificates))


def _text(header: Mapping[str, object], name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{name}: got {ascii(value)[:40]}; expected a string")
    return value


def _time(header: Mapping[str, object], name: str) -> datetime:
    """An RFC 3339 time, to the second."""
    text = _text(header, name)
    match = _RFC3339.match(text)
    try:
        if match is None:
            raise ValueError("not RFC 3339")
        moment = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=timezone.utc)  # type: ignore[arg-type,misc]
        if match[7] != "Z":
            offset = timedelta(hours=int(match[7][1:3]), minutes=int(match[7][4:6]))
            moment = moment - offset if match[7][0] == "+" else moment + offset
    except (ValueError, OverflowError):
        raise Malformed(f"{name}: got {ascii(text)[:40]}; expected a time as in 2026-01-31T12:00:00Z") from None
    return moment
