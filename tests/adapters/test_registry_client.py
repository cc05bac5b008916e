"""What drives the protocol, and what it holds meanwhile."""

import json
from typing import Any

from agent.adapters.inline import run
from agent.adapters.registry import RegistryClient
from agent.model.digest import Digest
from agent.model.manifest import IMAGE_INDEX, IMAGE_MANIFEST
from agent.model.reference import Reference
from agent.registry.messages import Request, Response

REPOSITORY = Reference.parse("registry.example.com/team/app:1").repository
SUBJECT = Digest.of(b"an image")


class Body(bytes):
    """A body that counts itself."""

    alive = 0

    def __new__(cls, content: bytes) -> "Body":
        """One more."""
        cls.alive += 1
        return super().__new__(cls, content)

    def __del__(self) -> None:
        """One less."""
        type(self).alive -= 1


class Pages:
    """`adapters.registry.Transport`: a list in pages, each of which leads to the next."""

    def __init__(self, count: int) -> None:
        """So many."""
        self._left = count
        self.alive: list[int] = []

    async def send(self, request: Request) -> Response:
        """Count the pages that are held while the next one comes."""
        self.alive.append(Body.alive)
        self._left -= 1
        return self._page(f'</v2/team/app/referrers/{SUBJECT}?page={self._left}>; rel="next"')

    def _page(self, link: str) -> Response:
        digest = str(Digest.of(link.encode()))
        entry: dict[str, Any] = {"mediaType": IMAGE_MANIFEST, "digest": digest, "size": 4, "artifactType": "a/b"}
        index = {
            "schemaVersion": 2,
            "mediaType": IMAGE_INDEX,
            "manifests": [entry],
            "annotations": {"a": "x" * 100_000},
        }
        headers = (("content-type", IMAGE_INDEX), *([("link", link)] if self._left else []))
        return Response(200, headers, Body(json.dumps(index).encode()))


def test_no_page_of_a_list_is_held_while_the_next_one_comes() -> None:
    """Whoever never sends that one would have the memory of the one before, which nobody counts any more."""
    pages = Pages(4)
    listing = run(RegistryClient(pages).referrers(REPOSITORY, SUBJECT, ("a/b", "c/d")))
    assert len(listing.descriptors) == 4
    assert pages.alive == [0, 0, 0, 0]
