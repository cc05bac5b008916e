"""What is remembered of images that were verified, on disk, from one pull to the next.

::

    var/cache/nodeseal/verdicts/<sha256 of ground and image>.json

One file per image and ground, replaced whole.  It rests on its owner: a file that others could have written, of another
kind or version, torn, or of a time to come is not there.  Nothing here ever fails: what can't be read is not known, and
what can't be written is not remembered.
"""

import os
import time
from datetime import datetime
from hashlib import sha256
from typing import Any, cast

from agent.adapters import files
from agent.codec import strictjson
from agent.errors import Malformed
from agent.model.verdict import Remembered

FOLDER = "var/cache/nodeseal/verdicts"
"""Where they are kept, under the root."""

FORMAT_VERSION = 1
MAX_ENTRIES = 10_000
"""Most images remembered; the ones verified longest ago go first."""

_MAX_SIZE = 4096
_LEFT_AFTER = 3600.0  # seconds after which an unfinished file is one that a killed process left
_SWEEP_EVERY = "0"  # one name in sixteen begins so: looking through the folder is not for every pull


class VerdictFolder:
    """`ports.VerdictStore` over a folder.  Many processes may use it at once."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/cache/nodeseal` is under, "/" on a node."""
        self._folder = os.path.join(root, FOLDER)

    async def recall(self, ground: str, image: str) -> Remembered | None:
        """See `ports.VerdictStore.recall`."""
        try:
            if files.foreign(os.lstat(self._folder)):
                return None
            content = files.read_own(self._path(ground, image), _MAX_SIZE)
            value = cast("dict[str, Any]", strictjson.decode(content, "verdict", limit=_MAX_SIZE))
            if (value["formatVersion"], value["ground"], value["image"]) != (FORMAT_VERSION, ground, image):
                return None
            return Remembered(_time(value["verifiedAt"]), _time(value["usableUntil"]) if value["usableUntil"] else None)
        except (OSError, Malformed, TypeError, KeyError, ValueError):
            return None

    async def remember(self, ground: str, image: str, remembered: Remembered) -> None:
        """See `ports.VerdictStore.remember`."""
        value = {
            "formatVersion": FORMAT_VERSION,
            "ground": ground,
            "image": image,
            "verifiedAt": remembered.verified_at.isoformat(),
            "usableUntil": remembered.usable_until.isoformat() if remembered.usable_until else None,
        }
        path = self._path(ground, image)
        try:
            files.make_private_folder(self._folder)
            files.replace(path, strictjson.canonical(value))
            if os.path.basename(path).startswith(_SWEEP_EVERY):
                self._sweep()
        except OSError:
            return

    async def forget(self, ground: str, image: str) -> None:
        """See `ports.VerdictStore.forget`."""
        try:
            os.unlink(self._path(ground, image))
        except OSError:
            return

    def _path(self, ground: str, image: str) -> str:
        key = sha256(f"{ground} {image}".encode()).hexdigest()
        return f"{self._folder}/{key}.json"

    def _sweep(self) -> None:
        entries = sorted(
            ((os.lstat(f"{self._folder}/{name}").st_mtime, name) for name in os.listdir(self._folder)), reverse=True
        )
        for i, (modified, name) in enumerate(entries):
            left = name.startswith(files.TEMPORARY) and time.time() - modified > _LEFT_AFTER
            if i >= MAX_ENTRIES or left:
                os.unlink(f"{self._folder}/{name}")


class NoVerdicts:
    """`ports.VerdictStore` that remembers nothing: for a person's own configuration, which is tried and not used."""

    async def recall(self, ground: str, image: str) -> Remembered | None:
        """Nothing."""

    async def remember(self, ground: str, image: str, remembered: Remembered) -> None:
        """Forget it."""

    async def forget(self, ground: str, image: str) -> None:
        """There is nothing to forget."""


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without zone")
    return found
