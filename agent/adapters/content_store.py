"""Evidence by digest, kept on disk from one verification to the next.

::

    var/cache/nodeseal/content/<of the repository>-<of kind and digest>

The bytes as they came, for one repository and for one way of asking (manifest or blob): what another repository has
is no answer for this one, so that nobody is told else than without what is kept.  Whoever reads one compares it with
its digest again; what is not that content is not there.
"""

from agent.adapters import files
from agent.adapters.entries import Entries, Kind, name_of, prefix_of
from agent.model.descriptor import Descriptor
from agent.model.reference import Repository

KIND = Kind(
    name="content",
    folder="var/cache/nodeseal/content",
    version=0,
    largest=1024 * 1024,
    most=10_000,
    most_bytes=64 * 1024 * 1024,
)
"""Real evidence has a few KiB; formats take 256 KiB of an envelope."""

MANIFEST, BLOB = "manifest", "blob"
"""The two ways of asking."""


class ContentStore:
    """The content under one root.  Many processes may use it at once; nothing here fails."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/cache/nodeseal` is under, "/" on a node."""
        self._entries = Entries(root, KIND)

    def get(self, kind: str, repository: Repository, descriptor: Descriptor) -> bytes | None:
        """The content that `descriptor` names, None if it is not kept."""
        entry = self._entries.read(_name(kind, repository, descriptor))
        if entry is None:
            return None
        if not descriptor.digest.matches(entry.content):
            self._entries.count(files.CORRUPT)
            return None
        # What is listed with another size is refused by whoever asks the registry; so it is not answered here.
        return entry.content if len(entry.content) == descriptor.size else None

    def put(self, kind: str, repository: Repository, descriptor: Descriptor, content: bytes) -> None:
        """Keep content that was compared with its digest."""
        self._entries.keep(_name(kind, repository, descriptor), content)

    def forget(self, repository: Repository) -> int:
        """Forget what is kept of a repository; how many entries that were.  Raises `OSError`."""
        return self._entries.forget(prefix_of(str(repository)))


def _name(kind: str, repository: Repository, descriptor: Descriptor) -> str:
    return prefix_of(str(repository)) + name_of(kind, str(descriptor.digest))
