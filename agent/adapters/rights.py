"""Who may write what an installation put on a host: found out, and set right where the content is still what it was.

What others could have changed is not believed again by a change of its mode: a file or a program has to be byte for
byte as it was recorded, before and after.
"""

import hashlib
import os

from agent.adapters import hostfiles, programs
from agent.adapters.hostfiles import HostFiles
from agent.errors import HostError
from agent.wiring.manifest import LINK_SAID, Entry, Kind
from agent.wiring.tables import MAX_SIZE

_OTHERS = 0o022
_ANOTHER = "is not what was installed: install again"


def wrong(host: HostFiles, entry: Entry) -> tuple[str, ...]:
    """The paths of an entry that others than root could change.  Raises `HostError`."""
    paths = [entry.path]
    if entry.kind is Kind.TREE:
        paths += [f"{entry.path}/{name}" for name, said in entry.members if not said.startswith(LINK_SAID)]
    elif entry.kind not in (Kind.FILE, Kind.FOLDER):
        return ()
    return tuple(path for path in paths if _is_open(host.stands(path)))


def set_right(host: HostFiles, entry: Entry) -> str:
    """Take them from others; why not, empty if that was done.  Raises `HostError`."""
    if not _is_whole(host, entry):
        return f"{entry.path}: others could change it, and it {_ANOTHER}"
    before = {path: host.stands(path) for path in wrong(host, entry)}
    for path, stands in before.items():
        _own(host, path, stands.mode & ~_OTHERS, 0, 0)
    if _is_whole(host, entry):
        return ""
    for path, stands in before.items():
        _own(host, path, stands.mode, stands.uid, stands.gid)
    return f"{entry.path}: others changed it meanwhile, and it {_ANOTHER}"


def _is_open(stands: hostfiles.Stands) -> bool:
    if stands.kind not in (hostfiles.Kind.FILE, hostfiles.Kind.FOLDER):
        return False
    return bool(stands.mode & _OTHERS) or stands.uid not in (0, os.geteuid())


def _is_whole(host: HostFiles, entry: Entry) -> bool:
    """Whether it is what was recorded; a folder holds whatever it holds."""
    if entry.kind is Kind.FOLDER:
        return True
    if entry.kind is Kind.FILE:
        content = host.read_bounded(entry.path, MAX_SIZE)
        return content is not None and hashlib.sha256(content).hexdigest() == entry.said
    try:
        with host.reached(entry.path) as reached:
            return programs.members(f"/proc/self/fd/{reached.descriptor}") == dict(entry.members)
    except OSError:
        return False


def _own(host: HostFiles, path: str, mode: int, uid: int, gid: int) -> None:
    try:
        with host.reached(path) as reached:
            at = f"/proc/self/fd/{reached.descriptor}"
            if os.geteuid() == 0 and (reached.found.st_uid, reached.found.st_gid) != (uid, gid):
                os.chown(at, uid, gid)
            os.chmod(at, mode)
    except OSError as error:
        raise HostError(
            f"{path}: got {error.strerror or error}; expected to set its mode", hint="run as root"
        ) from None
