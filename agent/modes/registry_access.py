"""Puts the registry client of a one-shot process together: configuration, environment and deadline in, a port out."""

import os
import time
from contextlib import contextmanager
from typing import Iterator, Mapping

from agent.adapters.credentials import NODE_FILE, CredentialFile, CredentialFiles
from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.registry import RegistryClient
from agent.config.config import StoreSettings
from agent.ports import Registry


@contextmanager
def open_registry(
    store: StoreSettings, environment: Mapping[str, str], deadline: float, *, root: str, personal: bool = False
) -> Iterator[Registry]:
    """A registry client over blocking connections, all of them closed at the end.

    Credentials are the node's, below `root`; a person's own come behind them if `personal`.  Otherwise `environment`
    is believed for its proxy variables alone.  `deadline` is a time of `time.monotonic()`.
    """
    transport = BlockingTransport(deadline=deadline, proxies=ProxySettings.from_environment(environment))
    credentials = [CredentialFile(os.path.join(root, NODE_FILE))]
    if personal:
        credentials += personal_credentials(environment)
    try:
        yield RegistryClient(
            transport, use_http=store.use_http, monotonic=time.monotonic, credentials=CredentialFiles(credentials)
        )
    finally:
        transport.close()


def personal_credentials(environment: Mapping[str, str]) -> list[CredentialFile]:
    """Where Docker keeps a person's credentials; nowhere without `DOCKER_CONFIG` and `HOME`."""
    folder = environment.get("DOCKER_CONFIG", "")
    if not folder and environment.get("HOME"):
        folder = os.path.join(environment["HOME"], ".docker")
    return [CredentialFile(os.path.join(folder, "config.json"), personal=True)] if folder else []
