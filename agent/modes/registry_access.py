"""Puts the registry client of a one-shot process together: configuration, environment and deadline in, a port out."""

from contextlib import contextmanager
from typing import Iterator, Mapping

from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.registry import RegistryClient
from agent.config.config import StoreSettings
from agent.ports import Registry


@contextmanager
def open_registry(store: StoreSettings, environment: Mapping[str, str], deadline: float) -> Iterator[Registry]:
    """A registry client over blocking connections, all of them closed at the end.

    `environment` is believed for its proxy variables alone; `deadline` is a time of `time.monotonic()`.
    """
    transport = BlockingTransport(deadline=deadline, proxies=ProxySettings.from_environment(environment))
    try:
        yield RegistryClient(transport, use_http=store.use_http)
    finally:
        transport.close()
