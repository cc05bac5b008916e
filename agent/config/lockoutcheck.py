"""What of a configuration would lock its node out, told at the place that does it: see `agent.rules.lockout`.

An error, unless the document insists, or nobody has said what the node needs: then a warning.  Pure.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from agent.config import checking
from agent.config.checking import Finding
from agent.config.plugins import at
from agent.errors import Problem
from agent.rules import lockout
from agent.rules.floor import Floor
from agent.rules.lockout import Needs, Threat
from agent.rules.ruleset import Denied, RuleSet

SECTION = "nodeseal"
DENY: checking.Path = (SECTION, "deny")
DEFAULT: checking.Path = (SECTION, "default")
RULES: checking.Path = (SECTION, "rules")

_INSISTED = "to know that it is put in force all the same, because of allowLockout"


def insists(root: object) -> bool:
    """Whether a document wants to be put in force although it locks nodes out."""
    return at(root, SECTION, "allowLockout") is True


def of_one(root: object, ruleset: RuleSet, floor: Floor, now: datetime, needs: Needs) -> Iterator[Finding]:
    """What a configuration that is one document means for what its node needs."""
    insisted = insists(root)
    for threat in lockout.threats(ruleset, floor, now, lockout.references(needs.images)):
        yield _finding(threat, needs, insisted=insisted)


def of_denied(root: object, deny: Iterable[Denied], needs: Needs) -> tuple[tuple[Denied, ...], list[Finding]]:
    """The entries that count of a document among several, and what is told of those that lock its node out.

    Such an entry does not count from a document that does not insist, not even while the document is quarantined:
    otherwise whoever may write one document would stop every node by it.
    """
    insisted, needed = insists(root), lockout.references(needs.images)
    counting, found = [], []
    for entry in deny:
        threat = lockout.hit(entry, needed)
        if threat:
            found.append(_finding(threat, needs, insisted=insisted))
        if not threat or insisted or not needs.binding:
            counting.append(entry)
    return tuple(counting), found


def problem(threat: Threat, owner: str, *, insisted: bool) -> Problem:
    """What is told of a threat of several documents together: at `owner`, who says it."""
    fatal = threat.locked_out and not insisted
    expected = _INSISTED if threat.locked_out and insisted else threat.expected
    return Problem(owner, threat.got, expected, fatal)


def _finding(threat: Threat, needs: Needs, *, insisted: bool) -> Finding:
    path = DENY if threat.entry else DEFAULT if threat.locked_out else RULES
    if threat.locked_out and insisted:
        return Finding(path, threat.got, _INSISTED, fatal=False)
    return Finding(path, threat.got, threat.expected, fatal=threat.locked_out and needs.binding)
