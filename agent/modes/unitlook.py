"""What the daemon's systemd unit of a node is doing, where there is one: for `doctor` and `status`."""

import os
from typing import NamedTuple

from agent.adapters.hostroot import HostRoot
from agent.errors import HostError
from agent.wiring.unit import NAME, PATH


class UnitTold(NamedTuple):
    """`runs` is whether the unit runs, None if nobody can tell; `words` say so, or why nobody can."""

    runs: bool | None
    words: str

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"name": NAME, "running": self.runs, "state": self.words}


def told_unit(root: str) -> UnitTold | None:
    """The unit of the host under `root`, None if it has none.  Asks its systemd, and nobody else."""
    if not os.path.lexists(os.path.join(root, PATH.lstrip("/"))):
        return None

    from agent.adapters.systemd import Systemd  # and D-Bus: a node without the unit has no use for it

    try:
        state = Systemd(HostRoot(root)).state(NAME)
    except HostError as error:
        return UnitTold(None, f"not known: {error.message}")
    if state.loaded != "loaded":
        return UnitTold(False, f"{state.loaded}, {state.active}")
    if state.runs:
        return UnitTold(True, f"active, pid {state.pid}")
    return UnitTold(False, f"{state.active}, last result {state.result}")
