"""Events on ConfigMaps: what operators see of us with `kubectl describe`.  Which are told, and as what; pure.

An event's name comes of what it says, of whom, so that all nodes that say the same share one: the first writes it, the
API server turns the others away, and nothing is written for them.  What one node says again is counted, and told again
after ten minutes at the earliest.  https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from agent.model.answer import printable, shortened
from agent.model.configmap import ConfigMap

COMPONENT = "nodeseal"

MAX_MESSAGE = 1024
"""The API's limit on a message, in bytes."""

BURST = 10
"""Events that may be written one after another."""

REFILL = 30.0
"""Seconds after which one more may be written."""

RESERVED = 4
"""Of `BURST`, what only warnings may take: acceptance is told in the log, too."""

BURST_OF_ONE = 4
"""Events of one ConfigMap that may be written one after another: one that changes all the time silences no other."""

REFILL_OF_ONE = 120.0
"""Seconds after which one more of it may be written."""

REPEAT = 600.0
"""Seconds between two writings of the same event."""

MOST_REMEMBERED = 256
"""Events whose count is kept; the API server keeps them for an hour."""

_MAX_NAME = 253
_MAX_INSTANCE = 128
_HASH = 16


class Reason(str, Enum):
    """What an event is about; the words are promises."""

    ACCEPTED = "ConfigurationAccepted"
    REJECTED = "ConfigurationRejected"
    TRUST_GREW = "TrustGrew"
    NOT_APPLIED = "ConfigurationNotApplied"
    LABEL_IGNORED = "LabelValueIgnored"
    SECRET_UNAVAILABLE = "SecretUnavailable"  # noqa: S105 - a word of events


class Notice(NamedTuple):
    """One thing to be said of a ConfigMap; `warning` or normal."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    reason: Reason
    warning: bool
    message: str

    @classmethod
    def of(cls, configmap: ConfigMap, reason: Reason, message: str) -> "Notice":
        """What is accepted is normal, all else a warning.  The message is made printable and cut to the API's limit."""
        where = (configmap.namespace, configmap.name, configmap.uid, configmap.resource_version)
        text = shortened(printable(message), MAX_MESSAGE)
        return cls(*where, reason, reason is not Reason.ACCEPTED, text)

    @property
    def event(self) -> str:
        """The event's name: the same for everybody who says the same."""
        said = "\0".join((self.uid, self.reason.value, str(self.warning), self.message))
        known = hashlib.sha256(said.encode()).hexdigest()[:_HASH]
        return f"{self.name[: _MAX_NAME - _HASH - 1].rstrip('-.')}.{known}"

    def body(self, node: str, count: int, at: datetime) -> Mapping[str, object]:
        """The event as it is created; `at` is of time zone UTC."""
        involved = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "resourceVersion": self.resource_version,
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": self.namespace, "name": self.event},
            "involvedObject": involved,
            "type": "Warning" if self.warning else "Normal",
            "reason": self.reason.value,
            "message": self.message,
            "source": {"component": COMPONENT, "host": node},
            "reportingComponent": COMPONENT,
            "reportingInstance": node[:_MAX_INSTANCE],
            "firstTimestamp": _time(at),
            **again(count, at),
        }


def again(count: int, at: datetime) -> Mapping[str, object]:
    """What changes of an event that is told again."""
    return {"count": count, "lastTimestamp": _time(at)}


class _Told(NamedTuple):
    times: int
    written: float | None
    ours: bool


class Diary:
    """What was said, and whether to say it (again).  `now` is a clock in seconds that never jumps."""

    def __init__(self) -> None:
        """Nothing was said."""
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self._all = _Bucket(BURST, REFILL)
        self._each: OrderedDict[str, _Bucket] = OrderedDict()
        self.dropped = 0
        """Events that were too many."""

    def count(self, notice: Notice, now: float) -> int:
        """Count a notice; how often it was said if it is to be written now, else 0."""
        event = notice.event
        told = self._told.pop(event, _Told(0, None, False))
        told = told._replace(times=told.times + 1)
        self._told[event] = told
        while len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)
        if told.written is not None and now - told.written < REPEAT:
            return 0
        if not self._may_write(notice, now):
            self.dropped += 1
            return 0
        self._told[event] = told._replace(written=now)
        return told.times

    def is_ours(self, event: str) -> bool:
        """Whether we wrote `event`: then it is changed, else it is created."""
        return event in self._told and self._told[event].ours

    def wrote(self, event: str, *, ours: bool) -> None:
        """`event` is there, by us or by another node; not `ours` also if it is not there any more."""
        if event in self._told:
            self._told[event] = self._told[event]._replace(ours=ours)

    def _may_write(self, notice: Notice, now: float) -> bool:
        one = self._each.pop(notice.uid, None) or _Bucket(BURST_OF_ONE, REFILL_OF_ONE)
        self._each[notice.uid] = one
        while len(self._each) > MOST_REMEMBERED:
            self._each.popitem(last=False)
        reserved = 0 if notice.warning else RESERVED
        if one.left(now) < 1 or self._all.left(now) < 1 + reserved:
            return False
        one.take()
        self._all.take()
        return True


class _Bucket:
    """How many events may be written now: `most`, and one more each `refill` seconds."""

    def __init__(self, most: int, refill: float) -> None:
        self._most = float(most)
        self._refill = refill
        self._left = self._most
        self._filled = 0.0

    def left(self, now: float) -> float:
        """What is left at a moment that is not before the last one."""
        self._left = min(self._most, self._left + (now - self._filled) / self._refill)
        self._filled = now
        return self._left

    def take(self) -> None:
        """One was written."""
        self._left -= 1


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
