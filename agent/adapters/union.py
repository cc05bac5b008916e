"""Several stores as one registry: what one of them doesn't have, another may.

Ratify's rules for several stores: an image is resolved by the first store that can, its referrers are those of all of
them, and a listing that fails in one fails altogether, since what was not seen might have mattered.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from agent.errors import Malformed, NodesealError, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.reference import Reference, Repository
from agent.ports import Registry

Value = TypeVar("Value")


class UnionRegistry:
    """`ports.Registry` over several, in order."""

    def __init__(self, registries: Sequence[Registry]) -> None:
        """At least one."""
        self._registries = tuple(registries)

    async def resolve(self, reference: Reference) -> Descriptor:
        """See `ports.Registry.resolve`."""
        return await self._first(lambda registry: registry.resolve(reference))

    async def tagged(self, reference: Reference) -> Descriptor | None:
        """See `ports.Registry.tagged`."""
        for registry in self._registries:
            found = await registry.tagged(reference)
            if found is not None:
                return found
        return None

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
        """See `ports.Registry.referrers`."""
        listings = [await each.referrers(repository, subject, artifact_types) for each in self._registries]
        found: dict[Digest, Descriptor] = {}
        for listing in listings:
            for descriptor in listing.descriptors:
                found.setdefault(descriptor.digest, descriptor)
        return Listing(
            tuple(found.values()),
            " and ".join(dict.fromkeys(listing.source for listing in listings)),
            types_are_reliable=all(listing.types_are_reliable for listing in listings),
            defect=next((listing.defect for listing in listings if listing.defect), None),
            missing=next((listing.missing for listing in listings if listing.missing), None),
        )

    async def manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """See `ports.Registry.manifest`."""
        return await self._first(lambda registry: registry.manifest(repository, descriptor))

    async def blob(self, repository: Repository, descriptor: Descriptor, limit: int) -> bytes:
        """See `ports.Registry.blob`."""
        return await self._first(lambda registry: registry.blob(repository, descriptor, limit))

    async def _first(self, ask: Callable[[Registry], Awaitable[Value]]) -> Value:
        """What the first says that has an answer.

        If none has: that nobody answered, before that something is wrong.
        """
        failures: list[NodesealError] = []
        for registry in self._registries:
            try:
                return await ask(registry)
            except (Malformed, Unavailable) as error:
                failures.append(error)
        raise next((each for each in failures if isinstance(each, Unavailable)), failures[0])
