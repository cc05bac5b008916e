"""What the last merge put in force, beside the snapshot: what last good versions of documents are kept of.

::

    var/lib/nodeseal/in-force.json

Written just before the switch to the snapshot that it is about, under the same lock: whoever is killed in between
merges once more, and comes to the same.  One that is missing, damaged, of another form, or that others could have
written, is none.
"""

import os

from agent.adapters import files
from agent.adapters.snapshots import STATE
from agent.config import inforce
from agent.config.inforce import InForce
from agent.errors import HostError, Malformed

NAME = "in-force.json"


class InForceFile:
    """The file under one root."""

    def __init__(self, root: str) -> None:
        """`root` is the folder that `var/lib/nodeseal` is under, "/" on a node."""
        self._path = os.path.join(root, STATE, NAME)

    def load(self) -> InForce:
        """What it says; nothing if it can't be believed."""
        try:
            return inforce.decode(files.read_own(self._path, inforce.MAX_SIZE))
        except (OSError, Malformed):
            return InForce()

    def save(self, in_force: InForce) -> None:
        """Replace it.  Raises `HostError`."""
        try:
            files.make_private_folder(os.path.dirname(self._path))
            files.replace(self._path, inforce.encode(in_force))
        except OSError as error:
            raise HostError(f"{self._path}: got {error.strerror or error}; expected to write there") from None
