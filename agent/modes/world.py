"""What installing and uninstalling ask of a host beyond files: `agent.modes.hostworld` is the real one."""

from typing import Protocol

from agent.adapters.containerd import Told
from agent.adapters.host import Done
from agent.errors import HostError
from agent.wiring.proof import Known, Proof

READY_SECONDS = 90.0
"""How long containerd may take to answer again."""


class World(Protocol):
    """What an installation asks of a host."""

    def facts(self) -> Told:
        """What is known of its containerd.  Raises `HostError`."""
        ...

    def is_running(self) -> bool:
        """Whether a runtime answers at the CRI's socket."""
        ...

    def can_restart(self) -> bool:
        """Whether somebody is there who restarts services."""
        ...

    def restart(self, unit: str) -> None:
        """Have a service restarted, and wait until that is done.  Raises `HostError`."""
        ...

    def stop(self, unit: str) -> None:
        """Have a service stopped, and wait until it has.  Raises `HostError`."""
        ...

    def reload(self) -> None:
        """Have unit files read anew.  Raises `HostError`."""
        ...

    def unit_runs(self, unit: str) -> bool:
        """Whether a service is known to run."""
        ...

    def serves(self, seconds: float) -> bool:
        """Wait until the daemon answers on its socket; whether it does."""
        ...

    def wait_for_restart(self) -> None:
        """Wait until containerd has restarted by itself, or should have."""
        ...

    def wait_until_ready(self, seconds: float) -> bool:
        """Wait until the runtime answers; whether it does."""
        ...

    def call(self, program: str, arguments: tuple[str, ...], stdin: bytes) -> Done:
        """Run a program of the host as containerd would.  Raises `HostError`."""
        ...

    def prove(self, known: Known) -> Proof:
        """Pull a canary."""
        ...

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def started(self) -> float:
        """When the containerd that runs was started, in seconds since 1970; 0 if nobody can tell."""
        ...


def restart(world: World, unit: str, *, by_itself: bool = False) -> None:
    """Have containerd restarted, or wait for it to, until it answers again.  Raises `HostError`."""
    if by_itself:
        world.wait_for_restart()
    else:
        world.restart(unit)
    if not world.wait_until_ready(READY_SECONDS):
        raise HostError(f"{unit}: got no answer for {READY_SECONDS:g} s; expected containerd to be back")
