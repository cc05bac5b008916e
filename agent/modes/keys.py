"""Keys of key providers of the type `url`, for whoever publishes: fetched, kept, and fetched anew.

What can't be fetched, is malformed, or has fewer certificates than before changes nothing: the last keys stay, and
count until their time is over (`agent.rules.age`), which every door reads from the disk.  Fewer may be meant: then the
configuration says so by `sha256`, or a person does by `nodeseal config apply`.
"""

import random as chance
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from agent.adapters import keyfetch
from agent.adapters.http_proxy import ProxySettings
from agent.adapters.keystore import KeyStore
from agent.adapters.nodestate import NodeState, moment
from agent.config import keysources, ratify
from agent.config.documentset import NamedDocuments
from agent.config.keysources import KeySource
from agent.errors import ConfigurationError, Malformed, Unavailable
from agent.ports import Log
from agent.rules import age

AGAIN_FIRST = 60.0
"""Seconds after which what failed is tried again: twice as long each time, never longer than its interval."""

SPREAD = 0.2
"""Of an interval, the part by which nodes differ, so that they don't all come at once."""

AT_ONCE = 8
"""Sources that are asked at once."""

_DOUBLINGS = 10


class _Silent:
    """`ports.Log` of a person's command, which tells problems itself."""

    def info(self, event: str, **fields: object) -> None:
        """Nothing."""

    def warning(self, event: str, **fields: object) -> None:
        """Nothing."""

    def error(self, event: str, **fields: object) -> None:
        """Nothing."""


class _Plan(NamedTuple):
    """When a source is asked next, on a clock that never jumps; how often it failed in a row, and why."""

    due: float
    failures: int = 0
    trouble: str = ""
    ended: bool = False


def sources_of(documents: NamedDocuments) -> list[KeySource]:
    """The sources that documents name, as far as they can be read."""
    try:
        value = ratify.decoded(documents.configuration, documents.beside)
    except ConfigurationError:
        return []
    return list(keysources.read(value, documents, [], []).values())


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
        self._clock = clock
        self._random = random
        self._sources: dict[str, KeySource] = {}
        self._plans: dict[str, _Plan] = {}
        self._local = False

    def use(self, sources: Iterable[KeySource], *, local: bool) -> None:
        """Follow these from now on; `local` lets them be on this node."""
        often = sorted(sources, key=lambda each: each.interval, reverse=True)
        self._sources = {each.source: each for each in often}  # of several with the same one, who asks most often
        self._local = local
        self._plans = {source: plan for source, plan in self._plans.items() if source in self._sources}
        fetched, now = self._node.fetched(), moment()
        for source, each in self._sources.items():
            if source not in self._plans:
                is_kept = source in fetched and self._store.content(source) is not None
                passed = age.passed(fetched[source], now) if is_kept else float("inf")
                self._plans[source] = _Plan(self._clock() + max(0.0, self._spread(each.interval) - passed))

    def contents(self) -> Mapping[str, bytes | str]:
        """What is kept of those that are followed, or why there is nothing."""
        found: dict[str, bytes | str] = {}
        for source in self._sources:
            content = self._store.content(source)
            plan = self._plans.get(source)
            found[source] = content if content is not None else (plan.trouble if plan else "") or "nothing fetched yet"
        return found

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

        def fetch(source: KeySource) -> bytes:
            proxies = ProxySettings.from_environment(host.variables(self._environment))
            return self._fetch(source, proxies=proxies, ca_bundle=host.bundle(self._root), local=self._local)

        with ThreadPoolExecutor(AT_ONCE) as threads:
            changed = any([*threads.map(lambda source: self._one(sources[source], plans[source], fetch), chosen)])
        if changed:
            self.forget()
        return changed

    def forget(self) -> None:
        """Forget what nobody uses any more, if it is much.  Raises `HostError`."""
        self._store.forget_but(self._sources)

    def _one(self, source: KeySource, plan: _Plan, fetch: Callable[[KeySource], bytes]) -> bool:
        kept = self._store.content(source.source)
        try:
            content = fetch(source)
            if kept is not None and not (source.pin or self._by_hand):
                _no_fewer(kept, content, source.name)
        except (Malformed, Unavailable) as error:
            self._failed(source, plan, error.message)
            return False
        self._store.keep(source.source, content, moment())
        self._plans[source.source] = _Plan(self._clock() + self._spread(source.interval))
        if plan.failures:
            self._log.info("keys fetched again", provider=source.name)
        return content != kept

    def _failed(self, source: KeySource, plan: _Plan, message: str) -> None:
        wait = min(AGAIN_FIRST * 2.0 ** min(plan.failures, _DOUBLINGS), source.interval)
        fetched = self._node.fetched().get(source.source, age.NEVER)
        over = age.passed(fetched, moment()) >= source.keep_for
        if message != plan.trouble:
            counts = "none count" if over else "the last ones count"
            self._log.warning("keys not fetched", provider=source.name, reason=message, meanwhile=counts)
        if over and not plan.ended:
            self._log.error("keys count no more", provider=source.name, reason=message)
        self._plans[source.source] = _Plan(self._clock() + self._spread(wait), plan.failures + 1, message, over)

    def _spread(self, seconds: float) -> float:
        return seconds * (1 - SPREAD * self._random())


def _no_fewer(kept: bytes, content: bytes, name: str) -> None:
    """Raises `Malformed` if there are fewer certificates than before."""
    before, after = (keyfetch.count(each, name) for each in (kept, content))
    if after < before:
        expected = "no fewer, unless sha256 says so, or nodeseal config apply"
        raise Malformed(f"keys of {name}: got {after} certificates, where there were {before}; expected {expected}")
