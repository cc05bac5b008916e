"""Folding: what the spool was told since it was last looked at, each line once, for a process that lives long.

::

    var/log/nodeseal/folded.json      up to where in which file everything was dealt with

One process folds; many append meanwhile, and turn the file.  `SpoolReader.new` reads, `SpoolReader.done` notes that
it was dealt with: whoever is killed in between finds the same lines again, at most one batch of them, and none is
passed over.  The spool's rules hold (`agent.adapters.spool`): the folder is opened first, and nothing is believed that
others could have put there.

A place in a file is its device, inode and offset, and a hash of what stands in front of the offset: inodes are given
again, and a power cut leaves files that are shorter than they were.

In order: a process that was told to the file before is never told to the current one and then to that one again.  So
the size of the current one is taken first, then the one before is read to its end, then the current one up to that.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from typing import NamedTuple

from agent.adapters import files, spool
from agent.codec import strictjson
from agent.errors import Malformed
from agent.model.record import Record

POSITION = "folded.json"
"""What keeps the position, in the spool's folder."""

BATCH = 256 * 1024
"""Bytes of lines in one batch, if nobody says otherwise: about 500 answers."""

MAX_POSITION = 4096
"""Most bytes of the position's file."""

_VERSION = "1"
_MARKED = 512  # bytes in front of the offset that are hashed: most lines are shorter
_FULLEST = spool.LARGEST + spool.MAX_SIZE  # no file of ours grows to that
_PIECE = 64 * 1024
_MOST_PLACES = 4
_LEFT = files.TEMPORARY + POSITION


class Lost(NamedTuple):
    """Lines may be missing, nobody knows how many: after the one told at `since`, before the one told at `until`.

    Both are times of records, empty if there is none to name.
    """

    since: str
    until: str


class Folded(NamedTuple):
    """One batch, oldest first.  `gaps` are lines in it that are none of ours; `more` is whether there is more by now.

    `problems` say what can't be read or written, and why: each once, and again if it had gone meanwhile.
    """

    records: tuple[Record, ...] = ()
    gaps: int = 0
    lost: Lost | None = None
    more: bool = False
    problems: tuple[str, ...] = ()


class Behind(NamedTuple):
    """How far folding is: whether there is a position, bytes that were not told yet, the time of the last told line."""

    kept: bool
    bytes: int
    last: str
    problems: tuple[str, ...] = ()


class SpoolReader:
    """The spool under one root, as the one process reads it that folds it."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/log/nodeseal` is under, "/" on a node."""
        self._folder = os.path.join(root, spool.FOLDER)
        self._kept: _Position | None = None
        self._next = _Position()
        self._written = _Position()
        self._unwritten: list[str] = []
        self._told: set[str] = set()

    def new(self, limit: int = BATCH) -> Folded:
        """What was told since the position that is kept: the same again until `done` was called.

        `limit` is the most bytes that are taken, but one line always is.
        """
        batch, problems = _Batch(max(limit, spool.MAX_LINE)), list(self._unwritten)
        try:
            with spool.opened(self._folder) as folder:
                if self._kept is None:
                    self._kept = self._written = _kept(self._folder, folder, problems)
                    _sweep(folder)
                self._next = self._read(folder, self._kept, batch, problems)
        except FileNotFoundError:
            self._next = self._kept or _Position()  # nobody was told anything yet
        except OSError as error:
            problems.append(spool.unreadable_folder(self._folder, error))
            self._next = self._kept or _Position()
        lost = batch.lost
        if lost is not None and batch.records:
            lost = lost._replace(until=batch.records[0].time)
        return Folded(tuple(batch.records), batch.gaps, lost, batch.more, self._first_time(problems))

    def done(self) -> None:
        """What `new` gave was dealt with, and is not given again.

        Never raises.  A position that can't be written is a problem of the next `new`, and tried again; meanwhile it is
        kept in memory.
        """
        self._unwritten, self._kept = [], self._next if self._kept is not None else None
        if self._kept is None or self._kept == self._written:
            return
        try:
            with spool.opened(self._folder) as folder:
                files.replace_in(folder, POSITION, _encoded(self._kept))
            self._written = self._kept
        except OSError as error:
            got = f"{self._folder}/{POSITION}: got {error.strerror or error}"
            self._unwritten = [f"{got}; expected to keep up to where the spool was read"]

    def behind(self) -> Behind:
        """How far another process is that folds this spool.  Changes nothing."""
        problems: list[str] = []
        try:
            with spool.opened(self._folder) as folder:
                position = _kept(self._folder, folder, problems)
                with _sources(self._folder, folder, problems) as sources:
                    left = sum(each.size - position.offset(each) for each in sources or ())
            return Behind(bool(position.places), left, position.last, tuple(problems))
        except FileNotFoundError:
            return Behind(False, 0, "")
        except OSError as error:
            return Behind(False, 0, "", (spool.unreadable_folder(self._folder, error),))

    def _read(self, folder: int, kept: "_Position", batch: "_Batch", problems: list[str]) -> "_Position":
        """Fill the batch.  Returns the position behind it."""
        before = len(problems)
        with _sources(self._folder, folder, problems) as sources:
            if sources is None:
                batch.more = True  # it is turned faster than it can be opened: next time
            if not sources:
                return kept
            found = [kept.place(each) for each in sources]
            gone = [place for place in kept.places if place not in found]
            if len(problems) > before:
                reached = gone[-2:]  # perhaps they can be read again some time
            else:
                reached = []
                batch.gaps += sum(place.tail for place in gone)
                if not all(place.through for place in gone):
                    batch.lost = Lost(kept.last, "")
            begun = [place in kept.places for place in found]
            for i, source in enumerate(sources):
                full = batch.more
                if not full:
                    try:
                        place = batch.take(source, found[i])
                        reached.append(place._replace(through=not batch.more and i + 1 < len(sources)))
                        continue
                    except OSError as error:
                        problems.append(spool.unreadable(self._folder, source.name, error))
                if begun[i]:
                    reached.append(found[i])
        return _Position(tuple(reached), batch.records[-1].time if batch.records else kept.last)

    def _first_time(self, problems: Sequence[str]) -> tuple[str, ...]:
        """Those that were no problem the time before."""
        before, self._told = self._told, set(problems)
        return tuple(each for each in problems if each not in before)


class _Source(NamedTuple):
    """A file of the spool, open, and how much of it is looked at."""

    name: str
    descriptor: int
    size: int
    device: int
    inode: int

    @classmethod
    def of(cls, name: str, descriptor: int) -> "_Source":
        found = os.fstat(descriptor)
        return cls(name, descriptor, min(found.st_size, _FULLEST), found.st_dev, found.st_ino)

    def mark(self, offset: int) -> str:
        """What stands in front of `offset`, hashed."""
        begin = max(offset - _MARKED, 0)
        return sha256(os.pread(self.descriptor, offset - begin, begin)).hexdigest()


class _Place(NamedTuple):
    """Up to where a file was read.

    `through` is whether a younger file was gone on to; `tail` whether something stands behind it that has no end.
    """

    device: int
    inode: int
    offset: int
    mark: str
    through: bool = False
    tail: bool = False


class _Position(NamedTuple):
    """The places that are known, and the time of the last record."""

    places: tuple[_Place, ...] = ()
    last: str = ""

    def place(self, source: _Source) -> _Place:
        """Where a file is gone on with: at its beginning, unless it is known and what was read still stands there."""
        for place in self.places:
            same = (place.device, place.inode) == (source.device, source.inode)
            if same and source.mark(place.offset) == place.mark:
                return place
        return _Place(source.device, source.inode, 0, source.mark(0))

    def offset(self, source: _Source) -> int:
        """Up to where it was read."""
        return self.place(source).offset


class _Batch:
    """What is taken, and how many bytes more may be."""

    def __init__(self, limit: int) -> None:
        self.records: list[Record] = []
        self.gaps = 0
        self.lost: Lost | None = None
        self.more = False
        self._left = limit

    def take(self, source: _Source, place: _Place) -> _Place:
        """Take the lines behind `place`, and return where they end; `more` if there are others behind them.

        Raises `OSError`, and has taken nothing then.
        """
        room = max(min(self._left, source.size - place.offset), 0)
        content = os.pread(source.descriptor, room, place.offset)
        whole, end, over = content.rfind(b"\n") + 1, place.offset + len(content), 0
        if not whole and len(content) >= spool.MAX_LINE:  # none of ours is that long
            over = _end_of_line(source, end)
            end = over or source.size
        at, more = over or place.offset + whole, end < source.size
        reached = place._replace(offset=at, mark=source.mark(at), tail=not more and at < source.size)
        self.more, self.gaps, self._left = more, self.gaps + (over > 0), self._left - (at - place.offset)
        self._lines(content[:whole])
        return reached

    def _lines(self, content: bytes) -> None:
        for line in content.split(b"\n"):
            record = spool.record_of(line) if line else None
            if record is not None:
                self.records.append(record)
            elif line:
                self.gaps += 1


def _end_of_line(source: _Source, at: int) -> int:
    """The end of the line that goes on at `at`; 0 if it has none yet."""
    while at < source.size:
        piece = os.pread(source.descriptor, min(_PIECE, source.size - at), at)
        end = piece.find(b"\n") + 1
        if end or not piece:
            return at + end if end else 0
        at += len(piece)
    return 0


@contextmanager
def _sources(path: str, folder: int, problems: list[str]) -> Iterator[list[_Source] | None]:
    """The files that are there, oldest first; None if they are turned all the time.

    The current one is opened, and its size taken, before the other: see above.
    """
    for _ in range(spool.TRIES):
        with ExitStack() as held:
            found: list[_Source] = []
            complaints: list[str] = []
            for name in (spool.CURRENT, spool.BEFORE):
                try:
                    descriptor = files.open_own(name, folder)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    complaints.append(spool.unreadable(path, name, error))
                    continue
                held.callback(os.close, descriptor)
                found.insert(0, _Source.of(name, descriptor))
                if found[0].size == _FULLEST:
                    complaints.append(f"{path}/{name}: got a file of {_FULLEST} bytes or more; expected fewer")
            if complaints or _are_both(found, folder):
                problems.extend(complaints)
                yield found
                return
    yield None


def _are_both(found: Sequence[_Source], folder: int) -> bool:
    """Whether the last one is the current file still, or there is none: then none was turned while they were opened."""
    try:
        current = os.stat(spool.CURRENT, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return len(found) < 2
    return bool(found) and (found[-1].device, found[-1].inode) == (current.st_dev, current.st_ino)


def _sweep(folder: int) -> None:
    """Remove what a killed process left of a position; what can't be removed does no harm."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(_LEFT):
                os.unlink(name, dir_fd=folder)


def _encoded(position: _Position) -> bytes:
    places = [place._asdict() for place in position.places]
    return strictjson.canonical({"version": _VERSION, "last": position.last, "places": places}) + b"\n"


def _kept(path: str, folder: int, problems: list[str]) -> _Position:
    """The position that was written last.  Without one, or with one that can't be believed, the oldest line is next."""
    try:
        return _decoded(files.read_own(POSITION, MAX_POSITION, folder=folder))
    except FileNotFoundError:
        return _Position()
    except (OSError, Malformed, TypeError, ValueError) as error:
        got = error.strerror if isinstance(error, OSError) and error.strerror else error
        expected = "up to where the spool was read; all of it is read again"
        problems.append(f"{path}/{POSITION}: got {got}; expected {expected}")
        return _Position()


def _decoded(content: bytes) -> _Position:
    """Raises `Malformed`, `TypeError`, `ValueError`."""
    value = strictjson.decode(content, "position", limit=MAX_POSITION)
    if not isinstance(value, dict) or value.keys() != {"version", "last", "places"} or value["version"] != _VERSION:
        raise ValueError("another form")
    last, places = value["last"], value["places"]
    if not isinstance(last, str) or not isinstance(places, list) or len(places) > _MOST_PLACES:
        raise ValueError("another form")
    found = tuple(_Place(**each) for each in places)
    if not all(_is_place(each) for each in found):
        raise ValueError("a place that is none")
    return _Position(found, last)


def _is_place(place: _Place) -> bool:
    kinds = all(type(field) is kind for field, kind in zip(place, (int, int, int, str, bool, bool), strict=True))
    return kinds and 0 <= place.offset <= _FULLEST
