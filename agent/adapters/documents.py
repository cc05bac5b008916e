"""Documents from a folder or a file: one set, in which a configuration finds what it names.

A mounted ConfigMap is read through its `..data` link once, so that an update can't mix two versions.  Only regular
files are read, never outside the folder, and in bounds.  A path in a configuration names a document of the set; the
host's own files are read only for a person's command (`home` given), and only where the set has nothing or can have
nothing: a tree of folders.  The document with the signatures is beside the set: no path leads to it.
"""

import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from agent.config.documentset import (
    CONFIGURATIONS,
    MAX_DOCUMENTS,
    MAX_SIZE,
    MAX_TOTAL,
    OWN,
    NamedDocuments,
    only,
)
from agent.config.statement import SIGNATURES
from agent.errors import ConfigurationError, HostError, Problem, UsageError
from agent.model.documents import Document

MAX_DEPTH = 8
"""Most levels of folders under one that a configuration names."""

_MOUNT = "..data"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TREE_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class DocumentSet(NamedDocuments):
    """The documents of one configuration, from files."""

    def __init__(
        self,
        configuration: Document,
        others: tuple[Document, ...],
        *,
        folder: str,
        home: str | None = None,
        beside: Document | None = None,
    ) -> None:
        """`home` is the person's, if paths of the host may be read; relative ones are under `folder`.

        `beside` is a document of `OWN` beside a configuration of Ratify's form.
        """
        super().__init__(configuration, others, beside=beside)
        self._folder = folder
        self._home = home
        self._refusals: list[Problem] = []

    @classmethod
    def read(cls, path: str, *, home: str | None = None) -> "DocumentSet":
        """Read a folder with `config.json` or `nodeseal.yaml` and what belongs to it, or one file of any name.

        Give `home` for a person's command alone: then paths of the host count.  Raises `UsageError` if there is
        nothing at `path` or no configuration in it, `HostError` if it can't be read or is out of bounds,
        `ConfigurationError` if documents are and the configuration may be among them.
        """
        try:
            if not os.path.isdir(path):
                name = os.path.basename(path)
                document = Document(name, _Reader().content(path), path)
                return cls(document, (), folder=os.path.dirname(path) or ".", home=home)
            documents, refusals = _read_folder(path)
        except FileNotFoundError:
            raise UsageError(
                f"{path}: got nothing there; expected a configuration file, or a folder with {CONFIGURATIONS[0]}"
            ) from None
        except OSError as error:
            raise HostError(f"{path}: got {_reason(error)}; expected to read the configuration") from None
        signatures = documents.pop(SIGNATURES, None)
        main, own = (only(documents, names, path) for names in (CONFIGURATIONS, OWN))
        if main is None and own is None and refusals:
            raise ConfigurationError(f"{path}: got documents that can't be read", problems=tuple(refusals))
        configuration = main or own
        if configuration is None:
            names = ", ".join(sorted(documents)[:5]) or "nothing"
            raise UsageError(f"{path}: got {names}; expected {CONFIGURATIONS[0]} or {OWN[0]} in this folder")
        found = cls(configuration, tuple(documents.values()), folder=path, home=home, beside=own if main else None)
        found._refusals += refusals
        found.signatures = signatures
        return found

    def find(self, path: str) -> tuple[Document, ...]:
        """See `Documents.find`."""
        if self._home is None:
            return super().find(path)
        found = self._in_set(path) or self._on_host(path)
        self._used.update(document.name for document in found)
        return found

    def file(self, path: str) -> Document | None:
        """See `Documents.file`."""
        if self._home is None or path.rpartition("/")[2] in self._documents or os.path.isdir(self._host_path(path)):
            return super().file(path)
        found = next(iter(self._on_host(path)), None)
        if found is not None:
            self._used.add(found.name)
        return found

    def tree(self, path: str, wanted: Sequence[str]) -> tuple[Document, ...]:
        """See `Documents.tree`.  The folder may be reached through symbolic links; below it there may be none."""
        if self._home is None:
            return super().tree(path, wanted)
        path = self._host_path(path)
        try:
            return _Tree(path, self._refusals).read(wanted)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            self._refusals.append(Problem(path, _reason(error), "a folder that can be read, within bounds"))
            return ()

    def problems(self) -> tuple[Problem, ...]:
        """What should be told once everything was looked up: files that could not be read, documents nobody named."""
        return (*self._refusals, *super().problems())

    def _on_host(self, path: str) -> tuple[Document, ...]:
        """The file, or all files under the folder, that a person's configuration names."""
        path = self._host_path(path)
        reader = _Reader()
        try:
            names = reader.files_under(path) if os.path.isdir(path) else [path]
            return tuple(Document(name, reader.content(name), name) for name in names)
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            self._refusals.append(Problem(path, _reason(error), "certificates that can be read"))
            return ()

    def _host_path(self, path: str) -> str:
        if path == "~" or path.startswith("~/"):
            path = f"{self._home}{path[1:]}"
        return os.path.join(self._folder, path)


class _OutOfBounds(OSError):
    """More than we take, or no regular file.  An `OSError`, as it is told like one."""


class _Reader:
    """Reads files until it was too much."""

    def __init__(self) -> None:
        self._files, self._bytes = 0, 0

    def content(self, path: str) -> bytes:
        """A regular file's bytes; symbolic links are followed once, so that what is checked is what is read."""
        return self.content_of(os.open(os.path.realpath(path), _FLAGS))

    def content_of(self, descriptor: int) -> bytes:
        """The bytes of a regular file that was opened; closes it."""
        with open(descriptor, "rb", buffering=0) as file:
            self.count_file()
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _OutOfBounds("something that is no regular file")
            data = b""
            while len(data) <= MAX_SIZE and (chunk := file.read(MAX_SIZE + 1 - len(data))):
                data += chunk
        self._bytes += len(data)
        if len(data) > MAX_SIZE:
            raise _OutOfBounds(f"a file of more than {MAX_SIZE} bytes")
        if self._bytes > MAX_TOTAL:
            raise _OutOfBounds(f"files of more than {MAX_TOTAL} bytes together")
        return data

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be read."""
        return self._files > MAX_DOCUMENTS or self._bytes > MAX_TOTAL

    def files_under(self, folder: str) -> list[str]:
        """Every file under a folder that is not hidden, at most `MAX_DEPTH` deep, by name."""
        found: list[str] = []
        pending = [(_mounted(folder), 0)]
        while pending:
            path, depth = pending.pop()
            if depth > MAX_DEPTH:
                raise _OutOfBounds(f"folders more than {MAX_DEPTH} deep")
            for name in sorted(_visible(path)):
                entry = f"{path}/{name}"
                if os.path.isdir(entry):
                    pending.append((entry, depth + 1))
                else:
                    found.append(entry)
                self.count_file()
        self._files = 0
        return sorted(found)

    def count_file(self) -> None:
        """Count one more, read or listed."""
        self._files += 1
        if self._files > MAX_DOCUMENTS:
            raise _OutOfBounds(f"more than {MAX_DOCUMENTS} files")


class _Tree:
    """Reads the files below one folder that patterns describe, through descriptors: no link is followed."""

    def __init__(self, root: str, refusals: list[Problem]) -> None:
        """`refusals` gets what should be told."""
        self._root, self._refusals = root, refusals
        self._reader = _Reader()
        self._found: list[Document] = []

    def read(self, wanted: Sequence[str]) -> tuple[Document, ...]:
        """See `Documents.tree`.  Raises `OSError`."""
        root = os.open(self._root, _TREE_FLAGS)
        try:
            for pattern in wanted:
                self._descend(root, "", pattern.split("/"))
        finally:
            os.close(root)
        return tuple(self._found)

    def _descend(self, folder: int, path: str, steps: Sequence[str]) -> None:
        """Look at what the first of `steps` describes in `folder`, which lies at `path`."""
        names = sorted(os.listdir(folder)) if steps[0] == "*" else steps[:1]
        for name in names:
            at, is_last = f"{path}{name}", len(steps) == 1
            origin = os.path.join(self._root, at)
            try:
                mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            except FileNotFoundError:
                continue
            if stat.S_ISLNK(mode):
                self._refuse(origin, "a symbolic link", is_last)
            elif is_last and not stat.S_ISREG(mode):
                self._refuse(origin, "a folder" if stat.S_ISDIR(mode) else "something that is no regular file", is_last)
            elif is_last:
                content = self._reader.content_of(os.open(name, _FLAGS, dir_fd=folder))
                self._found.append(Document(at, content, origin))
            elif not stat.S_ISDIR(mode):
                self._refuse(origin, "something that is no folder", is_last, fatal=False)
            else:
                self._reader.count_file()
                below = os.open(name, _TREE_FLAGS | os.O_NOFOLLOW, dir_fd=folder)
                try:
                    self._descend(below, f"{at}/", steps[1:])
                finally:
                    os.close(below)

    def _refuse(self, origin: str, got: str, is_file: bool, *, fatal: bool = True) -> None:
        self._reader.count_file()
        self._refusals.append(Problem(origin, got, "a regular file" if is_file else "a folder", fatal))


class _FolderContents(NamedTuple):
    documents: dict[str, Document]
    refusals: list[Problem]


def _read_folder(path: str) -> _FolderContents:
    """The documents of a folder.  A mount that is replaced meanwhile is read once more, from the start."""
    try:
        return _read_folder_once(path)
    except FileNotFoundError:
        return _read_folder_once(path)


def _read_folder_once(path: str) -> _FolderContents:
    folder = os.path.realpath(_mounted(path))
    inside = os.path.realpath(path) + "/"
    reader = _Reader()
    documents: dict[str, Document] = {}
    refusals: list[Problem] = []
    for name in sorted(_visible(folder)):
        entry = f"{folder}/{name}"
        target = os.path.realpath(entry)
        if os.path.isdir(target):
            continue  # a path of the host at most
        if not target.startswith(inside):
            refusals.append(Problem(name, "a symbolic link that leads out of the folder", "a regular file"))
            continue
        try:
            documents[name] = Document(name, reader.content(target), f"{path.rstrip('/')}/{name}")
        except FileNotFoundError:
            if not os.path.islink(entry):
                raise
            refusals.append(Problem(name, "a symbolic link that leads nowhere", "a regular file"))
        except _OutOfBounds as error:
            refusals.append(Problem(name, str(error), "a regular file within bounds"))
            if reader.exhausted:
                break
    return _FolderContents(documents, refusals)


def _mounted(folder: str) -> str:
    """Where a folder's documents really are: in the one version that `..data` names at this moment, if it is a mount.

    Raises `OSError`.
    """
    mount = f"{folder}/{_MOUNT}"
    if not os.path.islink(mount):
        return folder
    return os.path.join(folder, os.readlink(mount))


def _visible(folder: str) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith(".")]


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
