"""Puts the revocation client of a one-shot process together: environment, deadline and root in, a port out."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from agent.adapters.http_blocking import BlockingTransport
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.registry import Transport
from agent.adapters.revocation import RevocationClient
from agent.adapters.revocation_cache import RevocationCache
from agent.ports import RevocationSource

_RESERVE = 1.0
"""Seconds before the deadline at which asking ends: "not known" is a better answer than "no time"."""


def revocation_source(environment: Mapping[str, str], deadline: float, cache_root: str | None) -> RevocationSource:
    """A revocation client over blocking connections.

    `environment` is believed for its proxy variables alone; `deadline` is a time of `time.monotonic()`; answers are
    kept under `cache_root`, or not on disk at all if that is None.
    """
    proxies = ProxySettings.from_environment(environment)

    @contextmanager
    def transport(seconds: float) -> Iterator[Transport]:
        opened = BlockingTransport(deadline=min(time.monotonic() + seconds, deadline - _RESERVE), proxies=proxies)
        try:
            yield opened
        finally:
            opened.close()

    return RevocationClient(transport, cache=None if cache_root is None else RevocationCache(cache_root))
