"""What takes long to find out about the node, looked at now and then in a thread: caches, trusted roots, what ends.

Walks folders and reads certificates: not on a pull, not on a scrape, not on the event loop.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from agent.adapters import misses, rootnotes
from agent.adapters.nodestate import moment
from agent.adapters.rootnotes import RootNote
from agent.config.config import Config
from agent.errors import HostError, Unavailable
from agent.model.answer import printable, shortened
from agent.model.counters import OTHER
from agent.modes import cache
from agent.modes.cache import Size
from agent.modes.warm import WarmDoor
from agent.modes.warmstate import Declined
from agent.trust.expiry import earliest_end

INTERVAL = 60.0
"""Seconds between two looks at the caches."""

MOST_STORES = 200
"""Trust stores that are told apart; what the others hold is told under `OTHER`."""

VERIFIER, REGISTRY = "verifier", "registry"
"""What certificates are trusted for: signatures and timestamps, or a registry's TLS."""

_LOOK = 1.0
_MOST_TEXT = 64
_STORES = "trustStores"
_Value = TypeVar("_Value")


class Store(NamedTuple):
    """Certificates that are trusted together: `used_by` is what for, `owner` the document, `name` verifier or store."""

    used_by: str
    owner: str
    name: str
    store: str


class Found(NamedTuple):
    """What was found, and when (seconds since 1970, None for never); `ends` is when the first certificate ends.

    `roots` is how the fetching of trusted roots goes.
    """

    at: float | None = None
    sizes: Mapping[str, Size] = {}
    misses: Mapping[str, Mapping[str, int]] = {}
    certificates: int = 0
    ends: Mapping[Store, float] = {}
    roots: tuple[RootNote, ...] = ()


class Survey:
    """Looks at one node for as long as it runs."""

    def __init__(self, door: WarmDoor) -> None:
        """Nothing is found yet."""
        self.found = Found()
        self._door = door
        self._limiter = CapacityLimiter(1)  # a disk that hangs must not take the threads of others

    async def run(self) -> None:
        """Look until cancelled."""
        generation, again = "", time.monotonic()
        while True:
            await anyio.sleep(_LOOK)
            try:
                state = await self._door.state()
            except Declined:
                continue
            if state.generation != generation:
                self.found = await self._in_thread(partial(_with_certificates, self.found, state.node.config))
                generation = state.generation
            if time.monotonic() >= again:
                self.found = await self._in_thread(partial(self._with_caches, self.found))
                again = time.monotonic() + INTERVAL

    async def _in_thread(self, work: Callable[[], _Value]) -> _Value:
        return await to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)

    def _with_caches(self, found: Found) -> Found:
        """What can't be read is as it was."""
        found = found._replace(roots=rootnotes.read(self._door.root))
        try:
            sizes, missed = cache.figures(self._door.root), misses.counted(self._door.root)
        except (HostError, OSError):
            return found
        return found._replace(at=moment().wall.timestamp(), sizes=sizes, misses=missed)


def _with_certificates(found: Found, config: Config | Unavailable) -> Found:
    if isinstance(config, Unavailable):
        return found._replace(certificates=0, ends={})
    return found._replace(certificates=len(config.certificates), ends=ends_of(config))


def ends_of(config: Config) -> dict[Store, float]:
    """When the first of the certificates ends that stand together, for at most `MOST_STORES` and one more."""
    found: dict[Store, float] = {}
    for store, names in _stores(config):
        end = earliest_end(config.certificates[name] for name in names if name in config.certificates)
        if end is None:
            continue
        if store not in found and len(found) >= MOST_STORES:
            store = Store(store.used_by, OTHER, OTHER, OTHER)
        found[store] = min(end, found.get(store, end))
    return found


def _stores(config: Config) -> Iterator[tuple[Store, tuple[str, ...]]]:
    """All places that certificates stand in, with their names."""
    for verifier in config.verifiers:
        stores = verifier.settings.get(_STORES)
        for name, hashes in stores.items() if isinstance(stores, Mapping) else ():
            yield _named(VERIFIER, verifier.owner, verifier.name, name), tuple(_texts(hashes))
        others = {key: value for key, value in verifier.settings.items() if key != _STORES}
        yield _named(VERIFIER, verifier.owner, verifier.name, ""), tuple(_texts(others))
    for store in config.stores:
        yield _named(REGISTRY, store.owner, store.name, ""), store.ca_certificates


def _texts(value: object) -> Iterator[str]:
    """Every text of a format's settings: the names of certificates are among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _named(used_by: str, *texts: str) -> Store:
    return Store(used_by, *(shortened(printable(text), _MOST_TEXT) for text in texts))
