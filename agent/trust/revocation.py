"""Revocation: whether a certificate of a trusted chain was revoked.

Notary Project, trust store and trust policy specification, "Certificate Revocation Evaluation".  For each certificate,
signing certificate first, the root left out:

1. If it names OCSP responders, they are asked, one after another, until one says good, revoked or unknown.
2. If none says good or revoked and it names revocation lists, all of these are read; with the newest delta list where
   a list names such.
3. If it names neither, it cannot be revoked.

Who is asked: only what certificates up to the highest one in the trust store name.  Those above it came with the
signature, and whoever attached them could have chosen their addresses.

Pure: what has to be fetched is yielded as a query (`agent.model.inquiry`).
"""

from datetime import datetime
from hashlib import sha256
from typing import Callable, NamedTuple, Sequence, TypeVar

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from agent.errors import Malformed, NodesealError, Unavailable
from agent.model.inquiry import Confirmed, Fetched, Inquiry, RevocationQuery
from agent.trust import chain as chains
from agent.trust import crl, ocsp
from agent.trust.revocationstatus import Status, Told, Unusable

MAX_SOURCES = 4
"""Most responders and most lists of one certificate that are asked."""

OCSP_SECONDS = 2.0
CRL_SECONDS = 5.0

Found = TypeVar("Found")


class Revocation(NamedTuple):
    """What was found about a chain: the worst status of its certificates, and a text for people.

    `until` is when the next word about one of them is due, None if none is.  `certificate` tells the revoked one from
    all others, of the same name too; empty if none is.
    """

    status: Status
    message: str
    until: datetime | None = None
    certificate: str = ""


def check(
    chain: Sequence[Certificate], trusted: frozenset[bytes], now: datetime, signed: datetime | None = None
) -> Inquiry[Revocation]:
    """Ask about every certificate of `chain` that may be asked about; `trusted` holds the trust store's, as DER.

    `signed` is the authentic time of signing, where there is one: what became invalid later does not count.
    """
    told: list[str] = []
    ends: list[datetime] = []
    unknown = ""
    highest = max((i for i, each in enumerate(chain) if each.public_bytes(Encoding.DER) in trusted), default=-1)
    for certificate, issuer in zip(chain[: highest + 1], chain[1:], strict=False):
        who = f"certificate {chains.subject_of(certificate)}"
        status, said, until, _ = yield from _check_one(certificate, issuer, now, signed)
        if status is Status.REVOKED:
            which = sha256(certificate.tbs_certificate_bytes).hexdigest()  # whoever presents it can't make two of it
            return Revocation(status, f"{who}: revoked ({said})", certificate=which)
        if status is Status.UNKNOWN:
            unknown = unknown or f"{who}: {said}"
        elif said:
            told.append(said)
        ends += [until] if until else []
    if unknown:
        return Revocation(Status.UNKNOWN, unknown)
    said = "; ".join(told) or "no certificate names a revocation source"
    return Revocation(Status.GOOD, said, min(ends, default=None))


def _check_one(
    certificate: Certificate, issuer: Certificate, now: datetime, signed: datetime | None
) -> Inquiry[Revocation]:
    """(1) to (3).  The message of a good one is empty if it can't be revoked."""
    problems: list[str] = []
    for url in ocsp.responders(certificate)[:MAX_SOURCES]:  # (1)
        if not url.lower().startswith("http://"):
            problems.append(f"{_host(url)} is not asked by http")
            continue
        query = RevocationQuery(url, ocsp.request(certificate, issuer), ocsp.MAX_ANSWER, OCSP_SECONDS)
        try:
            status, until = yield from _ask_responder(query, certificate, issuer, now, signed)
        except Unusable as error:
            problems.append(f"{_host(url)} {error}")
            continue
        if status is not Status.UNKNOWN:
            return Revocation(status, f"OCSP of {_host(url)}", until)
        problems.append(f"{_host(url)} does not know it")
        break  # unknown is an answer: no other responder is asked
    try:
        urls = crl.distribution_points(certificate)
    except Unusable as error:
        return Revocation(Status.UNKNOWN, "; ".join([*problems, str(error)]))
    if not urls:
        return Revocation(Status.UNKNOWN if problems else Status.GOOD, "; ".join(problems))  # (3)
    if len(urls) > MAX_SOURCES:
        return Revocation(Status.UNKNOWN, f"names {len(urls)} revocation lists; expected at most {MAX_SOURCES}")
    ends: list[datetime] = []
    for url in urls:  # (2)
        try:
            status, until = yield from _look_at_list(url, certificate, issuer, now, signed)
        except Unusable as error:
            return Revocation(Status.UNKNOWN, "; ".join([*problems, f"{_host(url)} {error}"]))
        if status is Status.REVOKED:
            return Revocation(status, f"revocation list of {_host(url)}")
        ends += [until] if until else []
    return Revocation(Status.GOOD, f"revocation list of {_host(urls[0])}", min(ends, default=None))


def _ask_responder(
    query: RevocationQuery, certificate: Certificate, issuer: Certificate, now: datetime, signed: datetime | None
) -> Inquiry[Told]:
    def read(content: bytes) -> Told:
        return ocsp.read(content, certificate, issuer, now, signed)

    return (yield from _read(query, read))


def _look_at_list(
    url: str, certificate: Certificate, issuer: Certificate, now: datetime, signed: datetime | None
) -> Inquiry[Told]:
    base = yield from _list(url, None, certificate, issuer, now)
    delta: crl.RevocationList | None = None
    for delta_url in base.delta_urls[:MAX_SOURCES]:
        found = yield from _list(delta_url, base, certificate, issuer, now)
        delta = found if delta is None or (found.number or 0) > (delta.number or 0) else delta
    ends = [each.crl.next_update_utc for each in (base, delta) if each is not None]
    status = crl.status(certificate, base, delta, signed)
    return Told(status, min((end for end in ends if end is not None), default=None))


def _list(
    url: str, base: crl.RevocationList | None, certificate: Certificate, issuer: Certificate, now: datetime
) -> Inquiry[crl.RevocationList]:
    """A complete list, or the delta list to `base`."""

    def read(content: bytes) -> crl.RevocationList:
        if base is None:
            return crl.read_base(content, certificate, issuer, now)
        return crl.read_delta(content, base, certificate, issuer, now)

    return (yield from _read(RevocationQuery(url, b"", crl.MAX_LIST, CRL_SECONDS), read))


def _read(query: RevocationQuery, read: Callable[[bytes], Found]) -> Inquiry[Found]:
    """What `read` makes of the answer to `query`; if it was kept from before and won't do, of another one.

    Raises `Unusable`.
    """
    fetched = yield from _fetched(query)
    try:
        found = read(fetched.content)
    except Unusable:
        if not fetched.kept:
            raise
        fetched = yield from _fetched(query._replace(fresh=True))
        found = read(fetched.content)
    if not fetched.kept and found != Told(Status.UNKNOWN):
        yield Confirmed(query, fetched.content)
    return found


def _fetched(query: RevocationQuery) -> Inquiry[Fetched]:
    """The answer to a query.  Raises `Unusable` if there is none: it was not the signature's to choose."""
    try:
        return (yield query)
    except (Malformed, Unavailable) as error:
        raise Unusable(f"can't be asked ({_short(error)})") from None


def _short(error: NodesealError) -> str:
    return error.message[:120]


def _host(url: str) -> str:
    """Who is meant by a URL, for a message; it may be anything that a certificate holds."""
    return ascii(url.partition("://")[2].partition("/")[0][:80])[1:-1] or "a source without a name"
