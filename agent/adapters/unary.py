"""One gRPC call over a unix socket: a request, an answer, in a time and of a size that the caller bounds.

gRPC is HTTP/2 with five bytes in front of each message, and a status in the trailers; HTTP/2 is h2's
(https://grpc.io/docs, "gRPC over HTTP2").  Each call has a connection of its own: nothing has to
be kept alive or noticed to be dead, and on this host a connection costs nothing.  Why not a gRPC library:
docs/proof.md.
"""

from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

import anyio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from agent.errors import HostError

MOST_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer; containerd sends no more than this unless told otherwise."""

_MOST_HEADERS = 256 * 1024  # a verifier may say 32 KiB, of which each byte may become three
_CHUNK = 64 * 1024
_HEAD = 5
_STREAM = 1


class RpcError(HostError):
    """No answer that is one: nobody listens, the time is over, or what came is no gRPC."""


class Reply(NamedTuple):
    """Status code of gRPC, 0 for success; its text; the message, empty unless the code is 0."""

    code: int
    text: str
    message: bytes


class Call:
    """The protocol of one call, without I/O: bytes in, bytes out."""

    def __init__(self, method: str, request: bytes, *, seconds: float, most: int) -> None:
        """`method` is its path; an answer of more than `most` bytes is none."""
        self._most = most
        self._left = most + 4 * _MOST_HEADERS  # frames have heads, and h2 waits for whole ones
        self._content = bytearray()
        self._headers: dict[str, str] = {}
        self._ended = False
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._http.initiate_connection()
        self._http.update_settings({SettingCodes.MAX_HEADER_LIST_SIZE: _MOST_HEADERS})
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),  # codespell:ignore te
            ("grpc-timeout", f"{int(seconds * 1000)}m"),
        ]
        self._http.send_headers(_STREAM, headers)
        self._http.send_data(_STREAM, b"\0" + len(request).to_bytes(4, "big") + request, end_stream=True)

    def to_send(self) -> bytes:
        """What is due to be sent; may be empty."""
        return self._http.data_to_send()

    def receive(self, data: bytes) -> Reply | None:
        """The reply, once it is whole.  Raises `RpcError`."""
        self._left -= len(data)
        if self._left < 0:
            raise RpcError(f"got more than an answer of {self._most} bytes takes")
        try:
            for event in self._http.receive_data(data):
                self._happened(event)
        except (H2Error, UnicodeError) as error:
            raise RpcError(f"got no HTTP/2: {type(error).__name__}; expected gRPC") from None
        return self._reply() if self._ended else None

    def _happened(self, event: Event) -> None:
        if isinstance(event, (ResponseReceived, TrailersReceived)):
            self._headers.update((_text(name), _text(value)) for name, value in event.headers)
        elif isinstance(event, DataReceived):
            self._content += event.data
            if len(self._content) > self._most + _HEAD:
                raise RpcError(f"got an answer of more than {self._most} bytes")
            self._http.acknowledge_received_data(event.flow_controlled_length, _STREAM)
        elif isinstance(event, StreamEnded):
            self._ended = True
        elif isinstance(event, (StreamReset, ConnectionTerminated)):
            raise RpcError(f"the call was ended by the other side (code {int(event.error_code or 0)})")

    def _reply(self) -> Reply:
        code, text = self._headers.get("grpc-status", ""), self._headers.get("grpc-message", "")
        if not (code.isascii() and code.isdecimal()):
            raise RpcError(f"got status {self._headers.get(':status')} without a status of gRPC; expected one")
        if int(code) != 0:
            return Reply(int(code), unquote(text), b"")
        compressed, length = self._content[:1] != b"\0", int.from_bytes(self._content[1:_HEAD], "big")
        if len(self._content) != _HEAD + length or compressed:
            raise RpcError("got a torn message; expected a whole one, not compressed")
        return Reply(0, "", bytes(self._content[_HEAD:]))


async def call(socket: str, method: str, request: bytes, *, seconds: float, most: int = MOST_ANSWER) -> Reply:
    """Make one call at a unix socket.  Raises `RpcError`."""
    try:
        with anyio.fail_after(seconds):
            async with await anyio.connect_unix(socket) as stream:
                made = Call(method, request, seconds=seconds, most=most)
                reply = None
                while reply is None:
                    if due := made.to_send():
                        with suppress(
                            anyio.BrokenResourceError
                        ):  # who has said all may have gone: it is still to be read
                            await stream.send(due)
                    reply = made.receive(await stream.receive(_CHUNK))
                return reply
    except TimeoutError:
        raise RpcError(f"{socket}: got no answer within {seconds:g} s") from None
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        raise RpcError(f"{socket}: the connection ended before an answer") from None
    except OSError as error:
        raise RpcError(f"{socket}: got {error.strerror or type(error).__name__}; expected a runtime") from None


def _text(value: "str | bytes") -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
