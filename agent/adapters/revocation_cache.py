"""Answers about revocation, kept on disk from one pull to the next.

::

    var/cache/nodeseal/revocation/<of the question>

What is in one was checked when it came, and is checked again by whoever reads it.  One that is too old is not there.
Nothing here ever fails: what can't be read or kept is asked for again.
"""

import time
from hashlib import sha256

from agent.adapters.entries import Entries, Kind
from agent.model.inquiry import RevocationQuery
from agent.trust.crl import MAX_LIST

CACHE = "var/cache/nodeseal/revocation"
"""Where answers are kept, under the root."""

KIND = Kind(
    name="revocation",
    folder=CACHE,
    version=1,
    largest=MAX_LIST,
    most=200,
    most_bytes=128 * 1024 * 1024,
)

OCSP_LIFETIME = 3600.0
LIST_LIFETIME = 24 * 3600.0
"""Seconds after which a kept answer is asked for anew, however long it says that it holds."""


class RevocationCache:
    """The cache under one root.  Many processes may use it at once."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/cache/nodeseal` is under, "/" on a node."""
        self._entries = Entries(root, KIND)

    def get(self, query: RevocationQuery) -> bytes:
        """The answer kept for `query`, empty if there is none."""
        lifetime = OCSP_LIFETIME if query.body else LIST_LIFETIME
        entry = self._entries.read(name_of(query))
        if entry is None or time.time() - entry.modified >= lifetime:
            return b""
        return entry.content if len(entry.content) <= query.limit else b""

    def put(self, query: RevocationQuery, content: bytes) -> None:
        """Keep an answer that was checked, and make room for it."""
        self._entries.keep(name_of(query), content)


def name_of(query: RevocationQuery) -> str:
    """The name that answers to this question go by."""
    return sha256(query.url.encode("utf-8", "surrogatepass") + b"\0" + query.body).hexdigest()
