"""Takes an installation away: a node is afterwards byte for byte what it was, but for what people changed since.

The order keeps it able to pull at every moment:

1. Our entry leaves the verifier folder, and any other link there that leads to a program of ours.
2. The daemon's unit, if there is one, is stopped and goes; containerd's configuration, edited files as they were.
3. containerd is restarted if that changed a setting.
4. `current`, the programs, and what the program itself wrote; at last the record.
"""

import posixpath
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.adapters import state
from agent.adapters.journal import Journal
from agent.adapters.manifests import FOLDER
from agent.errors import HostError, NodesealError
from agent.modes import recording
from agent.modes.daemonunit import DaemonUnit
from agent.modes.world import World, restart
from agent.wiring import bindir, planning, steps, unit
from agent.wiring.facts import Facts
from agent.wiring.manifest import Entry, Kind, Manifest, Role
from agent.wiring.planning import Options

_SETTINGS_GONE = "containerd reads its configuration when it starts, and settings of ours are gone"


class Removed(NamedTuple):
    """What came of it: `was_installed` is whether there was anything; `left` is what stays, and why.

    `pending` is why containerd has yet to be restarted, empty if it need not be.
    """

    was_installed: bool
    restarted: bool = False
    pending: str = ""
    left: tuple[str, ...] = ()


class Foreseen(NamedTuple):
    """What an uninstallation would do, in its order, and what would stay, and why.

    `pending` is why containerd would have to be restarted by somebody else, empty if it would not.
    """

    was_installed: bool
    steps: tuple[str, ...] = ()
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

    def foreseen(self, *, may_restart: bool = True, keep_state: bool = False) -> Foreseen:
        """What `run` would do; nothing is written, and nobody is waited for.  Raises `HostError`."""
        if not self._journal.look():
            return Foreseen(was_installed=False)
        journal, facts = self._journal, self._facts()
        todo = [f"remove {path}" for path in self._other_links(facts)]
        todo += self._foreseen_of(journal.manifest.of(Role.VERIFIER))
        if journal.manifest.of(Role.UNIT):
            todo += [f"stop {unit.NAME}"] if self._world.can_restart() else []
            todo += self._foreseen_of(journal.manifest.of(Role.UNIT))
        todo += self._foreseen_of(journal.manifest.of(Role.CONFIGURATION))
        pending = journal.manifest.restart_pending or (_SETTINGS_GONE if _configured(journal.manifest) else "")
        found = self._restarter(facts) if pending and may_restart and self._world.is_running() else None
        todo += [f"restart {found[0] or 'containerd'}: {pending}"] if found else []
        todo += self._foreseen_of((*journal.manifest.of(Role.PROGRAM), *journal.manifest.of(Role.CURRENT)))
        if not keep_state:
            if recording.forgotten(journal) is not None:
                todo.append(f"take what was found of this host out of {recording.BOOTSTRAP}")
            ours, others = state.foreseen(journal.host)
            todo += [f"remove {path}" for path in ours]
            todo += self._foreseen_of(journal.manifest.of(Role.STATE))
            self._left += [path for path in others if journal.manifest.entry(path) is None]
        return Foreseen(True, tuple(todo), "" if found else pending, tuple(self._left))

    def _foreseen_of(self, entries: Sequence[Entry]) -> list[str]:
        """The last first; of folders only that they go is not worth a line."""
        todo = []
        for entry in reversed(entries):
            step, left = self._journal.foreseen(entry)
            todo += [step] if step and entry.kind is not Kind.FOLDER else []
            self._left += left
        return todo

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
        for path in self._other_links(facts):
            self._journal.host.remove(path)
            self._tell(f"removed {path}")
        self._revert(Role.VERIFIER)

    def _other_links(self, facts: Facts | None) -> list[str]:
        """Links in the verifier folder that lead to a program of ours, and that nobody recorded."""
        if not facts or not facts.folder:
            return []
        manifest, found = self._journal.manifest, []
        placed = {steps.PROGRAMS, *(posixpath.dirname(each.path) for each in manifest.of(Role.CURRENT))}
        for each in bindir.judge(facts.folder, -1):
            leads_to_us = any(each.entry.target.startswith(f"{folder}/") for folder in placed)
            path = f"{facts.folder.path}/{each.entry.name}"
            if each.entry.link and leads_to_us and manifest.entry(path) is None:
                found.append(path)
        return found

    def _unconfigure(self) -> str:
        """Put containerd's configuration back; why a restart is due, empty if none is."""
        journal = self._journal
        if _configured(journal.manifest) and not journal.manifest.restart_pending:
            journal.note(pending=_SETTINGS_GONE, since=self._world.now())
        self._revert(Role.CONFIGURATION)
        return journal.manifest.restart_pending

    def _restarted(self, pending: str, facts: Facts | None, may_restart: bool) -> bool:
        """Restart containerd if that is due.  Raises `HostError` if our turn is over: the next one goes on there."""
        if not pending or not may_restart or not self._world.is_running():
            return False
        found = self._restarter(facts)
        if found is None:
            return False
        service, by_itself = found
        if not by_itself:
            self._confirm()
        self._tell(f"restarting {service}: {pending}")
        try:
            restart(self._world, service, by_itself=by_itself)
        except HostError as error:
            self._left.append(error.message)
            return False
        self._journal.note(pending="")
        return True

    def _restarter(self, facts: Facts | None) -> tuple[str, bool] | None:
        """Which unit is to be restarted, and whether it does so by itself; None if nobody can."""
        service, by_itself = "", False
        if facts is not None:
            try:
                placed = planning.plan(facts, Options()).placed.distribution
                service, by_itself = placed.unit, placed.watched
            except NodesealError:
                pass
            service = (facts.process.unit if facts.process else "") or service
        return (service, by_itself) if by_itself or (service and self._world.can_restart()) else None

    def _remove(self, *, keep_state: bool) -> None:
        journal = self._journal
        self._revert(Role.CURRENT)
        self._revert(Role.PROGRAM)
        files = [entry for entry in journal.manifest.of(Role.STATE) if entry.kind is not Kind.FOLDER]
        if not keep_state:
            recording.forget(journal)
            self._revert_all(files)
            told = {each.partition(": ")[0] for each in self._left}
            self._left += [path for path in state.remove(journal.host) if path not in told]
            self._revert_all([entry for entry in journal.manifest.of(Role.STATE) if not _is_record(entry)])
        journal.forget()
        self._tell("removed the program" + ("" if keep_state else ", and its state"))

    def _revert(self, role: Role) -> None:
        self._revert_all(self._journal.manifest.of(role))

    def _revert_all(self, entries: Sequence[Entry]) -> None:
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
