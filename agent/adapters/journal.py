"""Writes on a host with a record of each thing, before and after: whatever is killed when, the next one knows.

What is recorded can be taken back: all that this process did (`undo`), and each entry by itself (`revert`).  Nothing
else is ever removed, and what a person changed since stays.
"""

import hashlib
import posixpath
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from agent.adapters import hostfiles, programs
from agent.adapters.hostfiles import HostFiles
from agent.adapters.manifests import FOLDER, LOCK_SECONDS, ManifestStore
from agent.errors import ConfigurationError, HostError
from agent.wiring import edits
from agent.wiring.manifest import Entry, Kind, Manifest, Role
from agent.wiring.tables import MAX_SIZE

EDITED = ".edited"
"""What is put behind the name of a file of ours that somebody edited, when it is taken out of the way."""

_OWN_FOLDERS = (posixpath.dirname(FOLDER), FOLDER)
_PRIVATE = 0o700
_USUAL = 0o755
_ATTEMPTS = 5


class _Done(NamedTuple):
    """Something that this process did: what is recorded of it, and what was before.

    `is_ours` is false where nothing is recorded, because somebody else's stays theirs.
    """

    entry: Entry
    previous: Entry | None
    restore: Callable[[], None]
    is_ours: bool = True


class _Reversal(NamedTuple):
    """How an entry is taken back: what is done, as people say it, and sentences about what stays, and why."""

    what: str = ""
    act: Callable[[], object] = lambda: None
    notes: list[str] = []


class Journal:
    """One installation's writes.  Everything raises `HostError`."""

    def __init__(self, host: HostFiles) -> None:
        """`host` is what is written to; nothing is until `held`."""
        self.host = host
        self.store = ManifestStore(host)
        self.manifest = Manifest()
        self.is_first = False
        """Whether nothing was recorded before this process."""

        self._done: list[_Done] = []

    @contextmanager
    def held(self, wait: float = LOCK_SECONDS) -> Iterator[None]:
        """Be the only one that writes; read the record, and find out how far a killed process came."""
        with self._locked(wait) as made:
            found = self.store.read()
            self.is_first = found is None
            self.manifest = found or Manifest()
            for path in made:  # also those that were made for the one whose turn was first
                if self.manifest.entry(path) is None:
                    mode = _PRIVATE if path in _OWN_FOLDERS else _USUAL
                    self.manifest = self.manifest.having(Entry(path, Kind.FOLDER, Role.STATE, mode, done=True))
            try:
                if self.manifest != found:
                    self.store.write(self.manifest)
                self._recover()
            except HostError:
                if self.is_first:
                    self.forget()
                raise
            yield

    def look(self) -> bool:
        """Read the record, and write nothing; whether there is one."""
        found = self.store.read()
        self.manifest = found or Manifest()
        return found is not None

    @contextmanager
    def _locked(self, wait: float) -> Iterator[list[str]]:
        """Hold the lock; the folders that were made for it.

        Whoever waits may find the folder gone: an uninstallation had it.
        """
        made: list[str] = []
        for attempt in range(_ATTEMPTS):
            self._make_folders(made)
            lock = self.store.locked(wait)
            try:
                lock.__enter__()
            except HostError:
                if attempt + 1 < _ATTEMPTS and self.host.missing_folders(FOLDER):
                    continue
                raise
            try:
                yield made
            finally:
                lock.__exit__(None, None, None)
            return

    def _make_folders(self, made: list[str]) -> None:
        """The folders for the record; those that were not there, and those of our own, are added to `made`."""
        new = []
        try:
            for path in dict.fromkeys((*self.host.missing_folders(FOLDER), *_OWN_FOLDERS)):
                is_own = path in _OWN_FOLDERS
                if self.host.make_folder(path, _PRIVATE if is_own else _USUAL):
                    new.append(path)
                if path in new or is_own:
                    made.append(path)
        except HostError:
            for path in reversed(new):
                self.host.remove_folder(path)
            raise

    def folder(self, path: str, mode: int, role: Role) -> bool:
        """Make a folder, and those above it; whether it was not there."""
        missing = self.host.missing_folders(path)
        for each in missing:
            self._make_folder(Entry(each, Kind.FOLDER, role, mode if each == path else _USUAL))
        return bool(missing)

    def _make_folder(self, entry: Entry) -> None:
        def act() -> None:
            self.host.make_folder(entry.path, entry.mode)

        self._record(entry, act, lambda: None)

    def file(self, path: str, content: bytes, mode: int, role: Role) -> bool:
        """Put a file of ours there; whether that changed anything."""
        now = self.host.read_bounded(path, MAX_SIZE)
        if now == content:
            return False
        previous, stands = self.manifest.entry(path), self.host.stands(path)
        if previous is not None:
            before, was = previous.before, previous.said
        else:
            before, was = ("" if now is None else self.store.keep(now)), ""
        entry = Entry(path, Kind.FILE, role, mode, _hash(content), before, was=was)
        like = (
            stands._replace(mode=stands.mode & mode) if now is not None else None
        )  # never open to more than asked for

        def restore() -> None:
            if now is None:
                self.host.remove(path)
            else:
                self.host.write(path, now, mode, like=stands)

        self._record(entry, lambda: self.host.write(path, content, mode, like=like), restore)
        return True

    def update(self, path: str, content: bytes, mode: int, role: Role) -> None:
        """Change a file that is somebody else's by now, and stays theirs: nothing of it is recorded."""
        before, stands = self.host.read_bounded(path, MAX_SIZE), self.host.stands(path)

        def restore() -> None:
            self.host.write(path, before or b"", stands.mode, like=stands)

        self._done.append(_Done(Entry(path, Kind.FILE, role, mode), None, restore, is_ours=False))
        self.host.write(path, content, mode, like=stands._replace(mode=mode))

    def edit(self, path: str, before: bytes, after: bytes, pattern: str) -> None:
        """Change somebody else's file from exactly `before`; `pattern` is the import that it gets."""
        path = self.host.real(path)
        stands = self.host.stands(path)
        if self.host.read_bounded(path, MAX_SIZE) != before:
            raise HostError(f"{path}: got a file that changed meanwhile; expected it to stay", hint="try again")
        kept = self.store.keep(before)
        entry = Entry(path, Kind.EDITED, Role.CONFIGURATION, stands.mode, _hash(after), kept, pattern)
        self._record(
            entry,
            lambda: self.host.write(path, after, stands.mode, like=stands),
            lambda: self.host.write(path, before, stands.mode, like=stands),
        )

    def link(self, path: str, target: str, role: Role) -> None:
        """Put a link there, in place of one of ours or of nothing."""
        stands, previous = self.host.stands(path), self.manifest.entry(path)
        if stands.kind not in (hostfiles.Kind.NOTHING, hostfiles.Kind.LINK):
            raise HostError(f"{path}: got something that is no link of ours; expected nothing there")
        beside = posixpath.dirname(posixpath.dirname(path)) if role is Role.VERIFIER else ""
        was = stands.target if previous is not None else ""
        entry = Entry(path, Kind.LINK, role, 0o777, target, was=was)

        def restore() -> None:
            if stands.kind is hostfiles.Kind.LINK:
                self.host.link(path, stands.target, by_way_of=beside)
            else:
                self.host.remove(path)

        self._record(entry, lambda: self.host.link(path, target, by_way_of=beside), restore)

    def adopt(self, path: str, target: str, role: Role) -> None:
        """Record a link that stands there already and is ours by where it leads."""
        self._write(self.manifest.having(Entry(path, Kind.LINK, role, 0o777, target, done=True)))

    def tree(
        self, path: str, source: str, members: Mapping[str, str], beside: Mapping[str, bytes] | None = None
    ) -> None:
        """Place a program, whole; `beside` are files of it that are not in its source."""
        self.folder(posixpath.dirname(path), _USUAL, Role.PROGRAM)
        entry = Entry(path, Kind.TREE, Role.PROGRAM, _USUAL, members=tuple(members.items()))
        self._record(entry, lambda: programs.place(self.host, source, members, path, beside), lambda: None)

    def note(self, *, pending: str | None = None, since: float = 0.0, undoing: bool | None = None) -> None:
        """Record why a restart is due and since when, empty if none is any more, or that all is being taken away."""
        manifest = self.manifest
        if pending is not None:
            manifest = manifest._replace(restart_pending=pending, pending_since=since)
        if undoing is not None:
            manifest = manifest._replace(undoing=undoing)
        self._write(manifest)

    def wrote(self, path: str, content: bytes) -> bool:
        """Whether a file is as an installation left it."""
        entry = self.manifest.entry(path)
        return entry is not None and entry.said == _hash(content)

    @property
    def has_done(self) -> bool:
        """Whether this process did anything."""
        return bool(self._done)

    def undo(self, *roles: Role) -> list[str]:
        """Take back what this process did for these roles, the last first; sentences about what could not be."""
        troubles = []
        for done in [each for each in reversed(self._done) if each.entry.role in roles]:
            self._done.remove(done)
            try:
                if not done.is_ours:
                    done.restore()
                elif done.previous is None:
                    troubles += self.revert(done.entry)
                    if done.entry.before:
                        done.restore()  # with its mode
                else:
                    done.restore()
                    self._write(self.manifest.having(done.previous))
            except HostError as error:
                troubles.append(error.message)
        return troubles

    def revert(self, entry: Entry) -> list[str]:
        """Take back an entry, and forget it; sentences about what stays, and why."""
        if entry.kind is Kind.TREE:
            notes = self._revert_tree(entry)
        else:
            self._clean(entry)
            reversal = self._reversal(entry)
            reversal.act()
            notes = reversal.notes
        self._write(self.manifest.without(entry.path))
        return notes

    def foreseen(self, entry: Entry) -> tuple[str, list[str]]:
        """What `revert` would do, empty for nothing, and what it would say of what stays.  Nothing is written."""
        if entry.kind is Kind.TREE:
            left = programs.foreign(self.host, entry.path, dict(entry.members))
            there = self.host.stands(entry.path).kind is hostfiles.Kind.FOLDER
            return f"remove {entry.path}" if there else "", _not_as_placed(left)
        reversal = self._reversal(entry)
        return reversal.what, reversal.notes

    def sweep(self) -> None:
        """Forget kept bytes that nothing needs any more."""
        self.store.sweep(self.manifest)

    def forget(self) -> None:
        """Remove the record itself, and the folders that were made for it."""
        folders = [entry.path for entry in self.manifest.entries if entry.kind is Kind.FOLDER]
        self.store.remove()
        for path in sorted({*folders, *_OWN_FOLDERS}, key=len, reverse=True):
            self.host.remove_folder(path)
        self.manifest = Manifest()

    def _record(self, entry: Entry, act: Callable[[], None], restore: Callable[[], None]) -> None:
        """Say what is about to be done, do it, say that it is done."""
        previous = self.manifest.entry(entry.path)
        self._write(self.manifest.having(entry))
        self._done.append(_Done(entry, previous, restore))
        act()
        self._write(self.manifest.having(entry._replace(done=True, was="")))

    def _write(self, manifest: Manifest) -> None:
        if manifest != self.manifest:
            self.store.write(manifest)
            self.manifest = manifest

    def _recover(self) -> None:
        """Find out which intents of a killed process were carried out; what it left unfinished goes."""
        manifest = self.manifest
        for entry in self.manifest.entries:
            if entry.done:
                if manifest.undoing and entry.kind is Kind.TREE and not self._stands(entry, ""):
                    self._revert_tree(entry)  # half of a program is none
                    manifest = manifest.without(entry.path)
                continue
            if self._stands(entry, entry.said):
                manifest = manifest.having(entry._replace(done=True, was=""))
            elif entry.was and self._stands(entry, entry.was):
                manifest = manifest.having(entry._replace(said=entry.was, done=True, was=""))
            else:
                self._clean(entry)
                manifest = manifest.without(entry.path)
        self._write(manifest)

    def _stands(self, entry: Entry, said: str) -> bool:
        if entry.kind is Kind.TREE:
            return programs.is_placed(self.host, entry.path, dict(entry.members))
        stands = self.host.stands(entry.path)
        if entry.kind is Kind.LINK:
            return stands.kind is hostfiles.Kind.LINK and stands.target == said
        if entry.kind is Kind.FOLDER:
            return stands.kind is hostfiles.Kind.FOLDER
        content = self.host.read_bounded(entry.path, MAX_SIZE)
        if content is not None and entry.kind is Kind.EDITED and entry.pattern.encode() in content:
            return True  # whatever else was changed since
        return content is not None and _hash(content) == said

    def _clean(self, entry: Entry) -> None:
        """Remove what is unfinished of an entry."""
        if entry.kind is Kind.TREE:
            programs.clean(self.host, entry.path)
        elif entry.kind is not Kind.FOLDER:
            folder, name = posixpath.split(entry.path)
            for each in (folder, posixpath.dirname(folder)) if entry.role is Role.VERIFIER else (folder,):
                self.host.remove(f"{each}/{hostfiles.unfinished(name)}")

    def _reversal(self, entry: Entry) -> _Reversal:
        """How an entry is taken back, as it stands now."""
        return {
            Kind.FOLDER: self._reversal_of_folder,
            Kind.FILE: self._reversal_of_file,
            Kind.EDITED: self._reversal_of_edit,
            Kind.LINK: self._reversal_of_link,
        }[entry.kind](entry)

    def _reversal_of_folder(self, entry: Entry) -> _Reversal:
        if self.host.stands(entry.path).kind is not hostfiles.Kind.FOLDER:
            return _Reversal()
        # What others put there keeps it.
        return _Reversal(f"remove {entry.path}, if it is empty", lambda: self.host.remove_folder(entry.path))

    def _reversal_of_file(self, entry: Entry) -> _Reversal:
        now = self.host.read_bounded(entry.path, MAX_SIZE)
        if now is None:
            return _Reversal()
        if _hash(now) in {entry.said, entry.was}:
            before = self.store.kept(entry.before) if entry.before else None
            if before is None:
                return _Reversal(f"remove {entry.path}", lambda: self.host.remove(entry.path))
            return self._put_back(entry, before, entry.mode)
        if _hash(now) == entry.before:
            return _Reversal()
        if entry.role is not Role.CONFIGURATION:
            return _Reversal(notes=[f"{entry.path}: was edited since, and stays"])
        aside = entry.path + EDITED
        while self.host.stands(aside).kind is not hostfiles.Kind.NOTHING:
            aside += EDITED
        return _Reversal(
            f"move {entry.path} to {aside}",
            lambda: self.host.rename(entry.path, aside),
            [f"{entry.path}: was edited since, and is kept as {aside}"],
        )

    def _reversal_of_edit(self, entry: Entry) -> _Reversal:
        now = self.host.read_bounded(entry.path, MAX_SIZE)
        if now is None or _hash(now) == entry.before:
            return _Reversal()
        before = self.store.kept(entry.before) if _hash(now) == entry.said else None
        mode = self.host.stands(entry.path).mode
        if before is not None:
            return self._put_back(entry, before, mode)
        try:
            new = edits.without_import(now, entry.pattern, entry.path)
        except ConfigurationError as error:
            return _Reversal(notes=[f"{error.message}; it imports nothing any more, and may stay"])
        if new == now:
            return _Reversal()
        return self._put_back(entry, new, mode)._replace(
            what=f"take our import out of {entry.path}",
            notes=[f"{entry.path}: was edited since; only our import was taken out"],
        )

    def _put_back(self, entry: Entry, content: bytes, mode: int) -> _Reversal:
        stands = self.host.stands(entry.path)
        return _Reversal(
            f"put {entry.path} back as it was", lambda: self.host.write(entry.path, content, mode, like=stands)
        )

    def _reversal_of_link(self, entry: Entry) -> _Reversal:
        stands = self.host.stands(entry.path)
        if stands.kind is hostfiles.Kind.NOTHING:
            return _Reversal()
        if stands.kind is not hostfiles.Kind.LINK or stands.target not in {entry.said, entry.was} - {""}:
            return _Reversal(notes=[f"{entry.path}: is not ours any more, and stays"])
        return _Reversal(f"remove {entry.path}", lambda: self.host.remove(entry.path))

    def _revert_tree(self, entry: Entry) -> list[str]:
        return _not_as_placed(programs.remove(self.host, entry.path, dict(entry.members)))


def _not_as_placed(paths: list[str]) -> list[str]:
    return [f"{path}: is not as it was placed, and stays" for path in paths[:10]]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
