"""Trusted roots of Sigstore instances that are too old to know anything new, or will be soon.  Pure.

What a verifier asks for must have authorities and logs that have not ended: without them nobody can tell what a newer
trusted root would say of a signature that this one does not know (`trustRootStale`).  An authority ends with its time,
or with the first of its certificates.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple, cast

from agent.config import checking
from agent.config.checking import Finding
from agent.config.config import VerifierSettings
from agent.trust.expiry import earliest_end
from agent.trust.sigstoredemands import SigstoreDemands
from agent.trust.trustedroot import Authority, Log, TrustedRoot

SOON = timedelta(days=30)
"""How long before a trusted root ends that is told."""

_EXPECTED = "the present trusted root of the instance: what this one does not know then, nobody can tell"
_NEVER = float("inf")


class _Lasting(NamedTuple):
    """Until when (seconds since 1970) a root has enough of all that is asked for, and of what it has too few then."""

    end: float
    what: str
    root: str


def findings(
    verifiers: Sequence[VerifierSettings],
    paths: Mapping[str, checking.Path],
    material: Mapping[str, bytes],
    now: datetime,
) -> Iterator[Finding]:
    """One for each statement of a verifier none of whose trusted roots lasts.

    `paths` says where verifiers stand, by name; `material` is the DER of what trusted roots name, by its SHA-256.
    """
    for verifier in verifiers:
        policies = cast("Sequence[Mapping[str, Mapping[str, object]]]", verifier.settings.get("policies", ()))
        demands = (SigstoreDemands.from_json(each["sigstore"]) for each in policies if each.get("sigstore"))
        told = (_told([_lasting(each, root, material) for root in each.roots], now) for each in demands)
        yield from (Finding(paths[verifier.name], got, _EXPECTED, fatal=False) for got in dict.fromkeys(told) if got)


def _told(roots: Sequence[_Lasting], now: datetime) -> str:
    """What is told of a statement's roots, empty if one of them lasts: a signature needs no more than one."""
    longest = max(roots, default=_Lasting(_NEVER, "", ""))
    if longest.end - now.timestamp() > SOON.total_seconds():
        return ""
    day = f"{datetime.fromtimestamp(longest.end, timezone.utc):%Y-%m-%d}"
    when = f"since {day}" if longest.end < now.timestamp() else f"after {day}"
    return f"{longest.root}, of whose {longest.what} too few count {when}"


def _lasting(demands: SigstoreDemands, root: TrustedRoot, material: Mapping[str, bytes]) -> _Lasting:
    """How long a root has enough: of each kind, the end of the last that may go."""
    found = [_Lasting(_NEVER, "", root.name)]
    for what, given, wanted in demands.asked(root):
        ends = sorted((_end(each, material) for each in given), reverse=True)
        if wanted and len(ends) >= wanted:  # that there are too few of them is told elsewhere
            found.append(_Lasting(ends[wanted - 1], what, root.name))
    return min(found)


def _end(member: Log | Authority, material: Mapping[str, bytes]) -> float:
    """When a log or an authority ends."""
    end = _NEVER if member.window.end is None else member.window.end
    if isinstance(member, Log):
        return end
    first = earliest_end(material[name] for name in member.certificates)
    return end if first is None else min(end, first)
