"""What is remembered of images, on disk, from one pull to the next.

::

    var/cache/nodeseal/verdicts/<sha256 of ground and image>.json
    var/cache/nodeseal/doubts/<sha256 of ground>.json               since when nothing older counts, and because of whom

One file per image and ground, replaced whole.  It rests on its owner: a file that others could have written, of another
kind or version, torn, or of a time to come is not there.  Nothing here ever fails: what can't be read is not known, and
what can't be written is not remembered.  Nothing waits for the disk either: after a power cut a file may be torn.

Doubts are the other way round: they wait for the disk; where one can't be read, nothing on its ground counts; where one
can't be written, everything is forgotten.  Answers (`agent.adapters.answers`) depend on their folder as a whole.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any, NamedTuple, cast

from agent.adapters import answers, files
from agent.adapters.inline import run
from agent.codec import strictjson
from agent.errors import Cause, Code, Malformed
from agent.model.verdict import NOTHING, Decision, Known, Memory, Remembered, Verdict

FOLDER = "var/cache/nodeseal/verdicts"
"""Where they are kept, under the root."""

DOUBTS = "var/cache/nodeseal/doubts"
"""Where doubts are kept, under the root."""

FORMAT_VERSION = 2
"""Raised when the form changes, or when what was said before a release must not be believed any longer."""

MAX_ENTRIES = 10_000
"""Most images remembered; the ones judged longest ago go first."""

MAX_DOUBTS = 100
"""Most revoked certificates that are told apart on one ground."""

_MAX_SIZE = 16 * 1024
_FOR_EVER = datetime.max.replace(tzinfo=timezone.utc)


class VerdictFolder:
    """`ports.VerdictStore` over a folder.  Many processes may use it at once."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/cache/nodeseal` is under, "/" on a node."""
        self._root = root
        self._folder, self._doubts = os.path.join(root, FOLDER), os.path.join(root, DOUBTS)

    async def recall(self, ground: str, image: str) -> Memory:
        """See `ports.VerdictStore.recall`."""
        value = self.read(self._path(ground, image))
        try:
            if value is None or (value["ground"], value["image"]) != (ground, image):
                return NOTHING
            memory = Memory(_verified(value["verified"]), _known(value["last"]))
        except (TypeError, LookupError, ValueError):
            return NOTHING
        return _without_doubt(memory, self._doubt(ground)[0])

    async def remember(self, ground: str, image: str, memory: Memory) -> None:
        """See `ports.VerdictStore.remember`."""
        self._write(
            self._path(ground, image),
            {"ground": ground, "image": image, "verified": _verified_form(memory.verified), "last": _form(memory.last)},
        )

    async def doubt(self, ground: str, certificate: str, now: datetime) -> None:
        """See `ports.VerdictStore.doubt`."""
        since, known = self._doubt(ground)
        which = _hash(certificate)  # one length for all of them: a long name must not keep others from being noted
        if which in known:
            return
        at = max(now, since) if since not in (None, _FOR_EVER) else now  # whoever began earlier may come later
        value = {"formatVersion": FORMAT_VERSION, "ground": ground, "at": at.isoformat()}
        content = strictjson.canonical({**value, "of": [*known, which][-MAX_DOUBTS:]})
        try:
            files.make_private_folder(self._doubts)
            files.replace(self._doubt_path(ground), content)
            if files.is_time_to_sweep():
                files.keep_newest(self._doubts, MAX_ENTRIES)
        except OSError:
            self._forget_everything()

    def _doubt(self, ground: str) -> tuple[datetime | None, list[str]]:
        """Since when nothing older counts on a ground, and which certificates that is because of."""
        path = self._doubt_path(ground)
        value = self.read(path)
        try:
            if value is None:
                return (_FOR_EVER if os.path.lexists(path) else None), []
            return (_time(value["at"]) if value["ground"] == ground else _FOR_EVER), [str(each) for each in value["of"]]
        except (TypeError, LookupError, ValueError):
            return _FOR_EVER, []

    def _forget_everything(self) -> None:
        for folder in (answers.FOLDER, FOLDER):
            with suppress(OSError):
                files.remove_tree(os.path.join(self._root, folder))

    def read(self, path: str) -> Mapping[str, Any] | None:
        """What stands in one of the files; None if it is not whole or not ours."""
        try:
            content = files.read_own(path, _MAX_SIZE)
            value = cast("dict[str, Any]", strictjson.decode(content, "verdict", limit=_MAX_SIZE))
            return value if value["formatVersion"] == FORMAT_VERSION else None
        except (OSError, Malformed, TypeError, KeyError):
            return None

    def _write(self, path: str, value: Mapping[str, object]) -> None:
        content = strictjson.canonical({"formatVersion": FORMAT_VERSION, **value})
        if len(content) > _MAX_SIZE:
            return
        try:
            files.make_private_folder(self._folder)
            files.replace(path, content, sync=False)
            if files.is_time_to_sweep():
                files.keep_newest(self._folder, MAX_ENTRIES)
        except OSError:
            return

    def _path(self, ground: str, image: str) -> str:
        return f"{self._folder}/{_hash(f'{ground} {image}')}.json"

    def _doubt_path(self, ground: str) -> str:
        return f"{self._doubts}/{_hash(ground)}.json"


class Entry(NamedTuple):
    """One image on one ground, and what is remembered of it."""

    image: str
    ground: str
    memory: Memory


class VerdictCatalogue:
    """All that is remembered under one root, for people."""

    def __init__(self, root: str) -> None:
        """As for `VerdictFolder`."""
        self._store = VerdictFolder(root)
        self._folder = os.path.join(root, FOLDER)

    def entries(self) -> Iterator[Entry]:
        """Each image, as `recall` would give it; what is not whole or not ours is left out."""
        for name in sorted(self._names()):
            value = self._store.read(f"{self._folder}/{name}")
            if value is not None and isinstance(value.get("image"), str) and isinstance(value.get("ground"), str):
                memory = run(self._store.recall(value["ground"], value["image"]))
                if memory != NOTHING:
                    yield Entry(value["image"], value["ground"], memory)

    def forget(self, image: str) -> int:
        """Forget an image by digest, or all images of a repository; how many files that were.  Raises `OSError`."""
        forgotten = 0
        for name in self._names():
            value = self._store.read(f"{self._folder}/{name}") or {}
            known = value.get("image")
            if isinstance(known, str) and image in (known, known.partition("@")[0]):
                os.unlink(f"{self._folder}/{name}")
                forgotten += 1
        return forgotten

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._folder) if name.endswith(".json")]
        except FileNotFoundError:
            return []


class NoVerdicts:
    """`ports.VerdictStore` that remembers nothing: for a person's own configuration, which is tried and not used."""

    async def recall(self, ground: str, image: str) -> Memory:
        """Nothing."""
        return NOTHING

    async def remember(self, ground: str, image: str, memory: Memory) -> None:
        """Forget it."""

    async def doubt(self, ground: str, certificate: str, now: datetime) -> None:
        """There is nothing to doubt."""


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


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
