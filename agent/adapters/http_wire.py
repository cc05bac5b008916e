"""One HTTP/1.1 exchange on a connected socket, read through `http.client` with bounds of our own.

What `http.client` leaves open is closed here: a deadline that holds for every read (a socket's time-out starts anew
with each byte), a budget of raw bytes per response (headers, chunk framing and trailers included), no content or
transfer codings but chunked, no contradicting lengths, no half-parsed headers.
"""

import io
import socket
import time
from http.client import HTTPResponse
from typing import Callable, NamedTuple, cast

from agent.errors import LimitExceeded, Malformed
from agent.registry.limits import MAX_ERROR_BODY
from agent.registry.messages import Response

HEADER_BUDGET = 256 * 1024
"""Raw bytes of a response besides its body: status lines, headers, chunk framing, trailers, one buffer read ahead."""

_CHUNK = 64 * 1024
_BUFFER = 8 * 1024


class Deadline(NamedTuple):
    """An absolute time of a monotonic clock."""

    at: float
    clock: Callable[[], float] = time.monotonic

    def remaining(self) -> float:
        """Seconds left.  Raises `TimeoutError` if there are none."""
        left = self.at - self.clock()
        if left <= 0:
            raise TimeoutError("deadline")
        return left

    def over(self) -> bool:
        """Whether it has passed; a time-out that was set to end with it may be early by its rounding."""
        return self.clock() >= self.at - 0.005


class Wire:
    """A connected socket under a deadline: what `http.client` reads responses from."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        """Takes the socket over, and closes it."""
        self.socket = connected
        self._deadline = deadline
        self._budget = 0

    def exchange(self, message: bytes, limit: int, what: str) -> tuple[Response, bool]:
        """Send a request and read its response; also say whether the connection may be used again.

        Raises `LimitExceeded`, `Malformed`, and whatever sockets and `http.client` raise.
        """
        self._budget = HEADER_BUDGET + limit
        self._send(message)
        response = self._response()
        with response:
            _check_headers(response, what)
            headers = tuple((name.lower(), _unfolded(value)) for name, value in response.getheaders())
            keep = not response.will_close
            try:
                if response.status == 200:
                    body = _whole_body(response, limit, what)
                else:
                    body, whole = _start_of_body(response)
                    keep = keep and whole
            except ValueError as error:  # a chunk of negative size
                raise Malformed(f"{what}: got a body that is not framed as HTTP/1.1 has it") from error
        return Response(response.status, headers, body), keep

    def tunnel(self, head: bytes) -> int:
        """Send a CONNECT and return the proxy's status.  After 200 the socket is the other end's."""
        self._budget = HEADER_BUDGET
        self._send(head)
        response = self._response(method="CONNECT")
        response.close()
        return response.status

    def is_quiet(self) -> bool:
        """Whether an idle connection is as we left it: one with bytes or an end to read must not be used again."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError as error:
            from ssl import SSLWantReadError

            return isinstance(error, SSLWantReadError)
        return False

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def makefile(self, mode: str) -> io.BufferedReader:
        """What `http.client` calls: a reader under the deadline and the budget."""
        return io.BufferedReader(_Raw(self), _BUFFER)

    def receive(self, buffer: memoryview) -> int:
        """Read some bytes.  Raises `LimitExceeded` if the response is more than its budget."""
        if self._budget <= 0:
            raise LimitExceeded(f"response: got more than {HEADER_BUDGET} bytes besides the body")
        self.socket.settimeout(self._deadline.remaining())
        count = self.socket.recv_into(buffer)
        self._budget -= count
        return count

    def _send(self, message: bytes) -> None:
        self.socket.settimeout(self._deadline.remaining())
        self.socket.sendall(message)

    def _response(self, method: str = "GET") -> HTTPResponse:
        response = HTTPResponse(cast("socket.socket", self), method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        return response


class _Raw(io.RawIOBase):
    """The raw end of a reader: one `Wire.receive` per read."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        return self._wire.receive(cast("memoryview", buffer))


def _check_headers(response: HTTPResponse, what: str) -> None:
    """Refuse what could be read in two ways.  Raises `Malformed`."""
    if response.headers.defects:
        raise Malformed(f"{what}: got headers that are none ({type(response.headers.defects[0]).__name__})")
    lengths = set(response.headers.get_all("content-length", []))
    if len(lengths) > 1 or not all(each.strip().isascii() and each.strip().isdigit() for each in lengths):
        raise Malformed(f"{what}: got Content-Length {ascii(sorted(lengths))[:60]}; expected one number")
    transfer = [each.strip().lower() for each in response.headers.get_all("transfer-encoding", [])]
    if transfer not in ([], ["chunked"]):
        raise Malformed(f"{what}: got Transfer-Encoding {ascii(transfer)[:60]}; expected none or chunked")
    if response.status == 200:
        codings = [each.strip().lower() for each in response.headers.get_all("content-encoding", [])]
        if any(each not in ("", "identity") for each in codings):
            raise Malformed(f"{what}: got Content-Encoding {ascii(codings)[:60]}; expected none, as asked for")


def _unfolded(value: str) -> str:
    """A header's value in one line (RFC 9112, 5.2), so that none can bring a line break into anything."""
    return value.replace("\r", " ").replace("\n", " ").strip()


def _whole_body(response: HTTPResponse, limit: int, what: str) -> bytes:
    """The body of a 200, at most `limit` bytes.  Raises `LimitExceeded`, before reading if the length is announced."""
    if response.length is not None and response.length > limit:
        raise LimitExceeded(f"{what}: got {response.length} bytes announced; expected at most {limit}")
    parts: list[bytes] = []
    left = limit + 1
    while left and (part := response.read(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise LimitExceeded(f"{what}: got more than {limit} bytes")
    if response.length:  # read(n) returns short at a connection's end, and says nothing
        raise ConnectionResetError("closed before the end of the body")
    return b"".join(parts)


def _start_of_body(response: HTTPResponse) -> tuple[bytes, bool]:
    """The first bytes of any other response, and whether that is all of it.  Nothing rests on them."""
    body = response.read(MAX_ERROR_BODY)
    return body, response.isclosed()
