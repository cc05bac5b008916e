"""What every transport sends, takes and says alike: the request's lines, the framing of responses, the words of errors.

Opens nothing and reads nothing.  Exceptions of sockets, TLS and HTTP become errors of `agent.errors` here.
"""

import socket
from http.client import HTTPException, IncompleteRead, LineTooLong
from typing import Sequence

from agent.adapters.http_proxy import USER_AGENT, Proxy
from agent.errors import Cause, LimitExceeded, Malformed, NodesealError, Unavailable
from agent.registry.messages import Request

HEADER_BUDGET = 256 * 1024
"""Raw bytes of a response besides its body: status lines, headers, chunk framing, trailers, one buffer read ahead."""

MAX_HEAD = 64 * 1024
"""Raw bytes of a response up to its body, about: status lines and headers, of interim responses too.

Real ones have a few KiB.  They are held several times over while a body comes, or does not.
"""

Headers = Sequence[tuple[str, str]]

_DIED = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, IncompleteRead)  # RemoteDisconnected is a reset
_DIED_IN_TLS = ("SSLEOFError", "SSLZeroReturnError")  # by name: a plain http registry needs no ssl


def request_target(request: Request, proxy: Proxy | None) -> str:
    """What stands in the request line: for a proxy of plain http the whole URL, else path and query."""
    origin = request.url.origin
    return f"{origin}{request.url.target}" if proxy is not None and origin.scheme == "http" else request.url.target


def request_headers(request: Request, proxy: Proxy | None) -> Headers:
    """Only what `Request` holds goes out, and no value in it may break a line.  Raises `Malformed`.

    The password for a proxy goes to the proxy alone: to one of plain http here, to any other with its CONNECT.
    """
    origin = request.url.origin
    headers = [
        ("Host", origin.netloc),
        ("User-Agent", USER_AGENT),
        ("Accept-Encoding", "identity"),
        *request.headers,
    ]
    if request.body is not None:
        headers.append(("Content-Length", str(len(request.body))))
    if proxy is not None and proxy.authorization and origin.scheme == "http":
        headers.append(("Proxy-Authorization", proxy.authorization))
    texts = [request.url.target, *(text for header in headers for text in header)]
    if not all(text.isascii() and text.isprintable() for text in texts):
        raise Malformed(f"{request.what}: got a request that no header can carry")
    return headers


def check_framing(status: int, headers: Headers, what: str) -> None:
    """Refuse what could be read in two ways.  `headers` have lower-case names.  Raises `Malformed`."""
    lengths = _values(headers, "content-length")
    if len(set(lengths)) > 1 or not all(each.isascii() and each.isdigit() for each in lengths):
        raise Malformed(f"{what}: got Content-Length {ascii(sorted(lengths))[:60]}; expected one number")
    transfer = _values(headers, "transfer-encoding")
    if transfer not in ([], ["chunked"]):
        raise Malformed(f"{what}: got Transfer-Encoding {ascii(transfer)[:60]}; expected none or chunked")
    if transfer and lengths:
        raise Malformed(f"{what}: got Content-Length and Transfer-Encoding; expected one of them")
    if status == 200:
        codings = _values(headers, "content-encoding")
        if any(each not in ("", "identity") for each in codings):
            raise Malformed(f"{what}: got Content-Encoding {ascii(codings)[:60]}; expected none, as asked for")


def check_announced(length: int | None, limit: int, what: str) -> None:
    """Refuse a body by the length that it is announced with.  Raises `LimitExceeded`."""
    if length is not None and length > limit:
        raise LimitExceeded(f"{what}: got {length} bytes announced; expected at most {limit}")


def too_long(limit: int, what: str) -> LimitExceeded:
    """The error for a body that turned out longer than `limit`."""
    return LimitExceeded(f"{what}: got more than {limit} bytes")


def over_budget() -> LimitExceeded:
    """The error for a response that has more around its body than we take."""
    return LimitExceeded(f"response: got more than {HEADER_BUDGET} bytes besides the body")


def head_too_long() -> LimitExceeded:
    """The error for a response whose body does not begin soon."""
    return LimitExceeded(f"response: got more than {MAX_HEAD} bytes of headers")


def too_many_headers(what: str) -> LimitExceeded:
    """The error for headers beyond the parsers' own bounds."""
    return LimitExceeded(f"{what}: got headers longer or more than we take")


def not_framed(what: str) -> Malformed:
    """The error for a body in chunks that are none."""
    return Malformed(f"{what}: got a body that is not framed as HTTP/1.1 has it")


def died(error: Exception) -> bool:
    """Whether the connection was lost, rather than refused, late, or used for something that is not HTTP."""
    return isinstance(error, _DIED) or type(error).__name__ in _DIED_IN_TLS


def translated(error: Exception, request: Request, proxy: Proxy | None, *, late: bool) -> NodesealError:
    """`error` in our words.  `late` says that the deadline has passed."""
    where = request.url.origin.netloc + (f" (through the proxy of {proxy.variable})" if proxy else "")
    if isinstance(error, TimeoutError) and late:
        return Unavailable(f"{request.what}: no answer from {where} in time", cause=Cause.DEADLINE)
    if isinstance(error, LineTooLong) or (isinstance(error, HTTPException) and "headers" in str(error)):
        return too_many_headers(request.what)
    return Unavailable(f"{where}: {_said(error)}", cause=Cause.REGISTRY_UNAVAILABLE)


def _values(headers: Headers, wanted: str) -> list[str]:
    return [value.strip().lower() for name, value in headers if name == wanted]


def _said(error: Exception) -> str:
    """What happened, for a person, without anything of the other side that could break a line."""
    if isinstance(error, socket.gaierror):
        return f"the name can't be resolved ({error.strerror})"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if died(error):
        return "the connection was closed before the end of the response"
    if isinstance(error, HTTPException):
        return f"the answer is not HTTP ({type(error).__name__})"
    if isinstance(error, TimeoutError):
        return "connection timed out"
    reason = getattr(error, "verify_message", "") or getattr(error, "reason", "")
    if reason:
        return f"TLS failed ({ascii(str(reason))[1:-1][:160]})"
    return ascii(getattr(error, "strerror", None) or type(error).__name__)[1:-1][:160]
