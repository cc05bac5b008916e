"""What vouches for a signature in cosign's older layout: annotations with certificates, a log entry, a timestamp.

The signature specification of cosign.  A log entry has the log's promise (signed entry timestamp), and no proof that it
is in the log.
"""

from collections.abc import Mapping

from agent.codec import pem, rekorentry, strictjson
from agent.codec.jose import base64_standard
from agent.codec.sigstorebundle import LogEntry
from agent.errors import Malformed
from agent.formats.cosign_signature import Vouchers

CERTIFICATE, CHAIN = "dev.sigstore.cosign/certificate", "dev.sigstore.cosign/chain"
LOG_ENTRY, TIMESTAMP = "dev.sigstore.cosign/bundle", "dev.sigstore.cosign/rfc3161timestamp"

_MAX_ANNOTATION_LENGTH = 256 * 1024
_MAX_CHAIN = 15  # certificates beside the signer's
_LAST_INTEGER = 2**63 - 1


def read(annotations: Mapping[str, str]) -> Vouchers:
    """What stands beside a signature.  Raises `Malformed` or `LimitExceeded`."""
    certificates: tuple[bytes, ...] = ()
    if CERTIFICATE in annotations:
        label, der = pem.certificate_or_key(annotations[CERTIFICATE].encode())
        if label != pem.CERTIFICATE:
            raise Malformed(f"layer: {CERTIFICATE}: got a public key; expected a certificate as PEM")
        certificates = (der, *_chain(annotations.get(CHAIN, "")))
    entries = (_entry(annotations[LOG_ENTRY]),) if LOG_ENTRY in annotations else ()
    timestamps = (_timestamp(annotations[TIMESTAMP]),) if TIMESTAMP in annotations else ()
    return Vouchers(certificates, entries, timestamps)


def _chain(text: str) -> tuple[bytes, ...]:
    """Certificates that lead to a root; none of them is trusted for standing here."""
    if not text.strip():
        return ()
    found = pem.contents(text.encode())
    if found.defects or len(found.certificates) > _MAX_CHAIN:
        got = (*found.defects, f"{len(found.certificates)} certificates")[0]
        raise Malformed(f"layer: {CHAIN}: got {got}; expected up to {_MAX_CHAIN} certificates as PEM")
    return found.certificates


def _entry(text: str) -> LogEntry:
    """What the log promised when it took the signature; there is no proof in this layout."""
    where = f"layer: {LOG_ENTRY}"
    value = _object(text, where)
    payload = value.get("Payload")
    if not isinstance(payload, dict):
        raise Malformed(f"{where}: Payload: got {type(payload).__name__}; expected an object")
    body = base64_standard(_text(payload, "body", where), f"{where}: body")
    log_id = _text(payload, "logID", where)
    integers = [payload.get("logIndex"), payload.get("integratedTime")]
    if not all(
        isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= _LAST_INTEGER for each in integers
    ):
        raise Malformed(f"{where}: logIndex, integratedTime: got no integers from 0 to 2^63 - 1")
    try:
        log = bytes.fromhex(log_id)
    except ValueError:
        log = b""
    if not log or log.hex() != log_id:
        raise Malformed(f"{where}: logID: got {ascii(log_id)[:80]}; expected lower-case hexadecimal")
    read = rekorentry.parse(body)
    return LogEntry(
        log_id=log,
        log_index=payload["logIndex"],
        integrated_time=payload["integratedTime"],
        kind=read.kind,
        version=read.version,
        body=body,
        promise=base64_standard(_text(value, "SignedEntryTimestamp", where), f"{where}: SignedEntryTimestamp"),
        proof=None,
    )


def _timestamp(text: str) -> bytes:
    where = f"layer: {TIMESTAMP}"
    return base64_standard(_text(_object(text, where), "SignedRFC3161Timestamp", where), where)


def _object(text: str, where: str) -> Mapping[str, object]:
    value = strictjson.decode(text.encode(), where, limit=_MAX_ANNOTATION_LENGTH)
    if not isinstance(value, dict):
        raise Malformed(f"{where}: got {type(value).__name__}; expected an object")
    return value


def _text(value: Mapping[str, object], name: str, where: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise Malformed(f"{where}: {name}: got {type(text).__name__}; expected a string")
    return text
