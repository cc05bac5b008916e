"""What is kept of registries between processes, and what is asked every time all the same."""

import gc
import pathlib
import tracemalloc
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest

from agent.adapters import content_store, listing_store
from agent.adapters.allowance import Allowance
from agent.adapters.inline import run
from agent.adapters.listing_store import KIND, KeptListing, ListingStore, Question
from agent.adapters.stored_registry import MAX_UNWRITTEN, StoredRegistry, way_of
from agent.config.config import StoreSettings
from agent.errors import Cause, LimitExceeded, Malformed, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.reference import Reference, Repository

AT = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
SHOP, OTHER = Repository("r.example", "shop/cart"), Repository("r.example", "shop/other")
SUBJECT = Digest.of(b"image")
BODY = b'{"evidence": 1}'
EVIDENCE = Descriptor("application/json", Digest.of(BODY), len(BODY), "application/x")
LISTED = Listing((EVIDENCE, EVIDENCE._replace(digest=Digest.of(b"2"), artifact_type=None)), "referrers API", True)
TAG = Reference(SHOP, "sha256-1.sig", None)


class Inner:
    """A registry that counts what it is asked, and answers what it is told to."""

    def __init__(self) -> None:
        """Everything is there."""
        self.asked: list[str] = []
        self.listing: Listing | Exception = LISTED
        self.named: Descriptor | None = EVIDENCE

    async def resolve(self, reference: Reference) -> Descriptor:
        """See `ports.Registry.resolve`."""
        self.asked.append("resolve")
        return EVIDENCE

    async def tagged(self, reference: Reference) -> Descriptor | None:
        """See `ports.Registry.tagged`."""
        self.asked.append("tagged")
        return self.named

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
        """See `ports.Registry.referrers`."""
        self.asked.append("referrers")
        if isinstance(self.listing, Exception):
            raise self.listing
        return self.listing

    async def manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """See `ports.Registry.manifest`."""
        self.asked.append(f"manifest {repository.path}")
        return self._content(descriptor)

    async def blob(self, repository: Repository, descriptor: Descriptor, limit: int) -> bytes:
        """See `ports.Registry.blob`."""
        self.asked.append(f"blob {repository.path}")
        if descriptor.size > limit:
            raise LimitExceeded("too long")
        return self._content(descriptor)

    def _content(self, descriptor: Descriptor) -> bytes:
        if descriptor.size != len(BODY):
            raise Malformed("another size")
        return BODY


@pytest.fixture
def inner() -> Inner:
    """A new one."""
    return Inner()


def stored(
    inner: Inner, root: pathlib.Path, *, since: datetime | None = None, now: datetime = AT, way: str = "way"
) -> StoredRegistry:
    """One process's."""
    return StoredRegistry(inner, str(root), way=way, lists_since=since, now=lambda: now)


def listed(registry: StoredRegistry, *types: str, repository: Repository = SHOP) -> Listing:
    """Ask for the list."""
    return run(registry.referrers(repository, SUBJECT, types or ("application/x",)))


def test_content_is_asked_for_once_and_lists_every_time(inner: Inner, tmp_path: pathlib.Path) -> None:
    for _ in range(3):
        registry = stored(inner, tmp_path)
        assert listed(registry) == LISTED
        assert run(registry.manifest(SHOP, EVIDENCE)) == BODY
        assert run(registry.blob(SHOP, EVIDENCE, 100)) == BODY
        assert run(registry.tagged(TAG)) == run(registry.resolve(TAG)) == EVIDENCE
    first = ["referrers", "manifest shop/cart", "blob shop/cart", "tagged", "resolve"]
    assert inner.asked == [*first, *["referrers", "tagged", "resolve"] * 2]


def test_what_another_repository_has_is_no_answer_for_this_one(inner: Inner, tmp_path: pathlib.Path) -> None:
    run(stored(inner, tmp_path).manifest(SHOP, EVIDENCE))
    run(stored(inner, tmp_path).manifest(OTHER, EVIDENCE))
    run(stored(inner, tmp_path).blob(SHOP, EVIDENCE, 100))
    assert inner.asked == ["manifest shop/cart", "manifest shop/other", "blob shop/cart"]


def test_what_the_registry_would_refuse_is_refused_though_it_is_kept(inner: Inner, tmp_path: pathlib.Path) -> None:
    registry = stored(inner, tmp_path)
    run(registry.blob(SHOP, EVIDENCE, 100))
    run(registry.manifest(SHOP, EVIDENCE))
    with pytest.raises(LimitExceeded):
        run(registry.blob(SHOP, EVIDENCE, len(BODY) - 1))
    with pytest.raises(Malformed, match="another size"):
        run(registry.manifest(SHOP, EVIDENCE._replace(size=len(BODY) + 1)))


def test_content_that_is_spoilt_is_asked_for_again(inner: Inner, tmp_path: pathlib.Path) -> None:
    run(stored(inner, tmp_path).manifest(SHOP, EVIDENCE))
    (entry,) = (tmp_path / content_store.KIND.folder).iterdir()
    entry.write_bytes(BODY.replace(b"1", b"2"))
    assert run(stored(inner, tmp_path).manifest(SHOP, EVIDENCE)) == BODY
    assert inner.asked == ["manifest shop/cart"] * 2
    assert run(stored(inner, tmp_path).manifest(SHOP, EVIDENCE)) == BODY
    assert len(inner.asked) == 2


def test_content_that_is_too_long_is_not_kept(
    inner: Inner, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_store, "KIND", content_store.KIND._replace(largest=len(BODY) - 1))
    for _ in range(2):
        run(stored(inner, tmp_path).manifest(SHOP, EVIDENCE))
    assert len(inner.asked) == 2


@pytest.mark.parametrize("failure", [Malformed("none"), Unavailable("429", cause=Cause.THROTTLED)])
def test_a_failure_is_never_kept_as_a_list(inner: Inner, tmp_path: pathlib.Path, failure: Exception) -> None:
    inner.listing = failure
    with pytest.raises(type(failure)):
        listed(stored(inner, tmp_path))
    inner.listing = LISTED
    assert listed(stored(inner, tmp_path, since=AT - timedelta(days=1))) == LISTED
    assert inner.asked == ["referrers"] * 2


def test_a_list_that_is_young_enough_is_used_and_tells_its_time(inner: Inner, tmp_path: pathlib.Path) -> None:
    listed(stored(inner, tmp_path))
    later = AT + timedelta(hours=1)
    run(stored(inner, tmp_path, now=later).tagged(TAG))
    again = stored(inner, tmp_path, since=AT, now=later)
    assert again.oldest is None
    assert run(again.tagged(TAG)) == EVIDENCE
    assert again.oldest == later
    assert listed(again) == LISTED
    assert again.oldest == AT
    assert inner.asked == ["referrers", "tagged"]


def test_a_list_that_is_too_old_is_asked_for_again(inner: Inner, tmp_path: pathlib.Path) -> None:
    listed(stored(inner, tmp_path))
    late = stored(inner, tmp_path, since=AT + timedelta(seconds=1), now=AT + timedelta(hours=1))
    listed(late)
    assert (late.oldest, inner.asked) == (None, ["referrers"] * 2)


def test_a_list_of_a_time_to_come_is_asked_for_again(inner: Inner, tmp_path: pathlib.Path) -> None:
    listed(stored(inner, tmp_path))
    listed(stored(inner, tmp_path, since=AT - timedelta(days=1), now=AT - timedelta(seconds=1)))
    assert inner.asked == ["referrers"] * 2


def test_a_tag_that_named_nothing_is_kept_as_that(inner: Inner, tmp_path: pathlib.Path) -> None:
    inner.named = None
    assert run(stored(inner, tmp_path).tagged(TAG)) is None
    inner.named = EVIDENCE
    again = stored(inner, tmp_path, since=AT)
    assert run(again.tagged(TAG)) is None
    assert again.oldest == AT
    assert run(again.tagged(TAG._replace(tag="other"))) == EVIDENCE


def test_another_question_is_asked(inner: Inner, tmp_path: pathlib.Path) -> None:
    listed(stored(inner, tmp_path))
    again = stored(inner, tmp_path, since=AT)
    listed(again, "application/y")
    listed(again, "application/x", "application/y")
    listed(again, repository=OTHER)
    listed(stored(inner, tmp_path, since=AT, way="another"))
    run(again.referrers(SHOP, Digest.of(b"another"), ("application/x",)))
    assert inner.asked == ["referrers"] * 6


def test_a_list_with_a_defect_is_not_kept_and_the_one_before_is_none_any_more(
    inner: Inner, tmp_path: pathlib.Path
) -> None:
    listed(stored(inner, tmp_path))
    inner.listing = LISTED._replace(defect=Malformed("a bad entry"))
    assert listed(stored(inner, tmp_path)).defect is not None
    assert list((tmp_path / KIND.folder).iterdir()) == []
    listed(stored(inner, tmp_path, since=AT))
    assert len(inner.asked) == 3


def test_the_longest_list_that_a_registry_may_give_is_kept(tmp_path: pathlib.Path) -> None:
    many = tuple(EVIDENCE._replace(digest=Digest.of(b"%d" % n)) for n in range(1000))
    kept = KeptListing(Listing(many, "referrers tag", False), AT)
    store, question = ListingStore(str(tmp_path)), Question("way", SHOP, str(SUBJECT))
    store.put(question, kept)
    assert store.get(question, AT) == kept


def test_a_list_that_is_too_long_is_not_kept_and_the_one_before_is_none_any_more(
    inner: Inner, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(stored(inner, tmp_path))
    monkeypatch.setattr(listing_store, "KIND", KIND._replace(largest=100))
    listed(stored(inner, tmp_path))
    assert list((tmp_path / KIND.folder).iterdir()) == []


def test_a_repository_is_forgotten_and_no_other(inner: Inner, tmp_path: pathlib.Path) -> None:
    registry = stored(inner, tmp_path, since=AT)
    for repository in (SHOP, OTHER):
        listed(registry, repository=repository)
        run(registry.manifest(repository, EVIDENCE))
    assert ListingStore(str(tmp_path)).forget(SHOP) == 1
    assert content_store.ContentStore(str(tmp_path)).forget(SHOP) == 1
    inner.asked.clear()
    for repository in (SHOP, OTHER):
        listed(registry, repository=repository)
        run(registry.manifest(repository, EVIDENCE))
    assert inner.asked == ["referrers", "manifest shop/cart"]


def test_ways_differ_where_registries_are_asked_differently() -> None:
    plain, tls = StoreSettings("a", True), StoreSettings("b", False)
    ways = [way_of(each) for each in ([plain], [tls], [plain, tls], [tls._replace(ca_certificates=("0" * 64,))])]
    assert len(set(ways)) == 4
    assert way_of([tls._replace(name="c", cosign_tags=True)]) == way_of([tls]) == way_of([tls, tls])


class Huge(Inner):
    """Content as large as its descriptor says."""

    def _content(self, descriptor: Descriptor) -> bytes:
        return bytes(descriptor.size)


@pytest.mark.parametrize("size", [8 * 1024 * 1024, 512 * 1024])
def test_content_that_waits_for_being_written_is_bounded(tmp_path: pathlib.Path, size: int) -> None:
    registry = StoredRegistry(Huge(), str(tmp_path), way="", at_once=False)
    tracemalloc.start()
    try:
        for i in range(50):
            run(registry.blob(SHOP, Descriptor("text/plain", Digest.of(b"%d" % i), size), size))
        assert tracemalloc.get_traced_memory()[0] < MAX_UNWRITTEN + 1024 * 1024
        registry.keep()
        assert tracemalloc.get_traced_memory()[0] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_what_waits_in_one_process_is_bounded_together_and_what_is_given_up_is_gone(tmp_path: pathlib.Path) -> None:
    """Many images that are verified at once, each with as much as may be attached to it."""
    size, room = 512 * 1024, Allowance(MAX_UNWRITTEN)

    def verified() -> StoredRegistry:
        registry = StoredRegistry(Huge(), str(tmp_path), way="", at_once=False, unwritten=room)
        for i in range(50):
            run(registry.blob(SHOP, Descriptor("text/plain", Digest.of(b"%d" % i), size), size))
        return registry

    tracemalloc.start()
    gc.disable()
    try:
        registries = [verified() for _ in range(4)]
        assert tracemalloc.get_traced_memory()[0] < MAX_UNWRITTEN + 1024 * 1024
        assert not room.take(1)
        for each in registries:
            each.forget()
        assert room.take(MAX_UNWRITTEN)
        room.give(MAX_UNWRITTEN)
        registries = [verified()]
        registries.clear()  # without a word: no cycle keeps what waited
        assert tracemalloc.get_traced_memory()[0] < 1024 * 1024
    finally:
        gc.enable()
        tracemalloc.stop()
