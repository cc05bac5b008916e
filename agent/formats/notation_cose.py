"""Notary Project signatures in COSE envelopes.

Notary Project, COSE signature envelope specification: COSE_Sign1; the common attributes under COSE's own labels, the
Notary Project's under their names.
"""

from datetime import datetime, timezone
from typing import Sequence

from cbor2 import CBORTag

from agent.codec import cose
from agent.errors import Malformed
from agent.formats.notation_envelope import MAX_ENVELOPE_SIZE, TIMES, TIMESTAMP_SIGNATURE, Attributes

_ALGORITHM, _CRITICAL, _CONTENT_TYPE, _X5CHAIN = 1, 2, 3, 33
_ALGORITHMS = {-7: "ES256", -35: "ES384", -36: "ES512", -37: "PS256", -38: "PS384", -39: "PS512"}
_LAST_SECOND = 253402300799  # of the year 9999


def parse(data: bytes) -> Attributes:
    """Read an envelope.  Raises `Malformed` or `LimitExceeded`."""
    message = cose.parse(data, limit=MAX_ENVELOPE_SIZE)
    protected = message.protected
    algorithm = protected.get(_ALGORITHM)
    if not isinstance(algorithm, int) or algorithm not in _ALGORITHMS:
        raise Malformed(f"alg: got {ascii(algorithm)[:40]}; expected one of {', '.join(map(str, _ALGORITHMS))}")
    return Attributes(
        algorithm=_ALGORITHMS[algorithm],
        content_type=protected.get(_CONTENT_TYPE),
        critical=_critical(protected),
        signed={
            label: _time(value, label) if label in TIMES else value
            for label, value in protected.items()
            if isinstance(label, str)
        },
        chain=_chain(message.unprotected),
        timestamp=_timestamp(message.unprotected),
        signature=message.signature,
        signing_input=message.signing_input,
        payload=message.payload,
    )


def _critical(protected: cose.Header) -> Sequence[object]:
    critical = protected.get(_CRITICAL)
    if not isinstance(critical, list) or not critical or not all(isinstance(name, (str, int)) for name in critical):
        raise Malformed(f"crit: got {ascii(critical)[:80]}; expected a list of labels")
    return critical


def _chain(unprotected: cose.Header) -> tuple[bytes, ...]:
    certificates = unprotected.get(_X5CHAIN)
    if not isinstance(certificates, list):
        raise Malformed(f"x5chain: got {type(certificates).__name__}; expected a list of certificates")
    ders = tuple(each for each in certificates if isinstance(each, bytes))
    if len(ders) != len(certificates):
        raise Malformed("x5chain: got an entry that is no byte string; expected certificates")
    return ders


def _timestamp(unprotected: cose.Header) -> bytes:
    token = unprotected.get(TIMESTAMP_SIGNATURE, b"")
    if not isinstance(token, bytes):
        raise Malformed(f"{TIMESTAMP_SIGNATURE}: got {type(token).__name__}; expected a byte string")
    return token


def _time(value: object, name: str) -> datetime:
    """Tagged seconds since 1970, whole ones."""
    seconds = value.value if isinstance(value, CBORTag) and value.tag == cose.TIME else None
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 <= seconds <= _LAST_SECOND:
        raise Malformed(f"{name}: got {ascii(value)[:60]}; expected a time in whole seconds, tagged {cose.TIME}")
    return datetime.fromtimestamp(seconds, timezone.utc)
