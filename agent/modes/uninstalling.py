"""Takes an installation away: a node is afterwards byte for byte what it was, but for what people changed since.

The order keeps it able to pull at every moment:

1. Our entry leaves the verifier folder, and any other link there that leads to a program of ours.
2. The daemon's unit, if there is one, is stopped and goes; containerd's configuration, edited files as they were.
3. containerd is restarted if that changed a setting.
4. `current`, the programs, and what the program itself wrote; at last the record.
"""

import posixpath
from collections.abc import Callable
from typing import NamedTuple

from agent.adapters import state
from agent.adapters.journal import Journal
from agent.adapters.manifests import FOLDER
from agent.errors import HostError, NodesealError
from agent.modes import recording
from agent.modes.daemonunit import DaemonUnit
from agent.modes.installing import restart
from agent.modes.world import World
from agent.wiring import bindir, planning, steps
from agent.wiring.facts import Facts
from agent.wiring.manifest import Entry, Kind, Manifest, Role
from agent.wiring.planning import Options


class Removed(NamedTuple):
    """What came of it: `was_installed` is whether there was anything; `left` is what stays, and why.

    `pending` is why containerd has yet to be restarted, empty if it need not be.
    """

    was_installed: bool
    restarted: bool = False
    pending: str = ""
    left: tuple[str, ...] = ()


class Uninstaller:
    """One uninstallation on one host."""

    def __init__(
        self,
        journal: Journal,
        world: World,
        tell: Callable[[str], None],
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        """`tell` gets a line for each thing that is done; `confirm` raises `HostError` if our turn is over."""
        self._journal, self._world, self._tell, self._confirm = journal, world, tell, confirm
        self._left: list[str] = []

    def restarts(self) -> bool:
        """Whether containerd would be restarted, if it may be; nothing is written.  Raises `HostError`."""
        manifest = self._journal.store.read()
        if manifest is None or not (manifest.restart_pending or _configured(manifest)):
            return False
        return self._world.is_running() and self._restarter(self._facts()) is not None

    def run(self, *, may_restart: bool = True, keep_state: bool = False) -> Removed:
        """Uninstall.  What was begun and not finished is finished by the next one.  Raises `HostError`."""
        if self._journal.store.read() is None and self._journal.host.missing_folders(posixpath.dirname(FOLDER)):
            return Removed(was_installed=False)
        with self._journal.held():
            if self._journal.is_first:  # another one was faster
                self._journal.forget()
                return Removed(was_installed=False)
            facts = self._facts()
            self._journal.note(undoing=True)
            self._unlink(facts)
            self._left += DaemonUnit(self._journal, self._world, self._tell).take_away(lambda: self._revert(Role.UNIT))
            pending = self._unconfigure()
            restarted = self._restarted(pending, facts, may_restart)
            self._remove(keep_state=keep_state)
        return Removed(True, restarted, "" if restarted else pending, tuple(self._left))

    def _facts(self) -> Facts | None:
        """What is known of containerd; a node whose configuration is broken is put back all the same."""
        try:
            return self._world.facts().facts
        except NodesealError:
            return None

    def _unlink(self, facts: Facts | None) -> None:
        """No pull may meet an entry that leads nowhere: containerd refuses it then."""
        if facts and facts.folder:
            placed = {
                steps.PROGRAMS,
                *(posixpath.dirname(each.path) for each in self._journal.manifest.of(Role.CURRENT)),
            }
            for each in bindir.judge(facts.folder, -1):
                leads_to_us = any(each.entry.target.startswith(f"{folder}/") for folder in placed)
                path = f"{facts.folder.path}/{each.entry.name}"
                if each.entry.link and leads_to_us and self._journal.manifest.entry(path) is None:
                    self._journal.host.remove(path)
                    self._tell(f"removed {path}")
        self._revert(Role.VERIFIER)

    def _unconfigure(self) -> str:
        """Put containerd's configuration back; why a restart is due, empty if none is."""
        journal = self._journal
        if _configured(journal.manifest) and not journal.manifest.restart_pending:
            why = "containerd reads its configuration when it starts, and settings of ours are gone"
            journal.note(pending=why, since=self._world.now())
        self._revert(Role.CONFIGURATION)
        return journal.manifest.restart_pending

    def _restarted(self, pending: str, facts: Facts | None, may_restart: bool) -> bool:
        """Restart containerd if that is due.  Raises `HostError` if our turn is over: the next one goes on there."""
        if not pending or not may_restart or not self._world.is_running():
            return False
        found = self._restarter(facts)
        if found is None:
            return False
        unit, by_itself = found
        if not by_itself:
            self._confirm()
        self._tell(f"restarting {unit}: {pending}")
        try:
            restart(self._world, unit, by_itself=by_itself)
        except HostError as error:
            self._left.append(error.message)
            return False
        self._journal.note(pending="")
        return True

    def _restarter(self, facts: Facts | None) -> tuple[str, bool] | None:
        """Which unit is to be restarted, and whether it does so by itself; None if nobody can."""
        unit, by_itself = "", False
        if facts is not None:
            try:
                placed = planning.plan(facts, Options()).placed.distribution
                unit, by_itself = placed.unit, placed.watched
            except NodesealError:
                pass
            unit = (facts.process.unit if facts.process else "") or unit
        return (unit, by_itself) if by_itself or (unit and self._world.can_restart()) else None

    def _remove(self, *, keep_state: bool) -> None:
        journal = self._journal
        self._revert(Role.CURRENT)
        self._revert(Role.PROGRAM)
        files = [entry for entry in journal.manifest.of(Role.STATE) if entry.kind is not Kind.FOLDER]
        if not keep_state:
            recording.forget(journal)
            self._revert_all(files)
            self._left += state.remove(journal.host)
            self._revert_all([entry for entry in journal.manifest.of(Role.STATE) if not _is_record(entry)])
        journal.forget()
        self._tell("removed the program" + ("" if keep_state else ", and its state"))

    def _revert(self, role: Role) -> None:
        self._revert_all(self._journal.manifest.of(role))

    def _revert_all(self, entries: "tuple[Entry, ...] | list[Entry]") -> None:
        """The last first."""
        for entry in reversed(entries):
            self._left += self._journal.revert(entry)
            if entry.kind is not Kind.FOLDER:
                self._tell(f"took back {entry.path}")


def _configured(manifest: Manifest) -> tuple[Entry, ...]:
    """What was written of containerd's configuration."""
    return tuple(entry for entry in manifest.of(Role.CONFIGURATION) if entry.kind is not Kind.FOLDER)


def _is_record(entry: Entry) -> bool:
    """Whether a folder holds the record itself: that goes last."""
    return entry.kind is Kind.FOLDER and f"{FOLDER}/".startswith(f"{entry.path}/")
