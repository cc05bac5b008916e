"""One verification at a time of one image, and few at once on a node, over all processes.

::

    var/cache/nodeseal/flights/<sha256 of the image>      held by whoever verifies it; the others wait for the verdict
    var/cache/nodeseal/flights/slot-<n>                   held by whoever verifies anything

Whoever dies lets go.  Waiting has an end, and behind it everybody goes on alone: a lock saves work, it never decides.
Nothing here fails: where there can be no locks, nobody waits.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256

from agent.adapters import files

FOLDER = "var/cache/nodeseal/flights"
"""Where the locks are, under the root."""

_SLOT = "slot-"
_SWEPT = 640  # locks: few are ever left, by processes that were killed
_SHORTEST, _LONGEST = 0.005, 0.05
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Flights:
    """The locks under one root."""

    def __init__(self, root: str, *, slots: int) -> None:
        """`slots` is how many may verify at once."""
        self._folder = os.path.join(root, FOLDER)
        self._slots = slots

    @contextmanager
    def alone(self, image: str, until: float) -> Iterator[bool]:
        """Verify `image` alone; what is given is whether somebody else was at it before.

        `until` is a time of `time.monotonic()`: then waiting ends.
        """
        path = self._path(image)
        with self._held([path], until) as (held, waited):
            yield waited
            if held:
                _remove(path)
                if files.is_time_to_sweep(_SWEPT):
                    self._sweep()

    def try_alone(self, image: str) -> ExitStack | None:
        """Verify `image` alone until what is given is closed; None while somebody else is at it.  Waits for nobody."""
        path, held = self._path(image), ExitStack()
        try:
            if not self._try(path, held):
                return None
        except OSError:
            return held
        held.callback(_remove, path)
        return held

    def _sweep(self) -> None:
        """Remove what processes left that were killed."""
        try:
            for name in os.listdir(self._folder):
                path = f"{self._folder}/{name}"
                if not name.startswith(_SLOT) and time.time() - os.lstat(path).st_mtime > files.LEFT_AFTER:
                    _remove(path)
        except OSError:
            return

    @contextmanager
    def slot(self, until: float) -> Iterator[None]:
        """Be one of few; as `alone` waits."""
        with self._held([f"{self._folder}/{_SLOT}{n}" for n in range(self._slots)], until):
            yield

    @contextmanager
    def _held(self, paths: list[str], until: float) -> Iterator[tuple[bool, bool]]:
        """One of the locks, if there was one in time; and whether it was waited for."""
        waited, pause = False, _SHORTEST
        with ExitStack() as held:
            while True:
                try:
                    if any(self._try(path, held) for path in paths):
                        break
                except OSError:
                    yield False, waited
                    return
                waited = True
                if time.monotonic() + pause > until:
                    yield False, waited
                    return
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST)
            yield True, waited

    def _path(self, image: str) -> str:
        return f"{self._folder}/{sha256(image.encode()).hexdigest()}"

    def _try(self, path: str, held: ExitStack) -> bool:
        """Raises `OSError`."""
        try:
            descriptor = os.open(path, _FLAGS, files.PRIVATE_FILE)
        except FileNotFoundError:
            files.make_private_folder(self._folder)
            descriptor = os.open(path, _FLAGS, files.PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        held.callback(os.close, descriptor)
        return True


def _remove(path: str) -> None:
    """Whoever waits for it holds the same file, and goes on once it is let go."""
    try:
        os.unlink(path)
    except OSError:
        return
