"""One subject, how it is asked about, and what that may cost: what the steps of a verification hand to each other.

Used by the steps (`agent.engine`, `agent.gathering`).  Awaits ports and imports no event loop, like them.
"""

from datetime import datetime
from typing import NamedTuple, Sequence

from agent.errors import LimitExceeded
from agent.model.descriptor import Descriptor
from agent.model.inquiry import Labour
from agent.model.reference import Reference, Repository
from agent.model.request import PullRequest
from agent.policies import Policy, policy_class
from agent.ports import Clock, Concurrent, PolicyRunner, Registry, RevocationSource, Trace
from agent.verifier import Verifier

MAX_LABOUR = 3.0
"""Most seconds of work on the content of reports, for one image: what takes more is their authors' choice."""


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
        """The same about a referrer.

        It belongs to the image, wherever it lies: scopes of trust policies name the image's repository.
        """
        reference = Reference(self.request.repository, None, descriptor.digest)
        return self._replace(request=PullRequest(str(reference), reference, descriptor), depth=self.depth + 1)

    def by_one_of(self, names: Sequence[str]) -> "Ask":
        """The same asked of these verifiers alone, one of which is enough."""
        asked = [each for each in self.verifiers if each.name in names]
        one = policy_class("nodeseal").load({"threshold": 1, "of": names})
        return self._replace(verifiers=asked, policy=one)


async def labour(step: Labour, ask: Ask, ports: Ports) -> bytes:
    """Have work done that content asks for, in what is left of the time for it.  Raises `LimitExceeded`."""
    if ask.labour[0] <= 0:
        raise LimitExceeded("content: got so much of it that reading it took all the time there is; expected less")
    return await ports.policies.labour(step.work, ask.labour)
