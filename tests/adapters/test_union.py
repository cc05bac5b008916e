"""Several stores as one registry: whose word counts, and whose failure."""

from collections.abc import Awaitable

import pytest

from agent.adapters.inline import run
from agent.adapters.union import UnionRegistry
from agent.errors import Cause, Malformed, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_MANIFEST
from agent.model.reference import Reference
from tests.formats.support import SUBJECT
from tests.test_engine import MemoryRegistry

REFERENCE = Reference.parse("r.example/team/app:1")
OTHER = Descriptor(IMAGE_MANIFEST, Digest.of(b"other"), 5)
AWAY = Unavailable("it is away", cause=Cause.REGISTRY_UNAVAILABLE)
WRONG = Malformed("got junk; expected a manifest")


class Store(MemoryRegistry):
    """One store, with one image."""

    def __init__(self, resolved: Descriptor | Exception, *listed: Descriptor) -> None:
        """`listed` refers to the image."""
        super().__init__()
        self.resolved = resolved
        self.listed = list(listed)

    async def resolve(self, reference: Reference) -> Descriptor:
        """It, or what is wrong with it."""
        if isinstance(self.resolved, Exception):
            raise self.resolved
        return self.resolved


def resolved(*stores: Store) -> Descriptor:
    """What several stores make of a reference."""
    return run(UnionRegistry(stores).resolve(REFERENCE))


@pytest.mark.parametrize("broken", [AWAY, WRONG])
def test_the_first_that_can_resolves_an_image(broken: Exception) -> None:
    assert resolved(Store(SUBJECT), Store(OTHER)) == SUBJECT
    assert resolved(Store(broken), Store(OTHER)) == OTHER


@pytest.mark.parametrize(("first", "second"), [(AWAY, WRONG), (WRONG, AWAY)])
def test_where_none_can_that_one_is_away_is_told_before_that_one_is_wrong(first: Exception, second: Exception) -> None:
    with pytest.raises(Unavailable, match="it is away"):
        resolved(Store(first), Store(second))
    with pytest.raises(Malformed, match="got junk"):
        resolved(Store(WRONG), Store(WRONG))


def test_referrers_are_those_of_all_each_once() -> None:
    one, two = Store(SUBJECT, OTHER), Store(SUBJECT, OTHER, SUBJECT)
    two.reliable = False
    found = run(UnionRegistry([one, two]).referrers(REFERENCE.repository, SUBJECT.digest, ["x"]))
    assert found.descriptors == (OTHER, SUBJECT)
    assert found.source == "referrers API"
    assert not found.types_are_reliable


def test_a_listing_that_fails_in_one_fails() -> None:
    one, two = Store(SUBJECT, OTHER), Store(SUBJECT)
    two.defect = WRONG
    assert run(UnionRegistry([one, two]).referrers(REFERENCE.repository, SUBJECT.digest, ["x"])).defect is WRONG
    two.broken["listing"] = AWAY
    with pytest.raises(Unavailable):
        run(UnionRegistry([one, two]).referrers(REFERENCE.repository, SUBJECT.digest, ["x"]))


def test_content_and_tags_are_those_of_the_first_that_has_them() -> None:
    one, two = Store(SUBJECT), Store(SUBJECT)
    name = str(OTHER.digest)
    one.broken[name], two.content[name], two.tags["1"] = WRONG, b"other", OTHER
    both = UnionRegistry([one, two])

    def said(asked: Awaitable[object]) -> object:
        async def awaited() -> object:
            return await asked

        return run(awaited())

    assert said(both.manifest(REFERENCE.repository, OTHER)) == b"other"
    assert said(both.blob(REFERENCE.repository, OTHER, 5)) == b"other"
    assert said(both.tagged(REFERENCE)) == OTHER
    two.tags.clear()
    assert said(both.tagged(REFERENCE)) is None
