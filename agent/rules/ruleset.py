"""A rule set: everything a configuration says about which images pass, apart from how signatures are verified.

It is what stays behind as a copy if a snapshot is lost, so nothing in it needs a verifier.  Lists are decided before
any network: see `agent.rules.lists`.

A configuration may be made of several documents.  Each entry that lets images pass has an *owner*, the name of its
document, and counts for an image only if the rule for that image, or the default where no rule is for it, has the same
owner (`agent.rules.precedence`): nobody's exemption reaches another's images.  `deny` counts for all.  The owner is
empty throughout for a configuration that is one document.
"""

from datetime import datetime
from enum import Enum
from hashlib import sha256
from typing import NamedTuple

from agent.rules.rule import Default, Rule

HOUR = 3600.0
CONFIGURED = "config-"
"""How the name of a break-glass begins that stands in the configuration; those of a node's own hold no dash."""


class Denied(NamedTuple):
    """Images that are always refused: a pattern, and a digest unless all of its images are meant."""

    match: str
    digest: str = ""


class Allowed(NamedTuple):
    """One image, `repository` (in its one spelling) and digest, that passes until an end."""

    repository: str
    digest: str
    until: datetime
    reason: str
    owner: str = ""


class Exemption(NamedTuple):
    """Repositories whose images are not verified; with `digests`, these contents alone.

    `insecure`: for registries on loopback or over plain HTTP too.  `why` tells what a built-in one is for; it is empty
    for a configuration's own.
    """

    match: str
    digests: tuple[str, ...] = ()
    insecure: bool = False
    why: str = ""
    owner: str = ""


class ConfiguredBreakGlass(NamedTuple):
    """A break-glass that stands in the configuration: for which images, until when, and why."""

    match: str
    until: datetime
    reason: str
    owner: str = ""

    @property
    def id(self) -> str:
        """What names it to people and in records: made of what it says, for it has no other name."""
        said = f"{self.match}\n{self.until.isoformat()}\n{self.reason}"
        if self.owner:
            said += f"\n{self.owner}"
        return f"{CONFIGURED}{sha256(said.encode()).hexdigest()[:8]}"


class Staleness(NamedTuple):
    """For how many seconds a verification counts beyond the moment at which it can't be repeated.

    `registry`: because of the registry's causes.  `revocation`: because revocation is not known.
    """

    registry: float = 24 * HOUR
    revocation: float = 0.0


class Lifetimes(NamedTuple):
    """For how many seconds a verdict is used again without asking anybody.

    Denials begin at `deny_first`, and each repeat doubles that up to `deny_most`.  0 is not at all.
    """

    allow: float = 24 * HOUR
    deny_first: float = 10.0
    deny_most: float = 300.0
    cannot_tell: float = 5.0


class WhenMissing(str, Enum):
    """What holds once nothing in the cluster is a configuration any more: the last one, or nobody can tell."""

    KEEP_LAST = "KeepLast"
    FAILURE_POLICY = "FailurePolicy"


class RuleSet(NamedTuple):
    """Rules, what holds without one, and lists.  `serial` is that of a signed configuration, None for any other.

    `greatest_age` is for how many seconds it counts since the cluster was last asked for all of it, if it is
    `from_cluster`: see `agent.rules.age`.
    """

    rules: tuple[Rule, ...]
    default: Default = Default()
    deny: tuple[Denied, ...] = ()
    allow: tuple[Allowed, ...] = ()
    exempt: tuple[Exemption, ...] = ()
    break_glass: tuple[ConfiguredBreakGlass, ...] = ()
    stale: Staleness = Staleness()
    serial: int | None = None
    lifetimes: Lifetimes = Lifetimes()
    when_missing: WhenMissing = WhenMissing.KEEP_LAST
    greatest_age: float = 7 * 24 * HOUR
    from_cluster: bool = False
