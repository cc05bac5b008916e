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
USUAL, LENIENT, STRICT = "usual", "lenient", "strict"
FAIL, IGNORE, IGNORE_IF_BEFORE = "Fail", "Ignore", "IgnoreIfVerifiedBefore"
ENFORCE, AUDIT, DISABLED = "Enforce", "Audit", "Disabled"
OFF, NODE, CONFIGURED, OVER, NOT_BEGUN = "off", "node", "configured", "over", "not-begun"
NOTHING, WITHIN, BEYOND, ENDED = "nothing", "within", "beyond", "ended"
EXACT, ANY, UNMATCHED = "exact", "any", "unmatched"
UNLISTED, ON_DENY, ON_ALLOW, EXEMPT = "none", "deny", "allow", "exempt"
DENIED_ALL, EXEMPT_BY_DIGEST, OTHERS, ALLOW_OVER = "deny-all", "exempt-digest", "others", "allow-over"
DENY_AND_ALLOW, DENY_AND_EXEMPT, ALLOW_AND_EXEMPT = "deny-and-allow", "deny-and-exempt", "allow-and-exempt"

CAUSES = tuple(cause.value for cause in Cause)
ONLY_BY_FLOOR = ("revocationUnknown", "configurationInvalid")
"""Causes of which a floor that says nothing lets none be ignored."""

FOUND = (VERIFIED, DENIED, *CAUSES)
"""What verification comes to: verified, without evidence, or one of the causes of "cannot tell"."""

SITUATIONS = (
    *((each, USUAL) for each in FOUND),
    *((cause, LENIENT) for cause in ONLY_BY_FLOOR),
    *((each, STRICT) for each in FOUND),
)
"""What verification comes to, and the node's floor: one that says nothing; one that lets `ONLY_BY_FLOOR` be ignored;
what holds while the bootstrap document can't be read, which is the strictest."""

ACTIONS = (FAIL, IGNORE, IGNORE_IF_BEFORE)
"""What the failure policy says of the situation's cause."""

ENFORCEMENTS = (ENFORCE, AUDIT, DISABLED)

MAIN_LISTS = (UNLISTED, ON_DENY, ON_ALLOW, EXEMPT)
LISTS = (
    *MAIN_LISTS, DENIED_ALL, EXEMPT_BY_DIGEST, OTHERS, ALLOW_OVER, DENY_AND_ALLOW, DENY_AND_EXEMPT, ALLOW_AND_EXEMPT,
)  # fmt: skip
"""Which lists have the image.  `deny` has its digest, `deny-all` its repository; `exempt` its repository,
`exempt-digest` its digest.  `others`: all lists have its repository with another digest.  `allow-over`: the time of
that one is over."""

MAIN_GLASS = (OFF, NODE)
GLASS = (*MAIN_GLASS, CONFIGURED, OVER, NOT_BEGUN)
"""Break-glass: the node's own, or the configuration's; the time of both over; the configuration's, which has not begun
on this node."""

BEFORE = (NOTHING, WITHIN, BEYOND, ENDED)
"""What was verified before: nothing; within the usual `staleIfError` of the registry; beyond it, but before the end of
signature and certificates; within it, but after that end."""

MAIN_HOSTS = (EXACT, ANY)
HOSTS = (*MAIN_HOSTS, UNMATCHED)
"""Whether the pattern that matches names the host; or no rule is for the image, and `default` holds."""


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
    "configurationStale": "NS-3010",
    "keyProvider": "NS-3011",
    "trustRootStale": "NS-3012",
}
_REGISTRY = ("registryUnavailable", "unauthorized", "credentialsUnavailable")
_FROM_AFAR = ("deadline", "throttled", "configurationStale", "keyProvider", "trustRootStale")
_STALE_FOR_A_DAY = (*_REGISTRY, "deadline", "throttled")  # it did not answer, or not in time; `revocation` is 0 s


def rows() -> tuple[Row, ...]:
    """All of them, each once: three products, that together have every pair of what is next to each other in order.

    (1) Whatever verification comes to, under everything that says what that means; with the lists and break-glass in
    their usual form.  (2) Every form of list and break-glass together, over images that are verified, denied, and
    unknown, and would pass if they got that far.  (3) Images that no rule is for.
    """
    by_floor = {floor: [each for each in SITUATIONS if each[1] == floor] for floor in (USUAL, LENIENT, STRICT)}
    said = (*by_floor[USUAL], *by_floor[LENIENT])
    unlisted = ((UNLISTED,), (OFF,))
    few = [each for each in SITUATIONS if each[0] in (VERIFIED, DENIED, "registryUnavailable")]
    products = (
        itertools.product(said, ACTIONS, ENFORCEMENTS, MAIN_LISTS, MAIN_GLASS, BEFORE, MAIN_HOSTS),  # (1)
        itertools.product(by_floor[STRICT], ACTIONS[1:], ENFORCEMENTS, *unlisted, BEFORE, MAIN_HOSTS),  # (1)
        itertools.product(few, (IGNORE,), ENFORCEMENTS, LISTS, GLASS, (WITHIN,), HOSTS),  # (2)
        itertools.product(SITUATIONS, (IGNORE,), ENFORCEMENTS, *unlisted, (NOTHING,), (UNMATCHED,)),  # (3)
    )
    return tuple(dict.fromkeys(Row(*situation, *others) for situation, *others in itertools.chain(*products)))


def expected(row: Row) -> Expected:
    """The right answer.  Numbers are the precedence's; 1, the canary, has a name of its own and no combinations."""
    if row.listed in (ON_DENY, DENIED_ALL, DENY_AND_ALLOW, DENY_AND_EXEMPT):
        return Expected(10, "NS-2009", 2)
    if row.glass in (NODE, CONFIGURED) and row.floor != STRICT:
        return Expected(0, "NS-0005", 3, "breakGlass")
    if row.listed in (ON_ALLOW, ALLOW_AND_EXEMPT):
        return Expected(0, "NS-0004", 4, "allowedByDigest")
    if row.listed == EXEMPT_BY_DIGEST or (row.listed == EXEMPT and row.floor != STRICT):
        return Expected(0, "NS-0003", 5, "exempt")
    if row.enforcement == DISABLED and row.floor != STRICT:
        return Expected(0, "NS-0002", 6, "disabled")
    if row.host == UNMATCHED:
        return _unless_audit(row, Expected(10, "NS-2007", 7))
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
    if row.enforcement == AUDIT and row.floor != STRICT:
        return blocked._replace(exit=0, ground="audit", would=blocked.exit)
    return blocked


def _ignored(row: Row) -> bool:
    """Whether the failure policy lets an image pass about which we cannot tell."""
    if row.action == FAIL or row.floor == STRICT or (row.situation in ONLY_BY_FLOOR and row.floor == USUAL):
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
