"""Publishes a folder's configuration whenever the folder has changed.

What can't be used changes nothing: the configuration in force stays, and the log says why.  It is tried again when the
folder changes, and now and then anyhow: what stood in the way may have been the disk.
"""

import time
from collections.abc import Callable, Mapping

import anyio
from anyio import to_thread

from agent.adapters import changes
from agent.adapters.nodestate import BOOTSTRAP
from agent.errors import ConfigurationError, HostError, NodesealError, UsageError
from agent.modes.config import put_in_force
from agent.modes.keys import Keys
from agent.ports import Log

INTERVAL = 0.25
"""Seconds between two looks."""

RETRY = 60.0
"""Seconds after which what failed is tried again."""

MOST_TOLD = 20
"""Problems of one configuration that are logged."""


class Publisher:
    """Publishes what is at `path` under `root`."""

    def __init__(
        self,
        path: str,
        root: str,
        log: Log,
        bug: Callable[[Exception], None],
        environment: Mapping[str, str],
        published: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is read yet.  `bug` is told the exceptions that nobody foresaw: pulls are answered all the same.

        `environment` is believed for its proxies, through which keys are fetched.  `published` is called, in the event
        loop, once something was put in force.
        """
        self._path = path
        self._root = root
        self._log = log
        self._bug = bug
        self._put_in_force = published
        self._stamp: object = None
        self._again = float("inf")
        self._said: object = None
        self._keys = Keys(root, environment, log)

    @property
    def is_refused(self) -> bool:
        """Whether what is there now could not be put in force."""
        return self._again != float("inf")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await anyio.sleep(INTERVAL)
            if self._keys.is_due() and await to_thread.run_sync(self._refreshed):
                await self.publish()
            stamp = await to_thread.run_sync(self._look)
            if stamp == self._stamp and time.monotonic() < self._again:
                continue
            await anyio.sleep(INTERVAL)
            if await to_thread.run_sync(self._look) == stamp:  # nobody is still writing
                await self.publish()

    async def publish(self) -> None:
        """Publish once what is there now."""
        self._stamp = await to_thread.run_sync(self._look)
        try:
            failed = await to_thread.run_sync(self._published)
        except Exception as error:  # noqa: BLE001 - see `__init__`
            self._bug(error)
            failed = True
        if not failed:
            self._put_in_force()
        self._again = time.monotonic() + RETRY if failed else float("inf")

    def _refreshed(self) -> bool:
        """Whether keys are not what they were."""
        try:
            return self._keys.refresh()
        except HostError as error:
            self._refused(error)
            return False

    def _look(self) -> object:
        return changes.stamp(self._path), changes.stamp(f"{self._root.rstrip('/')}/{BOOTSTRAP}")

    def _published(self) -> bool:
        """Whether it failed."""
        try:
            found = put_in_force(self._path, self._root, None, self._keys)
        except (UsageError, HostError, ConfigurationError) as error:
            self._refused(error)
            return True
        if found.config is None:
            fatal = [str(problem) for problem in found.problems if problem.fatal]
            self._tell_once(("refused", *fatal), "configuration refused", fatal)
            return True
        warnings = [str(problem) for problem in found.problems]
        for text in warnings[:MOST_TOLD]:
            self._log.warning("configuration warning", path=self._path, problem=text)
        self._said = None
        self._log.info("configuration in force", path=self._path, generation=found.config.generation)
        return False

    def _refused(self, error: NodesealError) -> None:
        problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigurationError) else []
        self._tell_once((error.message, *problems), "configuration refused", [error.message, *problems])

    def _tell_once(self, what: object, event: str, problems: list[str]) -> None:
        """The same again and again is told once."""
        if what == self._said:
            return
        self._said = what
        for text in problems[:MOST_TOLD]:
            self._log.error(event, path=self._path, problem=text, next_step="the configuration in force stays")
