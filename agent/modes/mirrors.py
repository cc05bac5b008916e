"""Puts the places together where a node's containerd asks for a registry's images: a record in, one registry out.

Imported where a node records any: most have none, and a pull waits for each import.
"""

import time
from typing import Callable, Mapping, Sequence

from agent.adapters.mirrored import Candidate, MirroredRegistry
from agent.model.reference import Repository
from agent.ports import Registry
from agent.registry import hosts
from agent.registry.hosts import Place

At = Callable[[Place, float], Registry]
"""A client for a place; it ends at a time of `time.monotonic()`."""

SECOND_LOOK = 2.0
"""Most seconds for the registry's word before an image is denied by what a mirror lists: a registry that nobody reaches
must not make every denial wait for the deadline."""


class Mirrors:
    """The places of one verification."""

    def __init__(
        self, registries: Mapping[str, object], use_http: bool, deadline: float, at: At, plain: Registry
    ) -> None:
        """`plain` is the client of a registry for which nothing is recorded."""
        self._registries, self._use_http, self._deadline = registries, use_http, deadline
        self._at, self._plain = at, plain
        self._all = MirroredRegistry(self._candidates)

    def registry(self) -> Registry:
        """All of them as one."""
        return self._all

    def insist(self) -> bool:
        """See `MirroredRegistry.insist`.  There is little time for it."""
        self._deadline = min(self._deadline, time.monotonic() + SECOND_LOOK)
        return self._all.insist()

    def _candidates(self, repository: Repository) -> Sequence[Candidate]:
        found = hosts.places(self._registries, repository, use_http=self._use_http)
        if len(found) == 1 and found[0] == Place(repository, found[0].origin):
            return [Candidate(self._plain)]
        now = time.monotonic()
        return [
            Candidate(self._at(place, hosts.until(now, self._deadline, i, len(found))), place.resolves)
            for i, place in enumerate(found)
        ]
