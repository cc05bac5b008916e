"""The order in which things decide, and what a verdict means under a rule.

Numbers, first that applies (docs/architecture.md, "Precedence"): 1 the canary's reserved name, denied; 7 verification;
8 cannot tell, blocked.  The numbers between belong to lists and exemptions, which this version does not have.
"""

from agent.errors import Cause, Code, Exit
from agent.model.answer import Answer, Ground
from agent.model.reference import Repository
from agent.model.request import PullRequest
from agent.model.verdict import Decision, Verdict
from agent.rules import matching
from agent.rules.rule import Rule

CANARY = 1
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
_NO_RULE = "-"


def before_verification(repository: Repository) -> Answer | None:
    """The answer, if one is due before any network and any configuration; None if verification has to decide."""
    return CANARY_ANSWER if _is_canary(repository) else None


def rule_for(rules: tuple[Rule, ...], repository: Repository) -> Rule | None:
    """The rule that stands for `repository`: the one with the most specific pattern that matches; None if none does."""
    found = (
        (matching.specificity(pattern), rule)
        for rule in rules
        for pattern in rule.match
        if matching.matches(pattern, repository)
    )
    return max(found, key=lambda each: each[0], default=(None, None))[1]


def no_rule(request: PullRequest) -> Answer:
    """What containerd gets where no rule is for the image: it blocks."""
    text = f"no rule is for {request.repository}"
    return Answer(Exit.DENY, Code.NO_RULE, _NO_RULE, text, VERIFICATION, image=request.name)


def conclude(verdict: Verdict, rule: Rule, request: PullRequest) -> Answer:
    """What containerd gets for a verdict: allow is 0 with its ground, everything else blocks."""
    if verdict.decision is Decision.ALLOW:
        ground = Ground.DISABLED if verdict.code is Code.NOT_VERIFIED else Ground.VERIFIED
        return Answer(Exit.ALLOW, verdict.code, rule.name, verdict.message, VERIFICATION, ground)
    if verdict.decision is Decision.DENY:
        return Answer(Exit.DENY, verdict.code, rule.name, verdict.message, VERIFICATION, image=request.name)
    return Answer(Exit.CANNOT_TELL, verdict.code, rule.name, verdict.message, CANNOT_TELL, image=request.name)


def cannot_tell(cause: Cause, message: str, image: str) -> Answer:
    """What containerd gets while there is no rule or no image to go by: it blocks, and says what is missing."""
    return Answer(Exit.CANNOT_TELL, Code.of(cause), _NO_RULE, f"{cause.value}: {message}", CANNOT_TELL, image=image)


def bad_request(message: str) -> Answer:
    """What containerd gets if it (or whoever calls in its name) called us wrongly: it blocks."""
    return Answer(Exit.USAGE, Code.BAD_REQUEST, _NO_RULE, message)


def internal_error(kind: str) -> Answer:
    """What containerd gets for a bug of ours: it blocks.  `kind` is the exception's type, never its text."""
    return Answer(Exit.BUG, Code.BUG, _NO_RULE, f"unexpected {kind}; please report it, with this image's name")


def out_of_time(seconds: float, image: str) -> Answer:
    """What containerd gets if our own deadline passed before anything was decided: it blocks."""
    text = f"{Cause.DEADLINE.value}: no answer within {seconds:g} s"
    return Answer(Exit.CANNOT_TELL, Code.DEADLINE, _NO_RULE, text, CANNOT_TELL, image=image)


def _is_canary(repository: Repository) -> bool:
    host, _, _port = repository.host.partition(":")
    return host == _CANARY_HOST and repository.path == _CANARY_PATH
