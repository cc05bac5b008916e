"""Carries an installation out, step by step, and takes it back if it does not work.

What it asks of the host beyond files is a `World`; the order of the steps is `agent.wiring.steps`'s.
"""

import hashlib
import math
import posixpath
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.adapters import bypass, programs, state
from agent.adapters.containerd import Told
from agent.adapters.journal import Journal
from agent.adapters.state import Tried
from agent.errors import ConfigurationError, HostError
from agent.modes import place, recording, trying
from agent.modes.daemonunit import DaemonUnit, Served
from agent.modes.world import World, restart
from agent.wiring import bindir, distributions, paths, planning, steps, triggers
from agent.wiring.distributions import Placed, Way
from agent.wiring.edits import Link
from agent.wiring.manifest import Kind, Manifest, Role
from agent.wiring.merging import VERIFIER, from_dump
from agent.wiring.planning import Changes, Options, Plan, import_pattern
from agent.wiring.proof import Known, Proof, State
from agent.wiring.steps import Folder, May, Prove, Restart, Wanted, Write

_SAME_START = 0.5
"""Seconds by which two readings of one process's start may differ: it is counted back from now."""

_HOSTS_PROGRAM = "/bin/sh"
_KERNELS = "/proc/version"  # what a root lacks that was not booted, and in which nothing is mounted
_KEPT_IN = ("/var/cache", "/var/log", "/run")  # a root that is being built may lack them
_BIN_DIR = ("plugins", VERIFIER, "bin_dir")


class Asked(NamedTuple):
    """What is to be installed, and how.

    `source` is the folder of the program; `version` its version; `programs` where it is placed.  `restart` is whether
    containerd may be restarted, `restart_servers` whether also where that restarts the cluster's own server.  `daemon`
    is what the daemon's systemd unit is to do, None for none: one that is there stays.  `image` is the image that
    installs, empty if nobody says.  `anew` is whether only what is installed is mended: then what else lies in the
    verifier folder is no reason to do nothing.  `loaded` is when a containerd was started that has loaded what is to be
    set, in seconds since 1970, 0 if that is not known: while that one runs, files that are set right again are no
    reason to restart it.  `host` is what is to stand under that key of the bootstrap document.  `again` is whether to
    install only where something is installed: not after an uninstallation, whenever that came.
    """

    source: str
    version: str
    changes: Changes = Changes.VERIFIER_ONLY
    bin_dir: str = ""
    node_name: str = ""
    restart: bool = True
    restart_servers: bool = False
    daemon: Served | None = None
    programs: str = steps.PROGRAMS
    image: str = ""
    anew: bool = False
    loaded: float = 0.0
    host: Mapping[str, object] = {}
    again: bool = False


class Outcome(NamedTuple):
    """What came of it.

    `installed` is whether the verifier is in place; `unsupported` is why it can't be, empty if it can.  `steps` are
    those that were carried out.  `proof` is None where nothing could be proved; `pending` is why containerd has yet to
    be restarted.  `advice` is what is left to a person.
    """

    plan: Plan
    installed: bool
    unsupported: str = ""
    steps: "tuple[steps.Step, ...]" = ()
    restarted: bool = False
    pending: str = ""
    proof: Proof | None = None
    advice: tuple[str, ...] = ()


class RolledBack(HostError):
    """An installation did not work, and the node is as it was, but for what `left` says."""

    def __init__(self, message: str, left: tuple[str, ...], *, hint: str = "") -> None:
        """Keep all three."""
        super().__init__(message, hint=hint)
        self.left = left


def unsupported(plan: Plan) -> str:
    """Why nothing can be installed on a node, and what to use instead; empty if something can."""
    if plan.placed.way is Way.REFUSE or plan.placed.distribution.hands_off:
        title, advice = plan.placed.distribution.title, plan.placed.advice
        return f"{title}: {advice}" if advice else title
    return ""


class Installer:
    """One installation on one host."""

    def __init__(
        self,
        journal: Journal,
        world: World,
        asked: Asked,
        tell: Callable[[str], None],
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        """`tell` gets a line for each thing that is done; `confirm` raises `HostError` if our turn is over."""
        self._journal, self._world, self._asked, self._tell, self._confirm = journal, world, asked, tell, confirm
        self._unit = DaemonUnit(journal, world, tell)
        self._current = f"{asked.programs}/{steps.CURRENT}"
        self._program = f"{self._current}/{steps.EXECUTABLE}"
        self._beside: dict[str, bytes] = {}
        self._restarted = self._changed = False
        self._proof: Proof | None = None
        self._plan: Plan | None = None
        self._attempt = Tried()
        self._pending = ""
        self._left: tuple[str, ...] = ()
        self.held = ""
        """Why containerd's configuration is not written now, though it has to be; empty if nothing keeps it."""
        self._switched_from: str | None = None

    def prepared(self, told: Told) -> tuple[Plan, tuple[steps.Step, ...], Mapping[str, str]]:
        """The plan, the steps, and what the program's folder holds.  Raises `HostError`, `ConfigurationError`."""
        asked, runs = self._asked, self._world.is_running()
        plan = planning.plan(told.facts, Options(asked.changes, asked.bin_dir, self._program))
        members, tried = self._members(), state.tried(self._journal.host)
        plan = self._adapted(plan, told, tried, runs=runs)
        if not asked.anew:
            self._refuse_strays(told, plan)
        self._refuse_repeated(told, plan, members, tried)
        plan, may = self._restartable(plan, tried, runs=runs)
        todo = steps.steps(plan, self._wanted(told, plan, members), may)
        return plan._replace(advice=(*plan.advice, *self._unit.advice(asked.daemon))), todo, members

    def _adapted(self, plan: Plan, told: Told, tried: Tried, *, runs: bool) -> Plan:
        """The plan for this containerd as it runs, and with our entry where it stands.  Raises `ConfigurationError`."""
        if plan.restarts_itself and runs:
            plan = self._held_back(told, plan, tried)
        if plan.restart and not plan.restarts_itself and self._has_loaded():
            plan = plan._replace(restart="")
        complaints = planning.unexpected(told.facts, plan)
        if complaints:
            raise ConfigurationError(f"{told.facts.main}: {complaints[0]}")
        path, target = self._own_entry(told)
        if path and target != self._program:  # put there by hand, past `current`
            plan = plan._replace(edits=(*plan.edits, Link(path, self._program)))
        return plan

    def _refuse_repeated(self, told: Told, plan: Plan, members: Mapping[str, str], tried: Tried) -> None:
        """Raise `HostError` if the very same installation was taken back, and would restart containerd again."""
        self._attempt = tried._replace(failed=_fingerprint(told, plan, members))
        if tried.failed and tried.failed == self._attempt.failed and plan.restart:
            raise HostError(
                f"this very installation was taken back: {tried.why}",
                hint="change what it says; it is tried again once configuration or program are others, or after a boot",
            )

    def _restartable(self, plan: Plan, tried: Tried, *, runs: bool) -> tuple[Plan, May]:
        """Whether containerd may be restarted; the plan says so if the cluster's own server is spared that."""
        asked, manifest = self._asked, self._journal.manifest
        is_due = manifest.restart_pending and self._world.started() <= manifest.pending_since
        self._pending = manifest.restart_pending if is_due else ""
        spared = plan.restarts_server and not asked.restart_servers
        if spared and (plan.restart or self._pending):
            plan = plan._replace(advice=(*plan.advice, planning.SERVER))
        may_restart = asked.restart and not spared and self._world.can_restart()
        return plan, May(runs, may_restart, self._pending, tried.restarted, self._world.now())

    def _held_back(self, told: Told, plan: Plan, tried: Tried) -> Plan:
        """A plan whose file restarts containerd once it is written, without that where a restart may not be."""
        title, left = plan.placed.distribution.title, May(True, True, "", tried.restarted, self._world.now()).left
        self.held = ""
        if not self._asked.restart:
            self.held = f"{title} restarts containerd once its configuration is written: install without --no-restart"
        if left > 0:
            self.held = (
                f"{title} restarts containerd once its configuration is written, and once an hour at most: install "
                f"again in {math.ceil(left / 60)} minutes"
            )
        if not self.held:
            return plan
        without = planning.plan(told.facts, Options(Changes.NONE, self._asked.bin_dir, self._program))
        return without._replace(advice=(*plan.advice, self.held))

    def _refuse_uninstalled(self) -> None:
        """Raise `HostError` if somebody uninstalled meanwhile, and only what is installed is to be installed again."""
        if self._asked.again and (self._journal.is_first or self._journal.manifest.undoing):
            if self._journal.is_first:
                self._journal.forget()
            raise HostError("got a node that was uninstalled meanwhile; expected one that is installed")

    def _has_loaded(self) -> bool:
        """Whether the containerd that runs has what is to be set: it is the one that had it before files were lost."""
        loaded = self._asked.loaded
        return bool(loaded) and abs(self._world.started() - loaded) < _SAME_START

    def _refuse_strays(self, told: Told, plan: Plan) -> None:
        """What is no verifier refuses every pull that we let pass; a canary can't tell, because we refuse it first."""
        in_force = planning.node(told.facts).effective.bin_dir.value
        path = str(plan.settings.get(_BIN_DIR, in_force))
        folder = self._journal.host.folder(path) if path.startswith("/") else None
        for each in bindir.judge(folder, -1) if folder else ():
            if each.role is bindir.Role.STRAY and each.entry.name != bindir.LINK:
                raise HostError(
                    f"{path}/{each.entry.name}: got {each.why}; expected verifiers: with it every pull is refused",
                    hint="remove it, and install again",
                )

    def foreseen(self, told: Told) -> tuple[Plan, tuple[steps.Step, ...]]:
        """The plan and the steps that `run` would carry out; nothing is written.  Raises as `prepared` does."""
        early = self._not_supported(told)
        if early:
            return early.plan, ()
        self._journal.manifest = self._journal.store.read() or Manifest()
        return self.prepared(told)[:2]

    def run(self) -> Outcome:
        """Install.  Raises `HostError`, `RolledBack` if it had to be taken back; `ConfigurationError`, `Malformed`."""
        told = self._world.facts()
        early = self._not_supported(told)
        if early:
            return early
        with self._journal.held():
            self._refuse_uninstalled()
            told = self._world.facts()
            before = state.folders(self._journal.host)
            try:
                plan, todo, members = self.prepared(told)
                self._plan = plan
                self._adopt(told)
                self._journal.note(undoing=False)
                if self._journal.manifest.restart_pending and not self._pending:
                    self._journal.note(pending="")
                for step in todo:
                    self._carry_out(step, told, plan, members)
            except BaseException as error:
                left = self._roll_back(before, getattr(error, "message", type(error).__name__))
                if isinstance(error, HostError) and self._changed:
                    raise RolledBack(f"{error.message}; it was taken back", tuple(left), hint=error.hint) from error
                raise
            return self._finished(plan, todo)

    def _not_supported(self, told: Told) -> Outcome | None:
        """The outcome if nothing can be installed here, None if it can.

        Raises `HostError` if no containerd is known, `ConfigurationError` if it would not start with its configuration.
        """
        known = distributions.identify(told.facts)
        if told.facts.version is None and not (known.way is Way.REFUSE or known.hands_off):
            raise HostError(
                "got no containerd whose version can be told; expected one that runs, or a program of it",
                hint="run as root, start containerd, or name its socket: --socket PATH",
            )
        if told.facts.version is None:
            plan = Plan(Placed(known, Way.REFUSE))
        else:
            found = planning.node(told.facts)
            plan = Plan(found.placed)
            problems = found.effective.written.problems
            if problems and not unsupported(plan):
                raise ConfigurationError(problems[0], hint="containerd would not start with it: nothing is changed")
        ours, theirs = (
            programs.machine(header)
            for header in (programs.header(self._asked.source), self._journal.host.read(_HOSTS_PROGRAM))
        )
        reason = unsupported(plan)
        if not reason and ours and theirs and ours != theirs:
            reason = "this program is built for another machine: use the one for this architecture"
        return Outcome(plan, installed=False, unsupported=reason) if reason else None

    def _members(self) -> Mapping[str, str]:
        """What the program's folder is to hold; `paths.json` where its place would tell it another root than "/"."""
        members = {name: said for name, said in programs.members(self._asked.source).items() if name != paths.NAME}
        real = programs.real(self._journal.host, f"{self._asked.programs}/{self._asked.version}/{steps.EXECUTABLE}")
        self._beside = {} if place.above(real) == "/" else {paths.NAME: paths.encode("/")}
        return members | {name: hashlib.sha256(content).hexdigest() for name, content in self._beside.items()}

    def _wanted(self, told: Told, plan: Plan, members: Mapping[str, str]) -> Wanted:
        host = self._journal.host
        path, is_placed = programs.folder_for(host, f"{self._asked.programs}/{self._asked.version}", members)
        is_current = host.stands(self._current).target == posixpath.basename(path)
        files = [file for file in self._files(told, plan) if self._is_wanted(file)]
        folders = [Folder(path, 0o755, Role.STATE) for path in _KEPT_IN if host.missing_folders(path)]
        wish = self._unit.wish(self._asked.daemon, plan, self._program, is_current=is_placed and is_current)
        return Wanted(path, is_placed, is_current, (*files, *wish.files), tuple(folders), wish.enable, wish.start)

    def _files(self, told: Told, plan: Plan) -> tuple[Write, ...]:
        asked = self._asked
        said = recording.Asked(asked.node_name, asked.image, asked.host, asked.anew)
        return recording.files(self._journal, told, plan, said)

    def _is_wanted(self, file: Write) -> bool:
        """Whether a file is missing, or is as an earlier installation wrote it and would be otherwise now."""
        now = self._journal.host.read_bounded(file.path, len(file.content) + 65536)
        if now is None:
            return True
        return now != file.content and (file.theirs or self._journal.wrote(file.path, now))

    def _own_entry(self, told: Told) -> tuple[str, str]:
        """Our entry in the verifier folder and where it leads; both empty if there is none."""
        folder = told.facts.folder
        own = bindir.ours(bindir.judge(folder, -1)) if folder else None
        if folder is None or own is None or not own.entry.link:
            return "", ""
        path = f"{folder.path}/{own.entry.name}"
        return path, self._journal.host.stands(path).target

    def _adopt(self, told: Told) -> None:
        """Record an entry of ours that somebody else put there."""
        path, target = self._own_entry(told)
        if path and self._journal.manifest.entry(path) is None:
            self._journal.adopt(path, target, Role.VERIFIER)

    def _carry_out(self, step: steps.Step, told: Told, plan: Plan, members: Mapping[str, str]) -> None:
        journal = self._journal
        if isinstance(step, steps.Place):
            journal.tree(step.path, self._asked.source, members, self._beside)
            self._tell(f"placed the program in {step.path}")
        elif isinstance(step, Folder):
            journal.folder(step.path, step.mode, step.role)
        elif isinstance(step, Write):
            self._note_restart_due(step.role, plan)
            folder_mode = 0o700 if step.role is Role.STATE else 0o755
            journal.folder(posixpath.dirname(step.path), folder_mode, step.role)
            if not step.recorded:
                journal.update(step.path, step.content, step.mode, step.role)
            else:
                journal.file(step.path, step.content, step.mode, step.role)
            self._tell(f"wrote {step.path}")
        elif isinstance(step, steps.Change):
            self._note_restart_due(Role.CONFIGURATION, plan)
            journal.edit(step.path, step.before, step.after, import_pattern(plan.placed.drop_in))
            self._tell(f"added an import to {step.path}")
        elif isinstance(step, steps.Check):
            self._tell(trying.tried(self._world, step.program, whole=self._journal.host.exists(_KERNELS)))
        elif isinstance(step, steps.Switch):
            self._switched_from = journal.host.stands(step.path).target
            journal.link(step.path, step.target, Role.CURRENT)
            self._tell(f"{step.path} leads to {step.target}")
        elif isinstance(step, steps.Compare):
            self._compare(told, plan)
        elif isinstance(step, steps.Enable):
            self._unit.enable(step)
        elif isinstance(step, steps.Start):
            self._unit.start()
        elif isinstance(step, steps.Wire):
            journal.link(step.path, step.target, Role.VERIFIER)
            self._tell(f"containerd's verifier folder has {step.path}")
        elif isinstance(step, Restart):
            self._restart(step)
        elif isinstance(step, Prove):
            self._prove(told, plan)

    def _note_restart_due(self, role: Role, plan: Plan) -> None:
        """Record, before a file of the configuration is written, that containerd has to be restarted for it."""
        if role is Role.CONFIGURATION and plan.restart:
            self._journal.note(pending=plan.restart, since=self._world.now())

    def _compare(self, told: Told, plan: Plan) -> None:
        """Check, where containerd can be asked, that it makes of its files what was planned.  Raises `HostError`."""
        after = self._world.facts()
        version = told.facts.version
        if told.facts.dump is None or version is None:
            return
        if after.facts.dump is None:
            raise HostError(f"{told.facts.main}: {after.dump_trouble}; expected containerd to take it")
        complaints = planning.unexpected(told.facts, plan, from_dump(after.facts.dump, version))
        if complaints:
            raise HostError(f"{told.facts.main}: containerd makes something else of it: {complaints[0]}")

    def _restart(self, step: Restart) -> None:
        if not step.by_itself:  # the others began with our file, moments after the turn was taken
            self._confirm()
        state.note_tried(self._journal.host, Tried(self._world.now()))
        self._restarted = True
        self._tell(f"restarting {step.unit}: {step.why}")
        restart(self._world, step.unit, by_itself=step.by_itself)
        self._journal.note(pending="")

    def _prove(self, told: Told, plan: Plan) -> None:
        """Only what cannot be mended within what was allowed may be left unproved."""
        left = still_set(told, plan)
        self._proof = found = self._world.prove(Known(left, installed=True))
        self._tell(f"proof: {found.state.value}: {found.message}")
        self._left = left
        if found.is_enforcing:
            return
        excused = found.state is State.BYPASSED and (
            left or self.held or self._journal.manifest.restart_pending or plan.placed.way is Way.ADVISE
        )
        if not excused:
            raise HostError(
                f"containerd does not ask this verifier: {found.message}",
                hint="nodeseal doctor tells what stands in the way",
            )

    def _roll_back(self, before: frozenset[str], why: str) -> list[str]:
        """Take back what was done: our entry first, so that nothing is refused meanwhile; then containerd anew."""
        journal = self._journal
        self._changed = journal.has_done
        if self._changed:
            self._tell("taking it back")
        left = journal.undo(Role.VERIFIER)
        left += self._unit.halt()
        left += journal.undo(Role.UNIT)
        left += journal.undo(Role.CONFIGURATION)
        if self._restarted and self._plan is not None:
            try:
                restart(self._world, self._plan.unit, by_itself=self._plan.restarts_itself)
                state.note_tried(journal.host, self._attempt._replace(restarted=self._world.now(), why=why))
            except HostError as error:
                left.append(error.message)
        left += journal.undo(Role.CURRENT, Role.PROGRAM)
        try:
            if journal.is_first:
                kept = {posixpath.dirname(state.TRIED), state.TRIED} if self._restarted else set()
                state.remove(journal.host, keep=before | kept)
        except HostError as error:
            left.append(error.message)
        left += journal.undo(Role.STATE)
        left += self._unit.resume()
        try:
            if journal.is_first:
                journal.forget()
            else:
                journal.sweep()
        except HostError as error:
            left.append(error.message)
        return left

    def _remove_old(self) -> None:
        """Programs of earlier installations go, but for the last: pulls may still be running on it."""
        journal = self._journal
        if self._switched_from is None:
            return
        stay = {self._switched_from, journal.host.stands(self._current).target}
        for entry in journal.manifest.of(Role.PROGRAM):
            is_old = entry.kind is Kind.TREE and posixpath.basename(entry.path) not in stay
            if is_old and not programs.in_use(journal.host, entry.path):
                for note in journal.revert(entry):
                    self._tell(f"left: {note}")

    def _finished(self, plan: Plan, todo: tuple[steps.Step, ...]) -> Outcome:
        """Remove what earlier installations left, and say what came of this one."""
        journal = self._journal
        if self._proof is not None:
            bypass.note(journal.host, self._left)
        if any(isinstance(step, steps.Place | steps.Switch | steps.Change | Write) for step in todo):
            self._remove_old()
            for entry in recording.unused(journal):
                for note in journal.revert(entry):
                    self._tell(f"left: {note}")
            journal.sweep()
        return Outcome(
            plan,
            installed=any(entry.role is Role.VERIFIER for entry in journal.manifest.entries),
            steps=todo,
            restarted=self._restarted,
            pending=journal.manifest.restart_pending,
            proof=self._proof,
            advice=plan.advice,
        )


def _fingerprint(told: Told, plan: Plan, members: Mapping[str, str]) -> str:
    """What tells an installation from another: the program, what is set, and the files that it is set in."""
    digest = hashlib.sha256(programs.identity(members).encode())
    for part in (sorted(plan.settings.items()), sorted(told.facts.files.items())):
        digest.update(repr(part).encode())
    return digest.hexdigest()


def still_set(told: Told, plan: Plan) -> tuple[str, ...]:
    """Names of the settings that send pulls past the verifier, and that a plan leaves."""
    found = triggers.find(planning.node(told.facts).effective)
    return tuple(each.trigger.name for each in found if each.trigger.name not in plan.removes)
