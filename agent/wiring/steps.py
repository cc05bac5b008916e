"""The steps of an installation, in the order that keeps a node able to pull at every moment.

1. The program goes beside its place and is renamed there; the node's bootstrap document is written.
2. It has to refuse the canary and let a sandbox image pass, run on the host as containerd would, before anything leads
   to it.
3. `current` leads to it, by one rename; what containerd's folder holds already follows.
4. containerd's configuration: our file before the line that imports it, and then what is in force is compared.
5. The daemon's unit, if one is wanted, is enabled, and started: it is warm when the first pull asks.
6. Our entry in the verifier folder, by one rename.
7. containerd is restarted only if a setting changed, or a restart is still due; then it has to come back.
8. The canary proves that pulls are verified.

Nothing is done twice: a step whose outcome stands there already is none.
"""

from typing import NamedTuple

from agent.wiring.edits import Edit, EditFile, Link, MakeFolder, WriteFile
from agent.wiring.manifest import Role
from agent.wiring.planning import Plan

RESTART_INTERVAL = 3600.0
"""Seconds in which containerd is restarted for us at most once."""


class Place(NamedTuple):
    """Put the program into a folder of its own."""

    path: str


class Folder(NamedTuple):
    """Make a folder, and those above it."""

    path: str
    mode: int
    role: Role


class Write(NamedTuple):
    """Write a file of ours; with `theirs`, one that a person wrote or edited.

    That stays theirs; with `recorded`, uninstalling gives it back as it was.
    """

    path: str
    content: bytes
    mode: int
    role: Role
    theirs: bool = False
    recorded: bool = True


class Change(NamedTuple):
    """Change somebody else's file from exactly `before`."""

    path: str
    before: bytes
    after: bytes


class Check(NamedTuple):
    """Run a program on the host as containerd would."""

    program: str


class Switch(NamedTuple):
    """Have `current` lead to a program's folder."""

    path: str
    target: str


class Compare(NamedTuple):
    """Look at what containerd makes of its configuration now."""


class Wire(NamedTuple):
    """Put our entry into the verifier folder."""

    path: str
    target: str


class Enable(NamedTuple):
    """Have the daemon's unit started at boot, by a link."""

    path: str
    target: str


class Start(NamedTuple):
    """Start the daemon's unit, anew if it runs, and wait until it answers."""


class Restart(NamedTuple):
    """Have containerd restarted; it does so by itself with `by_itself`."""

    unit: str
    why: str
    by_itself: bool


class Prove(NamedTuple):
    """Pull a canary."""


Step = Place | Folder | Write | Change | Check | Switch | Compare | Enable | Start | Wire | Restart | Prove


class Wanted(NamedTuple):
    """What an installation is to leave there, and how far it is there already.

    `program` is the folder of the program; `files` are those that are missing or otherwise (bootstrap document, unit),
    `folders` those that the program would make for what it keeps.  `enable` is the link of the daemon's unit that is
    missing, None if none is; `start` is whether the unit has to be started, or started anew.
    """

    program: str
    is_placed: bool
    is_current: bool
    files: tuple[Write, ...] = ()
    folders: tuple[Folder, ...] = ()
    enable: Enable | None = None
    start: bool = False


class May(NamedTuple):
    """What is possible.

    `is_running` is whether a containerd listens that can be asked; `restart` whether it may be restarted; `pending` is
    why a restart is due from before, empty if none is; `restarted` and `now` are seconds since 1970.
    """

    is_running: bool
    restart: bool
    pending: str = ""
    restarted: float = 0.0
    now: float = 0.0

    @property
    def left(self) -> float:
        """Seconds until a restart is not too soon, 0 if none is left; a clock that was set back says nothing."""
        ago = self.now - self.restarted
        return RESTART_INTERVAL - ago if 0 <= ago < RESTART_INTERVAL else 0.0

    @property
    def too_soon(self) -> bool:
        """Whether the last restart was less than `RESTART_INTERVAL` ago."""
        return self.left > 0


PROGRAMS = "/opt/nodeseal"
"""Where programs are placed, unless a host has no place for them there."""

CURRENT = "current"
"""The link beside them that leads to the one that containerd runs."""

EXECUTABLE = "nodeseal"


def steps(plan: Plan, wanted: Wanted, may: May) -> tuple[Step, ...]:
    """What to do, in order."""
    done: list[Step] = []
    if not wanted.is_placed:
        done.append(Place(wanted.program))
    done += [*wanted.folders, *(each for each in wanted.files if each.role is Role.STATE)]
    links = [edit for edit in plan.edits if isinstance(edit, Link)]
    if not (wanted.is_placed and wanted.is_current) or links:
        done.append(Check(f"{wanted.program}/{EXECUTABLE}"))
    if not wanted.is_current:
        folder, _, name = wanted.program.rpartition("/")
        done.append(Switch(f"{folder}/{CURRENT}", name))
    changed = [_configured(edit) for edit in plan.edits if not _is_verifiers(edit, links)]
    done += [*changed, Compare()] if changed else []
    done += [each for each in wanted.files if each.role is Role.UNIT]
    done += [wanted.enable] if wanted.enable else []
    done += [Start()] if wanted.start else []
    for edit in links:
        folder = edit.path.rpartition("/")[0]
        done += [Folder(each.path, each.mode, Role.VERIFIER) for each in _folders(plan.edits) if each.path == folder]
        done.append(Wire(edit.path, edit.target))
    why = plan.restart or may.pending
    if why and may.is_running and (plan.restarts_itself or (may.restart and not may.too_soon)):
        done.append(Restart(plan.unit, why, plan.restarts_itself))
    if may.is_running:
        done.append(Prove())
    return tuple(done)


def _folders(edits: tuple[Edit, ...]) -> list[MakeFolder]:
    return [edit for edit in edits if isinstance(edit, MakeFolder)]


def _is_verifiers(edit: Edit, links: list[Link]) -> bool:
    """Whether an edit is our entry, or the folder that it goes into."""
    return isinstance(edit, Link) or (
        isinstance(edit, MakeFolder) and any(link.path.rpartition("/")[0] == edit.path for link in links)
    )


def _configured(edit: Edit) -> Step:
    if isinstance(edit, EditFile):
        return Change(edit.path, edit.before, edit.after)
    if isinstance(edit, WriteFile):
        return Write(edit.path, edit.content, edit.mode, Role.CONFIGURATION)
    if isinstance(edit, MakeFolder):
        return Folder(edit.path, edit.mode, Role.CONFIGURATION)
    raise TypeError(type(edit))
