"""Where options find certificates: the documents of a configuration, its key providers, the CAs of registries.

Key providers stand in the section `keyManagementProvider`; Ratify has them as resources of a cluster, not in its file.
Two types: `inline`, whose certificates or public keys stand right there, under Ratify's names; and `url`, which is ours
(`agent.config.keysources`).  Pure.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from agent.config import checking
from agent.config.checking import Finding
from agent.errors import LimitExceeded, Malformed, Problem
from agent.model.documents import Document, Documents, Examination

SECTION = "keyManagementProvider"

MAX_WORK = 100_000
"""Most values of all schemas of one configuration, as `agent.codec.instances.work` counts: some seconds of work.

SARIF's schema has 4,000, and counts for them once, whoever names it.
"""

Labour = Callable[[Callable[[], bytes]], bytes]
"""Does work that may take any time where it can be ended, and raises `LimitExceeded` if it was."""

_KINDS = ("certificate", "key")
_UNEXAMINED = "to know that nobody looked here whether it is one; config check, where there is more time, tells"
_EXPECTED_USE = "its name in a verifier (verificationCertStores, keys), or no such key provider"


class VerifierSources:
    """What verifiers' options may refer to; implements `agent.model.documents.Sources`."""

    def __init__(
        self,
        documents: Documents,
        providers: Mapping[str, Document],
        apart: Collection[str],
        unknown: Collection[str] = (),
        roots: Mapping[str, Document | None] = MappingProxyType({}),
        labour: Labour | None = None,
    ) -> None:
        """`providers` are those of `read_providers`; of `unknown` ones nobody knows what they hold.

        `apart` are the origins of documents with another purpose: a path names them by themselves alone, not as part
        of a folder, so that a registry's CA beside the configuration doesn't become one of signers.  `roots` are
        trusted roots that are fetched (`agent.config.trustroots`), None for one of which nobody knows what it says.
        Without `labour`, documents are looked through on the spot.
        """
        self._documents = documents
        self._providers = providers
        self._apart = apart
        self._unknown = unknown
        self._roots = roots
        self._labour = labour
        self._examined: dict[bytes, object] = {}
        self._work = 0
        self._unexamined: dict[str, None] = {}
        self._used: set[str] = set()
        self._guessed = False
        self.roots_used: set[str] = set()
        """Trusted roots that were asked for."""
        self.taken: set[str] = set()
        """Providers that were asked for since `begin`."""

    def find(self, path: str) -> tuple[Document, ...]:
        """See `Documents.find`."""
        found = self._documents.find(path)
        return tuple(each for each in found if each.origin not in self._apart or is_named(each, path))

    def file(self, path: str) -> Document | None:
        """See `Documents.file`.  A trusted root that is fetched goes before a document of its name."""
        name = _last(path)
        if name not in self._roots:
            return self._documents.file(path)
        self.roots_used.add(name)
        root = self._roots[name]
        self._guessed = self._guessed or root is None
        return root or Document(name, b"", name)

    def tree(self, path: str, wanted: Sequence[str]) -> tuple[Document, ...]:
        """See `Documents.tree`."""
        return self._documents.tree(path, wanted)

    def provided(self, provider: str) -> Document | None:
        """See `Sources.provided`."""
        self._used.add(provider)
        self.taken.add(provider)
        return self._providers.get(provider)

    def examined(self, document: Document, begin: Callable[[bytes], Examination]) -> object:
        """See `Sources.examined`."""
        if document.content not in self._examined:
            self._examined[document.content] = self._found(document, begin)
        found = self._examined[document.content]
        if isinstance(found, Malformed):
            raise found
        return found

    def _found(self, document: Document, begin: Callable[[bytes], Examination]) -> object:
        """What is said of the document whenever it is asked for: the value, or what is raised."""
        try:
            value, work, examine = begin(document.content)
        except Malformed as error:
            return error
        self._work += work
        if self._work > MAX_WORK:
            got = f"schemas of {self._work} values up to this one, those of drafts from 2019-09 on counted for several"
            return LimitExceeded(f"schema: got {got}; expected at most {MAX_WORK} in one configuration")
        try:
            flaw = examine() if self._labour is None else self._labour(examine)
        except LimitExceeded:
            self._unexamined[document.origin] = None
            return value
        return Malformed(flaw.decode()) if flaw else value

    def is_known(self) -> bool:
        """Whether it is known what those hold that were taken."""
        return not self.taken & set(self._unknown) and not self._guessed

    def begin(self) -> None:
        """Another verifier's options are read from now on."""
        self.taken.clear()
        self._guessed = False

    def problems(self) -> Iterator[Problem]:
        """Once everything was looked up: key providers that nobody named, documents that nobody looked through."""
        unexamined = tuple(self._unexamined)
        if unexamined:
            others = f" (and {len(unexamined) - 1} more)" if len(unexamined) > 1 else ""
            got = f"a schema{others} that was not looked through: too little time, or memory, was left for it"
            yield Problem(unexamined[0], got, _UNEXAMINED, False)
        yield from (
            Problem(document.origin, f"the key provider {name[:80]!r}, which nothing refers to", _EXPECTED_USE, False)
            for name, document in self._providers.items()
            if name not in self._used
        )


def is_named(document: Document, path: str) -> bool:
    """Whether `path` names the document by itself, not a folder that it is found in."""
    return not path.endswith("/") and _last(path) == _last(document.name)


class Placing(Protocol):
    """Says where a path of keys stands, as people read it."""

    def text(self, path: checking.Path) -> str:
        """The place."""
        ...


def read_providers(root: Mapping[str, object], place: Placing, findings: list[Finding]) -> dict[str, Document]:
    """The key providers in `root`, as far as they have the form: name -> what it holds, with its place as origin.

    Adds to `findings` what the schema can't tell.
    """
    section = root.get(SECTION)
    plugins = section.get("plugins") if isinstance(section, dict) else None
    found: dict[str, Document] = {}
    names: set[str] = set()
    for i, plugin in enumerate(plugins if isinstance(plugins, list) else []):
        name, value = (plugin.get(key) if isinstance(plugin, dict) else None for key in ("name", "value"))
        path: checking.Path = (SECTION, "plugins", i)
        if not isinstance(name, str):
            continue  # the schema's check has told
        if name in names:
            got = f"{checking.shown(name)}, which another key provider has too"
            findings.append(Finding((*path, "name"), got, "a name that no other key provider has"))
        names.add(name)
        if not isinstance(value, str):
            continue  # the same; or it is fetched
        kind, other = plugin.get("contentType"), "certificate" if "BEGIN CERTIFICATE" in value else "key"
        if kind in _KINDS and kind != other and "-----BEGIN" in value and "PRIVATE KEY" not in value:
            findings.append(Finding((*path, "contentType"), f'"{kind}"', f'"{other}", which the value is'))
        found[name] = Document(name, value.encode(), place.text((*path, "value")))
    return found


def _last(path: str) -> str:
    return path.rpartition("/")[2]
