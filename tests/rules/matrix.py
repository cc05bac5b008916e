"""Every combination of what decides about an image, and the one right answer to it, written from the specification.

`expected` is an oracle: it knows docs/architecture.md ("Precedence") and the defaults, and calls nothing of the agent.
`python -m tests.rules.matrix` writes all rows with their answers to `ASSET`, so that a change of any answer is a diff.
"""

import itertools
import pathlib
from typing import NamedTuple

from agent.errors import Cause

ASSET = pathlib.Path(__file__).resolve().parents[1] / "assets" / "precedence.tsv"

VERIFIED, DENIED = "verified", "denied"
USUAL, LENIENT = "usual", "lenient"
FAIL, IGNORE, IGNORE_IF_BEFORE = "Fail", "Ignore", "IgnoreIfVerifiedBefore"
ENFORCE, AUDIT, DISABLED = "Enforce", "Audit", "Disabled"
UNLISTED, ON_DENY, ON_ALLOW, EXEMPT = "none", "deny", "allow", "exempt"
OFF, ON = "off", "on"
NOTHING, WITHIN, BEYOND, ENDED = "nothing", "within", "beyond", "ended"
EXACT, ANY = "exact", "any"

CAUSES = tuple(cause.value for cause in Cause)
ONLY_BY_FLOOR = ("revocationUnknown", "configurationInvalid")
"""Causes of which a floor that says nothing lets none be ignored."""

SITUATIONS = tuple((each, USUAL) for each in (VERIFIED, DENIED, *CAUSES)) + tuple(
    (cause, LENIENT) for cause in ONLY_BY_FLOOR
)
"""What verification comes to, and the node's floor: one that says nothing, or one that lets `ONLY_BY_FLOOR` be ignored.

`denied` is an image without evidence; the causes are all those of "cannot tell".
"""

ACTIONS = (FAIL, IGNORE, IGNORE_IF_BEFORE)
"""What the failure policy says of the situation's cause."""

ENFORCEMENTS = (ENFORCE, AUDIT, DISABLED)
LISTS = (UNLISTED, ON_DENY, ON_ALLOW, EXEMPT)
GLASS = (OFF, ON)
BEFORE = (NOTHING, WITHIN, BEYOND, ENDED)
"""What was verified before: nothing; within the usual `staleIfError` of the registry; beyond it, but before the end of
signature and certificates; within it, but after that end."""

HOSTS = (EXACT, ANY)
"""Whether the pattern that matches names the host."""


class Row(NamedTuple):
    """One combination."""

    situation: str
    floor: str
    action: str
    enforcement: str
    listed: str
    glass: str
    before: str
    host: str


class Expected(NamedTuple):
    """What every door has to say: exit code, code, number in the precedence, ground, and the exit that enforcing gives.

    `ground` is empty and `would` None where there is none.
    """

    exit: int
    code: str
    precedence: int
    ground: str = ""
    would: int | None = None


_CODES = {
    "registryUnavailable": "NS-3001",
    "unauthorized": "NS-3002",
    "throttled": "NS-3003",
    "revocationUnknown": "NS-3004",
    "deadline": "NS-3005",
    "configurationMissing": "NS-3006",
    "configurationInvalid": "NS-3007",
    "clockImplausible": "NS-3008",
    "credentialsUnavailable": "NS-3009",
}
_REGISTRY = ("registryUnavailable", "unauthorized", "credentialsUnavailable")
_FROM_AFAR = ("deadline", "throttled")
_STALE_FOR_A_DAY = (*_REGISTRY, *_FROM_AFAR)  # the registry did not answer, or not in time; `revocation` is 0 s


def rows() -> tuple[Row, ...]:
    """All of them."""
    axes = (SITUATIONS, ACTIONS, ENFORCEMENTS, LISTS, GLASS, BEFORE, HOSTS)
    return tuple(Row(*situation, *others) for situation, *others in itertools.product(*axes))


def expected(row: Row) -> Expected:
    """The right answer.  Numbers are the precedence's; 1, the canary, has a name of its own and no combinations."""
    if row.listed == ON_DENY:
        return Expected(10, "NS-2009", 2)
    if row.glass == ON:
        return Expected(0, "NS-0005", 3, "breakGlass")
    if row.listed == ON_ALLOW:
        return Expected(0, "NS-0004", 4, "allowedByDigest")
    if row.listed == EXEMPT:
        return Expected(0, "NS-0003", 5, "exempt")
    if row.enforcement == DISABLED:
        return Expected(0, "NS-0002", 6, "disabled")
    if row.situation == VERIFIED:
        return Expected(0, "NS-0001", 7, "verified")
    if row.situation == DENIED:
        return _unless_audit(row, Expected(10, "NS-2001", 7))
    code = _CODES[row.situation]
    if row.before == WITHIN and row.situation in _STALE_FOR_A_DAY:
        return Expected(0, code, 8, "stale")
    if _ignored(row):
        return Expected(0, code, 8, "failurePolicy")
    return _unless_audit(row, Expected(11, code, 8))


def _unless_audit(row: Row, blocked: Expected) -> Expected:
    if row.enforcement == AUDIT:
        return blocked._replace(exit=0, ground="audit", would=blocked.exit)
    return blocked


def _ignored(row: Row) -> bool:
    """Whether the failure policy lets an image pass about which we cannot tell."""
    if row.action == FAIL or (row.situation in ONLY_BY_FLOOR and row.floor == USUAL):
        return False
    if_before = (
        row.action == IGNORE_IF_BEFORE
        or row.situation in _FROM_AFAR
        or (row.situation in _REGISTRY and row.host != EXACT)
    )
    return not if_before or row.before in (WITHIN, BEYOND)


def table() -> str:
    """All rows with their answers, a line each, columns separated by tabs; `-` where there is nothing."""
    lines = ["\t".join((*Row._fields, *Expected._fields))]
    lines += ("\t".join(map(_cell, (*row, *expected(row)))) for row in rows())
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    return "-" if value in ("", None) else str(value)


if __name__ == "__main__":
    ASSET.write_text(table(), encoding="ascii")
