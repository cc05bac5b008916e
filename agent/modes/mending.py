"""`nodeseal doctor --fix`: mends what can be mended safely, and taken back.

What is installed here is installed once more from where it is, and this time settings may be set back that send pulls
past the verifier, those for which a later file is enough.  So all of it is recorded, compared with what containerd
makes of it, proved, taken back if it does not work, and undone by `uninstall`, as everything that `install` does.

Beside that: files of ours that others could write, if they are still what was recorded, and what a killed
installation left in the verifier folder.  What is somebody else's is never touched: other verifiers, files that keep
the folder from working, settings that have to be taken out by hand.
"""

import os
import posixpath
from collections.abc import Callable, Iterator
from typing import NamedTuple

from agent.adapters import containerd, hostfiles, programs, rights
from agent.adapters.containerd import Told
from agent.adapters.hostfiles import HostFiles
from agent.adapters.journal import Journal
from agent.adapters.nodestate import NodeState
from agent.errors import HostError
from agent.modes import place, turns
from agent.modes.install_report import described, difference
from agent.modes.installing import Asked, Installer, unsupported
from agent.modes.turns import Taken
from agent.modes.world import World
from agent.wiring import bindir, steps
from agent.wiring.manifest import Role
from agent.wiring.planning import Changes
from agent.wiring.steps import Prove

_NOT_INSTALLED = "Nodeseal is not installed here; nodeseal install --changes pull-path does both"


class Mended(NamedTuple):
    """What was done, or would be, in words, and as a diff; `nothing` is why nothing was, empty if something was.

    `left` is what stays to be done by a person, `pending` why containerd has yet to be restarted.
    """

    steps: tuple[str, ...] = ()
    diff: str = ""
    nothing: str = ""
    left: tuple[str, ...] = ()
    restarted: bool = False
    pending: str = ""

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "steps": list(self.steps),
            "diff": self.diff,
            "nothing": self.nothing or None,
            "left": list(self.left),
            "restarted": self.restarted,
            "restartPending": self.pending or None,
        }


class Mender:
    """One attempt on one host."""

    def __init__(
        self,
        host: HostFiles,
        world: World,
        tell: Callable[[str], None],
        *,
        restart: bool = True,
        taken: Taken | None = None,
    ) -> None:
        """`tell` gets a line for each thing that is done.

        `restart` is whether containerd may be restarted; `taken` waits for this node's turn to, if it has to.
        """
        self._host, self._world, self._tell, self._restart, self._taken = host, world, tell, restart, taken
        self._programs = steps.PROGRAMS

    def run(self, *, dry: bool = False) -> Mended:
        """Mend, or only say what would be.  Raises `HostError`, `RolledBack` if it had to be taken back."""
        link = self._current()
        name = self._host.stands(link).target
        if not name or not self._host.exists(f"{link}/{steps.EXECUTABLE}"):
            return Mended(nothing=_NOT_INSTALLED)
        told = self._world.facts()
        files, left = self._files(told, dry=dry)
        self._programs = posixpath.dirname(link)
        source = os.path.join(self._host.root, programs.real(self._host, f"{self._programs}/{name}").lstrip("/"))
        danger = _danger(source)
        if danger and dry and files:
            return Mended(files, left=(f"{danger}; the rest can be told once that is mended",))
        if danger:
            raise HostError(f"{danger}; it is not trusted", hint="install again: nodeseal install")
        asked = self._asked(source)
        plan, todo = Installer(Journal(self._host), self._world, asked, self._tell).foreseen(told)
        left = (*left, *plan.advice)
        if unsupported(plan):
            return Mended(files, left=left, nothing="" if files else unsupported(plan))
        diff = "".join(difference(self._host, step) for step in todo)
        if all(isinstance(step, Prove) for step in todo):
            return Mended(files, left=left, nothing="" if files else "there is nothing that can be mended safely")
        words = (*files, *map(described, todo))
        if dry:
            return Mended(words, diff, left=left)
        for line in diff.splitlines():
            self._tell(line)
        outcome = turns.installed_so(self._host, self._world, asked, self._tell, self._taken, todo)
        return Mended(words, diff, "", left, outcome.restarted, outcome.pending)

    def _asked(self, source: str) -> Asked:
        """What stands there already, once more."""
        name = NodeState(self._host.root).bootstrap().node_name
        version = posixpath.basename(source)
        asked = Asked(source, version, Changes.PULL_PATH, node_name=name, restart=self._restart, anew=True)
        return asked._replace(programs=self._programs)

    def _current(self) -> str:
        """The link to the program that containerd runs."""
        manifest = Journal(self._host).store.read()
        placed = [entry.path for entry in manifest.of(Role.CURRENT)] if manifest else []
        called = {entry.said for entry in manifest.of(Role.VERIFIER)} if manifest else set()
        known = [path for path in placed if f"{path}/{steps.EXECUTABLE}" in called] or placed
        return known[-1] if known else f"{steps.PROGRAMS}/{steps.CURRENT}"

    def _files(self, told: Told, *, dry: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Files of ours: what is done to them, and what is not, and why."""
        journal = Journal(self._host)
        manifest = journal.store.read()
        if manifest is None:
            return (), ()
        open_to_others = [entry for entry in manifest.entries if entry.done and rights.wrong(self._host, entry)]
        unfinished = tuple(self._unfinished(told))
        done = [f"take {entry.path} from others" for entry in open_to_others]
        done += [f"remove {path}" for path in unfinished]
        if dry or not done:
            return tuple(done), ()
        left = []
        with journal.held():
            for entry in open_to_others:
                left += [trouble] if (trouble := rights.set_right(self._host, entry)) else []
            for path in unfinished:
                self._host.remove(path)
        for line in done:
            self._tell(line)
        return tuple(done), tuple(left)

    def _unfinished(self, told: Told) -> Iterator[str]:
        """What a killed installation left in the verifier folder: containerd runs it, or refuses all."""
        folder = told.facts.folder
        if folder is not None:
            for each in folder.entries:
                if each.link and each.name == hostfiles.unfinished(bindir.LINK):
                    yield f"{folder.path}/{each.name}"


def _danger(source: str) -> str:
    """Why the program in a folder can't be trusted, empty if it can.  Raises `HostError`."""
    try:
        return place.unsafe(os.path.join(source, steps.EXECUTABLE))
    except OSError as error:
        raise HostError(f"{source}: got {error.strerror or error}; expected the program") from None


def mended(
    asked: containerd.Asked,
    tell: Callable[[str], None],
    *,
    restart: bool = True,
    dry: bool = False,
    taken: Taken | None = None,
    port: int = 0,
) -> Mended:
    """Mend a host that runs; `port` is the canary's, 0 for any.  Raises as `Mender.run` does."""
    from agent.modes.hostworld import HostWorld  # as in `install`

    return Mender(HostFiles(asked.host), HostWorld(asked, port=port), tell, restart=restart, taken=taken).run(dry=dry)
