"""`ports.Registry` with a memory on disk that all processes share, around another one.

Content is what its digest names: it is taken from there, once it was fetched for the same repository.  What a registry
lists may change at any time: it is always asked, and what it says is kept for whoever judges again what was judged
before, under another configuration.  He says from which moment on a list is young enough, and learns how old those
were that he got.  What a name means now is asked every time, and not kept.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial

from agent.adapters.allowance import Allowance
from agent.adapters.content_store import BLOB, KIND, MANIFEST, ContentStore
from agent.adapters.entries import name_of
from agent.adapters.listing_store import KeptListing, ListingStore, Question
from agent.config.config import StoreSettings
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.reference import Reference, Repository
from agent.ports import Registry

NO_HOSTS: Mapping[str, object] = {}

MAX_UNWRITTEN = 8 * 1024 * 1024
"""Most bytes that wait for being written: whoever may push chooses how much there is.  More is not kept."""

_LISTED = 1300  # bytes of memory of an entry of a list, at most

_TAG = "tag"


def _now() -> datetime:
    return datetime.now(timezone.utc)


def way_of(stores: Sequence[StoreSettings], hosts: Mapping[str, object] = NO_HOSTS) -> str:
    """How registries are asked under a configuration, in one word: as far as it is not said with each question.

    `hosts` are those that the node records.
    """
    ways = (f"{store.use_http} {' '.join(store.ca_certificates)} {' '.join(store.secrets)}" for store in stores)
    return name_of(*dict.fromkeys(ways), *([ascii(hosts)] if hosts else []))


class StoredRegistry:
    """`ports.Registry` over another one and what is kept under one root.  Made for one verification."""

    def __init__(
        self,
        inner: Registry,
        root: str,
        *,
        way: str,
        lists_since: datetime | None = None,
        now: Callable[[], datetime] = _now,
        at_once: bool = True,
        unwritten: Allowance | None = None,
    ) -> None:
        """`way` says how `inner` asks, as far as a registry's answers depend on it: see `way_of`.

        A list that was asked for at `lists_since` or later is not asked for again; without it each of them is.  Nothing
        is written before `keep` is called, unless `at_once`.  `unwritten` is the room for what waits to be written,
        which others may share; what `keep` has not written is forgotten by `forget`, and must be.
        """
        self._inner = inner
        self._content, self._lists = ContentStore(root), ListingStore(root)
        self._way = way
        self._since = lists_since
        self._now = now
        self._at_once = at_once
        self._room = unwritten or Allowance(MAX_UNWRITTEN)
        self._unwritten: list[tuple[int, Callable[[], None]]] = []  # none holds this object: what is given up is gone
        self.oldest: datetime | None = None
        """When the oldest of the kept lists was asked for that were used; None if there was none."""

    async def resolve(self, reference: Reference) -> Descriptor:
        """See `ports.Registry.resolve`."""
        return await self._inner.resolve(reference)

    async def tagged(self, reference: Reference) -> Descriptor | None:
        """See `ports.Registry.tagged`."""
        question = Question(self._way, reference.repository, f"{_TAG} {reference.tag or reference.digest}")
        kept = self._kept(question)
        if kept is not None and len(kept.descriptors) <= 1:
            return kept.descriptors[0] if kept.descriptors else None
        at = self._now()
        named = await self._inner.tagged(reference)
        found = () if named is None else (named,)
        listing = KeptListing(Listing(found, _TAG, types_are_reliable=False), at)
        self._write(_LISTED, partial(self._lists.put, question, listing))
        return named

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
        """See `ports.Registry.referrers`."""
        question = Question(self._way, repository, str(subject), tuple(artifact_types))
        kept = self._kept(question)
        if kept is not None:
            return kept
        at = self._now()  # before it is asked: what comes to be meanwhile may be missing
        listing = await self._inner.referrers(repository, subject, artifact_types)
        if listing.missing is None:
            size = _LISTED * (1 + len(listing.descriptors))
            self._write(size, partial(self._lists.put, question, KeptListing(listing, at)))
        return listing

    async def manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """See `ports.Registry.manifest`."""
        content = self._content.get(MANIFEST, repository, descriptor)
        if content is None:
            content = await self._inner.manifest(repository, descriptor)
            self._put(MANIFEST, repository, descriptor, content)
        return content

    async def blob(self, repository: Repository, descriptor: Descriptor, limit: int) -> bytes:
        """See `ports.Registry.blob`."""
        content = self._content.get(BLOB, repository, descriptor) if descriptor.size <= limit else None
        if content is None:
            content = await self._inner.blob(repository, descriptor, limit)
            self._put(BLOB, repository, descriptor, content)
        return content

    def keep(self) -> None:
        """Write what was put off."""
        while self._unwritten:
            size, put = self._unwritten.pop()
            try:
                put()
            finally:
                self._room.give(size)

    def forget(self) -> None:
        """Let go of what was put off and not written."""
        while self._unwritten:
            with suppress(IndexError):  # a thread that writes took the last one
                self._room.give(self._unwritten.pop()[0])

    def _put(self, kind: str, repository: Repository, descriptor: Descriptor, content: bytes) -> None:
        if len(content) <= KIND.largest:
            self._write(len(content), partial(self._content.put, kind, repository, descriptor, content))

    def _write(self, size: int, put: Callable[[], None]) -> None:
        if self._room.take(size):
            self._unwritten.append((size, put))
        if self._at_once:
            self.keep()

    def _kept(self, question: Question) -> Listing | None:
        """A list that is young enough."""
        if self._since is None:
            return None
        kept = self._lists.get(question, self._now())
        if kept is None or kept.at < self._since:
            return None
        self.oldest = kept.at if self.oldest is None else min(self.oldest, kept.at)
        return kept.listing
