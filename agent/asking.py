"""One subject, how it is asked about, and what that may cost: what the steps of a verification hand to each other.

Used by the steps (`agent.engine`, `agent.gathering`).  Awaits ports and imports no event loop, like them.
"""

from datetime import datetime
from typing import NamedTuple, Sequence

from agent.errors import LimitExceeded
from agent.model.descriptor import Descriptor
from agent.model.reference import Reference, Repository
from agent.model.request import PullRequest
from agent.model.revocation import Labour
from agent.policies import Policy
from agent.ports import Clock, Concurrent, PolicyRunner, Registry, RevocationSource, Trace
from agent.verifier import Verifier

MAX_LABOUR = 3.0
"""Most seconds of work on the content of reports, for one image: what takes more is their authors' choice."""

_AT_ONCE = 4
"""Pieces of evidence that are looked at side by side (`agent.adapters.concurrent`): none takes from the others."""


class Ports(NamedTuple):
    """What gathering asks the world through."""

    registry: Registry
    revocation: RevocationSource
    concurrent: Concurrent
    clock: Clock
    trace: Trace
    policies: PolicyRunner


class Ask(NamedTuple):
    """One subject, and how it is asked about.

    `repository` is where its evidence lies.  `depth` is 1 for an image, 2 for its referrers' referrers.  `left` counts
    down what may still be fetched, `tried` counts signatures that were verified, `since` is when it began (the clock's
    monotonic seconds), `patience` how long it may look, and `labour` what is left of `MAX_LABOUR`: all of one image,
    with whoever asks about its referrers.
    """

    request: PullRequest
    repository: Repository
    verifiers: Sequence[Verifier]
    policy: Policy
    now: datetime
    cosign_tags: bool
    depth: int
    left: list[int]
    tried: list[int]
    since: float
    patience: float
    labour: list[float]

    def about(self, descriptor: Descriptor) -> "Ask":
        """The same about a referrer."""
        reference = Reference(self.repository, None, descriptor.digest)
        return self._replace(request=PullRequest(str(reference), reference, descriptor), depth=self.depth + 1)


async def labour(step: Labour, ask: Ask, ports: Ports) -> bytes:
    """Have work done that content asks for, in what is left of the time for it.  Raises `LimitExceeded`."""
    left = ask.labour
    granted = min(left[0], MAX_LABOUR / _AT_ONCE)
    if granted <= 0:
        raise LimitExceeded(f"content: got so much that reading it took {MAX_LABOUR:g} s; expected less")
    left[0] -= granted
    answer, took = await ports.policies.labour(step.work, granted)
    left[0] += max(granted - took, 0.0)
    return answer
