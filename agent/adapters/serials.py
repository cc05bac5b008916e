"""The last serial of a signed configuration on a node, as a file beside the snapshots.

::

    var/lib/nodeseal/serial.json    written before a signed configuration comes into force

Whoever finds no file may take any serial.  So what is damaged, or what others could have written, is never taken as
none.  `note` is called under the lock of publishing alone (`SnapshotStore.publish`), before the switch: killed in
between, a serial is noted that is not in force yet, which the same configuration can follow and no older one.
"""

import errno
import os

from agent.adapters import files
from agent.adapters.snapshots import STATE
from agent.config import serialform
from agent.config.serialform import Applied
from agent.errors import HostError, Malformed

_NAME = "serial.json"


class Serials:
    """The last serial under one root."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/lib/nodeseal` is under, "/" on a node."""
        self.path = os.path.join(root, STATE, _NAME)

    def last(self) -> Applied | None:
        """What was noted last, None if nothing ever was.

        Raises `Malformed` if it is damaged or others could have written it, `HostError` if this user can't read it.
        """
        try:
            return serialform.decode(files.read_own(self.path, serialform.MAX_SIZE))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if isinstance(error, PermissionError) and error.errno is None or error.errno == errno.ELOOP:
                raise Malformed(f"{self.path}: got no file of root's or this user's alone; expected one") from None
            raise HostError(f"{self.path}: got {error.strerror}; expected to read the last serial") from None

    def note(self, applied: Applied) -> None:
        """Let `applied` be the last one, on disk when this returns.  Raises `HostError`."""
        try:
            files.replace(self.path, serialform.encode(applied))
        except OSError as error:
            said = error.strerror or error
            raise HostError(f"{self.path}: got {said}; expected to write the last serial there") from error
