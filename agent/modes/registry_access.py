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


@contextmanager
def open_registry(
    config: Config,
    environment: Mapping[str, str],
    deadline: float,
    *,
    root: str,
    host: HostFacts = NOTHING_RECORDED,
    personal: bool = False,
) -> Iterator[Registry]:
    """A registry client over blocking connections, all of them closed at the end.

    Credentials are the node's, below `root`, then those of the Secrets that a store names; a person's own come behind
    them if `personal`.  Otherwise `environment` is believed for its proxy variables alone, and not for these where
    `host` has a record.  `deadline` is a time of `time.monotonic()`.

    What all processes of the node share is used and kept below `root` too: content, lists, tokens, and who asked to be
    left alone.  Nothing of it if `personal`.
    """
    proxies, bundle = ProxySettings.from_environment(host.variables(environment)), host.bundle(root)
    shared = None if personal else _Shared(root)
    transports: list[BlockingTransport] = []
    clients: list[Registry] = []
    # Stores that differ in nothing that matters here are one.
    kinds = ((store.use_http, store.ca_certificates, store.secrets) for store in config.stores)
    for use_http, cas, secrets in dict.fromkeys(kinds):
        extra = [config.certificates[name] for name in cas]
        transports.append(BlockingTransport(deadline=deadline, proxies=proxies, ca_bundle=bundle, extra_cas=extra))
        credentials = credentials_of(root, environment if personal else {}, secrets)
        memory = Memory(time.monotonic, credentials, shared.tokens if shared else None)
        transport = shared.transport(transports[-1]) if shared else transports[-1]
        clients.append(RegistryClient(transport, use_http=use_http, memory=memory))
    registry = clients[0] if len(clients) == 1 else _union(clients)
    try:
        yield shared.registry(registry, way_of(config.stores)) if shared else registry
    finally:
        for transport in transports:
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
