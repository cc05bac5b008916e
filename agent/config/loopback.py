"""Names under which Ratify does not verify the TLS of registries, while here it is verified for every name.

A registry on loopback with a certificate of its own making works there without a word, and not here.  Only told.
"""

from collections.abc import Iterator, Mapping

from agent.config.checking import Finding, Path, shown
from agent.config.plugins import at
from agent.rules import matching

_VERIFIERS: tuple[Path, ...] = (("verifier", "plugins"), ("nodeseal", "verifiers"))
_RULES: Path = ("nodeseal", "rules")
_STATEMENTS: Path = ("trustPolicyDoc", "trustPolicies")
_EXPECTED = (
    "to know that TLS is verified there too, unlike in Ratify: useHttp for a registry without TLS, or caCertificates "
    "for one with a CA of its own"
)


def names(root: Mapping[str, object]) -> Iterator[Finding]:
    """One for each scope of a trust policy, and each pattern of a rule, that is such a name."""
    lists = [(*path, "registryScopes") for verifiers in _VERIFIERS for path in _statements(root, verifiers)]
    lists += [(*path, "match") for path in _items(root, _RULES)]
    for each in lists:
        for path in _items(root, each):
            name = at(root, *path)
            if isinstance(name, str) and _is_trusted_by_ratify(name) and not matching.complaint(name):
                yield Finding(path, f"{shown(name)}, a name of loopback", _EXPECTED, fatal=False)


def _statements(root: Mapping[str, object], verifiers: Path) -> list[Path]:
    return [path for verifier in _items(root, verifiers) for path in _items(root, (*verifier, *_STATEMENTS))]


def _items(root: Mapping[str, object], path: Path) -> list[Path]:
    found = at(root, *path)
    return [(*path, i) for i in range(len(found))] if isinstance(found, list) else []


def _is_trusted_by_ratify(name: str) -> bool:
    """Ratify's own condition: the beginning of a name, and addresses anywhere in it."""
    return name.lower().startswith("localhost:") or "127.0.0.1" in name or "::1" in name
