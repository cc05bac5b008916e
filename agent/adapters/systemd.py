"""Starts, stops and restarts services by asking the service manager of a host, over D-Bus, and waits for the job's end.

Never by a signal: a containerd that dies by SIGHUP counts as ended cleanly, and some units don't start it again.  The
manager's private socket is asked first: it takes no bus; otherwise the system bus.

https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html
"""

import fcntl
import socket
import stat
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from jeepney import DBusAddress, HeaderFields, MatchRule, Message, MessageType, Parser, new_method_call
from jeepney.auth import BEGIN, Authenticator
from jeepney.bus_messages import message_bus
from jeepney.wrappers import DBusErrorResponse, unwrap_msg

from agent.adapters.hostroot import HostRoot
from agent.errors import HostError

SOCKETS = ("/run/systemd/private", "/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket")
"""Where a host's manager listens; the first takes root alone."""

SECONDS = 180.0
"""How long a restart may take: units may stop for a minute and a half before they are killed."""

_CONNECT_SECONDS = 5.0
_PAUSE = 0.001
_CHUNK = 65536
_MOST = 4 * 1024 * 1024  # bytes that are read for one restart; a busy manager signals a lot
_MANAGER = DBusAddress(
    "/org/freedesktop/systemd1", "org.freedesktop.systemd1", interface="org.freedesktop.systemd1.Manager"
)
_UNIT, _SERVICE = "org.freedesktop.systemd1.Unit", "org.freedesktop.systemd1.Service"
_PROPERTIES = "org.freedesktop.DBus.Properties"


class UnitState(NamedTuple):
    """What a manager says of a unit, in its words.

    `loaded` is `loaded` for one that it has read, `not-found`, `masked` or `bad-setting` otherwise; `active` is
    `active`, `activating`, `failed` or `inactive`; `result` is what its last run came to, `success` or what failed.
    `pid` is of its main process, 0 for none.
    """

    loaded: str
    active: str
    result: str = ""
    pid: int = 0

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self.active == "active"


class Systemd:
    """The service manager of a host."""

    def __init__(self, host: HostRoot) -> None:
        """`host` is whose manager it is."""
        self._host = host

    def is_there(self) -> bool:
        """Whether a manager listens."""
        try:
            with self._connected():
                return True
        except HostError:
            return False

    def restart(self, unit: str, seconds: float = SECONDS) -> None:
        """Restart a unit, and wait until the job is done.  Raises `HostError`."""
        self._job("RestartUnit", unit, seconds)

    def start(self, unit: str, seconds: float = SECONDS) -> None:
        """Start a unit, and wait until it has.  Raises `HostError`."""
        self._job("StartUnit", unit, seconds)

    def stop(self, unit: str, seconds: float = SECONDS) -> None:
        """Stop a unit, and wait until it has.  Raises `HostError`."""
        self._job("StopUnit", unit, seconds)

    def reload(self) -> None:
        """Have unit files read anew.  Raises `HostError`."""
        with self._connected() as connection:
            connection.call("Reload")

    def state(self, unit: str) -> UnitState:
        """What the manager knows of a unit.  Raises `HostError`."""
        with self._connected() as connection:
            (path,) = connection.call("LoadUnit", "s", (unit,))
            of = DBusAddress(path, _MANAGER.bus_name, _PROPERTIES)
            loaded, active = (connection.value(of, _UNIT, name) for name in ("LoadState", "ActiveState"))
            if loaded != "loaded":
                return UnitState(loaded, active)
            result, pid = (connection.value(of, _SERVICE, name) for name in ("Result", "MainPID"))
        return UnitState(loaded, active, result, int(pid) if pid.isdecimal() else 0)

    def _job(self, method: str, unit: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        with self._connected() as connection:
            connection.deadline = end
            connection.call("Subscribe")
            (job,) = connection.call(method, "ss", (unit, "replace"))
            result = connection.job_result(job)
        if result != "done":
            raise HostError(
                f"{unit}: got the result {ascii(result)[:40]} of {method}; expected done",
                hint=f"journalctl -u {unit}",
            )

    @contextmanager
    def _connected(self) -> Iterator["_Connection"]:
        connection = next(filter(None, map(self._connection, SOCKETS)), None)
        if connection is None:
            raise HostError("got no systemd that listens; expected one, to restart services")
        try:
            yield connection
        finally:
            connection.close()

    def _connection(self, path: str) -> "_Connection | None":
        with suppress(OSError, ValueError), self._host.reached(path) as reached:
            if stat.S_ISSOCK(reached.found.st_mode):
                return _Connection(f"/proc/self/fd/{reached.descriptor}", path, bus=path != SOCKETS[0])
        return None


class _Connection:
    """One connection; every wait ends at `deadline`."""

    def __init__(self, address: str, name: str, *, bus: bool) -> None:
        """Connect and authenticate.  Raises `OSError` if nobody listens, `HostError` if it does not go on."""
        self._name, self._serial, self._parser, self._read = name, 0, Parser(), 0
        self._signals: list[Message] = []
        self.deadline = time.monotonic() + _CONNECT_SECONDS
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(_CONNECT_SECONDS)
            self._socket.connect(address)
            authenticator = Authenticator(enable_fds=False, inc_null_byte=True)
            for request in authenticator:
                self._socket.sendall(request)
                authenticator.feed(self._received())
            self._socket.sendall(BEGIN)
            self._wait_until_read()
            if bus:
                self._ask(message_bus.Hello())
                rule = MatchRule(type="signal", interface=_MANAGER.interface, member="JobRemoved")
                self._ask(message_bus.AddMatch(rule))
        except (ConnectionRefusedError, FileNotFoundError):
            self.close()
            raise
        except Exception as error:  # noqa: BLE001 - the library's parser raises what it likes
            self.close()
            raise self._error(error) from None

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def call(self, method: str, signature: str | None = None, body: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Call a method of the manager's; what it returned.  Raises `HostError`."""
        return tuple(map(str, self._called(_MANAGER, method, signature, body)))

    def value(self, of: DBusAddress, interface: str, name: str) -> str:
        """A property, as a text.  Raises `HostError`."""
        answer = self._called(of, "Get", "ss", (interface, name))
        variant = answer[0] if len(answer) == 1 else None  # its signature, and what it says
        if not isinstance(variant, tuple) or len(variant) != 2:
            raise HostError(f"{name}: got {ascii(answer)[:80]}; expected a property of systemd's")
        return str(variant[1])

    def _called(self, of: DBusAddress, method: str, signature: str | None, body: tuple[str, ...]) -> tuple[object, ...]:
        try:
            return self._ask(new_method_call(of, method, signature, body))
        except DBusErrorResponse as error:
            text = " ".join(str(each) for each in (error.name, *error.data))
            raise HostError(f"{method}: got {ascii(text)[1:-1][:200]}; expected systemd to do it") from None
        except Exception as error:  # noqa: BLE001 - as above
            raise self._error(error) from None

    def job_result(self, job: str) -> str:
        """How a job ended, once it has.  Raises `HostError`."""
        while True:
            for message in self._signals:
                fields = message.header.fields
                is_end = fields.get(HeaderFields.member) == "JobRemoved" and len(message.body) == 4
                if is_end and message.body[1] == job:
                    return str(message.body[3])
            self._signals.clear()
            try:
                self._signals.append(self._next())
            except Exception as error:  # noqa: BLE001 - as above
                raise self._error(error) from None

    def _wait_until_read(self) -> None:
        """Until the other side has read all: systemd forgets a message that it reads together with the greeting."""
        while int.from_bytes(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder):
            self._left()
            time.sleep(_PAUSE)

    def _ask(self, message: Message) -> tuple[object, ...]:
        """Send, and wait for the answer; signals meanwhile are kept."""
        self._serial += 1
        serial = self._serial
        self._socket.settimeout(self._left())
        self._socket.sendall(message.serialise(serial=serial))
        while True:
            answer = self._next()
            if answer.header.fields.get(HeaderFields.reply_serial) == serial:
                return tuple(unwrap_msg(answer))
            if answer.header.message_type is MessageType.signal:
                self._signals.append(answer)

    def _next(self) -> Message:
        while True:
            message = self._parser.get_next_message()
            if message is not None:
                return message
            self._parser.add_data(self._received())

    def _received(self) -> bytes:
        self._socket.settimeout(self._left())
        data = self._socket.recv(_CHUNK)
        self._read += len(data)
        if not data or self._read > _MOST:
            raise ConnectionError("the connection ended" if not data else f"more than {_MOST} bytes")
        return data

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left

    def _error(self, error: Exception) -> HostError:
        if isinstance(error, HostError):
            return error
        text = ascii(str(error) or type(error).__name__)[1:-1][:200]
        return HostError(f"{self._name}: got {text}; expected an answer of systemd's")
