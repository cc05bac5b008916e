"""Evidence: a referrer with its bytes, checked against their digests, not yet believed."""

from typing import NamedTuple

from agent.errors import Malformed, Unavailable
from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import Manifest


class Blob(NamedTuple):
    """A blob of a referrer: what the manifest said of it, and its bytes, which are what its digest names.

    `failure` says why there are no bytes, where a format takes each blob for itself (`Format.each_blob_counts`).
    """

    descriptor: Descriptor
    content: bytes
    failure: Malformed | Unavailable | None = None


class Evidence(NamedTuple):
    """One referrer of the subject, fetched.  `digest` is its manifest's."""

    digest: Digest
    manifest: Manifest
    blobs: tuple[Blob, ...]


class Listing(NamedTuple):
    """The referrers a registry names for a subject: hints, not facts.

    `source` is "referrers API" or "referrers tag"; types in a tag's index are not to be relied on
    (`types_are_reliable`).  `defect` is set if the list went on beyond our limits or had bad entries.  `missing` is set
    if somebody who may know of more did not answer.
    """

    descriptors: tuple[Descriptor, ...]
    source: str
    types_are_reliable: bool
    defect: Malformed | None = None
    missing: Unavailable | None = None
