"""A container runtime's CRI of the tests' own: at a unix socket, by real gRPC, with as much of it as is asked.

    with CriSimulator(folder / "cri.sock") as runtime:
        runtime.verifies = False      # it pulls without asking anybody

Pulls of a canary go as containerd's do: resolved at the witness, refused by the verifier or fetched.
"""

import http.client
import pathlib
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from agent.adapters import cri
from agent.fastpath import canary_line

_MEDIA_TYPE = {"Accept": "application/vnd.oci.image.manifest.v1+json"}


class CriSimulator:
    """A runtime between `with` and its end."""

    def __init__(self, socket: pathlib.Path) -> None:
        """Nothing is served yet."""
        self.name, self.version = "containerd", "2.1.9"
        self.verifies = True
        self.refusal: tuple[int, str] | None = None
        """What every pull is answered with, if anything."""
        self.images: list[tuple[list[str], list[str]]] = []
        """Tags and digests of what is present."""
        self.pulls: list[str] = []
        self.lock = threading.Lock()
        self._socket = socket
        self._server: Any = None

    def __enter__(self) -> "CriSimulator":
        """Serve."""
        self._server = grpc.server(ThreadPoolExecutor(4))
        for service in ("ImageService", "RuntimeService"):
            names = {"ImageService": ("PullImage", "ListImages"), "RuntimeService": ("Version",)}[service]
            handlers: dict[str, Any] = {
                name: grpc.unary_unary_rpc_method_handler(
                    getattr(self, f"_{name}"),
                    request_deserializer=cri._CLASSES[f"{name}Request"].FromString,
                    response_serializer=lambda message: message.SerializeToString(),
                )
                for name in names
            }
            generic = grpc.method_handlers_generic_handler(f"runtime.v1.{service}", handlers)
            self._server.add_generic_rpc_handlers((generic,))
        self._server.add_insecure_port(f"unix:{self._socket}")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, at once; the socket goes."""
        self._server.stop(0).wait()

    def _Version(self, request: Any, context: Any) -> Any:
        return cri._CLASSES["VersionResponse"](runtime_name=self.name, runtime_version=self.version)

    def _ListImages(self, request: Any, context: Any) -> Any:
        answer = cri._CLASSES["ListImagesResponse"]()
        for number, (tags, digests) in enumerate(self.images):
            answer.images.add(id=f"sha256:{number}", repo_tags=tags, repo_digests=digests)
        return answer

    def _PullImage(self, request: Any, context: Any) -> Any:
        with self.lock:
            self.pulls.append(request.image.image)
        code, text = self.refusal or self._pulled(request.image.image)
        if code:
            context.set_code(_CODES[code])
            context.set_details(text)
        return cri._CLASSES["PullImageResponse"]()

    def _pulled(self, image: str) -> tuple[int, str]:
        host, _, rest = image.partition("/")
        repository, _, tag = rest.partition(":")
        digest = _ask(host, "HEAD", f"/v2/{repository}/manifests/{tag}").getheader("Docker-Content-Digest")
        failed = f'failed to pull and unpack image "{image}": '
        if not self.verifies:
            _ask(host, "GET", f"/v2/{repository}/manifests/{digest}")
            return 5, f"{failed}failed to copy: not found"
        line = canary_line(image).decode().strip()
        return 2, (
            f"{failed}image verifier bindir blocked pull of {image} with digest {digest} for reason: "
            f"verifier 00-nodeseal rejected image (exit code 10): {line}"
        )


_CODES: dict[int, Any] = {each.value[0]: each for each in grpc.StatusCode}


def _ask(host: str, method: str, path: str) -> http.client.HTTPResponse:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, context=context, timeout=60)
    try:
        connection.request(method, path, headers=_MEDIA_TYPE)
        return connection.getresponse()
    finally:
        connection.close()


def serve_bytes(socket_path: pathlib.Path, answer: Callable[[Any], None]) -> "_Bytes":
    """A runtime that is none: `answer` is called with each connection."""
    return _Bytes(socket_path, answer)


class _Bytes:
    def __init__(self, path: pathlib.Path, answer: Callable[[Any], None]) -> None:
        import socket

        self._answer = answer
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "_Bytes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        import socket

        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)
