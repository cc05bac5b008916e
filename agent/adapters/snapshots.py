"""Snapshots: published configurations on disk, each whole, immutable and named by its generation.

::

    var/lib/nodeseal/current -> snapshots/<generation>     replaced atomically
    var/lib/nodeseal/snapshots/<generation>/snapshot.json  canonical form; its SHA-256 is the generation
    var/lib/nodeseal/snapshots/<generation>/certificates/<sha256>.der
    var/lib/nodeseal/rules.json                            copy of the rule set that was published last
    var/lib/nodeseal/serial.json                           `agent.adapters.serials`

`load` is on the pull path: it imports os, hashlib and json, and reads through descriptors alone, so that the folder
it began with is the one it ends with.  It believes nothing that anybody but root or its own user could have written,
nor any file that is not what its name says.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from hashlib import sha256

from agent.adapters import files
from agent.config import canonical, rulesetform
from agent.config.config import Config
from agent.errors import Cause, HostError, Malformed, Unavailable
from agent.rules.ruleset import RuleSet

STATE = "var/lib/nodeseal"
"""Where all of it is, under the root."""

MAX_CERTIFICATE_SIZE = 16 * 1024
MAX_CERTIFICATES = 10_000
KEPT_AT_LEAST = 60.0
"""Seconds for which a snapshot that was replaced stays: longer than any pull may read from it."""

_CURRENT, _SNAPSHOTS, _LOCK = "current", "snapshots", "publish.lock"
_RULES = "rules.json"
_FORM, _CERTIFICATES = "snapshot.json", "certificates"
_LOCK_WAIT = 10.0
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEXT_STEP = "publish the configuration again: nodeseal config apply DIR"


class SnapshotStore:
    """The snapshots under one root.  Many may load while one publishes."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/lib/nodeseal` is under, "/" on a node."""
        self.state = os.path.join(root, STATE)
        self._snapshots = f"{self.state}/{_SNAPSHOTS}"

    def load(self) -> Config:
        """The configuration in force.

        Raises `Unavailable`: configurationMissing if nothing was published or what is there is damaged or of another
        form, configurationInvalid if others could have written it or this user may not read it.
        """
        try:
            try:
                return self._load()
            except FileNotFoundError:
                return self._load()  # swept while it was read: what `current` names now is younger
        except FileNotFoundError as error:
            if error.filename in (_FORM, _CERTIFICATES) or str(error.filename).endswith(".der"):
                raise _missing(f"{self.state}: got a snapshot without {error.filename}; expected a whole one") from None
            raise Unavailable(
                f"{self.state}: got no configuration; expected a published one",
                cause=Cause.CONFIGURATION_MISSING,
                hint="publish a configuration: nodeseal config apply DIR",
            ) from None
        except OSError as error:
            hint = "run as root" if isinstance(error, PermissionError) else ""
            message = f"{self.state}: got {error.strerror} ({error.filename}); expected a snapshot"
            raise _invalid(message, hint or _NEXT_STEP) from None
        except _Foreign as error:
            raise _invalid(f"{self.state}: {error.message}") from None
        except Malformed as error:
            raise _missing(f"{self.state}: {error.message}") from None

    def last_rules(self) -> RuleSet | None:
        """The rule set that was published last, from the copy that outlives its snapshot; None if there is no copy.

        It says what an image is allowed while the snapshot is missing or damaged, with nobody to verify it.
        """
        try:
            return rulesetform.decode_copy(files.read_own(f"{self.state}/{_RULES}", rulesetform.MAX_COPY_SIZE))
        except (OSError, Malformed):
            return None

    def was_published(self) -> bool:
        """Whether a configuration was ever published here; whoever can't tell must take it that there was one."""
        try:
            if files.foreign(os.stat(self.state)):
                return True  # others could have removed what tells
            names = os.listdir(self.state)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return bool({_CURRENT, _RULES} & set(names))

    def in_force_since(self) -> datetime | None:
        """When the configuration in force was put there: the time of the link to it.  None if nobody can tell."""
        try:
            return datetime.fromtimestamp(os.lstat(f"{self.state}/{_CURRENT}").st_mtime, timezone.utc)
        except (OSError, ValueError, OverflowError):
            return None

    def publish(self, config: Config, *, admit: Callable[[], None] = lambda: None) -> str:
        """Put `config` in force and return its generation.

        Whatever moment this process is killed at, `load` gives the old configuration or this one.  A generation that
        is there already is not written again.  `admit` is called once nothing but the switch is left to do, while
        nobody else can publish; what it raises keeps the configuration out of force.  Raises `HostError`.
        """
        form = canonical.encode(config)
        generation = canonical.generation_of(form)
        try:
            files.make_private_folder(self.state)
            files.make_private_folder(self._snapshots)
            with files.locked(f"{self.state}/{_LOCK}", wait=_LOCK_WAIT):
                self._place(generation, form, config)
                admit()
                files.replace(f"{self.state}/{_RULES}", rulesetform.encode_copy(config.ruleset))
                before = self._switch(generation)
                self._sweep({generation, before})
        except (OSError, Malformed) as error:
            said, step = str(error), files.AS_OWNER
            if isinstance(error, OSError):
                said, step = error.strerror or said, files.next_step(error)
            message = f"{self.state}: got {said}; expected to write snapshot {generation[:12]} there"
            raise HostError(message, hint=step) from error
        return generation

    def withdraw(self) -> None:
        """Put nothing in force: what was is missing from now on, and its rules say what that means.

        Raises `HostError`.
        """
        try:
            with files.locked(f"{self.state}/{_LOCK}", wait=_LOCK_WAIT):
                with suppress(FileNotFoundError):
                    os.unlink(f"{self.state}/{_CURRENT}")
                files.sync_folder(self.state)
        except OSError as error:
            message = f"{self.state}: got {error.strerror or error}; expected to withdraw the configuration"
            raise HostError(message) from error

    def _load(self) -> Config:
        with _opened(self.state, _FOLDER) as state:
            generation = os.path.basename(os.readlink(_CURRENT, dir_fd=state))
            with _opened(_SNAPSHOTS, _FOLDER, state) as snapshots:
                return _read(generation, generation, snapshots)

    def _place(self, generation: str, form: bytes, config: Config) -> None:
        """Make sure that the folder of `generation` is there and sound."""
        target = f"{self._snapshots}/{generation}"
        if self._is_sound(generation):
            files.sync_folder(self._snapshots)
            return
        temporary = files.temporary_name(target)
        try:
            os.mkdir(temporary, files.PRIVATE_FOLDER)
            os.mkdir(f"{temporary}/{_CERTIFICATES}", files.PRIVATE_FOLDER)
            for name, der in config.certificates.items():
                if sha256(der).hexdigest() != name:
                    raise Malformed(f"certificate: got the name {ascii(name)[:80]}; expected its SHA-256")
                files.write_new(f"{temporary}/{_CERTIFICATES}/{name}.der", der)
            files.write_new(f"{temporary}/{_FORM}", form)
            files.sync_folder(f"{temporary}/{_CERTIFICATES}")
            files.sync_folder(temporary)
            with _opened(self._snapshots, _FOLDER) as snapshots:
                _read(os.path.basename(temporary), generation, snapshots)  # what could not be loaded is not published
            if os.path.lexists(target):
                os.rename(target, files.temporary_name(target))  # damaged; the sweep takes it
            os.rename(temporary, target)
            files.sync_folder(self._snapshots)
        except BaseException:
            files.remove_tree(temporary)
            raise

    def _is_sound(self, generation: str) -> bool:
        try:
            with _opened(self._snapshots, _FOLDER) as snapshots:
                _read(generation, generation, snapshots)
        except (OSError, Malformed):
            return False
        return True

    def _switch(self, generation: str) -> str:
        """Let `current` name `generation`; returns the one that it named before.

        That one's time is set: a folder's age tells how long ago it was last in force.
        """
        current, target = f"{self.state}/{_CURRENT}", f"{_SNAPSHOTS}/{generation}"
        link = os.readlink(current) if os.path.islink(current) else ""
        before = os.path.basename(link)
        if link != target:
            if _HASH.match(before) and os.path.isdir(f"{self._snapshots}/{before}"):
                os.utime(f"{self._snapshots}/{before}")
            files.replace_symlink(current, target)
        return before

    def _sweep(self, keep: set[str]) -> None:
        """Remove what is neither in `keep`, nor one of the last two, nor younger than `KEPT_AT_LEAST`.

        The host's clock is not asked: "now" is the time of a file made now.  What can't be removed stays until the
        next time: the configuration is in force already.
        """
        try:
            now = self._now()
            for folder in (self.state, self._snapshots):
                ages = {name: os.lstat(f"{folder}/{name}").st_mtime for name in os.listdir(folder)}
                youngest = sorted((name for name in ages if _HASH.match(name)), key=ages.__getitem__)[-2:]
                for name, time in ages.items():
                    ours = name.startswith(files.TEMPORARY) or (folder == self._snapshots and _HASH.match(name))
                    if ours and name not in keep and name not in youngest and now - time > KEPT_AT_LEAST:
                        self._remove(folder, name)
        except OSError:
            return

    def _now(self) -> float:
        probe = files.temporary_name(f"{self.state}/now")
        files.write_new(probe, b"")
        try:
            return os.lstat(probe).st_mtime
        finally:
            os.unlink(probe)

    def _remove(self, folder: str, name: str) -> None:
        path = f"{folder}/{name}"
        if not name.startswith(files.TEMPORARY):  # half removed, it must not look like a snapshot
            aside = files.temporary_name(path)
            os.rename(path, aside)
            path = aside
        files.remove_tree(path)


def _read(folder: str, generation: str, snapshots: int) -> Config:
    """The configuration in `folder`, every byte checked against its name.  Raises `OSError`, `Malformed`."""
    if not _HASH.match(generation):
        raise Malformed(f"current: got a link to {ascii(generation)[:80]}; expected a generation")
    with _opened(folder, _FOLDER, snapshots) as snapshot:
        form = _content(_FORM, snapshot, canonical.MAX_SIZE, generation)
        with _opened(_CERTIFICATES, _FOLDER, snapshot) as certificates:
            taken = 0

            def certificate(name: str) -> bytes:
                nonlocal taken
                taken += 1
                if taken > MAX_CERTIFICATES or not _HASH.match(name):
                    raise Malformed(f"snapshot: got certificate {ascii(name)[:80]}; expected {MAX_CERTIFICATES} hashes")
                return _content(f"{name}.der", certificates, MAX_CERTIFICATE_SIZE, name)

            return canonical.decode(form, certificate)


def _content(name: str, folder: int, limit: int, hexadecimal: str) -> bytes:
    """A file of ours whose SHA-256 is as said."""
    with _opened(name, _FILE, folder) as descriptor:
        data = b""
        while len(data) <= limit:
            chunk = os.read(descriptor, limit + 1 - len(data))
            if not chunk:
                break
            data += chunk
    if len(data) > limit or sha256(data).hexdigest() != hexadecimal:
        raise Malformed(f"{name}: got {len(data)} bytes of other content; expected SHA-256 {hexadecimal[:12]}...")
    return data


@contextmanager
def _opened(path: str, flags: int, folder: int | None = None) -> Iterator[int]:
    """A descriptor of something that only root or this user could have written.  Raises `OSError`, `Malformed`."""
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        kind = stat.S_ISDIR if flags & os.O_DIRECTORY else stat.S_ISREG
        complaint = files.foreign(found) if kind(found.st_mode) else "is no regular file"
        if complaint:
            raise _Foreign(f"{path}: got something that {complaint}; expected what root or this user wrote")
        yield descriptor
    finally:
        os.close(descriptor)


class _Foreign(Malformed):
    """Something that others could have put there."""


def _missing(message: str) -> Unavailable:
    return Unavailable(message, cause=Cause.CONFIGURATION_MISSING, hint=_NEXT_STEP)


def _invalid(message: str, hint: str = _NEXT_STEP) -> Unavailable:
    return Unavailable(message, cause=Cause.CONFIGURATION_INVALID, hint=hint)
