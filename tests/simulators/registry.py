"""A registry of the tests' own: in memory, on 127.0.0.1, well-behaved until told otherwise.

Serves what was put into it, takes pushes (`notation`, `oras`, `crane` can work against it), has the referrers API or
leaves clients to the referrers tag, may ask for a token, may speak TLS.  Counts requests by kind.  Behaviours of
`tests.simulators.misbehaviour` are put in front of a kind of request with `misbehave`.

    with RegistrySimulator() as registry:
        image = registry.push_image("shop/cart", "1")
        registry.attach("shop/cart", image, "application/vnd.example", b"evidence")

By hand: `python -m tests.simulators.registry --port 5000`.
"""

import argparse
import hashlib
import json
import re
import socket
import ssl
import sys
import threading
import uuid
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Mapping, NamedTuple
from urllib.parse import parse_qs, urlsplit

from agent.model.descriptor import Descriptor
from agent.model.digest import Digest
from agent.model.manifest import EMPTY_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST

TOKEN = "simulated-token"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_PATH = re.compile(r"/v2/(?P<repository>.+?)/(?P<kind>manifests|blobs|referrers)/(?P<name>(?:uploads/)?[^/]*)\Z")


class Seen(NamedTuple):
    """One request that arrived.  Header names are lower-case."""

    method: str
    kind: str
    target: str
    headers: Mapping[str, str]


class Manifest(NamedTuple):
    """A stored manifest."""

    media_type: str
    content: bytes


class Contents:
    """What one repository holds, by digest (`algorithm:hex`), and its tags."""

    def __init__(self) -> None:
        """Nothing."""
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, Manifest] = {}
        self.tags: dict[str, str] = {}
        self.uploads: dict[str, bytes] = {}

    def referrers(self, subject: str) -> list[dict[str, Any]]:
        """Descriptors of every manifest that points at `subject`."""
        found = []
        for digest, stored in self.manifests.items():
            value = json.loads(stored.content)
            if (value.get("subject") or {}).get("digest") != subject:
                continue
            descriptor = {"mediaType": stored.media_type, "digest": digest, "size": len(stored.content)}
            artifact_type = value.get("artifactType") or (value.get("config") or {}).get("mediaType")
            if artifact_type:
                descriptor["artifactType"] = artifact_type
            if value.get("annotations"):
                descriptor["annotations"] = value["annotations"]
            found.append(descriptor)
        return found


class RegistrySimulator:
    """A registry that runs between `with` and its end."""

    def __init__(
        self,
        *,
        port: int = 0,
        referrers_api: bool = True,
        asks_for_token: bool = False,
        certificate: str = "",
    ) -> None:
        """`certificate` is the path of a PEM file with key and chain: with it the registry speaks TLS."""
        self.repositories: dict[str, Contents] = {}
        self.referrers_api = referrers_api
        self.asks_for_token = asks_for_token
        self.realm = ""
        """The realm of challenges, "" for the registry's own /token."""
        self.seen: list[Seen] = []
        self.stopping = threading.Event()
        self.unexpected: list[BaseException] = []
        self._behaviours: dict[str, Callable[[Handler], bool]] = {}
        self._server = _Server(self, port, certificate)
        self._scheme = "https" if certificate else "http"

    def __enter__(self) -> "RegistrySimulator":
        """Start."""
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and raise what went wrong in the simulator itself."""
        self.stopping.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        if self.unexpected:
            raise self.unexpected[0]

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        """Host and port, as they stand in an image reference."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{self._scheme}://{self.host}"

    @property
    def counts(self) -> Counter[str]:
        """How many requests of each kind arrived."""
        return Counter(each.kind for each in self.seen)

    @property
    def authorizations(self) -> list[str]:
        """Every Authorization header that arrived."""
        return [each.headers["authorization"] for each in self.seen if "authorization" in each.headers]

    def contents(self, repository: str) -> Contents:
        """What `repository` holds; it is made when first asked for."""
        return self.repositories.setdefault(repository, Contents())

    def misbehave(self, kind: str, behaviour: "Callable[[Handler], bool]") -> None:
        """Let `behaviour` answer requests of `kind` ("*" for all); what it returns False for goes on as usual."""
        self._behaviours[kind] = behaviour

    def behave(self) -> None:
        """Answer everything as usual again."""
        self._behaviours.clear()

    def behaviour(self, kind: str) -> "Callable[[Handler], bool] | None":
        """What answers requests of `kind` first."""
        return self._behaviours.get(kind) or self._behaviours.get("*")

    def push_blob(self, repository: str, content: bytes, media_type: str = _LAYER) -> Descriptor:
        """Store a blob."""
        digest = Digest.of(content)
        self.contents(repository).blobs[str(digest)] = content
        return Descriptor(media_type, digest, len(content))

    def push_manifest(
        self,
        repository: str,
        content: bytes,
        media_type: str = IMAGE_MANIFEST,
        *,
        tag: str = "",
        algorithm: str = "sha256",
    ) -> Descriptor:
        """Store a manifest, under a tag too if one is given."""
        digest = Digest.of(content, algorithm)
        contents = self.contents(repository)
        contents.manifests[str(digest)] = Manifest(media_type, content)
        if tag:
            contents.tags[tag] = str(digest)
        return Descriptor(media_type, digest, len(content))

    def push_image(
        self, repository: str, tag: str = "latest", *, salt: str = "", algorithm: str = "sha256"
    ) -> Descriptor:
        """Store an image of one layer; `salt` makes another one of it."""
        config = self.push_blob(repository, json.dumps({"salt": salt}).encode(), _CONFIG)
        layer = self.push_blob(repository, b"layer of " + salt.encode())
        value = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "config": _json(config), "layers": [_json(layer)]}
        return self.push_manifest(repository, json.dumps(value).encode(), tag=tag, algorithm=algorithm)

    def attach(self, repository: str, subject: Descriptor, artifact_type: str, *blobs: bytes) -> Descriptor:
        """Store a referrer of `subject`; without the referrers API its tag is kept too, as clients do."""
        config = self.push_blob(repository, b"{}", EMPTY_CONFIG)
        value = {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "artifactType": artifact_type,
            "config": _json(config),
            "layers": [_json(self.push_blob(repository, blob)) for blob in blobs],
            "subject": _json(subject),
        }
        pushed = self.push_manifest(repository, json.dumps(value).encode())
        if not self.referrers_api:
            self.tag_referrers(repository, subject)
        return pushed._replace(artifact_type=artifact_type)

    def tag_referrers(self, repository: str, subject: Descriptor) -> None:
        """Write the referrers tag of `subject` anew."""
        found = self.contents(repository).referrers(str(subject.digest))
        tag = f"{subject.digest.algorithm}-{subject.digest.encoded}"[:71]
        self.push_manifest(repository, index_of(found), IMAGE_INDEX, tag=tag)


def index_of(descriptors: list[dict[str, Any]]) -> bytes:
    """An image index that lists `descriptors`."""
    return json.dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": descriptors}).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests.  Behaviours use `answer`, or write to `wfile` themselves."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def setup(self) -> None:
        """TLS is shaken hands on here, in the connection's own thread."""
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(60)
            self.request.do_handshake()
        super().setup()

    @property
    def simulator(self) -> RegistrySimulator:
        """Whose connection this is."""
        return self.server.simulator

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> bool:
        """Send a whole response; underscores in header names stand for hyphens."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return True

    def head(self, status: int, *lines: str) -> bool:
        """Send status and header lines as they are; the connection ends after the response."""
        self.wfile.write("\r\n".join([f"HTTP/1.1 {status} Status", *lines, "", ""]).encode("latin-1"))
        self.close_connection = True
        return True

    def _handle(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        match = _PATH.match(path)
        kind = _kind(path, match)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.simulator.seen.append(Seen(self.command, kind, self.path, headers))
        behaviour = self.simulator.behaviour(kind)
        if behaviour is not None and behaviour(self):
            return
        if kind == "token":
            self.answer(200, json.dumps({"token": TOKEN, "expires_in": 60}).encode(), Content_Type="application/json")
        elif self.simulator.asks_for_token and headers.get("authorization") != f"Bearer {TOKEN}":
            self._body()
            self.challenge()
        elif kind == "base":
            self.answer(200, b"{}")
        elif match is None:
            self.answer(404, b"404 page not found\n", Content_Type="text/plain")
        else:
            serve = getattr(self, f"_{self.command.lower()}_{match['kind']}", None)
            if serve is None:
                self._body()
                self.answer(405)
            else:
                serve(self.simulator.contents(match["repository"]), match["repository"], match["name"], query)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _handle

    def challenge(self, extra: str = "") -> bool:
        """Ask for a token."""
        realm = self.simulator.realm or f"{self.simulator.url}/token"
        value = f'Bearer realm="{realm}",service="simulator",scope="repository:some,thing:pull"{extra}'
        return self.answer(401, b'{"errors": [{"code": "UNAUTHORIZED"}]}', WWW_Authenticate=value)

    def _missing(self, code: str) -> None:
        self.answer(404, json.dumps({"errors": [{"code": code}]}).encode(), Content_Type="application/json")

    def _get_manifests(self, contents: Contents, repository: str, name: str, query: Mapping[str, list[str]]) -> None:
        digest = contents.tags.get(name, name)
        stored = contents.manifests.get(digest)
        if stored is None:
            self._missing("MANIFEST_UNKNOWN")
            return
        self.answer(200, stored.content, Content_Type=stored.media_type, Docker_Content_Digest=digest)

    _head_manifests = _get_manifests

    def _put_manifests(self, contents: Contents, repository: str, name: str, query: Mapping[str, list[str]]) -> None:
        content = self._body()
        algorithm = name.partition(":")[0] if ":" in name else "sha256"
        media_type = self.headers.get("Content-Type", IMAGE_MANIFEST)
        tag = "" if ":" in name else name
        pushed = self.simulator.push_manifest(repository, content, media_type, tag=tag, algorithm=algorithm)
        subject = (json.loads(content).get("subject") or {}).get("digest")
        told = {"OCI_Subject": subject} if subject and self.simulator.referrers_api else {}
        where = f"/v2/{repository}/manifests/{pushed.digest}"
        self.answer(201, Location=where, Docker_Content_Digest=str(pushed.digest), **told)

    def _delete_manifests(self, contents: Contents, repository: str, name: str, query: Mapping[str, list[str]]) -> None:
        if contents.tags.pop(name, None) is None and contents.manifests.pop(name, None) is None:
            self._missing("MANIFEST_UNKNOWN")
            return
        contents.tags = {tag: digest for tag, digest in contents.tags.items() if digest != name}
        self.answer(202)

    def _get_blobs(self, contents: Contents, repository: str, name: str, query: Mapping[str, list[str]]) -> None:
        content = contents.blobs.get(name)
        if content is None:
            self._missing("BLOB_UNKNOWN")
            return
        self.answer(200, content, Content_Type="application/octet-stream", Docker_Content_Digest=name)

    _head_blobs = _get_blobs

    def _post_blobs(self, contents: Contents, repository: str, name: str, query: Mapping[str, list[str]]) -> None:
        content = self._body()
        mount, source = query.get("mount", [""])[0], query.get("from", [repository])[0]
        if mount and mount in self.simulator.contents(source).blobs:
            contents.blobs[mount] = self.simulator.contents(source).blobs[mount]
            self.answer(201, Location=f"/v2/{repository}/blobs/{mount}", Docker_Content_Digest=mount)
        elif "digest" in query:
            self._finish(contents, repository, query["digest"][0], content)
        else:
            upload = uuid.uuid4().hex
            contents.uploads[upload] = b""
            where = f"/v2/{repository}/blobs/uploads/{upload}"
            self.answer(202, Location=where, Docker_Upload_UUID=upload, Range="0-0")

    def _patch_blobs(self, contents: Contents, repository: str, name: str, query: Mapping[str, list[str]]) -> None:
        upload = name.removeprefix("uploads/")
        contents.uploads[upload] = contents.uploads.get(upload, b"") + self._body()
        end = max(len(contents.uploads[upload]) - 1, 0)
        self.answer(202, Location=f"/v2/{repository}/blobs/{name}", Range=f"0-{end}")

    def _put_blobs(self, contents: Contents, repository: str, name: str, query: Mapping[str, list[str]]) -> None:
        content = contents.uploads.pop(name.removeprefix("uploads/"), b"") + self._body()
        self._finish(contents, repository, query.get("digest", [""])[0], content)

    def _finish(self, contents: Contents, repository: str, digest: str, content: bytes) -> None:
        algorithm, _, encoded = digest.partition(":")
        if algorithm not in ("sha256", "sha512") or hashlib.new(algorithm, content).hexdigest() != encoded:
            self.answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}')
            return
        contents.blobs[digest] = content
        self.answer(201, Location=f"/v2/{repository}/blobs/{digest}", Docker_Content_Digest=digest)

    def _delete_blobs(self, contents: Contents, repository: str, name: str, query: Mapping[str, list[str]]) -> None:
        if contents.blobs.pop(name, None) is None:
            self._missing("BLOB_UNKNOWN")
            return
        self.answer(202)

    def _get_referrers(self, contents: Contents, repository: str, name: str, query: Mapping[str, list[str]]) -> None:
        if not self.simulator.referrers_api:
            self.answer(404, b"404 page not found\n", Content_Type="text/plain")
            return
        found, told = contents.referrers(name), {}
        if "artifactType" in query:
            found = [each for each in found if each.get("artifactType") == query["artifactType"][0]]
            told = {"OCI_Filters_Applied": "artifactType"}
        self.answer(200, index_of(found), Content_Type=IMAGE_INDEX, **told)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return content


def _kind(path: str, match: re.Match[str] | None) -> str:
    if path == "/token":
        return "token"
    if path in ("/v2", "/v2/"):
        return "base"
    if match is None:
        return "other"
    if match["name"].startswith("uploads/"):
        return "upload"
    if match["kind"] == "manifests":
        return "manifest" if ":" in match["name"] else "tag"
    return {"blobs": "blob", "referrers": "referrers"}[match["kind"]]


def _json(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True  # after `hang_up` no thread has anything to wait for
    request_queue_size = 128

    def __init__(self, simulator: RegistrySimulator, port: int, certificate: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.simulator = simulator
        self._connections: set[socket.socket] = set()
        self._context: ssl.SSLContext | None = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forget and close a connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection, whatever its thread is doing."""
        for connection in list(self._connections):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is none of our errors; anything else is told at the end."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.simulator.unexpected.append(error)


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulators.registry", description="A registry in memory.")
    parser.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--tag-schema", action="store_true", help="have no referrers API")
    parser.add_argument("--ask-for-token", action="store_true", help="want an anonymous token")
    options = parser.parse_args()
    simulated = RegistrySimulator(
        port=options.port, referrers_api=not options.tag_schema, asks_for_token=options.ask_for_token
    )
    with simulated:
        print(f"registry on {simulated.url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
