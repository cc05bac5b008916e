"""One HTTP/1.1 exchange on a connected socket, read through `http.client` with bounds of our own.

What `http.client` leaves open is closed here: a deadline that holds for every read (a socket's time-out starts anew
with each byte), a budget of raw bytes per response (headers, chunk framing and trailers included), no content or
transfer codings but chunked, no contradicting lengths, no half-parsed headers.
"""

import io
import socket
import time
from http.client import HTTPResponse, IncompleteRead
from typing import Callable, NamedTuple, cast

from agent.adapters import http_rules
from agent.errors import Malformed
from agent.registry.limits import MAX_ERROR_BODY
from agent.registry.messages import Response

_CHUNK = 64 * 1024
_BUFFER = 8 * 1024


class Deadline(NamedTuple):
    """An absolute time of a monotonic clock."""

    at: float
    clock: Callable[[], float] = time.monotonic

    def left(self) -> float:
        """Seconds left, less than none after it."""
        return self.at - self.clock()

    def remaining(self) -> float:
        """Seconds left.  Raises `TimeoutError` if there are none."""
        left = self.left()
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
        self.answered = False
        """Whether a byte came in answer to the last message."""
        self._deadline = deadline
        self._budget = 0
        self._in_head = True
        self._ended = False

    def exchange(self, message: bytes, limit: int, what: str) -> tuple[Response, bool]:
        """Send a request and read its response; also say whether the connection may be used again.

        Raises `LimitExceeded`, `Malformed`, and whatever sockets and `http.client` raise.
        """
        self._budget, self._in_head = http_rules.MAX_HEAD + _BUFFER, True
        self._send(message)
        response = self._response()
        self._budget, self._in_head = http_rules.HEADER_BUDGET + limit, False
        with response:
            headers = _headers(response, what)
            keep = not response.will_close
            try:
                if response.status == 200:
                    body = _whole_body(response, limit, what)
                else:
                    body, whole = _start_of_body(response)
                    keep = keep and whole
            except (ValueError, OverflowError) as error:  # a chunk of negative size, or of more than memory can have
                raise http_rules.not_framed(what) from error
            except IncompleteRead as error:
                if self._ended:
                    raise
                raise http_rules.not_framed(what) from error  # a size that is no number
        return Response(response.status, headers, body), keep

    def tunnel(self, head: bytes) -> int:
        """Send a CONNECT and return the proxy's status.  After 200 the socket is the other end's."""
        self._budget, self._in_head = http_rules.MAX_HEAD + _BUFFER, True
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
            raise http_rules.head_too_long() if self._in_head else http_rules.over_budget()
        self.socket.settimeout(self._deadline.remaining())
        count = self.socket.recv_into(buffer)
        self._budget -= count
        self.answered = self.answered or count > 0
        self._ended = count == 0
        return count

    def _send(self, message: bytes) -> None:
        self.answered = False
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


def _headers(response: HTTPResponse, what: str) -> tuple[tuple[str, str], ...]:
    """The headers, with names in lower case.  Raises `Malformed` for what could be read in two ways."""
    if response.headers.defects:
        raise Malformed(f"{what}: got headers that are none ({type(response.headers.defects[0]).__name__})")
    headers = tuple((name.lower(), _unfolded(value)) for name, value in response.getheaders())
    http_rules.check_framing(response.status, headers, what)
    return headers


def _unfolded(value: str) -> str:
    """A header's value in one line (RFC 9112, 5.2), so that none can bring a line break into anything."""
    return value.replace("\r", " ").replace("\n", " ").strip()


def _whole_body(response: HTTPResponse, limit: int, what: str) -> bytes:
    """The body of a 200, at most `limit` bytes.  Raises `LimitExceeded`, before reading if the length is announced."""
    http_rules.check_announced(response.length, limit, what)
    parts: list[bytes] = []
    left = limit + 1
    while left and (part := response.read(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise http_rules.too_long(limit, what)
    if response.length:  # read(n) returns short at a connection's end, and says nothing
        raise ConnectionResetError("closed before the end of the body")
    return b"".join(parts)


def _start_of_body(response: HTTPResponse) -> tuple[bytes, bool]:
    """The first bytes of any other response, and whether that is all of it.  Nothing rests on them."""
    body = response.read(MAX_ERROR_BODY)
    return body, response.isclosed()
