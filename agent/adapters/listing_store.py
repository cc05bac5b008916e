"""What registries listed, kept on disk with the time: what pointed at an image, what cosign's tag named.

::

    var/cache/nodeseal/listings/<of the repository>-<of all else that decides>

For whoever judges again what was judged before, under another configuration: a list that is not too old serves him
without asking.  A pull always asks.  An entry holds its whole key; a list with a defect is not kept.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from agent.adapters import files
from agent.adapters.entries import FUTURE, Entries, Kind, name_of, prefix_of
from agent.codec import strictjson
from agent.errors import Malformed
from agent.model.descriptor import Descriptor
from agent.model.evidence import Listing
from agent.model.reference import Repository
from agent.registry.limits import MAX_DESCRIPTORS

KIND = Kind(
    name="listings",
    folder="var/cache/nodeseal/listings",
    version=1,
    largest=512 * 1024,
    most=10_000,
    most_bytes=64 * 1024 * 1024,
)
"""A real list has a few entries of 200 bytes each; one of 1,000 fits."""

_MAX_SOURCE = 200
_MOST = MAX_DESCRIPTORS + 1000  # the lists of several stores are one


class Question(NamedTuple):
    """What a registry was asked for: what points at a digest, or what a tag names.

    `way` says how it was asked, in any words of the caller's, as far as answers depend on that; `about` is a digest
    or a tag; `artifact_types` are those that were asked for.
    """

    way: str
    repository: Repository
    about: str
    artifact_types: tuple[str, ...] = ()

    @property
    def key(self) -> list[object]:
        """All of it."""
        return [self.way, str(self.repository), self.about, list(self.artifact_types)]

    @property
    def name(self) -> str:
        """What the entry is called."""
        return prefix_of(str(self.repository)) + name_of(strictjson.canonical(self.key).decode("ascii"))


class KeptListing(NamedTuple):
    """What was listed, and when it was asked for.  What a tag names is a list of one, or of none."""

    listing: Listing
    at: datetime


class ListingStore:
    """The lists under one root.  Many processes may use it at once; nothing here fails."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/cache/nodeseal` is under, "/" on a node."""
        self._entries = Entries(root, KIND)

    def get(self, question: Question, now: datetime) -> KeptListing | None:
        """The answer to a question, None if it is not kept.  What is dated behind `now` is no memory of ours."""
        value = self._entries.value(question.name)
        if value is None:
            return None
        try:
            kept = _decoded(value, question)
        except (Malformed, TypeError, LookupError, ValueError):
            self._entries.count(files.CORRUPT)
            return None
        if kept.at > now:
            self._entries.count(FUTURE)
            return None
        return kept

    def put(self, question: Question, kept: KeptListing) -> None:
        """Keep an answer; if it has a defect, have none."""
        listing = kept.listing
        if listing.defect is not None:
            self._entries.drop(question.name)
            return
        value = {
            "key": question.key,
            "at": kept.at.isoformat(),
            "descriptors": [_form(each) for each in listing.descriptors],
            "source": listing.source,
            "typesAreReliable": listing.types_are_reliable,
        }
        self._entries.keep(question.name, strictjson.canonical(value))

    def forget(self, repository: Repository) -> int:
        """Forget what is kept of a repository; how many entries that were.  Raises `OSError`."""
        return self._entries.forget(prefix_of(str(repository)))


def _decoded(value: Mapping[str, Any], question: Question) -> KeptListing:
    """Raises `Malformed`, or an error of Python's own, for what is none."""
    at, found, source = datetime.fromisoformat(value["at"]), value["descriptors"], value["source"]
    reliable = value["typesAreReliable"]
    if value["key"] != question.key or at.tzinfo is None or not isinstance(reliable, bool):
        raise ValueError("no list of ours")
    if not isinstance(source, str) or len(source) > _MAX_SOURCE or not source.isprintable():
        raise ValueError("no source")
    if not isinstance(found, list) or len(found) > _MOST:
        raise ValueError("no descriptors")
    descriptors = tuple(Descriptor.from_json(each, "kept list") for each in found)
    return KeptListing(Listing(descriptors, source, reliable), at)


def _form(descriptor: Descriptor) -> dict[str, object]:
    """As OCI writes it."""
    kind = {} if descriptor.artifact_type is None else {"artifactType": descriptor.artifact_type}
    name = {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}
    return {**name, **kind}
