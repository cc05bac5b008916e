"""The client of the CRI, against a runtime of the tests' own and against things that are none."""

import contextlib
import pathlib
import socket
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from agent.adapters import cri, unary
from agent.adapters.cri import Cri, Image, Runtime
from agent.adapters.unary import Reply, RpcError, call
from agent.wiring.proof import Pulled
from tests.simulators.cri import CriSimulator, serve_bytes

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0"), ("grpc-message", "")]


@pytest.fixture(autouse=True)
def _ample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever serves may be kept from the processor."""
    monkeypatch.setattr(cri, "_SECONDS", 60.0)
    monkeypatch.setattr(cri, "_PULL_SECONDS", 60.0)


def test_version_and_images_are_read_and_pulls_are_asked_for(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "s"
    with CriSimulator(path) as runtime:
        runtime.images = [(["r.example/a:1"], [f"r.example/a@sha256:{'1' * 64}"]), ([], [])]
        runtime.refusal = (7, "na\u00efve 100% refusal")

        async def body() -> None:
            asked = Cri(str(path))
            assert await asked.version() == Runtime("containerd", "2.1.9")
            assert await asked.images() == (
                Image(("r.example/a:1",), (f"r.example/a@sha256:{'1' * 64}",)),
                Image((), ()),
            )
            assert await asked.pull("r.example/b:1") == Pulled(7, "na\u00efve 100% refusal")

        anyio.run(body)
        assert runtime.pulls == ["r.example/b:1"]


def test_images_are_bounded_in_number(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cri, "MOST_IMAGES", 3)
    with CriSimulator(tmp_path / "s") as runtime:
        runtime.images = [([f"r.example/a:{number}"], []) for number in range(5)]
        assert len(anyio.run(Cri(str(tmp_path / "s")).images)) == 3


def test_answers_of_many_megabytes_are_read_and_larger_ones_are_not(tmp_path: pathlib.Path) -> None:
    with CriSimulator(tmp_path / "s") as runtime:
        runtime.images = [([f"r.example/{'x' * 1000}:{number}"], []) for number in range(3000)]
        assert len(anyio.run(Cri(str(tmp_path / "s")).images)) == 3000

        async def body() -> Reply:
            method = "/runtime.v1.ImageService/ListImages"
            return await call(str(tmp_path / "s"), method, b"", seconds=60, most=1_000_000)

        with pytest.raises(RpcError, match="got an answer of more than 1000000 bytes"):
            anyio.run(body)


def test_refusals_text_of_a_verifier_that_says_much_is_read(tmp_path: pathlib.Path) -> None:
    with CriSimulator(tmp_path / "s") as runtime:
        runtime.refusal = (2, "\u00e9\n" * 8000)
        assert anyio.run(Cri(str(tmp_path / "s")).pull, "r.example/a:1") == Pulled(2, "\u00e9\n" * 8000)


def test_method_that_is_not_there_is_an_error_where_an_answer_is_expected(tmp_path: pathlib.Path) -> None:
    with CriSimulator(tmp_path / "s"), pytest.raises(RpcError, match="Version: got status 12: "):
        anyio.run(lambda: Cri(str(tmp_path / "s"))._asked("RuntimeService/Nothing", "Version"))


class Server:
    """The other side of HTTP/2, as far as these tests lie with it."""

    def __init__(self, connection: socket.socket) -> None:
        """Reads the whole request."""
        self.connection = connection
        self.http = H2Connection(H2Configuration(client_side=False))
        self.http.initiate_connection()
        connection.settimeout(30)
        ended = False
        while not ended:
            ended = any(isinstance(event, StreamEnded) for event in self.http.receive_data(connection.recv(65536)))
            self.flush()

    def flush(self) -> None:
        """Send what is due."""
        self.connection.sendall(self.http.data_to_send())

    def answer(self, content: bytes, trailers: list[tuple[str, str]] | None) -> None:
        """One whole answer."""
        self.http.send_headers(1, HEADERS)
        self.http.send_data(1, content, end_stream=trailers is None)
        if trailers is not None:
            self.http.send_headers(1, trailers, end_stream=True)
        self.flush()


def message(content: bytes) -> bytes:
    """A message's frame."""
    return b"\0" + len(content).to_bytes(4, "big") + content


def reset(connection: socket.socket) -> None:
    server = Server(connection)
    server.http.reset_stream(1, 7)
    server.flush()


def goes_away(connection: socket.socket) -> None:
    server = Server(connection)
    server.http.close_connection(2)
    server.flush()


def speaks_http_1(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def speaks_rubbish(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"\0\0\1\0\0\0\0\0\1x")
    connection.recv(65536)


def never_ends(connection: socket.socket) -> None:
    connection.recv(65536)
    with contextlib.suppress(ConnectionError):
        for _ in range(100):
            connection.sendall(b"\xff" * 65536)


LIES: dict[str, tuple[Callable[[socket.socket], None], str]] = {
    "closes": (lambda connection: None, "the connection ended before an answer"),
    "speaks HTTP/1": (speaks_http_1, "the connection ended before an answer"),
    "speaks rubbish": (speaks_rubbish, "got no HTTP/2: ProtocolError"),
    "never ends": (never_ends, "got more than"),
    "no status": (lambda each: Server(each).answer(message(b""), None), "without a status of gRPC"),
    "status of letters": (lambda each: Server(each).answer(b"", [("grpc-status", "x")]), "without a status of gRPC"),
    "status of other digits": (lambda each: Server(each).answer(b"", [("grpc-status", "\u0663")]), "without a status"),
    "torn message": (lambda each: Server(each).answer(message(b"abc")[:-1], OK), "got a torn message"),
    "two messages": (lambda each: Server(each).answer(message(b"") * 2, OK), "got a torn message"),
    "no message": (lambda each: Server(each).answer(b"", OK), "got a torn message"),
    "compressed": (lambda each: Server(each).answer(b"\1\0\0\0\0", OK), "got a torn message"),
    "no protobuf": (lambda each: Server(each).answer(message(b"\xff\xff"), OK), "something else than the message"),
    "resets": (reset, r"ended by the other side \(code 7\)"),
    "goes away": (goes_away, r"ended by the other side \(code 2\)"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_runtime_gives_no_answer(tmp_path: pathlib.Path, lie: str) -> None:
    behaviour, said = LIES[lie]
    with serve_bytes(tmp_path / "s", behaviour), pytest.raises(RpcError, match=said):
        anyio.run(Cri(str(tmp_path / "s")).version)


def test_message_in_many_pieces_is_whole(tmp_path: pathlib.Path) -> None:
    def drips(connection: socket.socket) -> None:
        server = Server(connection)
        server.http.send_headers(1, HEADERS)
        for each in message(cri._CLASSES["VersionResponse"](runtime_name="n").SerializeToString()):
            server.http.send_data(1, bytes([each]))
            server.flush()
        server.http.send_headers(1, OK, end_stream=True)
        server.flush()

    with serve_bytes(tmp_path / "s", drips):
        assert anyio.run(Cri(str(tmp_path / "s")).version) == Runtime("n", "")


def test_silence_ends_in_time(tmp_path: pathlib.Path) -> None:
    over = time.monotonic() + 25

    def waits(connection: Any) -> None:
        connection.settimeout(30)
        while connection.recv(65536):
            pass

    async def body() -> Reply:
        return await call(str(tmp_path / "s"), "/x/y", b"", seconds=0.3)

    with serve_bytes(tmp_path / "s", waits), pytest.raises(RpcError, match=r"got no answer within 0\.3 s"):
        anyio.run(body)
    assert time.monotonic() < over


def test_place_without_a_socket_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RpcError, match="got No such file or directory; expected a runtime"):
        anyio.run(Cri(str(tmp_path / "none")).version)
    (tmp_path / "file").touch()
    with pytest.raises(RpcError, match="got Connection refused; expected a runtime"):
        anyio.run(Cri(str(tmp_path / "file")).version)
    assert unary.MOST_ANSWER == 16 * 1024 * 1024
