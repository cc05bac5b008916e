"""What this node says apart from its configuration: the bootstrap document, break-glass, and both clocks.

::

    etc/nodeseal/bootstrap.json               written by the node's owner, or by what installs the program
    etc/nodeseal/break-glass.json             written by `nodeseal break-glass`
    var/lib/nodeseal/break-glass.lock         held while that is changed
    var/lib/nodeseal/break-glass-begun.json   since when the configuration's break-glass is in force here
    var/lib/nodeseal/complete.json            when the cluster last said all of the configuration in force
    var/lib/nodeseal/fetched.json             when keys were last fetched, by their source

Nothing here fails on a pull: a bootstrap document that is damaged, or that others could have written, is the strictest
floor; a break-glass file in that state is no break-glass.  Without a time at which the cluster said all of the
configuration, or keys were fetched, that of its publication counts, which was later than none.
"""

import errno
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from datetime import datetime, timezone

from agent.adapters import files
from agent.adapters.snapshots import SnapshotStore
from agent.config import bootstrap, glassform, momentform
from agent.errors import HostError, Malformed
from agent.rules import age
from agent.rules.breakglass import BreakGlass, Moment
from agent.rules.floor import STRICTEST, Bootstrap
from agent.rules.precedence import Standing
from agent.rules.ruleset import ConfiguredBreakGlass, RuleSet

BOOTSTRAP = "etc/nodeseal/bootstrap.json"
BREAK_GLASS = "etc/nodeseal/break-glass.json"
BEGUN = "var/lib/nodeseal/break-glass-begun.json"
COMPLETE = "var/lib/nodeseal/complete.json"
FETCHED = "var/lib/nodeseal/fetched.json"

_LOCK = "var/lib/nodeseal/break-glass.lock"
_LOCK_WAIT = 10.0
_OWNERS = "let it and its folder belong to root, and nobody else write to them"
_FOREIGN = "find out who put it there, remove it, and let nobody but root write to its folder"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class NodeState:
    """The node's own state, under one root."""

    def __init__(self, root: str) -> None:
        """`root` is what the folders are under, "/" on a node."""
        self._root = root
        self.bootstrap_path = os.path.join(root, BOOTSTRAP)
        self.break_glass_path = os.path.join(root, BREAK_GLASS)
        self._begun_path = os.path.join(root, BEGUN)
        self._complete_path = os.path.join(root, COMPLETE)
        self._fetched_path = os.path.join(root, FETCHED)
        self._lock_path = os.path.join(root, _LOCK)

    def standing(self, ruleset: RuleSet, bootstrap_document: Bootstrap) -> Standing:
        """What holds on this node now, under a rule set."""
        begun = self.begun() if ruleset.break_glass else {}
        floor, name = bootstrap_document.floor, bootstrap_document.node_name or os.uname().nodename
        complete = self.complete() if ruleset.from_cluster else None
        fetched = self._fetched_for(ruleset)
        return Standing(ruleset, floor, moment(), name, self.break_glass(), begun, complete, fetched)

    def now(self, standing: Standing) -> Standing:
        """The same at this moment: what changes without a change of the node's configuration is looked at anew."""
        complete = None if standing.complete is None else self.complete()
        return standing._replace(moment=moment(), complete=complete, fetched=self._fetched_for(standing.ruleset))

    def bootstrap(self) -> Bootstrap:
        """The bootstrap document; the usual one if there is none, the strictest if it can't be believed."""
        try:
            return self.read_bootstrap()
        except (HostError, Malformed):
            return Bootstrap(floor=STRICTEST)

    def read_bootstrap(self) -> Bootstrap:
        """The bootstrap document; the usual one if there is none.  Raises `HostError`, `Malformed`."""
        content = self.bootstrap_content()
        return Bootstrap() if content is None else bootstrap.decode(content)

    def bootstrap_content(self) -> bytes | None:
        """The bootstrap document's bytes, None if there is none.  Raises `HostError`."""
        try:
            return files.read_own(self.bootstrap_path, bootstrap.MAX_SIZE)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            message = f"{self.bootstrap_path}: got {error.strerror or error}; expected the node's bootstrap document"
            raise HostError(message, hint=files.AS_OWNER if error.errno == errno.EACCES else _OWNERS) from None

    def break_glass(self) -> tuple[BreakGlass, ...]:
        """The node's own break-glass, ended ones too; none if its file can't be believed."""
        try:
            return self.read_break_glass()
        except (HostError, Malformed):
            return ()

    def read_break_glass(self) -> tuple[BreakGlass, ...]:
        """The node's own break-glass, ended ones too.  Raises `HostError`, `Malformed`."""
        try:
            return glassform.decode(files.read_own(self.break_glass_path, glassform.MAX_SIZE))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            said = error.strerror or error
            message = f"{self.break_glass_path}: got {said}; expected the node's break-glass; nothing in it counts"
            raise HostError(message, hint=files.AS_OWNER if error.errno == errno.EACCES else _FOREIGN) from None

    def change_break_glass(
        self, change: Callable[[tuple[BreakGlass, ...]], Iterable[BreakGlass]]
    ) -> tuple[BreakGlass, ...]:
        """Put what `change` makes of the node's own break-glass in its place, and return it.

        One after another, however many do so at once.  Raises `HostError`, `Malformed`, and what `change` raises.
        """
        with ExitStack() as held:
            try:
                files.make_private_folder(os.path.dirname(self._lock_path))
                held.enter_context(files.locked(self._lock_path, wait=_LOCK_WAIT))
            except OSError as error:
                message = f"{self._lock_path}: got {error.strerror or error}; expected to hold the lock"
                raise HostError(message, hint=files.next_step(error)) from error
            before = self.read_break_glass()
            after = tuple(change(before))
            if after != before:
                self.write_break_glass(after)
            return after

    def write_break_glass(self, entries: Iterable[BreakGlass]) -> None:
        """Put `entries` in place of the node's own break-glass.  Raises `HostError`."""
        self._write(self.break_glass_path, glassform.encode(entries))

    def begun(self) -> Mapping[ConfiguredBreakGlass, Moment]:
        """Since when break-glass of configurations is in force here; nothing if nobody can tell."""
        try:
            return glassform.decode_begun(files.read_own(self._begun_path, glassform.MAX_SIZE))
        except (OSError, Malformed):
            return {}

    def begin(self, entries: Iterable[ConfiguredBreakGlass]) -> None:
        """Note that the configuration's break-glass is in force from now on; what was already is since then.

        What is not among `entries` and not over stays noted: should their configuration be refused, the one before it
        goes on, and so does its break-glass.  Raises `HostError`.
        """
        before, now = self.begun(), moment()
        begun = {entry: before.get(entry, now) for entry in entries}
        for entry, since in before.items():
            if entry.until > now.wall and len(begun) < glassform.MAX_ENTRIES:
                begun.setdefault(entry, since)
        if begun != before:
            self._write(self._begun_path, glassform.encode_begun(begun))

    def complete(self) -> Moment:
        """When the cluster last said all of the configuration in force.

        If nobody can tell: when that was published, for it was complete then; `age.NEVER` if not even that is known.
        """
        try:
            return momentform.decode(files.read_own(self._complete_path, momentform.MAX_SIZE))
        except (OSError, Malformed):
            return self._published()

    def fetched(self) -> dict[str, Moment]:
        """When keys were last fetched, by their source; nothing if nobody can tell."""
        try:
            return momentform.decode_all(files.read_own(self._fetched_path, momentform.MAX_ALL))
        except (OSError, Malformed):
            return {}

    def note_fetched(self, fetched: Mapping[str, Moment]) -> None:
        """Note when keys were last fetched, in place of all that was noted.  Raises `HostError`."""
        self._write(self._fetched_path, momentform.encode_all(fetched))

    def _fetched_for(self, ruleset: RuleSet) -> Mapping[str, Moment]:
        """When each was that a rule uses."""
        used = {each.source for rule in ruleset.rules for each in rule.keys}
        if not used:
            return {}
        fetched = self.fetched()
        return {source: fetched.get(source) or self._published() for source in used}

    def _published(self) -> Moment:
        published = SnapshotStore(self._root).in_force_since()
        return Moment(published, 0.0, "") if published else age.NEVER

    def note_complete(self, complete: Moment) -> None:
        """Note when the cluster last said all of the configuration in force.  Raises `HostError`."""
        self._write(self._complete_path, momentform.encode(complete))

    def _write(self, path: str, content: bytes) -> None:
        folder = os.path.dirname(path)
        try:
            os.makedirs(os.path.dirname(folder), 0o755, exist_ok=True)
            files.make_private_folder(folder)
            files.replace(path, content)
        except OSError as error:
            message = f"{path}: got {error.strerror or error}; expected to write there"
            raise HostError(message, hint=files.next_step(error)) from error


def moment() -> Moment:
    """This moment, on the wall clock and on the one that runs since the boot."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            boot_id = file.read(64).strip()
    except (OSError, UnicodeDecodeError):
        boot_id = ""
    return Moment(datetime.now(timezone.utc), time.clock_gettime(time.CLOCK_BOOTTIME), boot_id)
