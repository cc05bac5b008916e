"""What a trusted root says, for people: who counts for what, from when until when, and how long anything new can.

Decides nothing about signatures.  Pure.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from agent.trust import chain as chains
from agent.trust.expiry import earliest_end
from agent.trust.trustedroot import Authority, Log, TrustedRoot, Window

CERTIFICATE_AUTHORITIES, CERTIFICATE_LOGS = "certificateAuthorities", "certificateLogs"
TRANSPARENCY_LOGS, TIMESTAMP_AUTHORITIES = "transparencyLogs", "timestampAuthorities"
"""The kinds of members."""


class Member(NamedTuple):
    """One authority or log.  `name` is its certificate's subject or its host; `key` the SHA-256 of certificate or key.

    `window` is when it counts; an authority no longer than its certificates do.
    """

    kind: str
    name: str
    key: str
    window: Window


def members(root: TrustedRoot, material: Mapping[str, bytes]) -> tuple[Member, ...]:
    """All of them, as the file has them; `material` is DER by its SHA-256."""
    return (
        *(_authority(CERTIFICATE_AUTHORITIES, each, material) for each in root.certificate_authorities),
        *(_log(CERTIFICATE_LOGS, each) for each in root.certificate_logs),
        *(_log(TRANSPARENCY_LOGS, each) for each in root.transparency_logs),
        *(_authority(TIMESTAMP_AUTHORITIES, each, material) for each in root.timestamp_authorities),
    )


def ends(found: Sequence[Member]) -> Mapping[str, float | None]:
    """By kind, when the last of it ends; None for never.  A kind of which there is nothing is not in it."""
    ending: dict[str, float | None] = {}
    for each in found:
        before = ending.get(each.kind, each.window.end)
        ending[each.kind] = None if before is None or each.window.end is None else max(before, each.window.end)
    return ending


def stale_at(found: Sequence[Member]) -> float | None:
    """When nothing new can count for who asks for one of each kind that is there; None for never."""
    return min((end for end in ends(found).values() if end is not None), default=None)


def counts(member: Member, now: datetime) -> bool:
    """Whether it counts for what is new."""
    return member.window.holds(now)


def _authority(kind: str, authority: Authority, material: Mapping[str, bytes]) -> Member:
    ders = [material[name] for name in authority.certificates]
    end = earliest_end(ders)
    ending = [each for each in (authority.window.end, end) if each is not None]
    window = Window(authority.window.start, min(ending, default=None))
    return Member(kind, _subject(ders[-1]), authority.certificates[-1], window)


def _log(kind: str, log: Log) -> Member:
    return Member(kind, log.name, log.key, log.window)


def _subject(der: bytes) -> str:
    (certificate,) = chains.parse_chain([der])  # it was read before
    return chains.subject_of(certificate)
