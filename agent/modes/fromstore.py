"""Judging again from stored content: what may rest on lists that are not of this moment.

A list that was kept says what a registry said then.  What it allows is allowed no longer than it would have been from
then on, and what it does not allow is not said at all: somebody may have signed since.
"""

from datetime import datetime, timedelta

from agent.adapters.stored_registry import StoredRegistry
from agent.judgement import Verifies
from agent.model.request import PullRequest
from agent.model.verdict import Decision, Memory, Verdict
from agent.ports import VerdictStore
from agent.rules.rule import Rule
from agent.rules.ruleset import Lifetimes


class FromStore:
    """`judgement.Verifies` whose verdicts end with the lists that they rest on."""

    def __init__(self, engine: Verifies, registry: StoredRegistry, lifetimes: Lifetimes) -> None:
        """`registry` is the engine's."""
        self._engine = engine
        self._registry = registry
        self._lifetimes = lifetimes

    async def verify(self, request: PullRequest, rule: Rule) -> Verdict:
        """See `Engine.verify`."""
        verdict = await self._engine.verify(request, rule)
        if self._registry.oldest is None:
            return verdict
        end = self._registry.oldest + timedelta(seconds=self._lifetimes.allow)
        return verdict._replace(told_until=min(end, verdict.told_until or end))


class AllowancesOnly:
    """`ports.VerdictStore` in which nothing is remembered but that an image is allowed.

    It was verified when its lists were asked for: what may stand in for it later is counted from then on.
    """

    def __init__(self, inner: VerdictStore, registry: StoredRegistry) -> None:
        """`inner` has what was said before; `registry` is the engine's."""
        self._inner = inner
        self._registry = registry

    async def recall(self, ground: str, image: str) -> Memory:
        """See `ports.VerdictStore.recall`."""
        return await self._inner.recall(ground, image)

    async def remember(self, ground: str, image: str, memory: Memory) -> None:
        """See `ports.VerdictStore.remember`."""
        if memory.last is not None and memory.last.verdict.decision is Decision.ALLOW:
            oldest, verified = self._registry.oldest, memory.verified
            if oldest is not None and verified is not None:
                memory = memory._replace(verified=verified._replace(verified_at=min(oldest, verified.verified_at)))
            await self._inner.remember(ground, image, memory)

    async def doubt(self, ground: str, certificate: str, now: datetime) -> None:
        """See `ports.VerdictStore.doubt`."""
        await self._inner.doubt(ground, certificate, now)
