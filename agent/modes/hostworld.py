"""A real host, as an installation asks it."""

import time
from collections.abc import Callable
from contextlib import suppress

import anyio

from agent.adapters import containerd, host, ipc
from agent.adapters.containerd import Asked, Told
from agent.adapters.cri import Cri
from agent.adapters.host import Done
from agent.adapters.hostfiles import HostFiles
from agent.adapters.systemd import Systemd
from agent.adapters.unary import RpcError
from agent.errors import HostError
from agent.modes import proving
from agent.wiring.proof import Known, Proof

_CALL_SECONDS = 10.0
_POLL_SECONDS = 0.2
_SAY_SECONDS = 2.0
_NOTICE_SECONDS = 15.0


class HostWorld:
    """`world.World`, for a host whose root is mounted somewhere.

    One that does not run (an image that is being built) has no socket and no service manager, whoever listens here.
    """

    def __init__(
        self, asked: Asked, *, runs: bool = True, port: int = 0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`runs` is whether this is a host that runs; `port` is the canary's, 0 for any that is free."""
        self._asked, self._runs, self._port, self._sleep = asked, runs, port, sleep
        self._host = HostFiles(asked.host)
        self._systemd = Systemd(self._host)
        self._pid: int | None = None

    def facts(self) -> Told:
        """See `World.facts`."""
        told = containerd.facts(self._asked)
        if self._pid is None and told.facts.process is not None:
            self._pid = told.facts.process.pid
        return told

    def is_running(self) -> bool:
        """See `World.is_running`."""
        return self._runs and self._answers()

    def can_restart(self) -> bool:
        """See `World.can_restart`."""
        return self._runs and self._systemd.is_there()

    def restart(self, unit: str) -> None:
        """See `World.restart`."""
        if not unit:
            raise HostError("got no name of a unit; expected the service that runs containerd")
        self._systemd.restart(unit)

    def stop(self, unit: str) -> None:
        """See `World.stop`."""
        self._systemd.stop(unit)

    def reload(self) -> None:
        """See `World.reload`."""
        self._systemd.reload()

    def unit_runs(self, unit: str) -> bool:
        """See `World.unit_runs`."""
        with suppress(HostError):
            return self._runs and self._systemd.state(unit).runs
        return False

    def serves(self, seconds: float) -> bool:
        """See `World.serves`."""
        end = time.monotonic() + seconds
        while self._runs:
            with suppress(HostError):
                if ipc.Client(self._asked.host).ask(ipc.STATUS, seconds=_SAY_SECONDS) is not None:
                    return True
            if time.monotonic() >= end:
                break
            self._sleep(_POLL_SECONDS)
        return False

    def wait_for_restart(self) -> None:
        """See `World.wait_for_restart`: until another process listens, or as long as it usually takes."""
        end = time.monotonic() + _NOTICE_SECONDS
        while time.monotonic() < end:
            self._sleep(_POLL_SECONDS)
            pid = containerd.listening(self._host, self._asked.socket)
            if self._pid and pid and pid != self._pid:
                self._pid = pid
                return

    def wait_until_ready(self, seconds: float) -> bool:
        """See `World.wait_until_ready`."""
        end = time.monotonic() + seconds
        while not self._answers():
            if time.monotonic() >= end:
                return False
            self._sleep(_POLL_SECONDS)
        return True

    def call(self, program: str, arguments: tuple[str, ...], stdin: bytes) -> Done:
        """See `World.call`."""
        return host.run(program, arguments, bare=True, stdin=stdin, root=self._asked.host, seconds=_CALL_SECONDS)

    def prove(self, known: Known) -> Proof:
        """See `World.prove`."""
        with containerd.socket_path(self._host, self._asked.socket) as path:
            return proving.prove_now(path, known, port=self._port)

    def now(self) -> float:
        """See `World.now`."""
        return time.time()

    def started(self) -> float:
        """See `World.started`."""
        pid = containerd.listening(self._host, self._asked.socket) if self._runs else None
        return containerd.started(pid) if pid else 0.0

    def _answers(self) -> bool:
        with containerd.socket_path(self._host, self._asked.socket) as path:
            return bool(path) and anyio.run(_answers, path)


async def _answers(path: str) -> bool:
    try:
        await Cri(path).version()
    except RpcError:
        return False
    return True
