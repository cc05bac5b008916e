"""The docker configurations of this host: read when a registry asks for authentication, and not before.

Who could have written a file, and who can read it, is judged on the opened file, before a byte of it is read.  What is
wrong is a text of the keyring, told when a registry wants the credentials: one file that can't be used keeps nobody
from pulling what needs none.
"""

import os
import stat
from typing import TYPE_CHECKING, NamedTuple, Sequence

from agent.adapters import files
from agent.errors import Malformed
from agent.registry.limits import MAX_CREDENTIALS_FILE

if TYPE_CHECKING:
    from agent.registry.credentials import DockerConfig, Keyring

NODE_FILE = "etc/nodeseal/docker-config.json"
"""Where a node's credentials are, below the root."""


class CredentialFile(NamedTuple):
    """One docker configuration.  A `personal` one may be a link, and be readable by others, as Docker's own is.

    `missing` is told if it is not there, empty if that is nothing to be told.
    """

    path: str
    personal: bool = False
    missing: str = ""


class _Read(NamedTuple):
    """A file as it was read: what identifies that state of it, and what was in it, or the problem with it."""

    identity: tuple[int, int, int, int]
    config: "DockerConfig | None"
    problem: str


class CredentialFiles:
    """The credentials of several files, the earlier ones first; each is read again only if it has changed."""

    def __init__(self, paths: Sequence[CredentialFile]) -> None:
        """Opens nothing yet."""
        self._paths = tuple(paths)
        self._read: dict[CredentialFile, _Read] = {}

    def __call__(self) -> "Keyring | None":
        """Everything that the files hold now; None if there is no such file, and none should be there."""
        found = [read for each in self._paths if (read := self._look(each)) is not None]
        if not found:
            return None
        from agent.registry.credentials import Keyring

        configs = [each.config for each in found if each.config is not None]
        return Keyring(configs, [each.problem for each in found if each.problem])

    def _look(self, file: CredentialFile) -> _Read | None:
        """What is in a file; None if it is not there and need not be."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if file.personal else os.O_NOFOLLOW)
        try:
            descriptor = os.open(file.path, flags)
        except (FileNotFoundError, NotADirectoryError):
            return _Read((0, 0, 0, 0), None, file.missing) if file.missing else None
        except OSError as error:
            reason = "is a symbolic link" if os.path.islink(file.path) else f"can't be opened ({error.strerror})"
            return _Read((0, 0, 0, 0), None, f"{file.path}: {reason}; expected a file that can be read")
        try:
            found = os.fstat(descriptor)
            identity = (found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns)
            known = self._read.get(file)
            if known is None or known.identity != identity:
                known = self._read[file] = _read(descriptor, file, found, identity)
            return known
        finally:
            os.close(descriptor)


def _read(descriptor: int, file: CredentialFile, found: os.stat_result, identity: tuple[int, int, int, int]) -> _Read:
    objection = _objection(file, found)
    if objection:
        return _Read(identity, None, f"{file.path}: {objection}")
    from agent.registry import credentials

    try:
        return _Read(identity, credentials.parse(_content(descriptor), file.path), "")
    except OSError as error:
        return _Read(identity, None, f"{file.path}: can't be read ({error.strerror})")
    except Malformed as error:
        return _Read(identity, None, error.message)


def _objection(file: CredentialFile, found: os.stat_result) -> str:
    """Why a file is not believed, or must not be as it is; empty if it is fine."""
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file"
    reason = files.foreign(found)
    if not reason and not file.personal and found.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        reason = f"others may read (mode {stat.S_IMODE(found.st_mode):04o})"
    return f"is a file that {reason}; expected one that root or this user owns alone, mode 0600" if reason else ""


def _content(descriptor: int) -> bytes:
    """The file's bytes, one more than the limit at most: whoever reads them refuses that."""
    content = b""
    while len(content) <= MAX_CREDENTIALS_FILE:
        chunk = os.read(descriptor, MAX_CREDENTIALS_FILE + 1 - len(content))
        if not chunk:
            break
        content += chunk
    return content
