"""Registries without a referrers API: what is remembered of that, for how long, and that nothing is overlooked."""

import json

import pytest

from agent.errors import Unavailable
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_INDEX, IMAGE_MANIFEST
from agent.model.reference import Repository
from agent.registry import referrers
from agent.registry.access import Access
from agent.registry.messages import Response
from tests.registry.support import REPOSITORY, SUBJECT, Clock, access, feed, memory, page, response

_ENTRY = {"mediaType": IMAGE_MANIFEST, "digest": str(Digest.of(b"1")), "size": 1}
_LIST = json.dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": [_ENTRY]}).encode()
_EMPTY = json.dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": []}).encode()


def kinds(to: Access, *responses: Response) -> list[str]:
    """What is asked for while listing referrers."""
    _, asked = feed(referrers.referrers(to, SUBJECT, ("a", "b")), responses)
    return [each.url.path.split("/")[4] for each in asked]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_missing_api_is_remembered_for_an_hour(status: int) -> None:
    clock = Clock()
    to = access(memory_=memory(clock=clock))
    assert kinds(to, response(status), page(_LIST)) == ["referrers", "manifests"]
    clock.time += 3599
    assert kinds(to, page(_LIST)) == ["manifests"]
    other = to._replace(repository=Repository(REPOSITORY.host, "shop/other"))
    assert kinds(other, page(_LIST)) == ["referrers"]
    clock.time += 2
    assert kinds(to, page(_LIST)) == ["referrers"]


def test_the_api_is_asked_all_the_same_if_the_tag_lists_nothing() -> None:
    to = access()
    kinds(to, response(404), page(_LIST))
    for nothing in (response(404), page(_EMPTY), page(b"[]")):
        assert kinds(to, nothing, page(_LIST)) == ["manifests", "referrers"]
        assert kinds(to, nothing, response(404)) == ["manifests", "referrers"]


@pytest.mark.parametrize("answer", [response(302, location="https://login.example.net/"), response(200, b"<html>")])
def test_what_may_be_over_in_a_minute_is_not_remembered(answer: Response) -> None:
    to = access()
    kinds(to, answer, page(_LIST))
    assert kinds(to, page(_LIST)) == ["referrers"]


def test_a_repository_whose_tag_lists_nothing_is_not_remembered() -> None:
    to = access()
    kinds(to, response(404), response(404))
    assert kinds(to, page(_LIST)) == ["referrers"]


def test_a_failing_tag_fails_the_listing_when_it_comes_first_too() -> None:
    to = access()
    kinds(to, response(404), page(_LIST))
    with pytest.raises(Unavailable):
        kinds(to, response(503))
