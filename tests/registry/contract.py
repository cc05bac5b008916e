"""What every registry client promises over every transport, against every registry that behaves.

`RegistryContract` is subclassed per transport and registry (`tests.adapters.test_http_contract`): a subclass has the
fixtures `publisher` (puts content into a registry) and `client` (the `ports.Registry` under test).
"""

import uuid

import pytest

from agent.adapters.inline import run
from agent.errors import DigestMismatch, LimitExceeded, Malformed
from agent.model.digest import Digest
from agent.model.reference import Reference, Repository
from agent.ports import Registry
from tests.simulators.publisher import Publisher

SIGNATURE = "application/vnd.example.signature"
OTHER = "application/vnd.example.other"


class RegistryContract:
    """The promises.  Each test uses a repository of its own, so that a registry may live longer than a test."""

    @pytest.fixture
    def repository(self, publisher: Publisher) -> Repository:
        """A repository that nobody else uses."""
        return Repository(publisher.host, f"contract/{uuid.uuid4().hex}")

    def test_a_tag_and_a_digest_resolve(self, publisher: Publisher, client: Registry, repository: Repository) -> None:
        """To media type, digest and size."""
        image = publisher.push_image(repository.path, "1")
        for text in (f"{repository}:1", f"{repository}@{image.digest}", f"{repository}:other@{image.digest}"):
            assert run(client.resolve(Reference.parse(text))) == image

    def test_a_tag_that_is_not_there(self, publisher: Publisher, client: Registry, repository: Repository) -> None:
        """Is malformed: the name chose it."""
        publisher.push_image(repository.path, "1")
        with pytest.raises(Malformed, match="not found"):
            run(client.resolve(Reference.parse(f"{repository}:2")))

    def test_a_moved_tag(self, publisher: Publisher, client: Registry, repository: Repository) -> None:
        """Names something new; nothing of it is remembered."""
        first = publisher.push_image(repository.path, "1", salt="first")
        assert run(client.resolve(Reference.parse(f"{repository}:1"))) == first
        second = publisher.push_image(repository.path, "1", salt="second")
        assert run(client.resolve(Reference.parse(f"{repository}:1"))) == second

    def test_referrers_and_their_content(self, publisher: Publisher, client: Registry, repository: Repository) -> None:
        """What was attached is listed, and its manifest and blob can be fetched."""
        image = publisher.push_image(repository.path)
        attached = [publisher.attach(repository.path, image, SIGNATURE, text) for text in (b"one", b"two")]
        listing = run(client.referrers(repository, image.digest, (SIGNATURE,)))
        assert {each.digest for each in listing.descriptors} == {each.digest for each in attached}
        assert listing.defect is None
        for descriptor in listing.descriptors:
            manifest = run(client.manifest(repository, descriptor))
            assert Digest.of(manifest) == descriptor.digest
        blob = publisher.push_blob(repository.path, b"one")
        assert run(client.blob(repository, blob, 3)) == b"one"

    def test_types_that_are_not_wanted(self, publisher: Publisher, client: Registry, repository: Repository) -> None:
        """Hide nothing that is."""
        image = publisher.push_image(repository.path)
        publisher.attach(repository.path, image, OTHER, b"one")
        wanted = publisher.attach(repository.path, image, SIGNATURE, b"two")
        for types in ((SIGNATURE,), (SIGNATURE, OTHER), ("*",)):
            listing = run(client.referrers(repository, image.digest, types))
            assert wanted.digest in {each.digest for each in listing.descriptors}

    def test_no_referrers(self, publisher: Publisher, client: Registry, repository: Repository) -> None:
        """Is an empty listing, of whatever the registry has."""
        image = publisher.push_image(repository.path)
        listing = run(client.referrers(repository, image.digest, (SIGNATURE,)))
        assert (listing.descriptors, listing.defect) == ((), None)

    def test_content_that_is_not_there(self, publisher: Publisher, client: Registry, repository: Repository) -> None:
        """Is malformed: somebody named it."""
        image = publisher.push_image(repository.path)
        missing = image._replace(digest=Digest.of(b"nowhere"))
        with pytest.raises(Malformed, match="not found"):
            run(client.manifest(repository, missing))
        with pytest.raises(Malformed, match="not found"):
            run(client.blob(repository, missing, 1000))

    def test_sizes_that_lie(self, publisher: Publisher, client: Registry, repository: Repository) -> None:
        """Are found out, too small or too large."""
        blob = publisher.push_blob(repository.path, b"x" * 100_000)
        with pytest.raises(LimitExceeded):
            run(client.blob(repository, blob._replace(size=99_999), 1_000_000))
        with pytest.raises(DigestMismatch):
            run(client.blob(repository, blob._replace(size=100_001), 1_000_000))
        with pytest.raises(LimitExceeded):
            run(client.blob(repository, blob, 99_999))
        assert run(client.blob(repository, blob, 100_000)) == b"x" * 100_000

    def test_large_content(self, publisher: Publisher, client: Registry, repository: Repository) -> None:
        """Comes whole."""
        content = bytes(range(256)) * 12_000
        blob = publisher.push_blob(repository.path, content)
        assert run(client.blob(repository, blob, len(content))) == content
