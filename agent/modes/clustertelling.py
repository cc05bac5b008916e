"""What people hear of the ConfigMaps that a cluster publishes: events on them, the log, and counts for the status.

Each thing once: a version that comes into force, why one doesn't, what is trusted from then on.  What still stands in
the way of a version is said again now and then, since an API server forgets events after an hour.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from agent.adapters.kube_events import Events
from agent.cluster.notices import Notice, Reason
from agent.config.discovery import Discovery
from agent.config.inforce import InForce
from agent.config.merging import Merged
from agent.config.trusted import Trusted
from agent.model.answer import printable, shortened
from agent.model.configmap import ConfigMap
from agent.ports import Log

REMINDED = 1800.0
"""Seconds after which it is said again why a ConfigMap is not in force."""

MOST_TOLD = 5
"""Reasons, and entries that are trusted anew, that one event names; the log has more of the second."""

_MOST_LOGGED = 32
_MAX_LOGGED = 1024


class Published(NamedTuple):
    """What a merge came to; `generation` is empty if nothing is in force by it.  `before` is what was in force."""

    merge: Merged
    generation: str
    before: InForce


class _Said(NamedTuple):
    """What stands in the way of a ConfigMap, and when it was said last, by a clock that never jumps."""

    reason: Reason
    message: str
    at: float


class ClusterTelling:
    """Tells it, and keeps count, for one namespace."""

    def __init__(self, log: Log) -> None:
        """Nothing was said yet."""
        self._log = log
        self._complaints: dict[str, _Said] = {}
        self._of_all: list[str] = []
        self._maps: Mapping[str, ConfigMap] = {}
        self._failed: set[tuple[str, str, str]] = set()
        self._counts: dict[str, int] = {"accepted": 0, "quarantined": 0, "ignored": 0}
        self._generation = ""
        self._last_published: datetime | None = None
        self._last_failure: tuple[datetime, str] | None = None
        self._failures = 0
        self._published = 0

    @property
    def accepted(self) -> int:
        """Documents of the last complete state that are in force, in their newest version."""
        return self._counts["accepted"]

    @property
    def quarantined(self) -> int:
        """Those whose newest version is not in force."""
        return self._counts["quarantined"]

    def as_json(self) -> dict[str, object]:
        """How publishing goes, for people and metrics.  The counts are of the last complete state."""
        failure = self._last_failure
        return {
            **self._counts,
            "generation": self._generation,
            "published": self._published,
            "lastPublished": _time(self._last_published),
            "publishFailures": self._failures,
            "lastFailure": {"at": _time(failure[0]), "message": failure[1]} if failure else None,
        }

    def published(
        self,
        state: Mapping[str, ConfigMap],
        discovery: Discovery,
        published: Published,
        events: Events,
        *,
        at: datetime,
        clock: float,
    ) -> None:
        """Tell what is new of a state that was published `at` a moment; `clock` is the one that never jumps."""
        merge = published.merge
        self._maps = {f"{each.namespace}/{each.name}": each for each in state.values()}
        self._counts = {
            "accepted": len(merge.accepted),
            "quarantined": len(merge.quarantined),
            "ignored": len(discovery.ignored),
        }
        self._generation = published.generation
        self._failed.clear()
        if published.generation:
            self._published += 1
            self._last_published = at
        self._accepted(published, events)
        self._trusted(merge.trust_grew, events)
        self._complain(_complaints(discovery, merge), events, clock)
        before, self._of_all = self._of_all, [str(problem) for name, problem in merge.problems if not name]
        for text in self._of_all if self._of_all != before else ():
            self._log.error("configuration cut", problem=text)

    def failed(
        self, message: str, state: Mapping[str, ConfigMap], before: InForce, events: Events, at: datetime
    ) -> None:
        """Tell that this host did not take a state, of each ConfigMap in it that has not been in force; once each."""
        self._failures += 1
        self._last_failure = (at, shortened(printable(message), _MAX_LOGGED))
        self._log.error("configuration refused", problem=message, next_step="the configuration in force stays")
        known = {(each.name, each.uid, each.resource_version) for each in before.documents}
        for each in state.values():
            version = (f"{each.namespace}/{each.name}", each.uid, each.resource_version)
            if version not in known and version not in self._failed and len(self._failed) < MOST_TOLD:
                self._failed.add(version)
                text = f"a node can't put it in force, and tries again: {message}"
                events.tell(Notice.of(each, Reason.NOT_APPLIED, text))

    def remind(self, events: Events, clock: float) -> None:
        """Say again what was said long ago, and what there was no room for."""
        for name, said in self._complaints.items():
            if clock - said.at >= REMINDED and name in self._maps:
                told = events.tell(Notice.of(self._maps[name], said.reason, said.message))
                self._complaints[name] = said._replace(at=clock if told else said.at)

    def _accepted(self, published: Published, events: Events) -> None:
        before = {(each.name, each.uid, each.resource_version) for each in published.before.documents}
        for each in published.merge.accepted:
            if (each.name, each.uid, each.resource_version) in before:
                continue
            text = f"accepted with generation {published.generation}"
            if each.name in self._maps:
                events.tell(Notice.of(self._maps[each.name], Reason.ACCEPTED, text))
            fields = {"version": each.resource_version, "generation": published.generation}
            self._log.info(Reason.ACCEPTED.value, configmap=each.name, **fields)

    def _trusted(self, grew: Sequence[Trusted], events: Events) -> None:
        """On the ConfigMap whose document brings it."""
        by_owner: dict[str, list[str]] = {}
        for each in grew:
            by_owner.setdefault(each.owner, []).append(each.what)
        for owner, what in by_owner.items():
            if owner in self._maps:
                text = f"trusted from now on: {listed(what, MOST_TOLD)}"
                events.tell(Notice.of(self._maps[owner], Reason.TRUST_GREW, text))
            more = max(0, len(what) - _MOST_LOGGED)
            self._log.warning(Reason.TRUST_GREW.value, configmap=owner, what=what[:_MOST_LOGGED], more=more)

    def _complain(self, found: Mapping[str, tuple[Reason, str]], events: Events, clock: float) -> None:
        complaints: dict[str, _Said] = {}
        for name, (reason, message) in found.items():
            said = self._complaints.get(name)
            if said is not None and (said.reason, said.message) == (reason, message):
                complaints[name] = said
                continue
            told = name in self._maps and events.tell(Notice.of(self._maps[name], reason, message))
            complaints[name] = _Said(reason, message, clock if told else clock - REMINDED)
            self._log.warning(reason.value, configmap=name, message=message)
        self._complaints = complaints


def _complaints(discovery: Discovery, merge: Merged) -> Mapping[str, tuple[Reason, str]]:
    """Why ConfigMaps are not in force, by name."""
    found: dict[str, tuple[Reason, str]] = {}
    for each in merge.quarantined:
        kept = "its last good version stays in force: " if each.kept else "not in force: "
        fatal = [str(problem) for problem in each.problems if problem.fatal]
        found[each.name] = (Reason.REJECTED, kept + listed(fatal, MOST_TOLD))
    for ignored in discovery.ignored:
        found[ignored.name] = (Reason.LABEL_IGNORED, str(ignored.problem))
    return found


def listed(texts: Sequence[str], most: int) -> str:
    """The first ones, and how many more there are."""
    more = f" (and {len(texts) - most} more)" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at is not None else None
