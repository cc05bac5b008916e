"""Puts the revocation client of a one-shot process together: environment, deadline and root in, a port out.

Light until somebody has to be asked: most pulls never do.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from agent.model.inquiry import Confirmed, Fetched, RevocationQuery
from agent.rules.floor import NOTHING_RECORDED, HostFacts

if TYPE_CHECKING:
    from agent.adapters.http_blocking import BlockingTransport
    from agent.adapters.revocation import RevocationClient

RESERVE = 1.0
"""Seconds before the deadline at which asking ends: "not known" is a better answer than "no time"."""


class LateRevocation:
    """`ports.RevocationSource` over blocking connections, made when it is first asked."""

    def __init__(
        self,
        environment: Mapping[str, str],
        deadline: float,
        cache_root: str | None,
        *,
        host: HostFacts = NOTHING_RECORDED,
    ) -> None:
        """`environment` is believed for its proxy variables alone, and not for these where `host` has a record.

        `deadline` is a time of `time.monotonic()`.  Answers are kept under `cache_root`, or not on disk at all if that
        is None.
        """
        self._variables = host.variables(environment)
        self._ca_bundle = host.bundle(cache_root or "")
        self._deadline = deadline
        self._cache_root = cache_root

    async def fetch(self, query: RevocationQuery) -> Fetched:
        """See `ports.RevocationSource.fetch`."""
        return await self._client.fetch(query)

    async def keep(self, confirmed: Confirmed) -> None:
        """See `ports.RevocationSource.keep`."""
        await self._client.keep(confirmed)

    @cached_property
    def _client(self) -> "RevocationClient":
        from agent.adapters.revocation import RevocationClient
        from agent.adapters.revocation_cache import RevocationCache

        cache = None if self._cache_root is None else RevocationCache(self._cache_root)
        return RevocationClient(self._transport, cache=cache)

    @contextmanager
    def _transport(self, seconds: float) -> "Iterator[BlockingTransport]":
        from agent.adapters.http_blocking import BlockingTransport
        from agent.adapters.http_proxy import ProxySettings

        proxies = ProxySettings.from_environment(self._variables)
        end = min(time.monotonic() + seconds, self._deadline - RESERVE)
        transport = BlockingTransport(deadline=end, proxies=proxies, ca_bundle=self._ca_bundle)
        try:
            yield transport
        finally:
            transport.close()
