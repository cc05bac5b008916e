"""The daemon: everything of the process that `nodeseal watch` is, put together.

A composition root: what it is made of is elsewhere.  Nothing on the node depends on it: whoever asks and gets no answer
does the work alone.
"""

import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TextIO

import anyio

from agent import __version__
from agent.adapters import files, ipc
from agent.adapters.ipc_server import Pending, Server
from agent.adapters.telemetry import open_log
from agent.errors import HostError
from agent.modes.publishing import Publisher
from agent.modes.warm import WarmDoor
from agent.modes.warm_access import Connections
from agent.ports import Log

STATUS_VERSION = "1"
"""Version of what the daemon says of itself."""

_LOCK_WAIT = 10.0
_DESCRIPTORS = 4096  # children's connections, twice, and registries'
_PRIORITY = -5  # children that hear nothing for a second do the work alone: a busy node's last need
_NEXT_STEP = "run as the user that owns the folder, usually root, or name another --root"


def run(root: str, config: str | None, environment: Mapping[str, str], *, log: tuple[TextIO, str]) -> None:
    """Serve until a signal says stop; `log` is where to, and in which form.  Raises `HostError`."""
    _take_what_is_needed()
    daemon = _Daemon(root, config, environment, open_log(*log))
    folder = os.path.join(root, ipc.FOLDER)
    try:
        files.make_private_folder(folder)
        with files.locked(f"{folder}/{ipc.LOCK}", wait=_LOCK_WAIT):
            anyio.run(daemon.run)
    except TimeoutError:
        raise HostError(f"{folder}: got another daemon that serves it; expected none", hint="stop that one") from None
    except OSError as error:
        raise HostError(f"{folder}: got {error}; expected to serve a socket there", hint=_NEXT_STEP) from error


def _take_what_is_needed() -> None:
    """As many descriptors as connections may want, and the processor before those who stand still until we answer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _DESCRIPTORS)), hard))
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)


class _Daemon:
    """Everything of one process."""

    def __init__(self, root: str, config: str | None, environment: Mapping[str, str], log: Log) -> None:
        self._root = root
        self._config = config
        self._environment = environment
        self._log = log
        self._since = time.time()
        self._bugs: Counter[str] = Counter()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, from now on.  Raises `OSError` if there can be no socket."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            await self._serve(signals)

    async def _serve(self, signals: AsyncIterator[signal.Signals]) -> None:
        publisher = Publisher(self._config, self._root, self._log, self._bug) if self._config else None
        if publisher:
            await publisher.publish()
        listening = ipc.listening(self._root)  # whoever comes before we serve waits for as long
        which = ipc.number(self._root)
        async with Connections(self._root, self._environment) as connections, anyio.create_task_group() as group:
            self._door = WarmDoor(self._root, connections, group, self._bug)
            self._server = Server(self._taken, self._bug)
            state = await self._door.state()
            self._log.info("serving", version=__version__, root=self._root, generation=state.generation)
            group.start_soon(self._server.serve, listening)
            if publisher:
                group.start_soon(publisher.run)
            async for _ in signals:
                break
            ipc.take_away(self._root, which)
            self._log.info("stopping")
            group.cancel_scope.cancel()

    def _taken(self, question: ipc.Question) -> Pending:
        if question.kind == ipc.PULL:
            return self._door.pull(question)
        return _Said(self._status())

    def _status(self) -> bytes:
        """What the daemon says of itself."""
        turns = self._door.turns
        value = {
            "schemaVersion": STATUS_VERSION,
            "version": __version__,
            "pid": os.getpid(),
            "since": self._since,
            "running": turns.running,
            "waiting": turns.waiting,
            "refused": self._server.refused,
            "bugs": dict(self._bugs),
        }
        return json.dumps(value).encode()

    def _bug(self, error: Exception) -> None:
        """Tell of an exception that nobody foresaw, by its kind and place: its text may hold secrets."""
        self._bugs[type(error).__name__] += 1
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        at = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else ""
        self._log.error("bug", kind=type(error).__name__, at=at)


class _Said:
    """`ipc_server.Pending` for what is known at once."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def is_busy(self) -> bool:
        """It never waits."""
        return False

    async def message(self) -> bytes:
        """The content."""
        return ipc.said(self._content)
