"""One set of documents, in which a configuration finds what it names: which is the configuration, and in what bounds.

Paths lead nowhere but to documents of the set.  Pure: names and bytes come in.  `agent.adapters.documents` adds files.
"""

import re
from collections.abc import Mapping, Sequence

from agent.config.statement import SIGNATURES
from agent.errors import ConfigurationError, Problem
from agent.model.documents import Document

MAX_DOCUMENTS = 512
"""Most documents of one set."""

MAX_SIZE = 1024 * 1024
"""Most bytes of one document: a ConfigMap holds no more."""

MAX_TOTAL = 16 * 1024 * 1024
"""Most bytes of one set."""

CONFIGURATIONS = ("config.json", "config.yaml")
"""Names of a configuration of Ratify's form; one of them may be there."""

OWN = ("nodeseal.yaml", "nodeseal.json")
"""Names of a document with the section `nodeseal`, beside such a configuration or instead of it; one may be there."""

CERTIFICATE_SUFFIXES = (".crt", ".pem", ".cer", ".der")

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}\Z")


class NamedDocuments:
    """The documents of one configuration; implements `agent.model.documents.Documents`."""

    def __init__(self, configuration: Document, others: Sequence[Document], *, beside: Document | None = None) -> None:
        """`beside` is a document of `OWN` beside a configuration of Ratify's form."""
        self.configuration = configuration
        self.beside = beside
        both = (configuration, *([beside] if beside else []))
        self._documents = {document.name: document for document in (*both, *others)}
        self._used = {document.name for document in both}
        self._outside: dict[str, None] = {}
        self.signatures: Document | None = None

    @classmethod
    def of(cls, contents: Mapping[str, bytes], origin: str) -> "NamedDocuments":
        """Those of a ConfigMap, key -> content, which people know as `origin`.

        Keys that no ConfigMap can have are refused all the same; those that begin with a dot are no documents, as in a
        folder.  Raises `ConfigurationError`.
        """
        problems = _out_of_bounds(contents)
        if problems:
            raise ConfigurationError(f"{origin}: got documents out of bounds", problems=tuple(problems))
        documents = {
            name: Document(name, content, f"{origin}/{name}")
            for name, content in sorted(contents.items())
            if not name.startswith(".")
        }
        signatures = documents.pop(SIGNATURES, None)
        main, own = (only(documents, names, origin) for names in (CONFIGURATIONS, OWN))
        configuration = main or own
        if configuration is None:
            got = ", ".join(sorted(documents)[:5]) or "nothing"
            problem = Problem(origin, got[:200], f"{CONFIGURATIONS[0]} or {OWN[0]} among its keys")
            raise ConfigurationError(f"{origin}: got no configuration", problems=(problem,))
        found = cls(configuration, tuple(documents.values()), beside=own if main else None)
        found.signatures = signatures
        return found

    @property
    def contents(self) -> Mapping[str, bytes]:
        """Every document of the set, used or not: name -> content."""
        return {name: document.content for name, document in self._documents.items()}

    @property
    def outside(self) -> tuple[str, ...]:
        """Paths that were looked up, and that the set has nothing for, while none of the host's counted."""
        return tuple(self._outside)

    def find(self, path: str) -> tuple[Document, ...]:
        """See `Documents.find`."""
        found = self._in_set(path)
        if not found:
            self._outside[path] = None
        self._used.update(document.name for document in found)
        return found

    def file(self, path: str) -> Document | None:
        """See `Documents.file`."""
        found = self._documents.get(path.rpartition("/")[2])
        if found is None:
            self._outside[path] = None
        else:
            self._used.add(found.name)
        return found

    def own(self, name: str) -> Document | None:
        """See `DocumentSet.own`."""
        found = self._documents.get(name)
        if found is not None:
            self._used.add(name)
        return found

    def tree(self, path: str, wanted: Sequence[str]) -> tuple[Document, ...]:
        """See `Documents.tree`.  A set has no folders."""
        self._outside[path] = None
        return ()

    def problems(self) -> tuple[Problem, ...]:
        """What should be told once everything was looked up: documents that nobody named."""
        return tuple(
            Problem(name, "a document that nothing refers to", "a path in the configuration that names it", fatal=False)
            for name in sorted(self._documents)
            if name not in self._used
        )

    def _in_set(self, path: str) -> tuple[Document, ...]:
        name = path.rstrip("/").rpartition("/")[2]
        if not path.endswith("/") and name in self._documents:
            return (self._documents[name],)
        if not path.endswith("/") and is_certificate(name):
            return ()
        return tuple(document for name, document in sorted(self._documents.items()) if is_certificate(name))


def only(documents: dict[str, Document], names: tuple[str, ...], origin: str) -> Document | None:
    """Take the one document that has one of `names` out of `documents`.

    Raises `ConfigurationError` if there are two.
    """
    found = [name for name in names if name in documents]
    if len(found) > 1:
        problem = Problem(origin, " and ".join(found), "one of them: they would contradict each other")
        raise ConfigurationError(f"{origin}: got two configurations", problems=(problem,))
    return documents.pop(found[0]) if found else None


def is_certificate(name: str) -> bool:
    """Whether a document's name says that certificates are in it."""
    return name.lower().endswith(CERTIFICATE_SUFFIXES)


def _out_of_bounds(contents: Mapping[str, bytes]) -> list[Problem]:
    if len(contents) > MAX_DOCUMENTS:
        return [Problem("its keys", f"{len(contents)}", f"at most {MAX_DOCUMENTS}")]
    problems = [
        Problem(ascii(name)[:80], "no key of a ConfigMap", "letters, digits, '-', '_' and '.', not '..' at the start")
        for name in sorted(contents)
        if not _KEY.match(name) or name == "." or name.startswith("..")
    ]
    problems += (
        Problem(name[:80], f"{len(content)} bytes", f"at most {MAX_SIZE}")
        for name, content in sorted(contents.items())
        if len(content) > MAX_SIZE
    )
    total = sum(map(len, contents.values()))
    if total > MAX_TOTAL:
        problems.append(Problem("its documents", f"{total} bytes together", f"at most {MAX_TOTAL}"))
    return problems
