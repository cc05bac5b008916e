"""Which configuration files containerd reads, and in which order.

Breadth first from the main file: what a file imports comes behind what is waiting already, a pattern's files by name,
each file once.  Relative imports are relative to the folder of the file that has them.  A file that is named and not
there keeps containerd from starting, a pattern without a match doesn't (`config dump` hides the former).

https://github.com/containerd/containerd/blob/v2.1.4/cmd/containerd/server/config/config.go
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from agent.errors import Malformed
from agent.wiring import tables

MAX_FILES = 256
"""Most configuration files of a containerd."""

MAX_IMPORTS = 256
"""Most entries of all `imports` together: each may be a pattern, for which folders are listed."""

MAX_ALL = 2 * tables.MAX_SIZE
"""Most bytes of all of them; of values, all may have as many as one."""

_LONGEST = 4096  # bytes of a path, PATH_MAX of Linux


class Source(Protocol):
    """Where files are read from; paths are the host's."""

    def read(self, path: str) -> bytes | None:
        """A file's bytes, None if it is not there.  At most `tables.MAX_SIZE` of them and one more."""
        ...

    def glob(self, pattern: str) -> Sequence[str]:
        """The paths that a pattern of Go's `filepath.Glob` matches, by name."""
        ...


class Files:
    """A `Source` in memory: what was read once, or what would stand there after a plan."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """`files` are contents by path."""
        self._files = dict(files)

    def read(self, path: str) -> bytes | None:
        """See `Source.read`."""
        return self._files.get(path)

    def glob(self, pattern: str) -> Sequence[str]:
        """See `Source.glob`."""
        return sorted(path for path in self._files if matches(pattern, path))


class ConfigFile(NamedTuple):
    """A file in load order, its bytes and what they say."""

    path: str
    content: bytes
    table: Mapping[str, object]

    @property
    def version(self) -> int:
        """The version that it states, 0 if none that is a number."""
        stated = self.table.get("version", 0)
        return stated if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0 else 0

    @property
    def imports(self) -> tuple[str, ...]:
        """What it imports, as absolute paths and patterns."""
        listed = self.table.get("imports", [])
        found = listed if isinstance(listed, list) else []
        return tuple(
            posixpath.normpath(posixpath.join(posixpath.dirname(self.path), each))
            for each in found
            if isinstance(each, str)
        )


class Loaded(NamedTuple):
    """The files in load order; `problems` are what keeps containerd from starting with them, one sentence each."""

    files: tuple[ConfigFile, ...]
    problems: tuple[str, ...] = ()

    @property
    def main(self) -> ConfigFile | None:
        """The main file, None if containerd runs on its built-in configuration."""
        return self.files[0] if self.files else None

    def contents(self) -> dict[str, bytes]:
        """The bytes of each file by its path."""
        return {file.path: file.content for file in self.files}


def load(main: str, source: Source) -> Loaded:
    """Read what containerd would.  A main file that is not there is no file at all, and then there are no imports."""
    files: list[ConfigFile] = []
    problems: list[str] = []
    waiting, seen, size, values, imports = [main], set[str](), 0, 0, 0
    while waiting:
        path, waiting = waiting[0], waiting[1:]
        if path in seen:
            continue
        seen.add(path)
        if len(seen) > MAX_FILES:
            problems.append(f"{main}: got more than {MAX_FILES} files with its imports; expected fewer")
            break
        content = source.read(path)
        if content is None:
            if path != main:
                problems.append(f"{path}: got nothing there; expected a file, because another one imports it")
            continue
        size, values = size + len(content), values + tables.weight(content)
        if size > MAX_ALL or values > tables.MAX_VALUES:
            problems.append(f"{main}: got {size} bytes with its imports, {values} values; expected fewer")
            break
        try:
            file = ConfigFile(path, content, tables.decode(content, path))
        except Malformed as error:
            problems.append(error.message)
            continue
        files.append(file)
        imports += len(file.imports)
        if imports > MAX_IMPORTS:
            problems.append(f"{path}: got more than {MAX_IMPORTS} imports; expected fewer")
            break
        for each in file.imports:
            found = source.glob(each) if "*" in each else [each]
            waiting += [each for each in dict.fromkeys(found) if each not in seen and each not in waiting]
    return Loaded(tuple(files), tuple(problems))


def matches(pattern: str, path: str) -> bool:
    """Whether Go's `filepath.Match` says so: `*` and `?` stop at a slash, `[...]` is one of, a backslash escapes."""
    if len(pattern) > _LONGEST:
        return False
    try:
        return re.fullmatch(_expression(pattern), path, re.DOTALL) is not None
    except (re.error, IndexError):
        return False  # containerd would not start; the loader of the real one says so


def _expression(pattern: str) -> str:
    """Each star but the last takes the least that lets what follows match, and is never tried again: as in Go.

    So a pattern with many stars takes no longer than one with few.
    """
    made, at, stars = "", 0, 0
    while at < len(pattern):
        c = pattern[at]
        at += 1
        if c == "*":
            made += f"{')' if stars else ''}(?>[^/]*?"
            stars += 1
        elif c == "?":
            made += "[^/]"
        elif c == "\\":
            made += re.escape(pattern[at])
            at += 1
        elif c == "[":
            end = pattern.index("]", at + 1) if "]" in pattern[at + 1 :] else -1
            if end < 0:
                raise re.error("no end of a class")
            inside = pattern[at:end]
            negated = inside.startswith("^")
            made += f"(?!/)[{'^' if negated else ''}{re.escape(inside[negated:]).replace(chr(92) + '-', '-')}]"
            at = end + 1
        else:
            made += re.escape(c)
    before, star, last = made.rpartition("(?>[^/]*?")
    return f"{before}[^/]*{last}" if star else made
