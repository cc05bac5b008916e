"""Key providers: the section `keyManagementProvider`, which Ratify has as resources of a cluster, not in its file.

One type: `inline`, whose certificates stand in the configuration itself, under Ratify's names.  Pure.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from agent.config import checking
from agent.config.checking import Finding
from agent.errors import Problem
from agent.model.documents import Document, Documents

SECTION = "keyManagementProvider"

_EXPECTED_USE = "its name under verificationCertStores of a verifier, or no such key provider"


class ProvidedDocuments:
    """The documents of a configuration with its key providers; implements `agent.model.documents.Sources`."""

    def __init__(self, documents: Documents, providers: Mapping[str, Document]) -> None:
        """`providers` are those of `read`."""
        self._documents = documents
        self._providers = providers
        self._used: set[str] = set()

    def find(self, path: str) -> tuple[Document, ...]:
        """See `Documents.find`."""
        return self._documents.find(path)

    def tree(self, path: str, wanted: Sequence[str]) -> tuple[Document, ...]:
        """See `Documents.tree`."""
        return self._documents.tree(path, wanted)

    def provided(self, provider: str) -> Document | None:
        """See `Sources.provided`."""
        self._used.add(provider)
        return self._providers.get(provider)

    def problems(self) -> tuple[Problem, ...]:
        """Key providers that nobody named, once everything was looked up."""
        return tuple(
            Problem(document.origin, f"the key provider {name[:80]!r}, which nothing refers to", _EXPECTED_USE, False)
            for name, document in self._providers.items()
            if name not in self._used
        )


def read(root: Mapping[str, object], document: str, findings: list[Finding]) -> dict[str, Document]:
    """The key providers in `root`, as far as they have the form: name -> what it holds, with its place as origin.

    `document` is the configuration's name.  Adds to `findings` what the schema can't tell.
    """
    section = root.get(SECTION)
    plugins = section.get("plugins") if isinstance(section, dict) else None
    found: dict[str, Document] = {}
    for i, plugin in enumerate(plugins if isinstance(plugins, list) else []):
        name, value = (plugin.get(key) if isinstance(plugin, dict) else None for key in ("name", "value"))
        path: checking.Path = (SECTION, "plugins", i)
        if not isinstance(name, str) or not isinstance(value, str):
            continue  # the schema's check has told
        if name in found:
            got = f"{checking.shown(name)}, which another key provider has too"
            findings.append(Finding((*path, "name"), got, "a name that no other key provider has"))
        origin = checking.place(document, cast("checking.Path", (*path, "value")))
        found[name] = Document(name, value.encode("utf-8", "surrogatepass"), origin)
    return found
