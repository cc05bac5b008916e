"""One signature within a Sigstore instance: when it was made, by whom, and that it is in a log.

Sigstore client specification, section 4.  The numbers in comments are those of the list; nothing is believed of what
stands before a later number, and every one of them is made whatever layout a signature came in (CVE-2026-22703):

1. times: timestamps, checked against the authorities that are trusted; log entries with the log's promise
2. all times that are known fit: none lies in the future, and each suffices for the chain below
3. the certificate: its chain at each time, its certificate log, for whom it was issued, whether that is who counts
4. the signature holds under the certificate's key, over the very bytes that are read further

A signature with a key of one's own has (1) and (2) alone, and no times are needed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from agent.codec.sigstorebundle import LogEntry
from agent.errors import Code, Malformed
from agent.trust import chain as chains
from agent.trust import fulcio, publickeys, signeridentity, transparency
from agent.trust.fulcio import Signer
from agent.trust.signeridentity import SignerIdentity
from agent.trust.transparency import Signed
from agent.trust.trustedroot import TrustedRoot

CLOCK_SKEW = timedelta(minutes=5)
"""How far this host's clock may be behind that of whoever knows a time."""


Unknown = (fulcio.NotTrusted, transparency.NotLogged)
"""What is raised of a signature that another instance may know."""

Newer = (fulcio.NotTrusted, transparency.UnknownLog)
"""What is raised of a signature that the same instance may know by now."""


class Insufficient(Malformed):
    """A signature that holds as far as can be told, and lacks a log entry or a time that is asked for."""

    code = Code.TIMESTAMP_INVALID


class NotHolding(Malformed):
    """The signature does not hold under the certificate's key."""

    code = Code.SIGNATURE_INVALID


class Demands(NamedTuple):
    """How much is asked for.

    `logs`, `timestamps` and `certificate_logs` are numbers of distinct logs and authorities; `now_counts`: where no
    time is known the certificate must be valid now.
    """

    logs: int = 1
    timestamps: int = 0
    certificate_logs: int = 1
    now_counts: bool = False


class Presented(NamedTuple):
    """One signature and what came with it: certificates beside the signer's, log entries, RFC 3161 responses (DER).

    `stamped` is what timestamps are over: the signature itself, but for old attestations.
    """

    signed: Signed
    stamped: bytes
    attached: tuple[bytes, ...] = ()
    entries: tuple[LogEntry, ...] = ()
    timestamps: tuple[bytes, ...] = ()


class Recognised(NamedTuple):
    """Who signed; and until when that holds, if it rests on certificates that are valid now and on nothing else.

    `times` are all that are known of when it was signed.  `key` is the fingerprint of the key that did it
    (`agent.trust.publickeys`), `chain` the DER of its certificates, the signer's first.
    """

    signer: Signer
    until: datetime | None
    times: tuple[datetime, ...]
    key: str
    chain: tuple[bytes, ...]


class Times(NamedTuple):
    """What is known of when a signature was made; of how many logs it is in; why a timestamp was not believed."""

    moments: tuple[datetime, ...]
    logs: int
    refused: str


def check_signer(
    presented: Presented,
    identities: Sequence[SignerIdentity],
    demands: Demands,
    root: TrustedRoot,
    material: Mapping[str, bytes],
    now: datetime,
) -> Recognised:
    """Who made a keyless signature.  Raises `Malformed` unless all of the list holds.

    `material` is the DER of what `root` names.
    """
    times = check_times(presented, demands, root, material, now)  # (1), (2)
    moments = times.moments or ((now,) if demands.now_counts else ())
    if not moments:
        expected = "a log's promise (signed entry timestamp) or an RFC 3161 timestamp"
        raise Insufficient(f"nothing proves when the image was signed{times.refused}; expected {expected}")
    leaf, *attached = chains.parse_chain([presented.signed.certificate, *presented.attached])
    told = "signed at" if times.moments else "it is"
    issued = fulcio.check(leaf, attached, root, material, moments, demands.certificate_logs, told=told)  # (3)
    signer = fulcio.signer_of(leaf)
    signeridentity.check(identities, signer)
    key = publickeys.load(publickeys.spki(leaf))
    if not key.made(presented.signed.signature, presented.signed.message):  # (4)
        raise NotHolding("signature: does not hold under the signing certificate's key")
    chain = tuple(each.public_bytes(Encoding.DER) for each in issued.chain)
    return Recognised(signer, None if times.moments else issued.end, times.moments, key.fingerprint, chain)


def check_times(
    presented: Presented, demands: Demands, root: TrustedRoot, material: Mapping[str, bytes], now: datetime
) -> Times:
    """(1) and (2).  Raises `Malformed`."""
    stamps, authorities, refused = _stamps(presented, root, material)
    if len(authorities) < demands.timestamps:
        raise Insufficient(
            f"timestamps of {len(authorities)} trusted authorities; expected {demands.timestamps}{refused}"
        )
    logged = transparency.verify(presented.entries, presented.signed, root.transparency_logs, material, stamps)
    if len(logged.logs) < demands.logs:
        unknown = len(presented.entries) > len(logged.logs)
        got = f"{len(logged.logs)} of {len(presented.entries)} log entries are of a log of {root.name}"
        if not presented.entries:
            got = f"no log entry came with the signature, of a log of {root.name}"
        expected = "one" if demands.logs == 1 else f"{demands.logs}, each of another log"
        raise (transparency.UnknownLog if unknown else transparency.NotLogged)(f"{got}; expected {expected}")
    moments = (*stamps, *logged.times)
    for moment in moments:
        if moment > now + CLOCK_SKEW:
            raise Insufficient(f"signed at {moment:%Y-%m-%dT%H:%M:%SZ}, in the future; it is {now:%Y-%m-%dT%H:%M:%SZ}")
    return Times(moments, len(logged.logs), refused)


def _stamps(
    presented: Presented, root: TrustedRoot, material: Mapping[str, bytes]
) -> tuple[tuple[datetime, ...], frozenset[str], str]:
    """Times that timestamps prove, the authorities behind them, and why one that is of none of them was refused.

    A timestamp that can't be verified is as if it were not there: anybody may add one.
    """
    if not presented.timestamps:
        return (), frozenset(), ""

    from agent.trust import timestamp  # takes long to import

    moments: list[datetime] = []
    authorities: set[str] = set()
    refused = ""
    for token in dict.fromkeys(presented.timestamps):
        for authority in root.timestamp_authorities:
            ders = [material[name] for name in authority.certificates]
            try:
                stamp = timestamp.check_by(token, presented.stamped, ders)
            except Malformed as error:
                refused = refused or f" ({error.message})"
                continue
            if not authority.window.holds(stamp.earliest):
                refused = refused or f" (timestamp: its authority did not count at {stamp.earliest:%Y-%m-%dT%H:%M:%SZ})"
                continue
            moments.append(stamp.earliest)
            authorities.add(authority.certificates[0])
            break
    return tuple(moments), frozenset(authorities), refused
