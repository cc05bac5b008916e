"""This node's object at the API server: its condition, its taint, events about it.  What to write, and when; pure.

A condition is read by people, by alerts, and by the Node Readiness Controller.  Its heartbeat says how old it is: one
that is older than two heartbeats is nobody's word.  https://kubernetes.io/docs/reference/node/node-status/
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from agent.cluster.messages import MAX_NODE
from agent.cluster.notices import COMPONENT
from agent.cluster.troubles import ApiError, Trouble
from agent.codec import strictjson
from agent.errors import LimitExceeded, Malformed
from agent.model.answer import printable, shortened

CONDITION = "nodeseal.dev/ImageVerificationEnforced"
"""The condition's type; a promise."""

HEARTBEAT = 300.0
"""Seconds between two writings of what has not changed: as often as a kubelet writes the same object.

At 5,000 nodes that is 17 writes a second, where the kubelets' leases are 500; each writes the whole node anew.
"""

SHORTEST = 15.0
"""Seconds between two writings of what changes all the time."""

FIRST_AGAIN = 5.0
MOST_AGAIN = 300.0
"""Seconds after a writing that failed; twice as long each time, from the first to the most."""

EVENTS = "default"
"""Namespace of events about nodes, which have none."""

MAX_MESSAGE = 512

_HASH = 16
_MAX_NAME = 253
_MOST_DOUBLINGS = 10

Json = Mapping[str, object]


class Condition(NamedTuple):
    """What we say of the node: `status` is True, False or Unknown."""

    status: str
    reason: str
    message: str


class Node(NamedTuple):
    """What we read of the node: taints as they are, and our condition's status and the time since it has it.

    `runtime` and `system` are what its kubelet says of both, empty if it does not.
    """

    taints: tuple[Json, ...]
    status: str
    since: str
    runtime: str = ""
    system: str = ""


def read(content: bytes) -> Node:
    """Read a node.  Raises `ApiError`."""
    try:
        value = strictjson.decode(content, "the node", limit=MAX_NODE, most=MAX_NODE)
    except LimitExceeded as error:
        raise ApiError(Trouble.TOO_LONG, error.message) from None
    except Malformed as error:
        raise ApiError(Trouble.MALFORMED, error.message) from None
    taints = _objects(_object(_object(value).get("spec")).get("taints"))
    told = _object(_object(value).get("status"))
    ours = next((each for each in _objects(told.get("conditions")) if each.get("type") == CONDITION), {})
    info = _object(told.get("nodeInfo"))
    words = (
        ours.get("status"),
        ours.get("lastTransitionTime"),
        info.get("containerRuntimeVersion"),
        info.get("osImage"),
    )
    return Node(taints, *(each if isinstance(each, str) else "" for each in words))


def without_taint(node: Node, key: str) -> list[Json]:
    """A JSON patch (RFC 6902) that removes the taints of a key; empty if there is none.

    Each is removed only if it stands where it stood: if anybody has changed the list meanwhile, the patch is refused
    whole, and nobody's taint is lost.
    """
    patch: list[Json] = []
    for index in reversed(range(len(node.taints))):
        if node.taints[index].get("key") == key:
            path = f"/spec/taints/{index}"
            patch += [{"op": "test", "path": path, "value": node.taints[index]}, {"op": "remove", "path": path}]
    return patch


class Keeper:
    """When the condition is to be written.  `now` is a clock in seconds that never jumps, `chance` between 0 and 1."""

    def __init__(self, before: Node | None) -> None:
        """`before` is the node as it was found, None if that may not be read."""
        self._status, self._since = (before.status, before.since) if before else ("", "")
        self._written: Condition | None = None
        self._due = 0.0
        self._free = 0.0
        self._failures = 0

    def wait(self, condition: Condition, now: float) -> float:
        """Seconds until `condition` is to be written."""
        same = self._written is not None and self._written[:2] == condition[:2]
        return max((self._due if same or self._failures else self._free) - now, 0.0)

    def body(self, condition: Condition, at: datetime) -> Json:
        """A strategic merge patch of the node's status; `at` is of time zone UTC."""
        said = {
            "type": CONDITION,
            "status": condition.status,
            "reason": condition.reason,
            "message": shortened(printable(condition.message), MAX_MESSAGE),
            "lastHeartbeatTime": _time(at),
            "lastTransitionTime": self._since if self._since and self._status == condition.status else _time(at),
        }
        return {"status": {"conditions": [said]}}

    def wrote(self, condition: Condition, at: datetime, now: float, chance: float) -> bool:
        """It was written; whether its status is another than before."""
        changed = condition.status != self._status
        if changed or not self._since:
            self._status, self._since = condition.status, _time(at)
        self._written, self._failures = condition, 0
        self._due = now + HEARTBEAT * (0.9 + 0.2 * chance)
        self._free = now + SHORTEST
        return changed

    def failed(self, error: ApiError, now: float, chance: float) -> bool:
        """It was not written; whether that is to be said."""
        self._failures += 1
        self._due = now + again(self._failures, error, chance)
        return self._failures == 1


def again(failures: int, error: ApiError, chance: float) -> float:
    """Seconds to wait after so many failures in a row, of which `error` is the last."""
    mean = min(FIRST_AGAIN * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), MOST_AGAIN)
    if error.trouble is Trouble.FORBIDDEN:
        mean = MOST_AGAIN  # whoever grants it later need not start us anew
    return max(mean * (0.5 + 0.5 * chance), error.retry_after)


def event(node: str, condition: Condition, at: datetime) -> Json:
    """An event on the node, which says what its condition became."""
    known = hashlib.sha256(f"{node}\0{condition.status}\0{_time(at)}".encode()).hexdigest()[:_HASH]
    # kubectl looks for a node's events by its name in place of its uid, as kubelets write them
    involved = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": EVENTS, "name": f"{node[: _MAX_NAME - _HASH - 1].rstrip('-.')}.{known}"},
        "involvedObject": involved,
        "type": "Normal" if condition.status == "True" else "Warning",
        "reason": condition.reason,
        "message": shortened(printable(f"image verification: {condition.message}"), MAX_MESSAGE),
        "source": {"component": COMPONENT, "host": node},
        "reportingComponent": COMPONENT,
        "reportingInstance": node[:128],
        "firstTimestamp": _time(at),
        "lastTimestamp": _time(at),
        "count": 1,
    }


def _object(value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ApiError(Trouble.MALFORMED, "the node: got something else than an object of the API server")
    return value


def _objects(value: object) -> tuple[dict[str, object], ...]:
    if not isinstance(value, Sequence):
        return tuple(map(_object, () if value is None else (value,)))
    return tuple(map(_object, value))


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
