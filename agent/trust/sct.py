"""Signed certificate timestamps: that a signing certificate is in a public log, so that issuing it can't be hidden.

RFC 6962, sections 3.2 and 3.3, as Fulcio embeds them.  The log's key is chosen by its id; timestamps of logs that
nobody trusts are left out and count for nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from hashlib import sha256

from cryptography import x509
from cryptography.x509.certificate_transparency import LogEntryType, SignedCertificateTimestamp

from agent.errors import Code, LimitExceeded, Malformed
from agent.trust import chain as chains
from agent.trust import publickeys
from agent.trust.trustedroot import Log

MAX_TIMESTAMPS = 16
"""Most timestamps in one certificate; Fulcio embeds one."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


class SctInvalid(Malformed):
    """The certificate proves of no log that is trusted that it is in it."""

    code = Code.CERTIFICATE_CHAIN_INVALID


def logs_of(
    certificate: x509.Certificate, issuer: x509.Certificate, logs: Sequence[Log], keys: Mapping[str, bytes]
) -> frozenset[str]:
    """The keys' names of the distinct logs that the certificate is in.  Raises `SctInvalid` for what can't be read."""
    try:
        extension = chains.extension_of(certificate, x509.PrecertificateSignedCertificateTimestamps)
        found = list(extension.value) if extension is not None else []
        if len(found) > MAX_TIMESTAMPS:
            raise LimitExceeded(f"certificate: got {len(found)} SCTs; expected at most {MAX_TIMESTAMPS}")
        if not found:
            return frozenset()
        covered = _covered(certificate, issuer)
        return frozenset(
            log.key for sct in found for log in logs if sct.log_id in log.ids and _holds(sct, log, covered, keys)
        )
    except Malformed:
        raise
    except Exception as error:  # ValueError, TypeError, UnsupportedAlgorithm: of a certificate that somebody made up
        raise SctInvalid(f"certificate: its SCTs can't be read ({type(error).__name__})") from error


def _covered(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """The issuer's key and the certificate without the timestamps, as a log signs them (PreCert, section 3.2)."""
    tbs = certificate.tbs_precertificate_bytes
    key = publickeys.spki(issuer)
    return sha256(key).digest() + len(tbs).to_bytes(3, "big") + tbs


def _holds(sct: SignedCertificateTimestamp, log: Log, covered: bytes, keys: Mapping[str, bytes]) -> bool:
    if sct.entry_type is not LogEntryType.PRE_CERTIFICATE:
        return False
    at = sct.timestamp.replace(tzinfo=timezone.utc)
    extensions = sct.extension_bytes
    signed = (
        b"\0\0"  # version 1, certificate_timestamp
        + ((at - _EPOCH) // _MILLISECOND).to_bytes(8, "big")
        + b"\0\1"  # precert_entry
        + covered
        + len(extensions).to_bytes(2, "big")
        + extensions
    )
    key = publickeys.load(keys[log.key]).key
    return log.window.holds(at) and publickeys.holds(key, sct.signature, signed)
