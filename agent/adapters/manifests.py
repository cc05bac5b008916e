"""Where the record of an installation lies on a host, with the bytes of edited files, and who may write it.

::

    var/lib/nodeseal/install/                 held (flock) by whoever installs or uninstalls
    var/lib/nodeseal/install/manifest.json
    var/lib/nodeseal/install/before-SHA256    bytes of a file as it was before it was edited
"""

import fcntl
import hashlib
import os
import posixpath
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from agent.adapters.hostfiles import HostFiles
from agent.errors import HostError, Malformed
from agent.wiring import manifest as manifests
from agent.wiring.manifest import Manifest
from agent.wiring.tables import MAX_SIZE

FOLDER = "/var/lib/nodeseal/install"
PATH = f"{FOLDER}/manifest.json"
LOCK_SECONDS = 300.0
"""How long another one is waited for: it may be waiting for containerd."""

_KEPT = f"{FOLDER}/before-"
_RETRY = 0.1
_DAMAGED = (
    "if a newer version wrote it, use that one: /opt/nodeseal/current/nodeseal. Otherwise what was installed is not "
    "known any more: put the file back from a backup, or remove it, and undo by hand what docs/install.md lists"
)


class ManifestStore:
    """The record on one host."""

    def __init__(self, host: HostFiles) -> None:
        """`host` is where it lies."""
        self._host = host

    def read(self) -> Manifest | None:
        """What is recorded, None if nothing was ever installed.  Raises `HostError`, for what is damaged too."""
        content = self._host.read_bounded(PATH, manifests.MAX_SIZE)
        if content is None:
            return None
        try:
            return manifests.decode(content)
        except Malformed as error:
            raise HostError(f"{PATH}: {error.message}", hint=_DAMAGED) from None

    def write(self, manifest: Manifest) -> None:
        """Record, down to the disk.  Raises `HostError`."""
        self._host.write(PATH, manifests.encode(manifest), 0o600)

    def keep(self, content: bytes) -> str:
        """Keep bytes; returns the name that they are found by.  Raises `HostError`."""
        name = hashlib.sha256(content).hexdigest()
        if self._host.read_bounded(_KEPT + name, MAX_SIZE) != content:
            self._host.write(_KEPT + name, content, 0o600)
        return name

    def kept(self, name: str) -> bytes | None:
        """What was kept under a name, None if it is lost or damaged.  Raises `HostError`."""
        content = self._host.read_bounded(_KEPT + name, MAX_SIZE)
        return content if content is not None and hashlib.sha256(content).hexdigest() == name else None

    def sweep(self, manifest: Manifest) -> None:
        """Forget kept bytes that nothing needs any more.  Raises `HostError`."""
        for name in self._host.names(FOLDER):
            is_kept = name.startswith("before-") and name.removeprefix("before-") in manifest.kept
            if name != posixpath.basename(PATH) and not is_kept:
                self._host.remove(f"{FOLDER}/{name}")

    def remove(self) -> None:
        """Forget everything; the folder stays, see the entries of its own.  Raises `HostError`."""
        self.sweep(Manifest())
        self._host.remove(PATH)

    @contextmanager
    def locked(self, wait: float = LOCK_SECONDS) -> Iterator[None]:
        """Be the only one; the folder must be there.  Raises `HostError` after `wait` seconds.

        It is the folder itself that is held, so that nothing is left of the lock.
        """
        end = time.monotonic() + wait
        while True:
            descriptor = self._open()
            try:
                self._hold(descriptor, end)
                if self._is_current(descriptor):
                    yield
                    return
            finally:
                os.close(descriptor)

    def _open(self) -> int:
        with self._host.opened_folder(FOLDER) as folder:
            return os.open(f"{folder}/.", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _hold(self, descriptor: int, end: float) -> None:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    text = f"{FOLDER}: got a lock that another process holds; expected it to install or uninstall"
                    raise HostError(text, hint="wait for it to end, and try again") from None
                time.sleep(_RETRY)
            else:
                return

    def _is_current(self, descriptor: int) -> bool:
        """Whether the folder that is held is still the one that is there: an uninstallation removes it."""
        held = os.fstat(descriptor)
        with suppress(OSError), self._host.reached(FOLDER) as reached:
            return (held.st_dev, held.st_ino) == (reached.found.st_dev, reached.found.st_ino)
        return False
