"""`trusted_root.json` of a Sigstore instance, out of the TUF repository that it is published in.

The Update Framework, specification 1.0, "Detailed client workflow", which python-tuf carries out: signatures of each
metadata file and their threshold, each root by the one before it, no version below one that was seen, expiry, length
and hashes of the target.  Here is what it leaves open: bounds on bytes, on rotations of the root and on names; reading
through our own transport; and that what comes out is a trusted root as `agent.trust` reads it.

What was seen is kept in a folder of ours for each mirror, so that nothing older is taken the next time: ``metadata`` of
python-tuf and the target.  One process after another; damage in it is as if it were not there.

Importing this costs a tenth of a second and more: only where something is fetched.
"""

import io
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from agent.adapters import files
from agent.adapters.tufmirror import Mirror
from agent.config import trustroots
from agent.errors import HostError, LimitExceeded, Malformed, NodesealError
from agent.model.answer import printable, shortened
from agent.trust import trustedroot_document

TARGET = trustedroot_document.USUAL_NAME
"""The name under which Sigstore's repositories publish it."""

MAX_ROTATIONS = 128
"""Most roots between the first one that is trusted and the newest: the public instance has three a year."""

MAX_TOTAL = 16 * 1024 * 1024
"""Most bytes of all that is read at once."""

MAX_VALUES = 20_000
"""Most JSON values of one metadata file, about: it is decoded before a signature is looked at, and a byte of `{},{}`
becomes twenty of memory.  The public instance's files have hundreds."""

_LIMITS = UpdaterConfig(
    max_root_rotations=MAX_ROTATIONS + 1,  # the one too many is asked for, and refused: `_Reader`
    max_delegations=8,
    root_max_length=trustroots.MAX_ROOT,
    timestamp_max_length=16 * 1024,
    snapshot_max_length=1024 * 1024,
    targets_max_length=2 * 1024 * 1024,
)
_NAME = re.compile(r"(targets/)?[A-Za-z0-9](?:[A-Za-z0-9._-]|%[0-9A-F]{2}){0,254}\Z", re.ASCII)
_ROOT_NAME = re.compile(r"([0-9]+)\.root\.json\Z", re.ASCII)
_LOCK_WAIT = 60.0
_MOST_TOLD = 200

for _library in ("tuf", "securesystemslib"):  # what they say of hostile metadata is told by us, or by nobody
    logging.getLogger(_library).addHandler(logging.NullHandler())


def check_root(content: bytes, where: str) -> int:
    """The version of a root that is to be trusted at first.  Raises `Malformed`."""
    try:
        if len(content) > trustroots.MAX_ROOT:
            raise LimitExceeded(
                f"{where}: got more than {trustroots.MAX_ROOT} bytes; expected root.json of a TUF repository"
            )
        root = Metadata[Root].from_bytes(content)
        if not isinstance(root.signed, Root):
            raise Malformed(f"{where}: got TUF metadata of another role; expected root.json of a TUF repository")
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
    except NodesealError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a library makes of hostile bytes
        raise Malformed(
            f"{where}: got {_said(error)}; expected root.json of a TUF repository, signed by itself"
        ) from None
    return int(root.signed.version)


def fetch(mirror: Mirror, *, first_root: bytes, folder: str) -> bytes:
    """The trusted root that the repository publishes now.  `folder` keeps what was seen, and is made if need be.

    Raises `Malformed`, `Unavailable`, `HostError`.
    """
    version = check_root(first_root, f"first root of {mirror.where}")
    try:
        files.make_private_folder(os.path.dirname(folder))
        files.make_private_folder(folder)
        with files.locked(f"{folder}/lock", wait=_LOCK_WAIT):
            return _fetched(mirror, first_root, version, folder)
    except OSError as error:
        raise HostError(
            f"{folder}: got {error.strerror or error}; expected to keep there what was seen of {mirror.where}",
            hint="run as the user that owns the folder, or name another one",
        ) from error


def _fetched(mirror: Mirror, first_root: bytes, version: int, folder: str) -> bytes:
    metadata, targets = f"{folder}/metadata", f"{folder}/targets"
    for each in (metadata, targets):
        files.make_private_folder(each)
    for name in os.listdir(metadata):
        if name.startswith("tmp") and "." not in name:  # python-tuf's unfinished ones: a killed process left it
            os.unlink(f"{metadata}/{name}")
    reader = _Reader(mirror, version)
    base = "mirror:"
    try:
        updater = Updater(metadata, base, targets, f"{base}/targets/", reader, _LIMITS, bootstrap=first_root)
        updater.refresh()
        target = updater.get_targetinfo(TARGET)
        if target is None:
            raise Malformed(f"{mirror.where}: got no {TARGET} among its targets; expected one: is it Sigstore's?")
        if target.length > trustedroot_document.MAX_SIZE:
            most = trustedroot_document.MAX_SIZE
            raise LimitExceeded(f"{mirror.where}: got {TARGET} of {target.length} bytes; expected at most {most}")
        path = f"{targets}/{TARGET}"
        if updater.find_cached_target(target, path) is None:
            updater.download_target(target, path)
        content = files.read_own(path, target.length)
        target.verify_length_and_hashes(content)
    except (NodesealError, OSError):
        raise
    except Exception as error:  # whatever a library makes of hostile bytes
        raise _translated(error, mirror.where) from error
    check(content, f"{mirror.where}: {TARGET}")
    return content


def check(content: bytes, where: str) -> None:
    """Refuse what is no trusted root to us.  Raises `Malformed`."""
    read = trustedroot_document.read(TARGET, content, where)
    if read.root is None:
        fatal = next(problem for problem in read.problems if problem.fatal)
        raise Malformed(str(fatal))


class _Reader(FetcherInterface):
    """Reads through a `Mirror`, in memory, within bounds."""

    def __init__(self, mirror: Mirror, first: int) -> None:
        """`first` is the version of the root that is trusted at first."""
        self._mirror = mirror
        self._last = first + MAX_ROTATIONS
        self._left = MAX_TOTAL

    def _fetch(self, url: str) -> Iterator[bytes]:
        """What python-tuf's own `fetch` is made of; nothing here calls it."""
        return iter((self._read(url, trustroots.MAX_ROOT),))

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """See `FetcherInterface`; without its temporary file, for which there may be no place."""
        yield io.BytesIO(self._read(url, max_length))

    def _read(self, url: str, limit: int) -> bytes:
        name = url.partition(":")[2].lstrip("/")
        if not _NAME.match(name):  # hashes and names of roles are theirs to choose, and become parts of paths
            raise Malformed(
                f"{self._mirror.where}: got the file name {ascii(name)[:80]}; expected one of a TUF repository"
            )
        limit = min(limit, self._left)
        content = self._mirror.read(name, limit)
        if content is None:
            raise exceptions.DownloadHTTPError(f"nothing at {name}", 404)
        root = _ROOT_NAME.match(name)
        if root and int(root[1]) > self._last:
            raise LimitExceeded(
                f"{self._mirror.where}: got more than {MAX_ROTATIONS} roots after the one that is trusted at first",
                hint="trust a newer root.json of that repository at first",
            )
        self._left -= len(content)
        values = sum(map(content.count, (b",", b"[", b"{")))
        if values > MAX_VALUES and not name.startswith("targets/"):  # what reads a target has its own bound
            raise LimitExceeded(f"{self._mirror.where}: got {name} of {values} values; expected at most {MAX_VALUES}")
        return content


_MEANINGS: tuple[tuple[type[Exception], str, str], ...] = (
    (
        exceptions.ExpiredMetadataError,
        "metadata that holds now",
        "whoever keeps the repository has to sign it anew; or look at this machine's clock",
    ),
    (
        exceptions.BadVersionNumberError,
        "the version that follows, and none below one that was seen before",
        "the mirror is behind, or somebody plays back what once was: ask whoever keeps it",
    ),
    (
        exceptions.UnsignedMetadataError,
        "signatures by as many of the keys as the root before it demands",
        "is it the mirror that this root.json is of, and has it all roots since? Ask whoever keeps it",
    ),
    (
        exceptions.LengthOrHashMismatchError,
        "length and hashes as signed",
        "the mirror is not whole, or somebody changed it: ask whoever keeps it",
    ),
    (exceptions.DownloadHTTPError, "a file of a TUF repository", "is it the address of a TUF repository?"),
)


def _translated(error: Exception, where: str) -> Malformed:
    for kind, expected, hint in _MEANINGS:
        if isinstance(error, kind):
            return Malformed(f"{where}: got {_said(error)}; expected {expected}", hint=hint)
    expected = "metadata of a TUF repository"
    return Malformed(f"{where}: got {_said(error)}; expected {expected}", hint="ask whoever keeps the mirror")


def _said(error: Exception) -> str:
    """What python-tuf says of it: in one line, and with an end."""
    text = printable(str(error)).strip() or type(error).__name__
    return shortened(text, _MOST_TOLD)
