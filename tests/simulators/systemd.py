"""A service manager as far as restarting services takes one, on a private socket, in D-Bus's own wire format.

Alone (`python -m tests.simulators.systemd SOCKET UNIT LOG COMMAND...`) it is one that runs a command as that unit.
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from jeepney import DBusAddress, HeaderFields, Message, Parser, new_error, new_method_return, new_signal

_PATH = "/org/freedesktop/systemd1"
_MANAGER = DBusAddress(_PATH, interface="org.freedesktop.systemd1.Manager")
_BUSY_SECONDS = 0.02
"""How long it has something else to do before it reads a line of a greeting."""

_GUID = b"0123456789abcdef0123456789abcdef"

Job = Callable[[str, str], str]
"""What is done with a method and a unit; returns the job's result."""


class Systemd:
    """Serves on a socket until the context ends."""

    def __init__(self, path: pathlib.Path, job: Job, *, refusal: str = "") -> None:
        """`job` is called for each, unless all are refused in these words."""
        self.asked: list[tuple[str, tuple[object, ...]]] = []
        self.properties: dict[str, tuple[str, object]] = {
            "LoadState": ("s", "loaded"),
            "ActiveState": ("s", "active"),
            "Result": ("s", "success"),
            "MainPID": ("u", 4711),
        }
        self._job, self._refusal = job, refusal
        self._socket = socket.socket(socket.AF_UNIX)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Systemd":
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    self._talk(connection)
                except OSError:
                    pass

    def _talk(self, connection: socket.socket) -> None:
        if not self._authenticated(connection):
            return
        parser, jobs = Parser(), 0
        while True:
            message = parser.get_next_message()
            if message is None:
                data = connection.recv(65536)
                if not data:
                    return
                parser.add_data(data)
                continue
            member = str(message.header.fields[HeaderFields.member])
            self.asked.append((member, tuple(message.body)))
            if member in ("RestartUnit", "StartUnit", "StopUnit"):
                jobs += 1
                self._do(connection, message, member, f"{_PATH}/job/{jobs}")
            elif member == "LoadUnit":
                path = f"{_PATH}/unit/{len(str(message.body[0]))}"
                connection.sendall(self._said(new_method_return(message, "o", (path,))))
            elif member == "Get":
                signature, value = self.properties[str(message.body[1])]
                connection.sendall(self._said(new_method_return(message, "v", ((signature, value),))))
            elif member == "Hello":
                connection.sendall(self._said(new_method_return(message, "s", (":1.1",))))
            else:
                connection.sendall(self._said(new_method_return(message)))

    def _authenticated(self, connection: socket.socket) -> bool:
        """Whether it began; what is read together with the beginning is forgotten, as the real one does."""
        data = b""
        while b"BEGIN\r\n" not in data:
            time.sleep(_BUSY_SECONDS)
            chunk = connection.recv(4096)
            if not chunk:
                return False
            data += chunk
            if data.endswith(b"\r\n") and b"BEGIN" not in data:
                words = data.lstrip(b"\0").split()
                expected = str(os.geteuid()).encode().hex().encode()
                if words[:3] != [b"AUTH", b"EXTERNAL", expected]:
                    connection.sendall(b"REJECTED EXTERNAL\r\n")
                    return False
                connection.sendall(b"OK " + _GUID + b"\r\n")
                data = b""
        return True

    def _do(self, connection: socket.socket, message: Message, member: str, job: str) -> None:
        unit = str(message.body[0])
        # as the real one: a signal of somebody else's job, the answer, and the end of this one some time later
        connection.sendall(self._said(self._removed(f"{_PATH}/job/999", "other.service", "failed")))
        if self._refusal:
            name = "org.freedesktop.systemd1.NoSuchUnit"
            connection.sendall(self._said(new_error(message, name, "s", (self._refusal,))))
            return
        connection.sendall(self._said(new_method_return(message, "o", (job,))))
        connection.sendall(self._said(self._removed(job, unit, self._job(member, unit))))

    def _removed(self, job: str, unit: str, result: str) -> Message:
        return new_signal(_MANAGER, "JobRemoved", "uoss", (7, job, unit, result))

    _serial = 0

    def _said(self, message: Message) -> bytes:
        Systemd._serial += 1
        data: bytes = message.serialise(serial=Systemd._serial)
        return data


class Service:
    """A command that is started anew when it is asked for."""

    def __init__(self, command: list[str], log: pathlib.Path) -> None:
        """Start it."""
        self._command, self._log = command, log
        self._start()

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def job(self, method: str, unit: str) -> str:
        """Restart it; it takes for as long as a file `hold` is beside its log."""
        while self._log.with_name("hold").exists():
            time.sleep(0.05)
        if method in ("RestartUnit", "StopUnit"):
            self.stop()
        if method in ("RestartUnit", "StartUnit"):
            self._start()
        return "done"

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


def main(path: str, unit: str, log: str, *command: str) -> None:
    """Run a command as a unit until standard input ends."""
    service = Service(list(command), pathlib.Path(log))

    def job(method: str, asked: str) -> str:
        print(method, asked, flush=True)
        return service.job(method, asked) if asked == unit else "failed"

    with Systemd(pathlib.Path(path), job):
        print("ready", flush=True)
        while os.read(0, 1):
            pass
    service.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
