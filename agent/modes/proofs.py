"""Proves again and again that containerd asks us: at the start, each minute, and after whatever could have changed it.

What could have: containerd began anew (its socket is another), a verifier came or went, a file of its configuration was
written.  These are looked at by what the kernel knows of them.
"""

import os
import random as chance
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from functools import partial
from typing import NamedTuple

import anyio
from anyio import CapacityLimiter, to_thread

from agent import __version__
from agent.adapters.hostroot import HostRoot
from agent.modes import place, proving
from agent.modes.tasks import Proving
from agent.ports import Log
from agent.wiring.proof import NOT_PROVED, NOTHING_KNOWN, Known, Proof, Reason, State

INTERVAL = 60.0
"""Seconds between two canaries while images are verified; a tenth more or less, so that nodes don't go in step."""

SPREAD = 0.1

FIRST_AGAIN = 5.0
"""Seconds after a canary that proved nothing; twice as long each time, up to `INTERVAL`."""

LOOK = 2.0
"""Seconds between two looks at what could have changed."""

THOROUGH = 3600.0
"""Seconds after which the program is called by hand again, which leaves a line in the spool, though nothing changed."""

PROGRAM = "opt/nodeseal/current/nodeseal"
"""What containerd usually calls, below the root: for where the folder of verifiers is not seen, as in a pod."""

READING = 30.0
"""Seconds that reading containerd's configuration may take; what hangs explains nothing."""

_WATCHED = (
    "opt/containerd/image-verifier/bin",
    "etc/containerd/config.toml",
    "etc/containerd/conf.d",
)
_MOST_DOUBLINGS = 8
_OURS_IS_THERE = (Reason.BROKEN, Reason.SANDBOX_REFUSED)  # whatever somebody says of the node: pulls are refused

Stamps = tuple[object, ...]


class Looked(NamedTuple):
    """What was read of containerd's configuration, and the files and folders that it came from.

    `entry` is our entry in the folder of verifiers, as the host under `host` has it; empty where that is not seen.
    """

    known: Known
    files: tuple[str, ...]
    host: str = "/"
    entry: str = ""


def unread(root: str) -> Looked:
    """What there is to look at where nothing could be read."""
    return Looked(NOTHING_KNOWN, tuple(os.path.join(root, each) for each in _WATCHED))


class Proved(NamedTuple):
    """Where the proofs stand.

    `since` is when the state became what it is, `last` when it was proved last, `success` when images were last proved
    to be verified: seconds since 1970, None for never.
    """

    proof: Proof = NOT_PROVED
    since: float | None = None
    last: float | None = None
    success: float | None = None

    def then(self, found: Proof, now: float) -> "Proved":
        """After one more proof."""
        since = self.since if found.state is self.proof.state and self.since is not None else now
        return Proved(found, since, now, now if found.is_enforcing else self.success)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        times = {"since": self.since, "last": self.last, "lastSuccess": self.success}
        return {**self.proof.as_json(), **{name: _time(value) for name, value in times.items()}}


class Proofs:
    """The proofs of one daemon."""

    def __init__(
        self,
        root: str,
        wanted: Proving,
        log: Log,
        *,
        look: Callable[[], Looked] | None = None,
        prove: Callable[..., Awaitable[Proof]] = proving.prove,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        random: Callable[[], float] = chance.random,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """`look` reads what is known of the configuration, in a thread; the rest is the world's."""
        self._root = root
        self._socket = wanted.cri_socket
        self._port = wanted.port
        self._log = log
        self._look = look or partial(unread, root)
        self._reading = CapacityLimiter(1)
        self._prove = prove
        self._clock, self._now, self._random, self._sleep = clock, now, random, sleep
        self._next = anyio.Event()
        self._vain = 0
        self._thorough: float | None = None
        self._elsewhere: Proof | None = None
        self.proved = Proved()
        self.counts: Counter[State] = Counter()
        """How many canaries proved what."""

    def as_json(self) -> dict[str, object]:
        """For programs."""
        counts = {state.value: self.counts[state] for state in State}
        return {**self.proved.as_json(), "socket": self.socket, "canaries": counts}

    @property
    def socket(self) -> str:
        """The CRI's socket: what was asked for, or the first of the known ones that is there."""
        return self._socket or proving.cri_socket(self._root)

    async def next(self) -> Proved:
        """What the next canary proves."""
        await self._next.wait()
        return self.proved

    async def run(self) -> None:
        """Prove until cancelled."""
        looked, stamps = unread(self._root), Stamps()
        while True:
            if not self.proved.proof.is_enforcing or self.stamps(looked) != stamps:
                looked = await self._looked()
            seen = self.stamps(looked)
            await self.once(looked, anew=seen != stamps)
            stamps = seen
            due = self._clock() + self._pause()
            await self._sleep(LOOK)
            while self._clock() < due and self.stamps(looked) == stamps:
                await self._sleep(LOOK)

    async def _looked(self) -> Looked:
        """What is read now; nothing if that takes too long, or hangs still since an earlier time."""
        if self._reading.available_tokens:
            with anyio.move_on_after(READING):
                return await to_thread.run_sync(self._look, limiter=self._reading, abandon_on_cancel=True)
        return unread(self._root)

    async def once(self, looked: Looked, *, anew: bool) -> None:
        """One canary; `anew` if something could have changed since the one before."""
        thorough = anew or not self.proved.proof.is_enforcing or self._is_long_ago()
        program = self._program(looked) if thorough else ""
        found = self._explained(await self._prove(self.socket, looked.known, program=program, port=self._port))
        if program and found.is_enforcing:
            self._thorough = self._clock()
        self._vain = 0 if found.is_enforcing else self._vain + 1
        self.counts[found.state] += 1
        self._note(found, self._now())

    def explain(self, elsewhere: Proof | None) -> None:
        """Somebody knows why nothing can be proved here: from now on, that is said where a canary proved nothing."""
        self._elsewhere = elsewhere
        if self.proved.last is not None:
            self._note(self._explained(self.proved.proof), self.proved.last)

    def _explained(self, found: Proof) -> Proof:
        if self._elsewhere is None or found.is_enforcing or found.reason in _OURS_IS_THERE:
            return found
        has_answered = found.reason is not Reason.SILENT  # then it has said itself what it is
        return found if has_answered and self._elsewhere.reason is Reason.NOT_CONTAINERD else self._elsewhere

    def _note(self, found: Proof, at: float) -> None:
        before, self.proved = self.proved, self.proved.then(found, at)
        if (found.state, found.reason) != (before.proof.state, before.proof.reason):
            said = {"state": found.state.value, "reason": found.reason.value, "message": found.message}
            tell = self._log.info if found.is_enforcing else self._log.error
            tell("enforcement", **said, before=before.proof.state.value)
        done, self._next = self._next, anyio.Event()
        done.set()

    def stamps(self, looked: Looked) -> Stamps:
        """What the kernel knows of the socket and of the files of the configuration."""
        return tuple((path, _stamp(path)) for path in (self.socket, *looked.files))

    def _pause(self) -> float:
        doubled = FIRST_AGAIN * 2.0 ** (min(self._vain, _MOST_DOUBLINGS) - 1)
        mean = min(doubled, INTERVAL) if self._vain else INTERVAL
        return mean * (1 + SPREAD * (2 * self._random() - 1))

    def _is_long_ago(self) -> bool:
        return self._thorough is None or self._clock() - self._thorough >= THOROUGH

    def _program(self, looked: Looked) -> str:
        """The program that containerd calls; empty if there is none, or others could have written it.

        Whoever could write it is no verifier of ours, and is not started by us.
        """
        if looked.entry:
            try:
                with HostRoot(looked.host).reached(looked.entry) as reached:
                    program = os.path.join(looked.host, reached.path.lstrip("/"))
                    return "" if reached.unsafe or place.unsafe(program) else program
            except OSError:
                return ""
        for path in (PROGRAM, f"opt/nodeseal/{__version__}/nodeseal"):
            program = os.path.join(self._root, path)
            try:
                if os.path.isfile(program):
                    return "" if place.unsafe(program) else os.path.realpath(program)
            except OSError:
                return ""
        return ""


def _stamp(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _time(value: float | None) -> str | None:
    return None if value is None else datetime.fromtimestamp(value, timezone.utc).isoformat(timespec="seconds")
