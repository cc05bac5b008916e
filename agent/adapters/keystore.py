"""What key providers held, and which trusted roots were the newest, when they were last asked, and when that was.

::

    var/lib/nodeseal/keys/<source>     the content; what is trusted of it stands in a snapshot as well
    var/lib/nodeseal/fetched.json      when each source was last fetched: `agent.adapters.nodestate`
    var/lib/nodeseal/keys.lock         held while both are changed

For whoever publishes, never on a pull.  A content that is missing, too long, or that others could have written is none.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from agent.adapters import files
from agent.adapters.nodestate import NodeState
from agent.adapters.rootnotes import MIRRORS
from agent.adapters.snapshots import STATE
from agent.errors import HostError
from agent.rules.breakglass import Moment

MAX_KEPT = 512
"""Most sources that are kept, those in use and those of before."""

MAX_MIRRORS_SIZE = 64 * 1024 * 1024
"""Most bytes of what was seen of mirrors that nobody follows any more."""

_BLOCK = 4096
_MAX_SIZE = 1024 * 1024
_LOCK_WAIT = 10.0


class KeyStore:
    """The keys under one root."""

    def __init__(self, root: str) -> None:
        """`root` is what `var/lib/nodeseal` is under."""
        self._root = root
        self._state = os.path.join(root, STATE)
        self._node = NodeState(root)

    def content(self, source: str) -> bytes | None:
        """What was last fetched; None for nothing."""
        try:
            return files.read_own(f"{self._state}/keys/{source}", _MAX_SIZE)
        except OSError:
            return None

    def keep(self, source: str, content: bytes, fetched: Moment) -> None:
        """Keep what was fetched at a moment.  Raises `HostError`."""
        with self._changing():
            if self.content(source) != content:
                files.make_private_folder(f"{self._state}/keys")
                files.replace(f"{self._state}/keys/{source}", content)
            self._node.note_fetched({**self._node.fetched(), source: fetched})

    def forget_but(self, used: Collection[str]) -> None:
        """Forget sources that nobody uses any more, the oldest first, if there are too many.  Raises `HostError`."""
        with self._changing():
            fetched = self._node.fetched()
            if len(fetched) <= MAX_KEPT:
                return
            unused = sorted(set(fetched) - set(used), key=lambda each: fetched[each].wall)
            for source in unused[: len(fetched) - MAX_KEPT]:
                del fetched[source]
                with suppress(FileNotFoundError):
                    os.unlink(f"{self._state}/keys/{source}")
                with suppress(FileNotFoundError):
                    files.remove_tree(os.path.join(self._root, MIRRORS, source))
            self._node.note_fetched(fetched)

    def forget_mirrors_but(self, used: Collection[str]) -> None:
        """Forget what was seen of mirrors that nobody follows, what was written longest ago first, if it is much.

        Whoever writes a configuration may name another one each time, none of which need ever give a trusted root.
        Never raises: what can't be removed is removed the next time.
        """
        folder, left = os.path.join(self._root, MIRRORS), MAX_MIRRORS_SIZE
        with suppress(OSError):
            unused = [name for name in os.listdir(folder) if name not in used]
            seen = sorted(((*_seen(f"{folder}/{name}"), name) for name in unused), reverse=True)
            for _, size, name in seen:
                left -= size
                if left < 0:
                    files.remove_tree(f"{folder}/{name}")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            files.make_private_folder(self._state)
            with files.locked(f"{self._state}/keys.lock", wait=_LOCK_WAIT):
                yield
        except OSError as error:
            said = error.strerror or error
            raise HostError(f"{self._state}/keys: got {said}; expected to keep keys there") from error


def _seen(folder: str) -> tuple[float, int]:
    """When something was last written in a mirror's folder, and how many bytes it takes; a file takes a block."""
    last, size = 0.0, 0
    for path, _, names in os.walk(folder):
        for each in (path, *(f"{path}/{name}" for name in names)):
            with suppress(FileNotFoundError):
                found = os.lstat(each)
                last, size = max(last, found.st_mtime), size + max(found.st_size, _BLOCK)
    return last, size
