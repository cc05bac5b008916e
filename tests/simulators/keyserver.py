"""Certificates over HTTPS on loopback, from a server whose certificate a throw-away CA issued."""

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from tests.simulators.certificates import Authority

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


class KeyServer:
    """Serves what `answers` says for a path; `asked` are the paths that were asked for."""

    def __init__(self, authority: Authority) -> None:
        """Begins with the `with` statement."""
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            """Answers GET."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                """One request."""
                server.asked.append(self.path)
                found = server.answers.get(self.path, (404, {}, b""))
                status, headers, body = found() if callable(found) else found
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.issue(["localhost", "127.0.0.1"]))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def serve(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        """Answer a path so."""
        self.answers[path] = (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)

    def __enter__(self) -> "KeyServer":
        """Serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
