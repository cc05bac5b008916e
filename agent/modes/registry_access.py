"""Puts the registry client of a one-shot process together: configuration, environment and deadline in, a port out."""

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Callable, Iterator, Mapping, Sequence

from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.registry import RegistryClient, Transport
from agent.adapters.stored_registry import StoredRegistry, way_of
from agent.adapters.throttling import ConsiderateTransport, ThrottledOrigins
from agent.adapters.token_store import TokenStore
from agent.config.config import Config
from agent.ports import Registry
from agent.registry.memory import Memory
from agent.rules.floor import NOTHING_RECORDED, HostFacts

if TYPE_CHECKING:
    from agent.adapters.credentials import CredentialFile, CredentialFiles
    from agent.registry.credentials import Keyring
    from agent.registry.hosts import Place


@contextmanager
def open_registry(
    config: Config,
    environment: Mapping[str, str],
    deadline: float,
    *,
    root: str,
    host: HostFacts = NOTHING_RECORDED,
    personal: bool = False,
    insist: "list[Callable[[], bool]] | None" = None,
) -> Iterator[Registry]:
    """A registry client over blocking connections, all of them closed at the end.

    Credentials are the node's, below `root`, then those of the Secrets that a store names; a person's own come behind
    them if `personal`.  Otherwise `environment` is believed for its proxy variables alone, and not for these where
    `host` has a record.  `deadline` is a time of `time.monotonic()`.

    What all processes of the node share is used and kept below `root` too: content, lists, tokens, and who asked to be
    left alone.  Nothing of it if `personal`.

    To `insist` is added what has a registry itself asked where a mirror's word was taken: see `Engine`.
    """
    shared = None if personal else _Shared(root)
    stores: list[_Store] = []
    clients: list[Registry] = []
    # Stores that differ in nothing that matters here are one.
    kinds = ((store.use_http, store.ca_certificates, store.secrets) for store in config.stores)
    for use_http, cas, secrets in dict.fromkeys(kinds):
        extra = [config.certificates[name] for name in cas]
        credentials = credentials_of(root, environment if personal else {}, secrets)
        memory = Memory(time.monotonic, credentials, shared.tokens if shared else None)
        proxies = ProxySettings.from_environment(host.variables(environment))
        stores.append(_Store(root, use_http, proxies, host.bundle(root), extra, memory, shared))
        client = stores[-1].client(deadline)
        if host.registries:
            from agent.modes.mirrors import Mirrors

            mirrors = Mirrors(host.registries, use_http, deadline, stores[-1].at, client)
            client = mirrors.registry()
            if insist is not None:
                insist.append(mirrors.insist)
        clients.append(client)
    registry = clients[0] if len(clients) == 1 else _union(clients)
    try:
        yield shared.registry(registry, way_of(config.stores, host.registries)) if shared else registry
    finally:
        for store in stores:
            store.close()


class _Store:
    """A store's clients, and the transports that they were given."""

    def __init__(
        self,
        root: str,
        use_http: bool,
        proxies: ProxySettings,
        bundle: str,
        extra: Sequence[bytes],
        memory: Memory,
        shared: "_Shared | None",
    ) -> None:
        self._root, self._use_http, self._memory, self._shared = root, use_http, memory, shared
        self._proxies, self._bundle, self._extra = proxies, bundle, extra
        self._transports: list[BlockingTransport] = []

    def client(self, deadline: float, place: "Place | None" = None) -> Registry:
        """A client, of all registries or of one place."""
        tls = place.tls.under(self._root) if place is not None and place.tls is not None else None
        made = BlockingTransport(
            deadline=deadline, proxies=self._proxies, ca_bundle=self._bundle, extra_cas=self._extra, tls=tls
        )
        self._transports.append(made)
        transport = self._shared.transport(made) if self._shared else made
        return RegistryClient(transport, use_http=self._use_http, memory=self._memory, place=place)

    def at(self, place: "Place", deadline: float) -> Registry:
        """A client of one place."""
        return self.client(deadline, place)

    def close(self) -> None:
        """Close every connection."""
        for transport in self._transports:
            transport.close()


class _Shared:
    """What the processes of a node have in common, under one root."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._throttled = ThrottledOrigins(root)
        self.tokens = TokenStore(root)

    def transport(self, inner: Transport) -> Transport:
        return ConsiderateTransport(inner, self._throttled)

    def registry(self, inner: Registry, way: str) -> Registry:
        return StoredRegistry(inner, self._root, way=way)


def _union(clients: "list[Registry]") -> Registry:
    from agent.adapters.union import UnionRegistry  # most configurations have one store

    return UnionRegistry(clients)


def credentials_of(
    root: str, environment: Mapping[str, str], secrets: Sequence[str] = ()
) -> "Callable[[], Keyring | None]":
    """The node's credentials, those of Secrets, and a person's if `environment` says where they are.

    What reads them is imported when they are asked for: most pulls never do.
    """
    files: CredentialFiles | None = None

    def look() -> "Keyring | None":
        nonlocal files
        if files is None:
            from agent.adapters.credentials import NODE_FILE, CredentialFile, CredentialFiles

            found = [CredentialFile(os.path.join(root, NODE_FILE))]
            if secrets:
                from agent.adapters.pull_secrets import credential_files

                found += credential_files(root, secrets)
            files = CredentialFiles([*found, *personal_credentials(environment)])
        return files()

    return look


def personal_credentials(environment: Mapping[str, str]) -> "list[CredentialFile]":
    """Where Docker keeps a person's credentials; nowhere without `DOCKER_CONFIG` and `HOME`."""
    from agent.adapters.credentials import CredentialFile

    folder = environment.get("DOCKER_CONFIG", "")
    if not folder and environment.get("HOME"):
        folder = os.path.join(environment["HOME"], ".docker")
    return [CredentialFile(os.path.join(folder, "config.json"), personal=True)] if folder else []
