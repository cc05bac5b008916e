"""Notary Project signatures in JWS envelopes.

Notary Project, JWS signature envelope specification.
"""

import re
from datetime import datetime, timedelta, timezone
from typing import Mapping

from agent.codec import jose
from agent.errors import Malformed
from agent.formats.notation_envelope import MAX_ENVELOPE_SIZE, TIMES, TIMESTAMP_SIGNATURE, Attributes

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?"
    r"(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])\Z"
)


def parse(data: bytes) -> Attributes:
    """Read an envelope.  Raises `Malformed` or `LimitExceeded`."""
    jws = jose.parse(data, limit=MAX_ENVELOPE_SIZE)
    protected = jws.protected
    if "b64" in protected:
        raise Malformed("b64: got an unencoded payload (RFC 7797); expected base64url")
    critical = protected.get("crit")
    if not isinstance(critical, list) or not critical or not all(isinstance(name, str) for name in critical):
        raise Malformed(f"crit: got {ascii(critical)[:80]}; expected a list of names")
    algorithm = protected.get("alg")
    if not isinstance(algorithm, str):
        raise Malformed(f"alg: got {ascii(algorithm)[:40]}; expected a name")
    return Attributes(
        algorithm=algorithm,
        content_type=protected.get("cty"),
        critical=critical,
        signed={name: _time(value, name) if name in TIMES else value for name, value in protected.items()},
        chain=_chain(jws.unprotected),
        timestamp=_timestamp(jws.unprotected),
        signature=jws.signature,
        signing_input=jws.signing_input,
        payload=jws.payload,
    )


def _chain(unprotected: Mapping[str, object]) -> tuple[bytes, ...]:
    certificates = unprotected.get("x5c")
    if not isinstance(certificates, list) or not all(isinstance(item, str) for item in certificates):
        raise Malformed(f"x5c: got {type(certificates).__name__}; expected a list of certificates")
    return tuple(jose.base64_standard(item, f"x5c[{i}]") for i, item in enumerate(certificates))


def _timestamp(unprotected: Mapping[str, object]) -> bytes:
    token = unprotected.get(TIMESTAMP_SIGNATURE, "")
    if not isinstance(token, str):
        raise Malformed(f"{TIMESTAMP_SIGNATURE}: got {type(token).__name__}; expected a timestamp in base64")
    return jose.base64_standard(token, TIMESTAMP_SIGNATURE)


def _time(value: object, name: str) -> datetime:
    """An RFC 3339 time, to the second."""
    match = _RFC3339.match(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError("not RFC 3339")
        moment = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=timezone.utc)  # type: ignore[arg-type,misc]
        if match[7] != "Z":
            offset = timedelta(hours=int(match[7][1:3]), minutes=int(match[7][4:6]))
            moment = moment - offset if match[7][0] == "+" else moment + offset
    except (ValueError, OverflowError):
        raise Malformed(f"{name}: got {ascii(value)[:40]}; expected a time as in 2026-01-31T12:00:00Z") from None
    return moment
