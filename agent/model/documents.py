"""Documents: the named files that a configuration is made of, and the certificates found in them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol


class Document(NamedTuple):
    """One named file of a configuration.  `origin` tells a person where it came from."""

    name: str
    content: bytes
    origin: str


class Examination(NamedTuple):
    """What some content is, and what is yet to be found out about it, which may take any time.

    `examine` returns what is wrong, empty for nothing; `work` is how many values it has to look at.
    """

    value: object
    work: int
    examine: Callable[[], bytes]


class Documents(Protocol):
    """Finds the documents that a path in a configuration names."""

    def find(self, path: str) -> tuple[Document, ...]:
        """The document that `path` names by its last component, or every certificate if it names a directory.

        An empty tuple means that there is nothing of that name.
        """
        ...

    def file(self, path: str) -> Document | None:
        """The one document that `path` names by its last component, whatever it holds; None if there is none."""
        ...

    def tree(self, path: str, wanted: Sequence[str]) -> tuple[Document, ...]:
        """The files below the host's folder `path` that `wanted` describes, each named by its path below it.

        A pattern is a relative path in which a component `*` stands for any name: `store/*/*` is every file of every
        folder in `store`.  Nothing else is opened.  An empty tuple means that there is nothing, or that the
        configuration is none whose paths lead to the host.
        """
        ...


class DocumentSet(Documents, Protocol):
    """All documents of one configuration."""

    def own(self, name: str) -> Document | None:
        """The document of that very name; None if there is none, which is nobody's fault."""
        ...


class Sources(Documents, Protocol):
    """Where a format's options find certificates and keys: the documents, and what key providers hold."""

    def provided(self, provider: str) -> Document | None:
        """What the key provider of that name holds; None if there is no such provider."""
        ...

    def examined(self, document: Document, begin: Callable[[bytes], Examination]) -> object:
        """What `begin` made of a document's content, if its examination found nothing wrong.  Once for each content.

        It is done where it can be ended; where it was, that is told apart, and nothing wrong is known of the document.
        Raises `Malformed` for what is wrong; `LimitExceeded` if it is too much work, with that for others before.
        """
        ...
