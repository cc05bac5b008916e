"""To which token servers credentials may be sent.  A registry names its token server: it may name a thief's.

That is the class of CVE-2026-48978 and CVE-2020-15157.  Credentials go to a realm only if it is

1. the registry's own host;
2. on the table of realms that are known to be the registry's own;
3. named for the registry in the docker configuration that the credentials come from; or
4. under the same registrable domain, by the public suffix list, unless customers of one provider share that domain.

And never over plain http to any host but that of a registry which is itself spoken to by plain http.  All else gets no
more than a request for an anonymous token.  `publicsuffixlist` is imported for (4) alone.  No I/O but its import.
"""

from typing import Sequence

from agent.registry.urls import Origin

_KNOWN = frozenset(
    {
        ("registry-1.docker.io", "auth.docker.io"),
        ("docker.io", "auth.docker.io"),
        ("index.docker.io", "auth.docker.io"),
        ("registry.gitlab.com", "gitlab.com"),
    }
)
"""Registry's host and realm's host."""

_SHARED = frozenset({"azurecr.io", "azurecr.cn", "azurecr.us", "azurecr.de", "jfrog.io", "pkg.dev", "gcr.io"})
"""Domains whose subdomains belong to different customers, though the public suffix list may not say so."""


def objection(registry: Origin, realm: Origin, named: Sequence[str]) -> str:
    """Why credentials for `registry` may not be sent to `realm`, as the end of a sentence; empty if they may.

    `named` are the realms, as `host` or `host:port`, that the docker configuration names for this registry.
    """
    if realm.scheme != "https" and (registry.scheme == "https" or realm.host != registry.host):
        return "it speaks plain http"
    if realm.host == registry.host or (registry.host, realm.host) in _KNOWN or realm.netloc in named:
        return ""
    domain = _registrable(registry.host)
    if domain and domain not in _SHARED and domain == _registrable(realm.host):
        return ""
    return "it is neither of the registry's own domain nor named for it under nodeseal.realms"


def _registrable(host: str) -> str:
    """The registrable domain of a host name; empty for an address, a single label, an unknown top-level domain."""
    if ":" in host or host.rpartition(".")[2].isdigit() or "." not in host:
        return ""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList(accept_unknown=False).privatesuffix(host) or ""
