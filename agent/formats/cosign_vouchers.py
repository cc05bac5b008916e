"""What vouches for a signature in cosign's older layout: annotations with certificates, a log entry, a timestamp.

The signature specification of cosign.  A log entry has the log's promise (signed entry timestamp), and no proof that it
is in the log.
"""

from collections.abc import Mapping

from agent.codec import members, pem, rekorentry, strictjson
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
    payload = members.nested(value, "Payload", where)
    body = base64_standard(members.text(payload, "body", where), f"{where}: body")
    log_id = members.text(payload, "logID", where)
    log_index, integrated_time = (
        _integer(payload.get(name), f"{where}: {name}") for name in ("logIndex", "integratedTime")
    )
    log = members.hexadecimal(log_id, f"{where}: logID")
    read = rekorentry.parse(body)
    return LogEntry(
        log_id=log,
        log_index=log_index,
        integrated_time=integrated_time,
        kind=read.kind,
        version=read.version,
        body=body,
        promise=base64_standard(members.text(value, "SignedEntryTimestamp", where), f"{where}: SignedEntryTimestamp"),
        proof=None,
    )


def _timestamp(text: str) -> bytes:
    where = f"layer: {TIMESTAMP}"
    return base64_standard(members.text(_object(text, where), "SignedRFC3161Timestamp", where), where)


def _integer(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LAST_INTEGER:
        raise Malformed(f"{where}: got {ascii(value)[:40]}; expected an integer from 0 to 2^63 - 1")
    return value


def _object(text: str, where: str) -> Mapping[str, object]:
    return members.of(strictjson.decode(text.encode(), where, limit=_MAX_ANNOTATION_LENGTH), where)
