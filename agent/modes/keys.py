"""Keys of key providers of the type `url`, and trusted roots, for whoever publishes: fetched, kept, and fetched anew.

What can't be fetched, is malformed, or has fewer certificates than before changes nothing: the last keys stay, and
count until their time is over (`agent.rules.age`), which every door reads from the disk.  Fewer may be meant: then the
configuration says so by `sha256`, or a person does by `nodeseal config apply`.

A trusted root that was fetched counts until another one was: when its parts end stands in itself.
"""

import os
import random as chance
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from agent.adapters import keyfetch, rootnotes
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.keystore import KeyStore
from agent.adapters.nodestate import NodeState, moment
from agent.adapters.rootnotes import RootNote
from agent.config import keysources, ratify, trustroots
from agent.config.documentset import NamedDocuments
from agent.config.keysources import KeySource
from agent.config.trustroots import TrustRootSource
from agent.errors import ConfigurationError, HostError, Malformed, Unavailable
from agent.ports import Log
from agent.rules import age
from agent.trust import trustedroot_document

AGAIN_FIRST = 60.0
"""Seconds after which what failed is tried again: twice as long each time, never longer than its interval."""

SPREAD = 0.2
"""Of an interval, the part by which nodes differ, so that they don't all come at once."""

FIRST_WITHIN = 30.0
"""Seconds within which a trusted root is fetched that is due at once: a configuration reaches all nodes at a time."""

AT_ONCE = 8
"""Sources that are asked at once."""

MOST_OF_ONE = 68
"""Most sources of one configuration: 64 key providers and 4 trusted roots, which its schema says too, but later."""

_DOUBLINGS = 10
_NOTHING = "nothing fetched yet"

Source = KeySource | TrustRootSource


class _Silent:
    """`ports.Log` of a person's command, which tells problems itself."""

    def info(self, event: str, **fields: object) -> None:
        """Nothing."""

    def warning(self, event: str, **fields: object) -> None:
        """Nothing."""

    def error(self, event: str, **fields: object) -> None:
        """Nothing."""


class _Plan(NamedTuple):
    """When a source is asked next, on a clock that never jumps; how often it failed in a row, since when, and why."""

    due: float
    failures: int = 0
    trouble: str = ""
    ended: bool = False
    since: float | None = None


def fetch_root(
    source: TrustRootSource, *, root: str, proxies: ProxySettings, local: bool = False, ca_bundle: str = ""
) -> bytes:
    """The trusted root of a source, as it is now, for the node under `root`; see `keyfetch.fetch` for the rest.

    Raises `Malformed`, `Unavailable`, `HostError`.
    """
    from agent.adapters import publicgood, tufrepository  # they take a tenth of a second, and nobody else needs them
    from agent.adapters.tufmirror import HttpMirror

    mirror = HttpMirror(source.mirror, proxies=proxies, local=local, ca_bundle=ca_bundle, cas=source.cas)
    folder = os.path.join(root, rootnotes.MIRRORS, source.source)
    try:
        return tufrepository.fetch(mirror, first_root=source.root or publicgood.first_root(), folder=folder)
    finally:
        mirror.close()


def sources_of(documents: NamedDocuments) -> list[Source]:
    """The sources that documents name, as far as they can be read."""
    try:
        value = ratify.decoded(documents.configuration, documents.beside)
    except ConfigurationError:
        return []
    roots = trustroots.read(value, documents, [], [])
    found: list[Source] = [*keysources.read(value, documents, [], []).values(), *roots.values()]
    return found[:MOST_OF_ONE]


class Keys:
    """The keys under one root.  `refresh` waits for the network; another thread may say meanwhile what is followed."""

    def __init__(
        self,
        root: str,
        environment: Mapping[str, str],
        log: Log | None = None,
        *,
        by_hand: bool = False,
        fetch: Callable[..., bytes] = keyfetch.fetch,
        fetch_root: Callable[..., bytes] = fetch_root,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = chance.random,
    ) -> None:
        """`environment` is believed for its proxies, where the node has recorded none.

        `by_hand`: all is fetched anew, and fewer keys are meant.
        """
        self._root = root
        self._store = KeyStore(root)
        self._node = NodeState(root)
        self._environment = environment
        self._log: Log = log or _Silent()
        self._by_hand = by_hand
        self._fetch = fetch
        self._fetch_root = fetch_root
        self._clock = clock
        self._random = random
        self._sources: dict[str, Source] = {}
        self._plans: dict[str, _Plan] = {}
        self._local = False

    def use(self, sources: Iterable[Source], *, local: bool) -> None:
        """Follow these from now on; `local` lets them be on this node."""
        often = sorted(sources, key=lambda each: each.interval, reverse=True)
        self._sources = _together(often)
        self._local = local
        self._plans = {source: plan for source, plan in self._plans.items() if source in self._sources}
        fetched, now = self._node.fetched(), moment()
        for source, each in self._sources.items():
            if source not in self._plans:
                is_kept = source in fetched and self._kept(each) is not None
                passed = age.passed(fetched[source], now) if is_kept else float("inf")
                least = self._random() * FIRST_WITHIN if isinstance(each, TrustRootSource) else 0.0
                self._plans[source] = _Plan(self._clock() + max(least, self._spread(each.interval) - passed))
        self._note()

    def contents(self) -> Mapping[str, bytes | str]:
        """What is kept of those that are followed, or why there is nothing."""
        found: dict[str, bytes | str] = {}
        for source, each in self._sources.items():
            content = self._kept(each)
            plan = self._plans.get(source)
            found[source] = content if content is not None else (plan.trouble if plan else "") or _NOTHING
        return found

    def troubles(self) -> list[tuple[str, str]]:
        """What could not be fetched when it was last tried, though what is kept counts meanwhile: name, and why."""
        found = [(each, self._plans[source]) for source, each in self._sources.items() if source in self._plans]
        return sorted(
            (each.name, plan.trouble) for each, plan in found if plan.trouble and self._kept(each) is not None
        )

    def is_due(self) -> bool:
        """Whether `refresh` has something to do."""
        return any(plan.due <= self._clock() for plan in list(self._plans.values()))

    def refresh(self) -> bool:
        """Fetch what is due, but no more than `AT_ONCE`; whether something is not what it was.  Raises `HostError`.

        Who has waited longest goes first: servers that hang hold up the others' keys for a while, not for good.
        """
        sources, plans, now = self._sources, self._plans, self._clock()
        waiting = [(plan.due, source) for source, plan in plans.items() if self._by_hand or plan.due <= now]
        chosen = [source for _, source in sorted(waiting)][: None if self._by_hand else AT_ONCE]
        host = self._node.bootstrap().host

        def fetch(source: Source) -> bytes:
            proxies, bundle = ProxySettings.from_environment(host.variables(self._environment)), host.bundle(self._root)
            if isinstance(source, TrustRootSource):
                root = self._root
                return self._fetch_root(source, root=root, proxies=proxies, ca_bundle=bundle, local=self._local)
            return self._fetch(source, proxies=proxies, ca_bundle=bundle, local=self._local)

        with ThreadPoolExecutor(AT_ONCE) as threads:
            changed = any([*threads.map(lambda source: self._one(sources[source], plans[source], fetch), chosen)])
        if changed:
            self.forget()
        if chosen:
            self._store.forget_mirrors_but(self._sources)
            self._note()
        return changed

    def forget(self) -> None:
        """Forget what nobody uses any more, if it is much.  Raises `HostError`."""
        self._store.forget_but(self._sources)

    def _kept(self, source: Source) -> bytes | None:
        """What is kept of a source; a trusted root that can't be read is none."""
        content = self._store.content(source.source)
        if content is None or isinstance(source, KeySource):
            return content
        return content if trustedroot_document.read(source.name, content, source.name).root else None

    def _note(self) -> None:
        """Note how it goes with trusted roots.  What can't be noted holds up nobody: the log has told it."""
        fetched, notes = self._node.fetched(), []
        for source, each in self._sources.items():
            if isinstance(each, TrustRootSource):
                plan, at, content = self._plans.get(source, _Plan(0.0)), fetched.get(source), self._kept(each)
                last = at.wall.timestamp() if at and content is not None else None
                digest = "" if content is None else sha256(content).hexdigest()
                notes.append(
                    RootNote(each.name, str(each.mirror), each.interval, last, digest, plan.trouble, plan.since)
                )
        with suppress(HostError):
            rootnotes.write(self._root, notes)

    def _one(self, source: Source, plan: _Plan, fetch: Callable[[Source], bytes]) -> bool:
        kept = self._kept(source)
        try:
            content = fetch(source)
            if isinstance(source, KeySource) and kept is not None and not (source.pin or self._by_hand):
                _no_fewer(kept, content, source.name)
        except (HostError, Malformed, Unavailable) as error:
            self._failed(source, plan, error.message)
            return False
        self._store.keep(source.source, content, moment())
        self._plans[source.source] = _Plan(self._clock() + self._spread(source.interval))
        if isinstance(source, TrustRootSource):
            self._tell_of_root(source, plan, content, kept)
        elif plan.failures:
            self._log.info("keys fetched again", provider=source.name)
        return content != kept

    def _tell_of_root(self, source: TrustRootSource, plan: _Plan, content: bytes, kept: bytes | None) -> None:
        if content != kept:
            digest = sha256(content).hexdigest()
            self._log.info("trusted root fetched", trusted_root=source.name, mirror=str(source.mirror), sha256=digest)
        elif plan.failures:
            self._log.info("trusted root fetched again", trusted_root=source.name, mirror=str(source.mirror))

    def _failed(self, source: Source, plan: _Plan, message: str) -> None:
        wait = min(AGAIN_FIRST * 2.0 ** min(plan.failures, _DOUBLINGS), source.interval)
        due, since = self._clock() + self._spread(wait), plan.since or moment().wall.timestamp()
        if isinstance(source, TrustRootSource):
            if message != plan.trouble:
                is_kept = self._kept(source) is not None
                counts = "the last one counts" if is_kept else "a document of this name counts, if there is one"
                self._log.warning(
                    "trusted root not fetched", trusted_root=source.name, reason=message, meanwhile=counts
                )
            self._plans[source.source] = _Plan(due, plan.failures + 1, message, since=since)
            return
        fetched = self._node.fetched().get(source.source, age.NEVER)
        over = age.passed(fetched, moment()) >= source.keep_for
        if message != plan.trouble:
            counts = "none count" if over else "the last ones count"
            self._log.warning("keys not fetched", provider=source.name, reason=message, meanwhile=counts)
        if over and not plan.ended:
            self._log.error("keys count no more", provider=source.name, reason=message)
        self._plans[source.source] = _Plan(due, plan.failures + 1, message, over, since)

    def _spread(self, seconds: float) -> float:
        return seconds * (1 - SPREAD * self._random())


def _together(often: Iterable[Source]) -> dict[str, Source]:
    """By source; of several with the same one, the last.

    CAs are not what makes a trusted root's source, so those of all count: nobody's entry takes away what another's
    mirror needs to be reached.
    """
    found: dict[str, Source] = {}
    for each in often:
        before = found.get(each.source)
        if isinstance(each, TrustRootSource) and isinstance(before, TrustRootSource):
            each = each._replace(cas=tuple(sorted({*before.cas, *each.cas})))
        found[each.source] = each
    return found


def _no_fewer(kept: bytes, content: bytes, name: str) -> None:
    """Raises `Malformed` if there are fewer certificates than before."""
    before, after = (keyfetch.count(each, name) for each in (kept, content))
    if after < before:
        expected = "no fewer, unless sha256 says so, or nodeseal config apply"
        raise Malformed(f"keys of {name}: got {after} certificates, where there were {before}; expected {expected}")
