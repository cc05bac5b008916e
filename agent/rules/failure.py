"""What "cannot tell" means: by its cause, what a rule says of it, and what was verified before.

In order: (1) stale, if the image was verified before on the same ground, recently enough for every cause; (2) the
failure policy's action, under the limits below and the floor.  Of several causes the one with the strictest action
decides.

Limits: what somebody can bring about from afar never lets an image pass that was not verified before, whatever is
written.  That is `deadline` and `throttled` for everybody, `configurationStale` and `keyProvider` (whoever cuts a node
off waits for them), `trustRootStale` (anybody can sign as somebody whom the root does not know), and the registry's
causes where a rule's pattern does not name the host: who names an image chooses its registry there.

What was verified under a configuration that is too old, or with keys that are, is never stale itself, (1): what it
rests on is what nobody can vouch for.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from agent.errors import Cause
from agent.model.verdict import Remembered
from agent.rules.floor import Floor
from agent.rules.rule import ACTIONS, FailureAction, FailurePolicy
from agent.rules.ruleset import Staleness

REGISTRY_CAUSES = (Cause.REGISTRY_UNAVAILABLE, Cause.UNAUTHORIZED, Cause.CREDENTIALS_UNAVAILABLE)
NEVER_UNSEEN = (Cause.DEADLINE, Cause.THROTTLED, Cause.CONFIGURATION_STALE, Cause.KEY_PROVIDER, Cause.TRUST_ROOT_STALE)
"""Causes under which `Ignore` means `IgnoreIfVerifiedBefore`, in every rule."""

_STALE_BY_REGISTRY = (*REGISTRY_CAUSES, Cause.DEADLINE, Cause.THROTTLED)


def action(policy: FailurePolicy, causes: Sequence[Cause], *, exact_host: bool, floor: Floor) -> FailureAction:
    """(2) what `causes` mean under `policy`, in a rule whose pattern names the host (`exact_host`) or doesn't."""
    return max((_action(policy, cause, exact_host, floor) for cause in causes), key=ACTIONS.index)


def limited(cause: Cause, written: FailureAction, *, exact_host: bool) -> FailureAction:
    """`written`, under the limits that hold for `cause`."""
    within_reach = cause in NEVER_UNSEEN or (cause in REGISTRY_CAUSES and not exact_host)
    if within_reach and written is FailureAction.IGNORE:
        return FailureAction.IGNORE_IF_VERIFIED_BEFORE
    return written


def is_stale_but_usable(before: Remembered, causes: Sequence[Cause], stale: Staleness, now: datetime) -> bool:
    """(1) whether what was verified before stands in for what can't be asked now."""
    age = now - before.verified_at
    return before.counts(now) and all(age < timedelta(seconds=_allowed(cause, stale)) for cause in causes)


def stale_until(before: Remembered, causes: Sequence[Cause], stale: Staleness) -> datetime:
    """The end of (1), unless what was verified ends before."""
    return before.verified_at + timedelta(seconds=min(_allowed(cause, stale) for cause in causes))


def _action(policy: FailurePolicy, cause: Cause, exact_host: bool, floor: Floor) -> FailureAction:
    return floor.action(cause, limited(cause, policy.written(cause), exact_host=exact_host))


def _allowed(cause: Cause, stale: Staleness) -> float:
    if cause in _STALE_BY_REGISTRY:
        return stale.registry
    return stale.revocation if cause is Cause.REVOCATION_UNKNOWN else 0.0
