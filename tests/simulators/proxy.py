"""A proxy of the tests' own: CONNECT and absolute-form requests, on 127.0.0.1; remembers what it was asked."""

import select
import socket
import threading
from typing import Mapping, NamedTuple
from urllib.parse import urlsplit


class Asked(NamedTuple):
    """One request to the proxy.  Header names are lower-case."""

    line: str
    headers: Mapping[str, str]


class ProxySimulator:
    """A proxy that runs between `with` and its end, and connects to whatever `destinations` says a name is."""

    def __init__(
        self,
        destinations: Mapping[str, int] | None = None,
        *,
        status: int = 200,
        says: bytes | None = None,
        listening: socket.socket | None = None,
    ) -> None:
        """`destinations`: ports on 127.0.0.1 by host; a host that is missing is taken as it is.

        `says` is all that it answers, whatever it is asked, before it hangs up.  `listening` may be of another network:
        what it connects to is of this one.
        """
        self.asked: list[Asked] = []
        self._destinations = destinations or {}
        self._status = status
        self._says = says
        self._listening = listening or socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []

    def __enter__(self) -> "ProxySimulator":
        """Start."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._open:
            each.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listening.getsockname()[1])

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                part = client.recv(65536)
                if not part:
                    return
                head += part
            lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
            self.asked.append(Asked(lines[0], headers))
            if self._says is not None:
                client.sendall(self._says)
                return
            if self._status != 200:
                client.sendall(f"HTTP/1.1 {self._status} No\r\nContent-Length: 0\r\n\r\n".encode())
                return
            method, target, _ = lines[0].split(" ")
            split = urlsplit(f"//{target}" if method == "CONNECT" else target)
            with self._connect(str(split.hostname), split.port or 80) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    origin_form = split.path + (f"?{split.query}" if split.query else "")
                    server.sendall(head.replace(target.encode(), origin_form.encode(), 1))
                _copy(client, server)
        except (OSError, ValueError):  # closed at our end, while waiting for it or before
            pass
        finally:
            client.close()

    def _connect(self, host: str, port: int) -> socket.socket:
        known = self._destinations.get(host)
        return socket.create_connection(("127.0.0.1", known) if known else (host, port), timeout=30)


def _copy(client: socket.socket, server: socket.socket) -> None:
    while True:
        readable, _, _ = select.select([client, server], [], [], 60)
        for each in readable:
            data = each.recv(65536)
            if not data:
                return
            (server if each is client else client).sendall(data)
        if not readable:
            return
