"""A TUF repository with a trusted root in it, signed for real, and a mirror of it on loopback.

Its metadata are objects of python-tuf's API: a test changes what it likes (`repository.timestamp.expires = ...`), and
`publish` signs all of it and puts the files where the mirror has them.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

TARGET = "trusted_root.json"
_ROLES = ("root", "timestamp", "snapshot", "targets")


def in_days(days: float) -> datetime:
    """A time as metadata have it."""
    return (datetime.now(timezone.utc) + timedelta(days=days)).replace(microsecond=0)


class TufRepository:
    """One repository.  `files` is what a mirror has: name -> content."""

    def __init__(self, content: bytes) -> None:
        """`content` is the trusted root.  Root and targets need two of two keys."""
        self.files: dict[str, bytes] = {}
        self.signers = {role: self._keys(role) for role in _ROLES}
        self.root = Root(expires=in_days(300), consistent_snapshot=True)
        self.timestamp = Timestamp(expires=in_days(3))
        self.snapshot = Snapshot(expires=in_days(20))
        self.targets = Targets(expires=in_days(200))
        for role in _ROLES:
            self._trust(role)
        self.publish_root()
        self.first_root = self.files["1.root.json"]
        self.put(content)
        self.publish()

    def put(self, content: bytes, name: str = TARGET) -> None:
        """Have a target, in metadata and file."""
        target = TargetFile.from_data(name, content)
        self.targets.targets[name] = target
        self.files[f"targets/{target.hashes['sha256']}.{name}"] = content

    def rotate(self, role: str = "root") -> None:
        """Another root, in which the role has other keys."""
        before = self.signers["root"]
        for signer in self.signers[role]:
            self.root.revoke_key(signer.public_key.keyid, role)
        self.signers[role] = self._keys(role)
        self._trust(role)
        self.root.version += 1
        self.publish_root(before if role == "root" else [])

    def publish_root(self, also: list[CryptoSigner] | None = None) -> None:
        """Sign the root as it is; `also` are the keys of the one before."""
        self.files[f"{self.root.version}.root.json"] = signed(self.root, [*(also or []), *self.signers["root"]])

    def publish(self, content: bytes | None = None) -> None:
        """The next version of everything but the root; with another trusted root, if there is one."""
        if content is not None:
            self.put(content)
        for each in (self.targets, self.snapshot, self.timestamp):
            each.version += 1
        self.sign()

    def sign(self) -> None:
        """Sign everything but the root, as it is."""
        self.snapshot.meta["targets.json"] = MetaFile(self.targets.version)
        self.timestamp.snapshot_meta = MetaFile(self.snapshot.version)
        self.files[f"{self.targets.version}.targets.json"] = signed(self.targets, self.signers["targets"])
        self.files[f"{self.snapshot.version}.snapshot.json"] = signed(self.snapshot, self.signers["snapshot"])
        self.files["timestamp.json"] = signed(self.timestamp, self.signers["timestamp"])

    def write(self, folder: Path) -> Path:
        """The mirror as a folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder

    def _keys(self, role: str) -> list[CryptoSigner]:
        return [CryptoSigner.generate_ed25519() for _ in range(2 if role in ("root", "targets") else 1)]

    def _trust(self, role: str) -> None:
        for signer in self.signers[role]:
            self.root.add_key(signer.public_key, role)
        self.root.roles[role].threshold = len(self.signers[role])


Role = TypeVar("Role", Root, Timestamp, Snapshot, Targets)


def signed(metadata: Role, signers: list[CryptoSigner]) -> bytes:
    """A metadata file."""
    made: Metadata[Role] = Metadata(metadata)
    for signer in signers:
        made.sign(signer, append=True)
    return made.to_bytes()


Misbehaviour = Callable[[BaseHTTPRequestHandler], None]


class TufMirror:
    """Serves a repository's files over plain HTTP; `asked` are the names that were asked for.

    `misbehaving` answers a name in its own way.  A mirror that is `down` closes each connection.
    """

    def __init__(self, repository: TufRepository) -> None:
        """Begins with the `with` statement."""
        self.repository = repository
        self.asked: list[str] = []
        self.misbehaving: dict[str, Misbehaviour] = {}
        self.down = False
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            """Answers GET."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                """One request."""
                name = self.path.removeprefix("/")
                mirror.asked.append(name)
                if mirror.down:
                    self.close_connection = True
                    return
                if name in mirror.misbehaving:
                    mirror.misbehaving[name](self)
                    return
                found = mirror.repository.files.get(name)
                respond(self, 404 if found is None else 200, found or b"")

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # who has gone is none
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> "TufMirror":
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


def respond(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """A whole answer."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def redirected(location: str) -> Misbehaviour:
    """Sends to another place."""
    return lambda handler: respond(handler, 302, b"", Location=location)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Sends chunks for as long as somebody listens."""
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"1000\r\n" + b"{" * 4096 + b"\r\n")
    except OSError:
        pass


def slow(handler: BaseHTTPRequestHandler) -> None:
    """Announces an answer, and sends a byte of it now and then."""
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b"{")
            handler.wfile.flush()
            time.sleep(0.1)
    except OSError:
        pass
