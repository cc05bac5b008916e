"""A shorter way to ask a transport, and to see why it does not answer."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

import pytest

from agent.adapters.inline import run
from agent.errors import Cause, Unavailable
from agent.registry.messages import Request, Response
from agent.registry.urls import Origin, Url
from tests.adapters.transports import Closable


class Client:
    """A transport that is closed at the end of a block, or of a test."""

    def __init__(self, transport: Closable) -> None:
        """Takes it over."""
        self._transport = transport

    def __enter__(self) -> "Client":
        """Give it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def get(self, url: str, *, sent_by: Origin | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """GET `url`."""
        return run(self._transport.send(Request(Url.parse(url, "test"), f"GET {url}", 1000, headers, sent_by)))

    def post(self, url: str, body: bytes, media_type: str) -> Response:
        """POST `body` to `url`."""
        headers = (("Content-Type", media_type),)
        return run(self._transport.send(Request(Url.parse(url, "test"), f"POST {url}", 1000, headers, body=body)))


class Make(Protocol):
    """Makes a client of the kind that a test is about; takes what `transports.made` does."""

    def __call__(self, seconds: float, clock: Callable[[], float] = ..., **options: object) -> Client:
        """With a deadline so many seconds from now, by this clock."""
        ...


def cause_of(client: Client, url: str) -> tuple[Cause, str]:
    """Why `url` can't be had, and the message.  The client is closed."""
    with client, pytest.raises(Unavailable) as caught:
        client.get(url)
    assert caught.value.message.isprintable()
    return caught.value.cause, caught.value.message
