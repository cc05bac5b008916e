"""What is remembered of images, on disk, from one pull to the next.

::

    var/cache/nodeseal/verdicts/<of ground and image>       of one descriptor: the last that was judged
    var/cache/nodeseal/doubts/<of the ground>               since when nothing older counts, and because of whom

One file per image and ground (`agent.adapters.entries`).  Nothing here ever fails: what can't be read is not known, and
what can't be written is not remembered.  What is dated ahead of now is not known either, and goes when a doubt is cast:
it would stand behind that for as long as the clock was wrong.

Doubts are the other way round: they wait for the disk; where one can't be read, nothing on its ground counts; where one
can't be written, everything is forgotten.  Answers (`agent.adapters.answers`) depend on their folder as a whole.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, NamedTuple

from agent.adapters import answers, files
from agent.adapters.entries import FUTURE, Entries, Kind, name_of
from agent.adapters.inline import run
from agent.codec import strictjson
from agent.config.canonical import GROUND_VERSION
from agent.errors import Cause, Code
from agent.model.verdict import NOTHING, Decision, Known, Memory, Remembered, Verdict

FORMAT_VERSION = 4
"""Raised when the form changes, or when what was said before a release must not be believed any longer."""

DOUBTS_VERSION = 3
"""One of its own: doubts of another form can't be read, and then nothing counts on their grounds, for good."""

FOLDER = "var/cache/nodeseal/verdicts"
DOUBTS = "var/cache/nodeseal/doubts"
"""Where verdicts and doubts are kept, under the root."""

KIND = Kind(
    name="verdicts",
    folder=FOLDER,
    version=FORMAT_VERSION + GROUND_VERSION,
    largest=16 * 1024,
    most=10_000,
    most_bytes=64 * 1024 * 1024,
)
"""The images judged longest ago go first.

Raising either number raises the version.  A ground is the publisher's, and whoever judges on it may be another version:
were the ground alone another one, what an older program said on it would count for the newer.
"""

DOUBTS_KIND = KIND._replace(name="doubts", folder=DOUBTS, version=DOUBTS_VERSION)

MAX_DOUBTS = 100
"""Most revoked certificates that are told apart on one ground."""

_TICK = 0.011
"""Seconds in which the kernel's clock for files moves on, by which changes of a folder are told apart (100 Hz)."""

_FOR_EVER = datetime.max.replace(tzinfo=timezone.utc)


def _now() -> datetime:
    return datetime.now(timezone.utc)


class VerdictFolder:
    """`ports.VerdictStore` over a folder.  Many processes may use it at once."""

    def __init__(self, root: str, *, now: Callable[[], datetime] = _now, counts: bool = True) -> None:
        """`root` is the folder that `var/cache/nodeseal` is under, "/" on a node; `now` is the clock on the wall.

        `counts` is as for `Entries`.
        """
        self._root = root
        self._verdicts, self._doubts = Entries(root, KIND, counts=counts), Entries(root, DOUBTS_KIND, counts=counts)
        self._now = now

    async def recall(self, ground: str, image: str) -> Memory:
        """See `ports.VerdictStore.recall`."""
        value = self._verdicts.value(name_of(ground, _identity(image)))
        if value is None:
            return NOTHING
        try:
            about = str(value["image"])
            if (value["ground"], _identity(about)) != (ground, _identity(image)):
                raise ValueError("no verdict of ours")
            if image not in (about, _identity(about)):
                return NOTHING  # the same digest under another descriptor
            memory = Memory(_verified(value["verified"]), _known(value["last"]))
        except (TypeError, LookupError, ValueError):
            self._verdicts.count(files.CORRUPT)
            return NOTHING
        if _is_ahead(memory, self._now()):
            self._verdicts.count(FUTURE)
            return NOTHING
        return self.undoubted(ground, memory)

    def undoubted(self, ground: str, memory: Memory) -> Memory:
        """What still counts of something that was said on a ground, and is not written here yet."""
        return _without_doubt(memory, self._doubt(ground)[0])

    async def remember(self, ground: str, image: str, memory: Memory) -> None:
        """See `ports.VerdictStore.remember`."""
        if _is_ahead(memory, self._now()):
            return  # the clock was put right meanwhile
        value = {
            "ground": ground,
            "image": image,
            "verified": _verified_form(memory.verified),
            "last": _form(memory.last),
        }
        self._verdicts.keep(name_of(ground, _identity(image)), strictjson.canonical(value))

    async def doubt(self, ground: str, certificate: str, now: datetime) -> None:
        """See `ports.VerdictStore.doubt`."""
        since, known = self._doubt(ground)
        which = name_of(certificate)  # one length for all of them: a long name must not keep others from being noted
        if which in known:
            return
        at = max(now, since) if since not in (None, _FOR_EVER) else now  # whoever began earlier may come later
        value = {"ground": ground, "at": at.isoformat(), "of": [*known, which][-MAX_DOUBTS:]}
        try:
            self._forget_what_is_ahead()  # before: what is done by halves is done again
            self._doubts.write(name_of(ground), strictjson.canonical(value), sync=True)
            time.sleep(_TICK)
            os.utime(self._doubts.folder)  # answers depend on its time, and one may be of the moment in between
        except OSError:
            self._forget_everything()

    def _doubt(self, ground: str) -> tuple[datetime | None, list[str]]:
        """Since when nothing older counts on a ground, and which certificates that is because of."""
        value = self._doubts.value(name_of(ground))
        try:
            if value is None:
                return (None if self._doubts.lacks(name_of(ground)) else _FOR_EVER), []
            return (_time(value["at"]) if value["ground"] == ground else _FOR_EVER), [str(each) for each in value["of"]]
        except (TypeError, LookupError, ValueError):
            self._doubts.count(files.CORRUPT)
            return _FOR_EVER, []

    def _forget_what_is_ahead(self) -> None:
        """Remove verdicts of a time to come, on whatever ground.  Raises `OSError`."""
        now = self._now().timestamp()
        for name in self._verdicts.names():
            with suppress(FileNotFoundError):
                if os.lstat(f"{self._verdicts.folder}/{name}").st_mtime > now:
                    os.unlink(f"{self._verdicts.folder}/{name}")

    def _forget_everything(self) -> None:
        for folder in (answers.FOLDER, FOLDER):
            with suppress(OSError):
                files.remove_tree(os.path.join(self._root, folder))


class Entry(NamedTuple):
    """One image on one ground, and what is remembered of it."""

    image: str
    ground: str
    memory: Memory


class VerdictCatalogue:
    """All that is remembered under one root, for people."""

    def __init__(self, root: str) -> None:
        """As for `VerdictFolder`."""
        self._entries = Entries(root, KIND, counts=False)
        self._store = VerdictFolder(root, counts=False)

    def entries(self) -> Iterator[Entry]:
        """Each image, as `recall` would give it; what is not whole or not ours is left out."""
        for name in self._entries.names():
            value = self._entries.value(name)
            if value is not None and isinstance(value.get("image"), str) and isinstance(value.get("ground"), str):
                memory = run(self._store.recall(value["ground"], value["image"]))
                if memory != NOTHING:
                    yield Entry(_identity(value["image"]), value["ground"], memory)

    def forget(self, image: str) -> int:
        """Forget an image by digest, or all images of a repository; how many files that were.  Raises `OSError`."""
        forgotten = 0
        for name in self._entries.names():
            value = self._entries.value(name) or {}
            known = _identity(str(value.get("image")))
            if image in (known, known.partition("@")[0]):
                forgotten += self._entries.remove(name)
        return forgotten


def _identity(described: str) -> str:
    return described.partition(" ")[0]


class NoVerdicts:
    """`ports.VerdictStore` that remembers nothing: for a person's own configuration, which is tried and not used."""

    async def recall(self, ground: str, image: str) -> Memory:
        """Nothing."""
        return NOTHING

    async def remember(self, ground: str, image: str, memory: Memory) -> None:
        """Forget it."""

    async def doubt(self, ground: str, certificate: str, now: datetime) -> None:
        """There is nothing to doubt."""


def _is_ahead(memory: Memory, now: datetime) -> bool:
    """Whether it is of a time to come."""
    verified, last = memory.verified, memory.last
    return (verified is not None and verified.verified_at > now) or (last is not None and last.at > now)


def _without_doubt(memory: Memory, since: datetime | None) -> Memory:
    if since is None:
        return memory
    verified = memory.verified if memory.verified and memory.verified.verified_at >= since else None
    return Memory(verified, memory.last if memory.last and memory.last.at >= since else None)


def _verified_form(verified: Remembered | None) -> object:
    return None if verified is None else [verified.verified_at.isoformat(), _end_form(verified.usable_until)]


def _verified(value: Any) -> Remembered | None:
    return None if value is None else Remembered(_time(value[0]), _end(value[1]))


def _form(known: Known | None) -> object:
    if known is None:
        return None
    said = known.verdict
    return {
        "decision": said.decision.value,
        "code": said.code.value,
        "message": said.message,
        "causes": [cause.value for cause in said.causes],
        "freshFor": said.fresh_for,
        "usableUntil": _end_form(said.usable_until),
        "toldUntil": _end_form(said.told_until),
        "at": known.at.isoformat(),
        "freshUntil": known.fresh_until.isoformat(),
        "repeats": known.repeats,
    }


def _known(value: Any) -> Known | None:
    """Raises an error of Python's own for what is none."""
    if value is None:
        return None
    causes = tuple(Cause(cause) for cause in value["causes"])
    decision, message, repeats = Decision(value["decision"]), value["message"], value["repeats"]
    fresh_for = value["freshFor"]
    if (
        not isinstance(message, str)
        or not isinstance(repeats, int)
        or bool(causes) != (decision is Decision.CANNOT_TELL)
    ):
        raise ValueError("no verdict")
    verdict = Verdict(
        decision,
        Code(value["code"]),
        message,
        causes,
        fresh_for=None if fresh_for is None else float(fresh_for),
        usable_until=_end(value["usableUntil"]),
        told_until=_end(value["toldUntil"]),
    )
    return Known(verdict, _time(value["at"]), _time(value["freshUntil"]), repeats)


def _end_form(end: datetime | None) -> str | None:
    return None if end is None else end.isoformat()


def _end(text: Any) -> datetime | None:
    return None if text is None else _time(text)


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without zone")
    return found
