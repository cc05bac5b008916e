"""Turns of a cluster's nodes, by Leases: which to take, when to wait, when a holder counts as dead.  Pure.

A Lease is one slot; whoever holds it may restart containerd.  What makes a turn one node's alone is that the API server
refuses an update of an older resource version (409).  As client-go's leader election does:

1. A slot that is missing is created, one without a holder is taken, and so is our own, left by an installer that died.
2. One with a holder is taken over once nothing of it has changed for as long as it lasts, by our own monotonic clock,
   since we saw it so first.  Times that stand in a Lease are for people: no node's clock counts.
3. Its holder writes it again and again (`RENEW`), and gives it back at the end.

A control-plane node takes the first slot alone, and other nodes take it last: so two of them never have a turn at
once, however many slots there are.  A node with etcd alone is one of them: its quorum has to last.

https://kubernetes.io/docs/concepts/architecture/leases/
https://github.com/kubernetes/client-go/blob/v0.31.0/tools/leaderelection/leaderelection.go
"""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from agent.cluster import messages
from agent.cluster.troubles import ApiError, Trouble

PREFIX = "nodeseal-restart-"
"""What Leases are called, before their number; a promise: grants name them."""

MOST_SLOTS = 50
"""Most nodes at once that can be asked for."""

DURATION = 300
"""Seconds after which a holder that writes nothing has lost its turn: longer than a restart takes, and containerd's
coming back, which on a server of k3s is the API server's own (`systemd.SECONDS`, `world.READY_SECONDS`)."""

MOST_DURATION = 600
"""Most seconds that a Lease of somebody else's can last, whatever stands in it."""

RENEW = 60.0
"""Seconds between two renewals."""

RENEW_AGAIN = 5.0
"""Seconds until the next one, after a renewal that failed."""

LONGEST_WAIT = 1800.0
"""Seconds that a turn is waited for.  Whoever asks again then (a kubelet) waits anew."""

FIRST_PAUSE = 2.0
MOST_PAUSE = 60.0
"""Seconds between two looks; twice as long each time, from the first to the most.  5,000 nodes that wait for one slot
look 110 times a second."""

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
ROLES = (CONTROL_PLANE, "node-role.kubernetes.io/etcd", "node-role.kubernetes.io/master")
"""Labels of nodes of the control plane: kubeadm's, those of k3s and RKE2 for etcd alone, and the one before 1.20."""

_MOST_DOUBLINGS = 10
_PASSING = frozenset({Trouble.UNAVAILABLE, Trouble.THROTTLED, Trouble.CONFLICT})

Json = Mapping[str, object]


class Lease(NamedTuple):
    """A Lease as it stands; `duration` is in seconds, `holder` empty for none, times as they are written."""

    name: str
    version: str
    holder: str
    duration: int
    acquired: str
    renewed: str
    transitions: int


class Request(NamedTuple):
    """What to write: `body` is the Lease; it is created if `creates`, else updated."""

    name: str
    body: Json
    creates: bool


class _Seen(NamedTuple):
    lease: Lease
    since: float


def read(content: bytes) -> Lease:
    """Read a Lease.  Raises `ApiError`."""
    value = messages.mapping(messages.decoded(content, "the Lease", messages.MAX_NODE), "the Lease")
    metadata = messages.mapping(value.get("metadata"), "the Lease's metadata")
    spec = messages.mapping({} if value.get("spec") is None else value["spec"], "the Lease's spec")
    texts, numbers = [], []
    for key in ("holderIdentity", "acquireTime", "renewTime"):
        text = spec.get(key)
        if not isinstance(text, str | None):
            raise messages.malformed(f"the Lease's {key}", "a text")
        texts.append(text or "")
    for key in ("leaseDurationSeconds", "leaseTransitions"):
        number = spec.get(key)
        if not isinstance(number, int | None) or isinstance(number, bool):
            raise messages.malformed(f"the Lease's {key}", "a number")
        numbers.append(number or 0)
    holder, acquired, renewed = texts
    duration, transitions = numbers
    name, version = messages.text(metadata, "name"), messages.version(metadata, "the Lease")
    return Lease(name, version, holder, duration, acquired, renewed, transitions)


def slots(number: int, labels: Mapping[str, str] | None) -> tuple[str, ...]:
    """The Leases that a node may take, in the order in which it looks.

    `labels` are the node's; None if they can't be told: then it counts as one of the control plane.
    """
    names = tuple(f"{PREFIX}{index}" for index in range(number))
    if labels is None or any(role in labels for role in ROLES):
        return names[:1]
    return names[::-1]


class Contender:
    """One node that waits for its turn, until it has one or has waited too long."""

    def __init__(self, holder: str, now: float, *, longest: float = LONGEST_WAIT) -> None:
        """`holder` is the node's name; `now` and all other times are seconds of one monotonic clock."""
        self._holder, self._end = holder, now + longest
        self._seen: dict[str, _Seen] = {}
        self._looks = 0

    def judge(self, name: str, found: Lease | None, now: float, at: datetime) -> Request | None:
        """What to write into a slot that stands so, None to leave it; `at` is what people read of it."""
        if found is None:
            self._seen.pop(name, None)
            return Request(name, _body(name, "", self._holder, at, at, 0), creates=True)
        seen = self._seen.get(name)
        if seen is None or seen.lease != found:
            seen = self._seen[name] = _Seen(found, now)
        if found.holder not in ("", self._holder) and now - seen.since < _lasts(found):
            return None
        transitions = found.transitions + (found.holder != self._holder)
        return Request(name, _body(name, found.version, self._holder, at, at, transitions), creates=False)

    def pause(self, now: float, chance: float, retry_after: float = 0.0) -> float | None:
        """Seconds until the next look, None if it was waited long enough; `chance` is from 0 to 1."""
        if now >= self._end:
            return None
        mean = min(FIRST_PAUSE * 2.0 ** min(self._looks, _MOST_DOUBLINGS), MOST_PAUSE)
        self._looks += 1
        return min(max(mean * (0.5 + 0.5 * chance), retry_after), self._end - now)

    @property
    def holders(self) -> tuple[str, ...]:
        """Who had the slots when they were looked at last."""
        return tuple(seen.lease.holder for seen in self._seen.values() if seen.lease.holder)


def passes(error: ApiError) -> bool:
    """Whether what went wrong can be waited for: a grant that is missing can not, nor a namespace."""
    return error.trouble in _PASSING


def renewal(held: Lease, at: datetime) -> Json:
    """The Lease that we hold, written again.  It always differs: what is equal the API server does not even count."""
    while _time(at) == held.renewed:
        at += timedelta(microseconds=1)
    return _body(held.name, held.version, held.holder, held.acquired, at, held.transitions)


def release(held: Lease, at: datetime) -> Json:
    """The Lease that we held, for the next one."""
    return _body(held.name, held.version, "", held.acquired, at, held.transitions)


def _lasts(found: Lease) -> float:
    """Seconds; a Lease that says nothing lasts as ours do."""
    return min(found.duration, MOST_DURATION) if found.duration > 0 else DURATION


def _body(
    name: str, version: str, holder: str, acquired: datetime | str, renewed: datetime, transitions: int
) -> dict[str, object]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, **({"resourceVersion": version} if version else {})},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION,
            **({"acquireTime": text} if (text := _text(acquired)) else {}),
            "renewTime": _time(renewed),
            "leaseTransitions": transitions,
        },
    }


def _text(at: datetime | str) -> str:
    return at if isinstance(at, str) else _time(at)


def _time(at: datetime) -> str:
    """As Kubernetes' MicroTime is written."""
    return at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
