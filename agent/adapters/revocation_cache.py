"""Answers about revocation, kept on disk from one pull to the next.

One file per question, named by its SHA-256; what is in it was checked when it came, and is checked again by whoever
reads it.  So the cache needs no trust beyond its owner: a file that others could have written, of another kind, too
old, or of a time to come, is not there.  Nothing here ever fails: what can't be read or kept is asked for again.
"""

import os
import stat
import time
from hashlib import sha256

from agent.adapters import files
from agent.model.revocation import RevocationQuery

CACHE = "var/cache/nodeseal/revocation"
"""Where answers are kept, under the root."""

OCSP_LIFETIME = 3600.0
LIST_LIFETIME = 24 * 3600.0
"""Seconds after which a kept answer is asked for anew, however long it says that it holds."""

MAX_ENTRIES = 200
MAX_BYTES = 128 * 1024 * 1024
"""Most answers and bytes kept; the oldest go first."""

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOCK, _LOCK_WAIT = "lock", 1.0


class RevocationCache:
    """The cache under one root.  Many processes may use it at once."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/cache/nodeseal` is under, "/" on a node."""
        self._folder = os.path.join(root, CACHE)

    def get(self, query: RevocationQuery) -> bytes:
        """The answer kept for `query`, empty if there is none."""
        lifetime = OCSP_LIFETIME if query.body else LIST_LIFETIME
        try:
            if files.foreign(os.lstat(self._folder)):
                return b""
            descriptor = os.open(f"{self._folder}/{name_of(query)}", _FILE)
            with open(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                age = time.time() - found.st_mtime
                if files.foreign(found) or not stat.S_ISREG(found.st_mode) or not 0 <= age < lifetime:
                    return b""
                content = file.read(query.limit + 1)
        except OSError:
            return b""
        return content if len(content) <= query.limit else b""

    def put(self, query: RevocationQuery, content: bytes) -> None:
        """Keep an answer that was checked, and make room for it."""
        try:
            files.make_private_folder(self._folder)
            files.replace(f"{self._folder}/{name_of(query)}", content)
            with files.locked(f"{self._folder}/{_LOCK}", wait=_LOCK_WAIT):
                self._sweep()
        except OSError:
            return

    def _sweep(self) -> None:
        """Remove the oldest beyond what may be kept, and what a killed process left."""
        entries = []
        for name in os.listdir(self._folder):
            if name != _LOCK:
                found = os.lstat(f"{self._folder}/{name}")
                entries.append((found.st_mtime, found.st_size, name))
        entries.sort(reverse=True)
        kept = 0
        for count, (modified, size, name) in enumerate(entries, 1):
            kept += size
            stale = name.startswith(files.TEMPORARY) and time.time() - modified > LIST_LIFETIME
            if count > MAX_ENTRIES or kept > MAX_BYTES or stale:
                os.unlink(f"{self._folder}/{name}")


def name_of(query: RevocationQuery) -> str:
    """The name that answers to this question go by."""
    return sha256(query.url.encode("utf-8", "surrogatepass") + b"\0" + query.body).hexdigest()
