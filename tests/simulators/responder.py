"""Puts what the tests' own authorities say on HTTP: OCSP by GET and POST, revocation lists, timestamps.

Threads of this process serve it.  `listener` is a socket that already listens: on the loopback of this machine in unit
tests, or on that of a node (`tests.testbed.inside`).

    with Responder(socket.create_server(("127.0.0.1", 0))) as responder:
        responder.serve(acme.responder(0), acme.answer(0))
        responder.serve("/tsa", lambda query: tsa.answer(query, authority), REPLY_TYPE)
"""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Callable, NamedTuple

OCSP_TYPE = "application/ocsp-response"
LIST_TYPE = "application/pkix-crl"


class Served(NamedTuple):
    """What a path answers: bytes, or what a function makes of the question's body; after some seconds."""

    content: bytes | Callable[[bytes], bytes]
    media_type: str
    status: int
    after: float


class Responder:
    """The server.  Paths that nothing was given for are not found."""

    def __init__(self, listener: socket.socket) -> None:
        """Takes the socket over."""
        self.seen: list[tuple[str, str]] = []
        self._served: dict[str, Served] = {}
        self._server = _Server(listener, self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def base(self) -> str:
        """The address, without a path."""
        return f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def __enter__(self) -> "Responder":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and close the socket."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(
        self,
        path: str,
        content: bytes | Callable[[bytes], bytes],
        media_type: str = OCSP_TYPE,
        *,
        status: int = 200,
        after: float = 0,
    ) -> None:
        """Answer at `path`, and below it: an OCSP question by GET is part of the path."""
        self._served[path] = Served(content, media_type, status, after)

    def asked(self, path: str) -> int:
        """How often anybody asked at `path`, or below it."""
        return sum(_below(each, path) for _, each in self.seen)

    def find(self, method: str, path: str) -> Served:
        """What is served at `path`; counted as asked."""
        self.seen.append((method, path))
        found = [served for prefix, served in list(self._served.items()) if _below(path, prefix)]
        return found[0] if found else Served(b"not found", "text/plain", 404, 0)


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, responder: Responder) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.responder = responder

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes) -> None:
        served = self.server.responder.find(self.command, self.path)
        time.sleep(served.after)
        content = served.content if isinstance(served.content, bytes) else served.content(body)
        self.send_response(served.status)
        self.send_header("Content-Type", served.media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""
