"""The order in which things decide, and what a verdict means under a rule.

Numbers, first that applies (docs/architecture.md, "Precedence"): 1 the canary's reserved name, denied; 2 the deny
list; 3 break-glass; 4 allowed by digest; 5 exempt; 6 a rule that is `Disabled`; 7 verification; 8 cannot tell: stale,
then the failure policy.  1 to 6 ask nobody.  `Audit` lets pass what 7 and 8 would block, and says so.

Bad requests and bugs stand outside: they block whatever is configured.

Of a configuration's entries under 3 to 5 those count that have the owner of what stands for the image: its rule, or the
default (`agent.rules.ruleset`).  The node's own break-glass and built-in exemptions count for all images.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from agent.errors import Cause, Code, Exit
from agent.model.answer import Answer, Ground
from agent.model.reference import Repository
from agent.model.verdict import Decision, Remembered, Verdict
from agent.rules import breakglass, failure, lists, matching
from agent.rules.breakglass import BreakGlass, Moment
from agent.rules.floor import Floor
from agent.rules.rule import EVERYTHING, Enforcement, FailureAction, FailurePolicy, Rule
from agent.rules.ruleset import Allowed, ConfiguredBreakGlass, Exemption, RuleSet

CANARY = 1
DENY_LIST = 2
BREAK_GLASS = 3
ALLOW_LIST = 4
EXEMPT = 5
DISABLED = 6
VERIFICATION = 7
CANNOT_TELL = 8

_CANARY_HOST = "127.0.0.1"
_CANARY_PATH = "nodeseal-canary"
CANARY_ANSWER = Answer(
    Exit.DENY,
    Code.CANARY,
    rule="canary",
    message="the canary's name is always refused; this verifier is live",
    precedence=CANARY,
)
_NONCE = re.compile(r"[0-9a-f]{32}\Z")
NO_RULE = "-"
"""What stands in place of a rule's name where there is none."""

_Owned = TypeVar("_Owned", Allowed, Exemption)

_TIME = "%Y-%m-%dT%H:%M:%SZ"


class Standing(NamedTuple):
    """What holds on this node at this moment, apart from how signatures are verified.

    `break_glass` are the node's own.  `begun` tells since when those in the rule set are in force here: one that is
    missing has not begun.  `node_name` is empty if nobody knows it.
    """

    ruleset: RuleSet
    floor: Floor
    moment: Moment
    node_name: str = ""
    break_glass: tuple[BreakGlass, ...] = ()
    begun: Mapping[ConfiguredBreakGlass, Moment] = MappingProxyType({})

    def all_break_glass(self) -> tuple[BreakGlass, ...]:
        """The node's own, then those of the configuration that have begun here; ended ones too."""
        return (*self.break_glass, *self.configured_break_glass())

    def configured_break_glass(self, owner: str | None = None) -> tuple[BreakGlass, ...]:
        """The configuration's that has begun here, ended or not; an owner's alone if one is given."""
        return tuple(
            BreakGlass(each.id, each.match, each.reason, self.begun[each], each.until)
            for each in self.ruleset.break_glass
            if each in self.begun and owner in (None, each.owner)
        )


class Terms(NamedTuple):
    """What holds for one image: its rule (None if no rule matches), and what a denial and "cannot tell" mean.

    `exact_host`: the pattern that matched names the image's registry.  `default_owner` is whose the default is, if that
    is what holds.
    """

    rule: Rule | None
    enforcement: Enforcement
    failure_policy: FailurePolicy
    exact_host: bool
    default_owner: str = ""

    @property
    def name(self) -> str:
        """The rule's name in messages."""
        return self.rule.name if self.rule else NO_RULE

    @property
    def owner(self) -> str:
        """Whose entries count for the image."""
        return self.rule.owner if self.rule else self.default_owner


def is_canary(repository: Repository) -> bool:
    """Whether a repository is the canary's: `CANARY_ANSWER` is due, with or without a configuration."""
    host, _, _port = repository.host.partition(":")
    return host == _CANARY_HOST and repository.path == _CANARY_PATH


def canary_answer(tag: str) -> Answer:
    """`CANARY_ANSWER`, with the nonce that the tag is, if it is one: then nobody else can have said it before."""
    if not _NONCE.match(tag):
        return CANARY_ANSWER
    return CANARY_ANSWER._replace(message=f"{CANARY_ANSWER.message}: {tag}")


def before_verification(repository: Repository, digest: str, image: str, standing: Standing) -> Answer | None:
    """1 to 6: the answer that is due without asking anybody; None if verification has to decide.

    `image` is the image's name, for the next step.  `digest` may be empty for a name that was not resolved: then
    nothing that is listed by digest is found, see `depends_on_digest`.
    """
    if is_canary(repository):
        return CANARY_ANSWER
    ruleset, floor, now = standing.ruleset, standing.floor, standing.moment.wall
    refused = lists.denied(ruleset.deny, repository, digest)
    if refused:
        text = f"on the deny list: {refused.match}{'@' if refused.digest else ''}{refused.digest}"
        return Answer(Exit.DENY, Code.ON_DENY_LIST, NO_RULE, text, DENY_LIST, image=image)
    terms = terms_for(repository, standing)
    glass = _break_glass(repository, standing, terms.owner)
    if glass:
        text = f"not verified: break-glass {glass.id} until {glass.until:{_TIME}}: {glass.reason}"
        return Answer(Exit.ALLOW, Code.BREAK_GLASS, NO_RULE, text, BREAK_GLASS, Ground.BREAK_GLASS, entry=glass.id)
    listed = lists.allowed(_of(terms.owner, ruleset.allow), repository, digest, now)
    if listed:
        text = f"allowed by digest until {listed.until:{_TIME}}: {listed.reason}"
        return Answer(Exit.ALLOW, Code.ALLOWED_BY_DIGEST, NO_RULE, text, ALLOW_LIST, Ground.ALLOWED_BY_DIGEST)
    exemptions = (*_of(terms.owner, ruleset.exempt), *lists.BUILT_IN)
    exempt = lists.exempted(exemptions, repository, digest, floor.without_digest)
    if exempt:
        return Answer(Exit.ALLOW, Code.EXEMPT, NO_RULE, _exempted(exempt), EXEMPT, Ground.EXEMPT)
    if terms.enforcement is Enforcement.DISABLED:
        what = f"rule {terms.name} is Disabled" if terms.rule else "no rule matches, and the default is Disabled"
        return Answer(Exit.ALLOW, Code.NOT_VERIFIED, terms.name, f"not verified: {what}", DISABLED, Ground.DISABLED)
    return None


def depends_on_digest(repository: Repository, standing: Standing) -> bool:
    """Whether some list may say another thing of this repository's images once their digest is known."""
    ruleset, owner = standing.ruleset, terms_for(repository, standing).owner
    return (
        any(entry.digest and matching.matches(entry.match, repository) for entry in ruleset.deny)
        or any(entry.repository == repository.scope for entry in _of(owner, ruleset.allow))
        or any(
            entry.digests and matching.matches(entry.match, repository)
            for entry in (*_of(owner, ruleset.exempt), *lists.BUILT_IN)
        )
    )


def listed_until(repository: Repository, digest: str, standing: Standing) -> datetime | None:
    """When the list `allow` stops to let this very image pass; None if it doesn't, or not any more."""
    entries = _of(terms_for(repository, standing).owner, standing.ruleset.allow)
    listed = lists.allowed(entries, repository, digest, standing.moment.wall)
    return listed.until if listed else None


def terms_for(repository: Repository, standing: Standing) -> Terms:
    """What holds for a repository: the rule with the most specific pattern that matches, or the default."""
    pattern, rule = _most_specific(standing.ruleset.rules, repository)
    if rule is None:
        default = standing.ruleset.default
        enforcement = standing.floor.raised(default.enforcement)
        return Terms(None, enforcement, default.failure_policy, exact_host=False, default_owner=default.owner)
    enforcement = rule.enforcement
    if enforcement is Enforcement.ENFORCE and not in_share(standing.node_name, rule.rollout):
        enforcement = Enforcement.AUDIT
    exact_host = pattern != EVERYTHING
    return Terms(rule, standing.floor.raised(enforcement), rule.failure_policy, exact_host)


def rule_for(rules: tuple[Rule, ...], repository: Repository) -> Rule | None:
    """The rule that stands for `repository`: the one with the most specific pattern that matches; None if none does."""
    return _most_specific(rules, repository)[1]


def in_share(node_name: str, percent: int) -> bool:
    """Whether a node is among `percent` of all nodes: the same nodes each time, and more of them as it grows.

    A node that nobody can name is among them: it enforces.
    """
    if percent >= 100 or not node_name:
        return True
    return int(sha256(node_name.encode()).hexdigest()[:8], 16) % 100 < percent


def no_rule(repository: Repository) -> Verdict:
    """The verdict where no rule is for the image: nobody says who must have signed it."""
    return Verdict(Decision.DENY, Code.NO_RULE, f"no rule is for {repository}")


def conclude(
    verdict: Verdict, terms: Terms, image: str, standing: Standing, before: Remembered | None = None
) -> Answer:
    """7 and 8: what containerd gets for a verdict.  `before` is an earlier one on the same ground.

    `image` is the image's name, for the next step.
    """
    answer = _concluded(verdict, terms, image, standing, before)
    if answer.ground is not None or terms.enforcement is not Enforcement.AUDIT:
        return answer
    text = f"would deny: {answer.message}"
    return answer._replace(exit=Exit.ALLOW, message=text, ground=Ground.AUDIT, would=answer.exit)


def not_verified(cause: Cause, message: str, repository: Repository, standing: Standing) -> Verdict:
    """The verdict while there is no configuration, no answer, or no time to verify an image.

    An image that no rule is for needs none of them to be denied.  Where nobody knows the rules, nobody can tell.
    """
    rules = standing.ruleset.rules
    return no_rule(repository) if rules and rule_for(rules, repository) is None else cannot_tell(cause, message)


def cannot_tell(cause: Cause, message: str) -> Verdict:
    """The verdict on an image that a rule may be for, and about which something did not answer."""
    return Verdict(Decision.CANNOT_TELL, Code.of(cause), f"{cause.value}: {message}", (cause,))


def blocked(cause: Cause, message: str, image: str) -> Answer:
    """What containerd gets while not even that is known which would let an image pass."""
    return Answer(Exit.CANNOT_TELL, Code.of(cause), NO_RULE, f"{cause.value}: {message}", CANNOT_TELL, image=image)


def bad_request(message: str) -> Answer:
    """What containerd gets if it (or whoever calls in its name) called us wrongly: it blocks."""
    return Answer(Exit.USAGE, Code.BAD_REQUEST, NO_RULE, message)


def internal_error(kind: str) -> Answer:
    """What containerd gets for a bug of ours: it blocks.  `kind` is the exception's type, never its text."""
    return Answer(Exit.BUG, Code.BUG, NO_RULE, f"unexpected {kind}; please report it, with this image's name")


def _concluded(verdict: Verdict, terms: Terms, image: str, standing: Standing, before: Remembered | None) -> Answer:
    if verdict.decision is Decision.ALLOW:
        ground = Ground.DISABLED if verdict.code is Code.NOT_VERIFIED else Ground.VERIFIED
        return Answer(Exit.ALLOW, verdict.code, terms.name, verdict.message, VERIFICATION, ground)
    if verdict.decision is Decision.DENY:
        return Answer(Exit.DENY, verdict.code, terms.name, verdict.message, VERIFICATION, image=image)
    now, passed = standing.moment.wall, Answer(Exit.ALLOW, verdict.code, terms.name, verdict.message, CANNOT_TELL)
    if before and failure.is_stale_but_usable(before, verdict.causes, standing.ruleset.stale, now):
        text = f"verified {before.verified_at:{_TIME}}, used again: {verdict.message}"
        return passed._replace(message=text, ground=Ground.STALE)
    action = failure.action(terms.failure_policy, verdict.causes, exact_host=terms.exact_host, floor=standing.floor)
    if action is FailureAction.IGNORE:
        return passed._replace(message=f"not verified: {verdict.message}", ground=Ground.FAILURE_POLICY)
    if action is FailureAction.IGNORE_IF_VERIFIED_BEFORE and before and before.counts(now):
        text = f"not verified now, but {before.verified_at:{_TIME}}: {verdict.message}"
        return passed._replace(message=text, ground=Ground.FAILURE_POLICY)
    return passed._replace(exit=Exit.CANNOT_TELL, image=image)


def _most_specific(rules: tuple[Rule, ...], repository: Repository) -> tuple[str, Rule | None]:
    found = (
        (matching.specificity(pattern), pattern, rule)
        for rule in rules
        for pattern in rule.match
        if matching.matches(pattern, repository)
    )
    _, pattern, rule = max(found, key=lambda each: each[0], default=((), "", None))
    return pattern, rule


def _of(owner: str, entries: Iterable[_Owned]) -> Iterator[_Owned]:
    """The owner's entries."""
    return (entry for entry in entries if entry.owner == owner)


def _break_glass(repository: Repository, standing: Standing, owner: str) -> BreakGlass | None:
    """One that lets this repository's images pass now; the node's own go first."""
    for entry in (*standing.break_glass, *standing.configured_break_glass(owner)):
        if matching.matches(entry.match, repository) and not breakglass.ended(entry, standing.moment, standing.floor):
            return entry
    return None


def _exempted(entry: Exemption) -> str:
    if entry.digests:
        return f"exempt by digest: {entry.match}{_needed_for(entry)}"
    return f"not verified: {entry.match} is exempt{_needed_for(entry)}"


def _needed_for(entry: Exemption) -> str:
    return f", built in for {entry.why}" if entry.why else ""
