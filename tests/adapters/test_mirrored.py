"""Mirrors and the registry as one: what a mirror lacks proves nothing, and the registry's word is the last."""

from collections.abc import Sequence
from typing import Any

import pytest

from agent.adapters.inline import run
from agent.adapters.mirrored import Candidate, MirroredRegistry
from agent.errors import Cause, DigestMismatch, Malformed, NodesealError, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.evidence import Listing
from agent.model.reference import Reference, Repository

HOME = Repository("r.example", "team/app")
TAG, BY_DIGEST = Reference(HOME, "1", None), Reference(HOME, None, Digest.of(b"x"))
SIGNATURE, SBOM = "application/vnd.cncf.notary.signature", "application/spdx+json"
GONE = Unavailable("gone", cause=Cause.REGISTRY_UNAVAILABLE)
REFUSED = Unavailable("refused", cause=Cause.UNAUTHORIZED)
ABSENT = Malformed("not found")


def described(content: bytes, artifact_type: str = SIGNATURE) -> Descriptor:
    """What a list names."""
    return Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(content), len(content), artifact_type)


def listing(*descriptors: Descriptor, **changes: Any) -> Listing:
    """A list."""
    return Listing(descriptors, "referrers API", types_are_reliable=True, **changes)


S, OTHER_S, B = described(b"s"), described(b"s2"), described(b"b", SBOM)
LIST, NOTHING = listing(S), listing()


class Stub:
    """`ports.Registry` that says one thing to every question, and counts them."""

    def __init__(self, said: object) -> None:
        """It is raised if it is an error."""
        self.said, self.asked = said, 0

    def _say(self) -> Any:
        self.asked += 1
        if isinstance(self.said, NodesealError):
            raise self.said
        return self.said

    async def resolve(self, reference: Reference) -> Descriptor:
        """See `ports.Registry`."""
        return self._say()  # type: ignore[no-any-return]

    async def tagged(self, reference: Reference) -> Descriptor | None:
        """See `ports.Registry`."""
        return self._say()  # type: ignore[no-any-return]

    async def referrers(self, repository: Repository, subject: Digest, artifact_types: Sequence[str]) -> Listing:
        """See `ports.Registry`."""
        return self._say()  # type: ignore[no-any-return]

    async def manifest(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """See `ports.Registry`."""
        return self._say()  # type: ignore[no-any-return]

    async def blob(self, repository: Repository, descriptor: Descriptor, limit: int) -> bytes:
        """See `ports.Registry`."""
        return self._say()  # type: ignore[no-any-return]


def over(*said: object, resolves: bool = True) -> tuple[MirroredRegistry, list[Stub]]:
    """Places that say these things, the registry last."""
    stubs = [Stub(each) for each in said]
    candidates = [Candidate(stub, resolves) for stub in stubs[:-1]] + [Candidate(stubs[-1])]
    return MirroredRegistry(lambda repository: candidates), stubs


def listed(*said: object, types: Sequence[str] = (SIGNATURE,)) -> Listing:
    """The list that they make together."""
    return run(over(*said)[0].referrers(HOME, S.digest, types))


@pytest.mark.parametrize("mirror", [NOTHING, ABSENT, GONE, REFUSED, listing(S, defect=ABSENT), listing(B)], ids=str)
def test_signed_image_stays_signed_whatever_its_mirror_lacks(mirror: object) -> None:
    assert S in listed(mirror, LIST).descriptors
    assert S in listed(mirror, mirror, LIST).descriptors


def test_mirror_that_has_what_is_asked_for_is_enough() -> None:
    registry, (first, second, home) = over(NOTHING, LIST, GONE)
    assert run(registry.referrers(HOME, S.digest, (SIGNATURE,))) == LIST
    assert (first.asked, second.asked, home.asked) == (1, 1, 0)


@pytest.mark.parametrize("types", [(), ("*",), (SIGNATURE, SBOM)])
def test_mirror_that_may_lack_something_is_not_the_whole(types: Sequence[str]) -> None:
    found = listed(LIST, listing(OTHER_S, B), types=types)
    assert set(found.descriptors) == {S, OTHER_S, B}
    assert found.missing is None
    alone = listed(LIST, GONE, types=types)
    assert alone.descriptors == (S,)
    assert alone.missing == GONE


def test_mirror_gives_no_other_type_to_what_the_registry_lists() -> None:
    disguised, large = described(b"s", "application/x-other"), S._replace(size=2**40)
    for lie in (disguised, large):
        assert listed(listing(lie, B), LIST, types=(SIGNATURE, "application/x")).descriptors == (S, B)
    assert listed(listing(OTHER_S, B), LIST, types=()).descriptors == (S, OTHER_S, B)  # the registry's come first


def test_mirror_that_can_not_tell_types_spoils_none_of_the_registrys() -> None:
    told = listed(Listing((OTHER_S, S), "referrers tag", types_are_reliable=False), LIST, types=())
    assert told == listing(S, OTHER_S._replace(artifact_type=None))
    vague = LIST._replace(types_are_reliable=False)
    assert not listed(listing(B), vague).types_are_reliable


@pytest.mark.parametrize("mirror", [NOTHING, ABSENT, GONE, REFUSED], ids=str)
def test_registrys_own_word_and_silence_are_the_last(mirror: object) -> None:
    assert listed(mirror, NOTHING) == NOTHING  # nothing there: no mirror makes "cannot tell" of it
    with pytest.raises(Unavailable):
        listed(mirror, GONE)
    with pytest.raises(Malformed):
        listed(mirror, ABSENT)


def test_defect_of_a_mirror_is_nobodys_and_one_of_the_registry_stays() -> None:
    spoilt = listing(B, defect=ABSENT)
    assert listed(spoilt, LIST) == LIST
    assert listed(listing(B), listing(S, defect=ABSENT)).defect == ABSENT


@pytest.mark.parametrize("mirror", [ABSENT, GONE, REFUSED, DigestMismatch("other bytes")], ids=str)
def test_content_that_a_mirror_has_not_or_spoils_is_the_registrys(mirror: object) -> None:
    for ask in ("manifest", "blob"):
        registry, _ = over(mirror, b"content")
        more = (10,) if ask == "blob" else ()
        assert run(getattr(registry, ask)(HOME, S, *more)) == b"content"
        with pytest.raises(DigestMismatch):
            run(getattr(over(mirror, DigestMismatch("spoilt there"))[0], ask)(HOME, S, *more))


def test_mirror_that_does_not_answer_is_not_asked_again() -> None:
    registry, (mirror, _) = over(GONE, b"content")
    for _ in range(3):
        assert run(registry.manifest(HOME, S)) == b"content"
    assert mirror.asked == 1


def test_tags_are_asked_of_who_may_say_what_they_mean() -> None:
    registry, (mirror, home) = over(S, OTHER_S, resolves=False)
    assert run(registry.resolve(TAG)) == OTHER_S
    assert run(registry.tagged(TAG)) == OTHER_S
    assert run(registry.resolve(BY_DIGEST)) == S
    registry, _ = over(None, S)
    assert run(registry.tagged(TAG)) == S
    assert run(over(None, None)[0].tagged(TAG)) is None


def test_registry_is_asked_for_lists_and_tags_once_somebody_insists() -> None:
    registry, (mirror, home) = over(LIST, listing(OTHER_S))
    assert not registry.insist()  # nobody was believed yet
    registry, (mirror, home) = over(LIST, listing(OTHER_S))
    assert run(registry.referrers(HOME, S.digest, (SIGNATURE,))) == LIST
    assert registry.insist()
    assert run(registry.referrers(HOME, S.digest, (SIGNATURE,))).descriptors == (OTHER_S, S)
    registry, (mirror, home) = over(S, OTHER_S)
    assert run(registry.tagged(TAG)) == S
    assert registry.insist()
    assert run(registry.tagged(TAG)) == OTHER_S
    assert run(registry.resolve(TAG)) == S  # what is pulled stays what it is


def test_nobody_was_believed_where_the_registry_was_asked() -> None:
    for said in ((NOTHING, LIST), (GONE, LIST), (listing(B), LIST)):
        registry, _ = over(*said)
        run(registry.referrers(HOME, S.digest, (SIGNATURE,)))
        assert not registry.insist()
    registry, _ = over(None, S)
    run(registry.tagged(TAG))
    assert not registry.insist()
    registry, _ = over(b"content", b"content")
    run(registry.manifest(HOME, S))
    assert not registry.insist()


def test_registry_without_an_answer_is_told_where_somebody_insists() -> None:
    registry, (mirror, home) = over(LIST, GONE)
    run(registry.referrers(HOME, S.digest, (SIGNATURE,)))
    assert registry.insist()
    with pytest.raises(Unavailable):
        run(registry.referrers(HOME, S.digest, (SIGNATURE,)))
    with pytest.raises(Unavailable):
        run(registry.tagged(TAG))
    assert mirror.asked == 1  # the first time


def test_mirror_that_was_silent_is_not_asked_again_for_insisting() -> None:
    registry, (first, second, home) = over(GONE, LIST, listing(OTHER_S))
    run(registry.referrers(HOME, S.digest, (SIGNATURE,)))
    assert registry.insist()
    run(registry.referrers(HOME, S.digest, (SIGNATURE,)))
    assert (first.asked, second.asked, home.asked) == (1, 2, 1)


def test_record_that_can_not_be_used_is_told_for_each_question() -> None:
    def broken(repository: Repository) -> Sequence[Candidate]:
        raise GONE

    with pytest.raises(Unavailable):
        run(MirroredRegistry(broken).manifest(HOME, S))
