"""Documents: the named files that a configuration is made of, and the certificates found in them."""

from typing import NamedTuple, Protocol


class Document(NamedTuple):
    """One named file of a configuration.  `origin` tells a person where it came from."""

    name: str
    content: bytes
    origin: str


class Documents(Protocol):
    """Finds the documents that a path in a configuration names."""

    def find(self, path: str) -> tuple[Document, ...]:
        """The document that `path` names by its last component, or every certificate if it names a directory.

        An empty tuple means that there is nothing of that name.
        """
        ...
