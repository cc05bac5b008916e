"""Puts the registry and revocation clients of the daemon together: connections, tokens and trust that outlive a pull.

`registry_access` and `revocation_access` do the same for a process that lives for one verification.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple

from agent.adapters.http_pooled import BodyRoom, ConnectionPool, PooledTransport
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.registry import RegistryClient
from agent.adapters.revocation import RevocationClient
from agent.adapters.revocation_cache import RevocationCache
from agent.adapters.throttling import ConsiderateTransport, ThrottledOrigins
from agent.adapters.token_store import TokenStore
from agent.adapters.union import UnionRegistry
from agent.config.config import Config
from agent.model.inquiry import RevocationQuery
from agent.modes.mirrors import Mirrors
from agent.modes.registry_access import credentials_of
from agent.modes.revocation_access import RESERVE
from agent.ports import Registry
from agent.registry.hosts import HostTls, Place
from agent.registry.memory import Memory
from agent.rules.floor import NOTHING_RECORDED, HostFacts

RETIRED = 30.0
"""Seconds after which connections of a configuration that is gone are closed: longer than any verification."""

_Kind = tuple[bool, tuple[bytes, ...], tuple[str, ...]]
"""What tells connections apart: plain http, more CA certificates, Secrets with credentials."""


class _Kept(NamedTuple):
    pool: ConnectionPool
    memory: Memory


class Connections:
    """All connections of one process, made in its event loop, closed by `async with`."""

    def __init__(self, root: str, environment: Mapping[str, str]) -> None:
        """`environment` is believed for its proxy variables alone, and not for these where the node has a record.

        Credentials are the node's, below `root`.
        """
        self._root = root
        self._environment = environment
        self._host = NOTHING_RECORDED
        self._throttled = ThrottledOrigins(root)
        self._tokens = TokenStore(root)
        self._kept: dict[tuple[_Kind, HostTls | None], _Kept] = {}
        self._retired: list[tuple[float, ConnectionPool]] = []
        self._revocation: ConnectionPool | None = None
        self._write: Callable[[Callable[[], object]], None] = _at_once

    def write_by(self, later: Callable[[Callable[[], object]], None]) -> None:
        """Have `later` do what writes to a disk."""
        self._write = later

    async def __aenter__(self) -> "Connections":
        """Give it; no connection is made yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        pools = [each.pool for each in self._kept.values()] + [pool for _, pool in self._retired]
        for pool in pools + ([self._revocation] if self._revocation else []):
            await pool.__aexit__(kind, error, trace)

    async def keep_only(self, config: Config) -> None:
        """Give up, in a while, what a configuration has no use for."""
        wanted = set(_kinds(config))
        now = time.monotonic()
        for key in [key for key in self._kept if key[0] not in wanted]:
            self._retired.append((now, self._kept.pop(key).pool))
        while self._retired and self._retired[0][0] + RETIRED < now:
            await self._retired.pop(0)[1].__aexit__(None, None, None)

    def reach(self, host: HostFacts) -> None:
        """Reach registries as `host` says from now on; what was connected in another way is given up, in a while."""
        if host == self._host:
            return
        self._host = host
        pools = [kept.pool for kept in self._kept.values()] + ([self._revocation] if self._revocation else [])
        self._retired += [(time.monotonic(), pool) for pool in pools]
        self._kept.clear()
        self._revocation = None

    def _pool(self, cas: Sequence[bytes] = (), tls: HostTls | None = None) -> ConnectionPool:
        proxies = ProxySettings.from_environment(self._host.variables(self._environment))
        return ConnectionPool(proxies=proxies, ca_bundle=self._host.bundle(self._root), extra_cas=cas, tls=tls)

    def registry(
        self,
        config: Config,
        deadline: float,
        insist: list[Callable[[], bool]] | None = None,
        room: BodyRoom | None = None,
    ) -> Registry:
        """A client for one verification, which ends at `deadline`, a time of `time.monotonic()`; `room` is its own.

        To `insist` is added what has a registry itself asked where a mirror's word was taken: see `Engine`.
        """
        clients: list[Registry] = []
        for kind in _kinds(config):
            client = self._client(kind, deadline, room)
            if self._host.registries:

                def at(place: Place, end: float, kind: _Kind = kind) -> Registry:
                    return self._client(kind, end, room, place)

                mirrors = Mirrors(self._host.registries, kind[0], deadline, at, client)
                clients.append(mirrors.registry())
                if insist is not None:
                    insist.append(mirrors.insist)
            else:
                clients.append(client)
        return clients[0] if len(clients) == 1 else UnionRegistry(clients)

    def _client(
        self, kind: _Kind, deadline: float, room: BodyRoom | None, place: Place | None = None
    ) -> RegistryClient:
        """Of a store, at a place that the node's host has for a registry, if there is one."""
        use_http, cas, secrets = kind
        tls = place.tls.under(self._root) if place is not None and place.tls is not None else None
        kept = self._kept.get((kind, tls))
        if kept is None:
            memory = Memory(time.monotonic, credentials_of(self._root, {}, secrets), self._tokens)
            kept = self._kept[kind, tls] = _Kept(self._pool(cas, tls), memory)
        transport = ConsiderateTransport(PooledTransport(kept.pool, deadline=deadline, room=room), self._throttled)
        return RegistryClient(transport, use_http=use_http, memory=kept.memory, place=place)

    def revocation(self, deadline: float, room: BodyRoom | None = None) -> RevocationClient:
        """A client for one verification.  Answers are shared by the cache on disk, which knows how long they count."""

        @contextmanager
        def transport(seconds: float) -> Iterator[PooledTransport]:
            if self._revocation is None:
                self._revocation = self._pool()
            end = min(time.monotonic() + seconds, deadline - RESERVE)
            yield PooledTransport(self._revocation, deadline=end, room=room)

        return RevocationClient(transport, cache=_CacheBeside(self._root, self._write))


def _at_once(work: Callable[[], object]) -> None:
    work()


class _CacheBeside(RevocationCache):
    """A list may have 16 MiB: nobody waits until it is written."""

    def __init__(self, root: str, later: Callable[[Callable[[], object]], None]) -> None:
        super().__init__(root)
        self._later = later

    def put(self, query: RevocationQuery, content: bytes) -> None:
        """See `RevocationCache.put`."""
        self._later(lambda: RevocationCache.put(self, query, content))


def _kinds(config: Config) -> Sequence[_Kind]:
    """Stores that differ in nothing that matters here are one."""
    kinds = (
        (store.use_http, tuple(config.certificates[name] for name in store.ca_certificates), store.secrets)
        for store in config.stores
    )
    return tuple(dict.fromkeys(kinds))
