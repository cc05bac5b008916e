"""The entries of one store on disk: one file for each, in a folder that is the store's alone.

Shared by all processes of a node, and safe for many of them at once: an entry is replaced whole.  Its first line says
which store wrote it, in which form, and the hash of the rest, so that torn and spoilt ones are told; against people it
rests on its owner.  An entry that others could have written, that is a link, of another form, or of a time to come is
not there, and is counted (`agent.adapters.misses`).  An entry that is not written is one that is missing.

Nothing waits for the disk unless it is asked to: after a power cut an entry may be torn.
"""

import errno
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple, cast

from agent.adapters import files
from agent.codec import strictjson
from agent.errors import Malformed

_LARGE = 256 * 1024  # bytes after which the folder is looked through at once, as is one for
_FEW = 1000  # entries at most
_LONGEST_HEAD = 128
_OTHERS = 0o077
_HALF = 32


class Kind(NamedTuple):
    """One store: its name in one word, its folder under the root, and how much of it is kept.

    `version` is that of its form, 0 for bytes as they are, which something else protects.  `largest` is the longest
    entry in bytes, `most` how many there may be and `most_bytes` how long together: beyond that the oldest go, which
    is seen to now and then.  A `secret` store is for nobody else to read either: its folder lies two below one that
    is ours alone.
    """

    name: str
    folder: str
    version: int
    largest: int
    most: int
    most_bytes: int
    secret: bool = False


FUTURE, VERSION = "future", "version"
"""Dated ahead of now; of another form.  What else keeps an entry from being believed, see `files.reason_of`."""


class Missed(Exception):
    """An entry is there and is not believed, for this reason."""

    def __init__(self, reason: str) -> None:
        """One of `agent.adapters.misses.REASONS`."""
        super().__init__(reason)
        self.reason = reason


class Entry(NamedTuple):
    """What an entry holds, and when it was written, in seconds since 1970."""

    content: bytes
    modified: float


class Entries:
    """The entries of one store under one root."""

    def __init__(self, root: str, kind: Kind, *, counts: bool = True) -> None:
        """`root` is the folder that the kind's folder is under, "/" on a node.

        `counts` is false for who only looks around: what he does not believe is counted by those who need it.
        """
        self._root = root
        self._counts = counts
        self.kind = kind
        self.folder = os.path.join(root, kind.folder)

    def read(self, name: str) -> Entry | None:
        """The entry of that name; None if there is none that counts."""
        try:
            return self._opened(*self._whole(name))
        except FileNotFoundError:
            return None
        except Missed as missed:
            self.count(missed.reason)
            return None

    def value(self, name: str) -> Mapping[str, Any] | None:
        """The entry as a JSON object; None if there is none that counts."""
        entry = self.read(name)
        if entry is None:
            return None
        try:
            value = strictjson.decode(entry.content, self.kind.name, limit=self.kind.largest)
        except Malformed:
            value = None
        if not isinstance(value, dict):
            self.count(files.CORRUPT)
            return None
        return cast("dict[str, Any]", value)

    def write(self, name: str, content: bytes, *, sync: bool = False) -> None:
        """Let `content` be the entry of that name.  Raises `OSError`, also if it is too long."""
        if len(content) > self.kind.largest:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if self.kind.secret:
            parent = os.path.dirname(self.folder)
            files.make_private_folder(os.path.dirname(parent))
            files.make_private_folder(parent)
        files.make_private_folder(self.folder)
        files.replace(f"{self.folder}/{name}", self.sealed(content), sync=sync)
        if len(content) >= _LARGE or self.kind.most <= _FEW or files.is_time_to_sweep(self.kind.most):
            files.keep_newest(self.folder, self.kind.most, self.kind.most_bytes)

    def keep(self, name: str, content: bytes) -> None:
        """As `write`, if it can be done; if it is too long, there is none."""
        with suppress(OSError):
            if len(content) > self.kind.largest:
                self.remove(name)
            else:
                self.write(name, content)

    def sealed(self, content: bytes) -> bytes:
        """An entry as it lies on disk, with its first line."""
        if not self.kind.version:
            return content
        head = f"nodeseal-{self.kind.name} {self.kind.version} {sha256(content).hexdigest()}\n"
        return head.encode("ascii") + content

    def drop(self, name: str) -> bool:
        """As `remove`, if it can be done."""
        try:
            return self.remove(name)
        except OSError:
            return False

    def remove(self, name: str) -> bool:
        """Have no entry of that name; whether there was one.  Raises `OSError`."""
        try:
            os.unlink(f"{self.folder}/{name}")
        except FileNotFoundError:
            return False
        return True

    def lacks(self, name: str) -> bool:
        """Whether there is certainly no entry of that name: nobody else could have removed it either."""
        try:
            with files.own_folder(self.folder) as folder:
                os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            return not files.reason_of(error)
        return False

    def count(self, reason: str) -> None:
        """Count an entry that was there and is not believed."""
        if self._counts:
            from agent.adapters import misses  # there are none, usually

            misses.note(self._root, self.kind.name, reason)

    def names(self) -> Iterator[str]:
        """The names of all that is there, unfinished ones left out.  Raises `OSError`."""
        try:
            found = os.listdir(self.folder)
        except FileNotFoundError:
            return
        yield from (name for name in sorted(found) if not name.startswith(files.TEMPORARY))

    def forget(self, prefix: str) -> int:
        """Remove the entries whose names begin so; how many there were.  Raises `OSError`."""
        return sum(self.remove(name) for name in self.names() if name.startswith(prefix))

    def _whole(self, name: str) -> tuple[bytes, float]:
        """The file.  Raises `FileNotFoundError`, `Missed`."""
        limit = self.kind.largest + (_LONGEST_HEAD if self.kind.version else 0)
        try:
            with files.own_folder(self.folder) as folder:
                if self.kind.secret and os.fstat(folder).st_mode & _OTHERS:
                    raise Missed(files.FOREIGN)
                content, modified = files.read_in(folder, name, limit)
        except OSError as error:
            reason = files.reason_of(error)
            raise Missed(reason) if reason else FileNotFoundError(name) from None
        if modified > time.time():
            raise Missed(FUTURE)
        if len(content) > limit:
            raise Missed(files.CORRUPT)
        return content, modified

    def _opened(self, content: bytes, modified: float) -> Entry:
        """What stands behind the first line, if that is true.  Raises `Missed`."""
        if not self.kind.version:
            return Entry(content, modified)
        head, _, rest = content.partition(b"\n")
        words = head.split(b" ")
        if len(words) != 3 or words[0] != b"nodeseal-" + self.kind.name.encode("ascii"):
            raise Missed(files.CORRUPT)
        if words[1] != b"%d" % self.kind.version and words[1].isdigit():
            raise Missed(VERSION)
        if content != self.sealed(rest):
            raise Missed(files.CORRUPT)
        return Entry(rest, modified)


def name_of(*parts: str) -> str:
    """The name of what these parts tell from all else."""
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def prefix_of(group: str) -> str:
    """How the names of the entries of one group begin, which are forgotten together; `name_of` comes behind it."""
    return name_of(group)[:_HALF] + "-"
