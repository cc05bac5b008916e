"""A cluster's configuration grows older: notes when it was complete, and tells when that was long ago.

What that means for pulls is `agent.rules.age`'s to say; they read what is noted here from the disk, so that it ends by
itself where there is no daemon any more.
"""

from collections.abc import Callable

import anyio

from agent.adapters.nodestate import NodeState
from agent.errors import HostError
from agent.modes import currency
from agent.ports import Log
from agent.rules import age
from agent.rules.age import Stage
from agent.rules.breakglass import Moment
from agent.rules.precedence import Standing

LOOK = 10.0
"""Seconds between two looks at how old it is."""

LEAST_EVERY = 60.0
"""Seconds after which it is noted again, at least: disks wear out."""

SHARE = 1000
"""Of the greatest age, one part in so many may be missing in what is noted."""


class Noting:
    """Notes under one root when the cluster last said all of what is in force.

    `greatest_age` is for how many seconds that counts, as the configuration in force says.
    """

    def __init__(self, root: str, log: Log) -> None:
        """Nothing is noted yet by this process: the first time always is."""
        self._node = NodeState(root)
        self._log = log
        self._noted: Moment | None = None
        self._failed = False
        self.greatest_age = 0.0

    def note(self, complete: Moment) -> None:
        """Note `complete`, unless what was noted is about as good.  A disk that takes nothing is told, once."""
        every = max(LEAST_EVERY, self.greatest_age / SHARE)
        if self._noted is not None and complete.boot_seconds - self._noted.boot_seconds < every:
            return
        try:
            self._node.note_complete(complete)
        except HostError as error:
            if not self._failed:
                self._log.error("configuration's age not noted", problem=error.message)
            self._failed = True
            return
        self._noted, self._failed = complete, False


class Aging:
    """Tells at half of the age and at its end, once each, and when the configuration counts in full again."""

    def __init__(self, standing: Callable[[], Standing | None], log: Log) -> None:
        """`standing` gives what holds at the moment it is called, None if nobody can tell."""
        self._standing = standing
        self._log = log
        self._stage = Stage.CURRENT

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await anyio.sleep(LOOK)

    def look(self) -> None:
        """Look once."""
        standing = self._standing()
        if standing is None:
            return
        stage, before = age.stage(standing), self._stage
        self._stage = stage
        if stage is before:
            return
        if stage is Stage.CURRENT:
            self._log.info("configuration current again")
        elif stage.value > before.value:
            event = "configuration stale" if stage is Stage.STALE else "configuration grows old"
            self._log.warning(event, **currency.as_json(standing) or {})
