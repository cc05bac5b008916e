"""What hostile and broken registries do, one function each; put in front of a kind of request with `misbehave`.

A behaviour gets the connection's `Handler`, answers, and returns True; False lets the simulator go on as usual.
"""

import gzip
import json
import time
from typing import Any, Callable

from agent.model.digest import Digest
from agent.model.manifest import IMAGE_INDEX, IMAGE_MANIFEST
from tests.simulators.registry import TOKEN, Handler, index_of

Behaviour = Callable[[Handler], bool]

INDEX = f"Content-Type: {IMAGE_INDEX}"


def entry(number: int, **changes: Any) -> dict[str, Any]:
    """A descriptor of content that is not there."""
    digest = str(Digest.of(str(number).encode()))
    return {
        "mediaType": IMAGE_MANIFEST,
        "digest": digest,
        "size": 400,
        "artifactType": "application/example",
        **changes,
    }


def status(code: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Always this status."""
    return lambda handler: handler.answer(code, body, **headers)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after the other, the last one for ever; None of them twice at once."""
    waiting = list(behaviours)
    return lambda handler: (waiting.pop(0) if len(waiting) > 1 else waiting[0])(handler)


def as_usual(handler: Handler) -> bool:
    """Nothing wrong this time."""
    return False


def lie_about_digest(handler: Handler) -> bool:
    """Docker-Content-Digest names other content than the body."""
    value = {"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "layers": []}
    digest = str(Digest.of(b"something else"))
    return handler.answer(200, json.dumps(value).encode(), Content_Type=IMAGE_MANIFEST, Docker_Content_Digest=digest)


def other_content(content: bytes, media_type: str = IMAGE_MANIFEST) -> Behaviour:
    """The same wrong bytes, whatever was asked for."""
    return lambda handler: handler.answer(200, content, Content_Type=media_type)


def endless_pages(handler: Handler) -> bool:
    """Every page has another next page."""
    number = handler.simulator.counts["referrers"]
    path = handler.path.partition("?")[0]
    body = index_of([entry(number)])
    return handler.answer(200, body, Content_Type=IMAGE_INDEX, Link=f'<{path}?last={number}>; rel="next"')


def page_that_follows_itself(handler: Handler) -> bool:
    """The next page is the same page."""
    return handler.answer(200, index_of([entry(1)]), Content_Type=IMAGE_INDEX, Link=f'<{handler.path}>; rel="next"')


def next_page(link: str, *entries: dict[str, Any]) -> Behaviour:
    """One page whose next page is `link`."""
    body = index_of(list(entries) or [entry(1)])
    return lambda handler: handler.answer(200, body, Content_Type=IMAGE_INDEX, Link=f'<{link}>; rel="next"')


def listing(*entries: Any) -> Behaviour:
    """A referrers page of these entries."""
    return lambda handler: handler.answer(200, index_of(list(entries)), Content_Type=IMAGE_INDEX)


def many_entries(count: int) -> Behaviour:
    """A page with very many entries."""
    body = index_of([entry(number) for number in range(count)])
    return lambda handler: handler.answer(200, body, Content_Type=IMAGE_INDEX)


def html(handler: Handler) -> bool:
    """A proxy's or login page with status 200."""
    return handler.answer(200, b"<html><title>Log in</title></html>", Content_Type="text/html; charset=utf-8")


def drip(interval: float = 0.05, *, headers: bool = False) -> Behaviour:
    """One byte at a time, for ever: of the body, or of the headers."""

    def behave(handler: Handler) -> bool:
        if headers:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        else:
            handler.head(200, INDEX, "Content-Length: 1000000")
        handler.close_connection = True
        while not handler.simulator.stopping.wait(interval):
            handler.wfile.write(b"a")
        return True

    return behave


def silence(handler: Handler) -> bool:
    """Nothing at all."""
    handler.close_connection = True
    handler.simulator.stopping.wait(30)
    return True


def _pour(handler: Handler, piece: bytes) -> bool:
    """Write for ever, to whoever still reads; at most 30 seconds."""
    end = time.monotonic() + 30
    while not handler.simulator.stopping.is_set() and time.monotonic() < end:
        handler.wfile.write(piece)
    return True


def endless_chunks(handler: Handler) -> bool:
    """A chunked body that does not end."""
    handler.head(200, INDEX, "Transfer-Encoding: chunked")
    return _pour(handler, b"10000\r\n" + b"a" * 0x10000 + b"\r\n")


def endless_extension(handler: Handler) -> bool:
    """A chunk whose size has a remark that does not end."""
    handler.head(200, INDEX, "Transfer-Encoding: chunked")
    handler.wfile.write(b"2;remark=")
    return _pour(handler, b"a" * 65536)


def endless_trailers(handler: Handler) -> bool:
    """A chunked body that ends, and trailers that do not."""
    handler.head(200, INDEX, "Transfer-Encoding: chunked")
    handler.wfile.write(b"2\r\n{}\r\n0\r\n")
    return _pour(handler, b"X-More: and more\r\n" * 1000)


def endless_continue(handler: Handler) -> bool:
    """100 Continue without end."""
    handler.close_connection = True
    return _pour(handler, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def endless_body(handler: Handler) -> bool:
    """A body without length that does not end."""
    handler.head(200, INDEX, "Connection: close")
    return _pour(handler, b"a" * 65536)


def negative_chunk(handler: Handler) -> bool:
    """A chunk of size -1, which naive readers take for "all there is"."""
    handler.head(200, INDEX, "Transfer-Encoding: chunked")
    handler.wfile.write(b"-1\r\n")
    return _pour(handler, b"a" * 65536)


def immense_negative_chunk(handler: Handler) -> bool:
    """A chunk of a negative size that no memory has."""
    handler.head(200, INDEX, "Transfer-Encoding: chunked")
    handler.wfile.write(b"-f" + b"9" * 60 + b"\r\n")
    return _pour(handler, b"a" * 65536)


def announced_length(length: int) -> Behaviour:
    """A Content-Length far beyond what is sent."""

    def behave(handler: Handler) -> bool:
        handler.head(200, INDEX, f"Content-Length: {length}")
        handler.wfile.write(b"{}")
        return True

    return behave


def raw(*lines: str, body: bytes = b"", code: int = 200) -> Behaviour:
    """These header lines and this body, as they are."""

    def behave(handler: Handler) -> bool:
        handler.head(code, *lines)
        handler.wfile.write(body)
        return True

    return behave


def not_http(handler: Handler) -> bool:
    """Another protocol."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    handler.close_connection = True
    return True


def gzip_bomb(size: int) -> Behaviour:
    """So many bytes of nothing, in a thousandth of them."""
    body = gzip.compress(b" " * size, 1)
    return lambda handler: handler.answer(200, body, Content_Type=IMAGE_INDEX, Content_Encoding="gzip")


def hang_up(handler: Handler) -> bool:
    """Close the connection instead of answering."""
    handler.close_connection = True
    return True


def taken(answer: bytes, got: list[bytes] | None = None) -> Behaviour:
    """A request's body is read (into `got`), then answered: what a service that is asked by POST does."""

    def behave(handler: Handler) -> bool:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        if got is not None:
            got.append(body)
        return handler.answer(200, answer)

    return behave


def challenge_for_ever(handler: Handler) -> bool:
    """401, whatever token comes."""
    return handler.challenge()


def challenge(value: str) -> Behaviour:
    """401 with this WWW-Authenticate."""
    return lambda handler: handler.answer(401, WWW_Authenticate=value)


def redirect(location: str, code: int = 307) -> Behaviour:
    """To `location`."""
    return lambda handler: handler.answer(code, Location=location)


def token(value: object = TOKEN, **others: object) -> Behaviour:
    """A token server's answer with this token."""
    body = json.dumps({"token": value, **others}).encode()
    return lambda handler: handler.answer(200, body, Content_Type="application/json")
