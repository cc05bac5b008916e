"""The daemon's systemd unit, as an installation writes, enables and starts it, and an uninstallation takes it away.

What it says is `agent.wiring.unit`'s.  It is enabled by the link that `systemctl enable` would make, so that it is
recorded and taken away like everything else, and so that an image that is built needs no bus.
"""

import posixpath
import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from agent.adapters.hostfiles import Kind
from agent.adapters.journal import Journal
from agent.errors import HostError
from agent.modes.world import World
from agent.wiring import unit
from agent.wiring.manifest import Role
from agent.wiring.planning import Plan
from agent.wiring.steps import Enable, Write

START_SECONDS = 30.0
"""How long the daemon may take until it answers."""

_UNIT_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]+\.service")  # systemd.unit(5)
_MOST = 64 * 1024
_EDITED = (
    f"{unit.PATH}: was edited since it was written, and stays as it is: put changes into a drop-in (systemctl edit "
    f"{unit.NAME}), remove the file, and install again"
)


class Served(NamedTuple):
    """What the daemon is to do.

    `configuration` is what it keeps in force, empty for nothing; `socket` the container runtime's, empty for a usual
    one; `start` whether it is to be started: a host that does not run starts it when it boots.  `port` is the canary's,
    0 for any.
    """

    configuration: str = ""
    socket: str = ""
    start: bool = True
    port: int = 0


class Wish(NamedTuple):
    """What is missing: the file, the link, and whether the unit has to be started, or started anew."""

    files: tuple[Write, ...] = ()
    enable: Enable | None = None
    start: bool = False


class DaemonUnit:
    """The unit of one host, for one installation or uninstallation."""

    def __init__(self, journal: Journal, world: World, tell: Callable[[str], None]) -> None:
        """`tell` gets a line for each thing that is done."""
        self._journal, self._world, self._tell = journal, world, tell
        self._touched = self._ran = False

    def wish(self, served: Served | None, plan: Plan, program: str, *, is_current: bool) -> Wish:
        """What has to be done; one that is there already goes on with the program that is current.

        Raises `HostError` where another one is there, or nobody would start it.
        """
        runs = self._is_ours and self._world.unit_runs(unit.NAME)
        if served is None:
            return Wish(start=runs and not is_current)
        self._refuse(served)
        before = plan.unit or plan.placed.distribution.unit
        before = before if _UNIT_NAME.fullmatch(before) else ""
        content = unit.content(unit.Daemon(program, served.configuration, served.socket, before, port=served.port))
        files = (Write(unit.PATH, content, 0o644, Role.UNIT),) if self._is_otherwise(content) else ()
        target = posixpath.join("..", unit.NAME)
        is_enabled = self._journal.host.stands(unit.WANTED).target == target
        enable = None if is_enabled else Enable(unit.WANTED, target)
        return Wish(files, enable, served.start and (not runs or bool(files) or not is_current))

    def advice(self, served: Served | None) -> tuple[str, ...]:
        """What a person has to know about it."""
        now = self._journal.host.read_bounded(unit.PATH, _MOST) if served and self._is_ours else None
        return (_EDITED,) if now is not None and not self._journal.wrote(unit.PATH, now) else ()

    def enable(self, step: Enable) -> None:
        """Have it started at boot.  Raises `HostError`."""
        self._journal.folder(posixpath.dirname(step.path), 0o755, Role.UNIT)
        self._journal.link(step.path, step.target, Role.UNIT)
        self._tell(f"{unit.NAME} is started at boot")

    def start(self) -> None:
        """Start it, or start it anew, and wait until it answers.  Raises `HostError`."""
        self._ran = self._world.unit_runs(unit.NAME)
        self._world.reload()
        self._touched = True
        self._world.restart(unit.NAME)
        if not self._world.serves(START_SECONDS):
            raise HostError(
                f"{unit.NAME}: got no answer of the daemon for {START_SECONDS:g} s; expected it to serve",
                hint=f"journalctl -u {unit.NAME}",
            )
        self._tell(f"{unit.NAME} runs, and the daemon answers")

    def halt(self) -> list[str]:
        """Before it is taken back: stop what was started; sentences about what could not be."""
        return self._stopped() if self._touched else []

    def resume(self) -> list[str]:
        """Once it was taken back: start what ran before."""
        if not self._touched:
            return []
        try:
            self._world.reload()
            if self._ran and self._is_ours:
                self._world.restart(unit.NAME)
        except HostError as error:
            return [error.message]
        return []

    def take_away(self, revert: Callable[[], None]) -> list[str]:
        """Stop it, and have it removed by `revert`; sentences about what could not be."""
        if not self._journal.manifest.of(Role.UNIT):
            return []
        can_ask = self._world.can_restart()
        left = self._stopped() if can_ask and self._is_ours else []
        revert()
        if can_ask:
            with suppress(HostError):  # nothing of it is left but what systemd remembers
                self._world.reload()
        elif self._world.serves(0):
            left.append(f"{unit.NAME}: still runs, and goes on writing: no systemd was there to stop it")
        return left

    @property
    def _is_ours(self) -> bool:
        return self._journal.manifest.entry(unit.PATH) is not None

    def _stopped(self) -> list[str]:
        try:
            self._world.stop(unit.NAME)
        except HostError as error:
            return [f"{unit.NAME} was not stopped: {error.message}"]
        self._tell(f"stopped {unit.NAME}")
        return []

    def _is_otherwise(self, content: bytes) -> bool:
        """Whether the file is missing, or is as an installation wrote it and has to be otherwise."""
        now = self._journal.host.read_bounded(unit.PATH, _MOST)
        return now is None or (now != content and self._journal.wrote(unit.PATH, now))

    def _refuse(self, served: Served) -> None:
        for path in (unit.PATH, unit.WANTED, *unit.OTHER_PLACES):
            found = self._journal.host.stands(path)
            if found.kind is not Kind.NOTHING and self._journal.manifest.entry(path) is None:
                raise HostError(
                    f"{path}: got something that no installation wrote; expected nothing there",
                    hint="remove it if nobody needs it, and install again",
                )
        if self._journal.host.stands(unit.PATH).kind not in (Kind.NOTHING, Kind.FILE):
            raise HostError(
                f"{unit.PATH}: got no regular file; expected the unit, or nothing",
                hint=f"systemctl unmask {unit.NAME}",
            )
        if served.start and not self._world.can_restart():
            raise HostError(
                "got no systemd that listens; expected one, to start the daemon",
                hint="leave --systemd out; pulls are verified without a daemon, too",
            )
        if served.start and not self._is_ours and self._world.serves(0):
            raise HostError(
                "got a daemon that serves this host already; expected none beside the unit's",
                hint="end it: a DaemonSet's pod, or nodeseal watch",
            )
