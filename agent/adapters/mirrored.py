"""`ports.Registry` over the places where a node's containerd asks for a registry's images: mirrors, then itself.

What a mirror says counts for what it has, never for what it lacks: content is checked against its digest wherever it
comes from, and the first list is taken that names something of each type that is asked for.  All else, silence and
refusal too, leads on to the next place.  The last one is the registry itself, or what stands for it: what it says goes
with what mirrors had, and if it says nothing, then what they had is not all (`Listing.missing`).  So no mirror makes an
image unsigned, and none turns a denial into "cannot tell".

A list that has something of each type, or a tag, may be older than the registry's, or hold what is bad alone.  Before
an image is denied the registry itself is asked, if it was not yet (`insist`).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from agent.errors import Malformed, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.reference import Reference, Repository
from agent.ports import Registry

Value = TypeVar("Value")


class Candidate(NamedTuple):
    """A place as a registry that can be asked; `resolves` is whether it may say what a tag means."""

    registry: Registry
    resolves: bool = True


class MirroredRegistry:
    """`ports.Registry` of one verification.  A mirror that does not answer is not asked again."""

    def __init__(self, candidates: Callable[[Repository], Sequence[Candidate]]) -> None:
        """`candidates` are the places of a repository, at least one, the registry itself last.

        It may raise `Unavailable`.
        """
        self._find = candidates
        self._believed = self._insists = False
        self._found: dict[Repository, Sequence[Candidate]] = {}
        self._silent: set[tuple[Repository, int]] = set()

    def insist(self) -> bool:
        """Have the registry itself asked as well, from now on; whether it was not asked so far for all that counts.

        Places are found anew.
        """
        self._insists = True
        self._found.clear()
        return self._believed

    async def resolve(self, reference: Reference) -> Descriptor:
        """See `ports.Registry.resolve`."""
        return await self._first(
            reference.repository,
            lambda registry: registry.resolve(reference),
            lambda found: True,
            by_tag=reference.digest is None,
        )

    async def tagged(self, reference: Reference) -> Descriptor | None:
        """See `ports.Registry.tagged`."""
        if self._insists:
            own = await self._candidates(reference.repository)[-1].registry.tagged(reference)
            if own is not None:
                return own
        return await self._first(
            reference.repository,
            lambda registry: registry.tagged(reference),
            lambda found: found is not None,
            by_tag=True,
            is_list=True,
        )

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
        """See `ports.Registry.referrers`."""

        def ask(registry: Registry) -> Awaitable[Listing]:
            return registry.referrers(repository, subject, artifact_types)

        *mirrors, home = self._candidates(repository)
        own = await ask(home.registry) if self._insists else None
        partial: Listing | None = None
        for i, mirror in enumerate(mirrors):
            found = await self._asked((repository, i), mirror, ask)
            if found is None or found.defect is not None:
                continue
            if own is None and self._has_all(found, artifact_types):
                self._believed = True
                return found
            partial = partial or (found if found.descriptors else None)
        try:
            own = await ask(home.registry) if own is None else own
        except Unavailable as error:
            if partial is None:
                raise
            return partial._replace(missing=error)
        return own if partial is None else _together(own, partial)

    async def manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """See `ports.Registry.manifest`."""
        return await self._first(
            repository, lambda registry: registry.manifest(repository, descriptor), lambda found: True
        )

    async def blob(self, repository: Repository, descriptor: Descriptor, limit: int) -> bytes:
        """See `ports.Registry.blob`."""
        return await self._first(
            repository, lambda registry: registry.blob(repository, descriptor, limit), lambda found: True
        )

    async def _first(
        self,
        repository: Repository,
        ask: Callable[[Registry], Awaitable[Value]],
        counts: Callable[[Value], bool],
        *,
        by_tag: bool = False,
        is_list: bool = False,
    ) -> Value:
        """The first answer of a mirror that counts, else the registry's own, whatever it is.

        `is_list`: it may have more to say.
        """
        *mirrors, home = self._candidates(repository)
        for i, mirror in enumerate(mirrors):
            found = await self._asked((repository, i), mirror, ask) if mirror.resolves or not by_tag else None
            if found is not None and counts(found):
                self._believed = self._believed or is_list
                return found
        return await ask(home.registry)

    @staticmethod
    def _has_all(found: Listing, artifact_types: Sequence[str]) -> bool:
        """Whether a list names something of each type that is asked for."""
        return bool(artifact_types) and set(artifact_types) <= {each.artifact_type for each in found.descriptors}

    async def _asked(
        self, place: tuple[Repository, int], mirror: Candidate, ask: Callable[[Registry], Awaitable[Value]]
    ) -> Value | None:
        """What a mirror says; None for nothing that counts.  `place` is what tells it from others."""
        if place in self._silent:
            return None
        try:
            return await ask(mirror.registry)
        except Malformed:
            return None
        except Unavailable:
            self._silent.add(place)
            return None

    def _candidates(self, repository: Repository) -> Sequence[Candidate]:
        found = self._found.get(repository)
        if found is None:
            found = self._found[repository] = self._find(repository)
        return found


def _together(own: Listing, more: Listing) -> Listing:
    """The registry's list with what a mirror has besides; what is wrong with it is the registry's to be told of.

    What the registry says of something counts, whatever a mirror says of the same: under another type it would not be
    looked at.  Where a mirror can't tell types, its own entries have none, so that all of the registry's others need
    not be looked at.
    """
    known = {each.digest for each in own.descriptors}
    others = [each for each in more.descriptors if each.digest not in known]
    if not more.types_are_reliable:
        others = [each._replace(artifact_type=None) for each in others]
    return own._replace(descriptors=(*own.descriptors, *others))
