"""A registry that is pushed to, in memory, on loopback: blobs and manifests, behind Basic, Bearer or nothing.

Uploads begin where `uploads` says: a path of this registry, or an address elsewhere.
"""

import base64
import hashlib
import http.server
import json
import threading
import urllib.parse
from types import TracebackType

USER, PASSWORD, TOKEN = "builder", "s3cret-word", "t0ken-of-this-test"


class PushRegistry:
    """Runs in a thread of its own; `requests` are what it was asked, as "METHOD PATH", without queries."""

    def __init__(self, *, wants: str = "") -> None:
        """`wants` is the scheme that it asks for: "", "basic" or "bearer"."""
        self.wants = wants
        self.uploads = "/uploads/1?state=x"
        self.realm = ""
        self.lies = False
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.scopes: list[str] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def host(self) -> str:
        """Address and port."""
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "PushRegistry":
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def lets_in(self, authorization: str) -> bool:
        """Whether this Authorization is what it wants."""
        wanted = {"": authorization, "basic": basic(), "bearer": f"Bearer {TOKEN}"}
        return authorization == wanted[self.wants]

    def challenge(self) -> str:
        """What it answers everybody else."""
        realm = self.realm or f"http://{self.host}/token"
        return 'Basic realm="x"' if self.wants == "basic" else f'Bearer realm="{realm}",service="here"'


def basic() -> str:
    """The Authorization of `USER`."""
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def _handler(registry: PushRegistry) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._note()
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            registry.scopes += query.get("scope", [])
            if self.headers.get("Authorization") != basic():
                self._answer(401)
                return
            self._answer(200, json.dumps({"token": TOKEN}).encode())

        def do_HEAD(self) -> None:
            self._note()
            if self._is_in():
                self._answer(200 if self.path.rsplit("/", 1)[1] in registry.blobs else 404)

        def do_POST(self) -> None:
            self._note()
            self._body()
            if self._is_in():
                self._answer(202, headers={"Location": registry.uploads})

        def do_PUT(self) -> None:
            self._note()
            body = self._body()
            if not self._is_in():
                return
            parts = urllib.parse.urlsplit(self.path)
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            if "/manifests/" in parts.path:
                registry.manifests[parts.path.rsplit("/", 1)[1]] = body
                self._answer(201, headers={"Docker-Content-Digest": "sha256:" + "0" * 64 if registry.lies else digest})
            elif urllib.parse.parse_qs(parts.query).get("digest") == [digest]:
                registry.blobs[digest] = body
                self._answer(201)
            else:
                self._answer(400, b"digest")

        def _note(self) -> None:
            registry.requests.append(f"{self.command} {urllib.parse.urlsplit(self.path).path}")

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _is_in(self) -> bool:
            if registry.lets_in(self.headers.get("Authorization", "")):
                return True
            self._answer(401, headers={"WWW-Authenticate": registry.challenge()})
            return False

        def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Handler
