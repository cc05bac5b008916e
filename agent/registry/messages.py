"""Requests and responses as values: what the protocol hands to a transport and gets back.

Protocol code is written as generators: they yield a `Request`, are sent the `Response`, and return their result.
Whatever the transport raises is thrown into them at the `yield`.  Both may hold secrets (headers, queries, bodies), so
neither shows them in its `repr`.
"""

from typing import Generator, NamedTuple, TypeVar

from agent.registry.urls import Origin, Url

Result = TypeVar("Result")
Steps = Generator["Request", "Response", Result]


class Request(NamedTuple):
    """One GET, or a POST if there is a `body`: nothing else is ever asked.

    `limit` is the most bytes that the body of a 200 may have: a transport reads no more and raises `LimitExceeded`.
    Of any other response it returns at most `limits.MAX_ERROR_BODY` bytes of body.  `sent_by` is set where a registry
    chose the URL and it leads away from its own origin: then the transport judges every address
    (`addresses.check_addresses`).  `what` says in messages what is asked for.  `is_sized`: `limit` is the size of
    what is asked for, and whoever asks has room for it.
    """

    url: Url
    what: str
    limit: int
    headers: tuple[tuple[str, str], ...] = ()
    sent_by: Origin | None = None
    body: bytes | None = None
    is_sized: bool = False

    def __repr__(self) -> str:
        """What is asked for and where; headers, query and body are hidden."""
        return f"Request({self.what!r}, {str(self.url)!r})"


class Response(NamedTuple):
    """What came back.  Header names are lower-case; the body has no content coding, and is whole if status is 200."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __repr__(self) -> str:
        """Status and length; headers and body are hidden."""
        return f"Response({self.status}, {len(self.body)} bytes)"

    def values(self, name: str) -> list[str]:
        """Every value of the header `name`, given in lower case, in order."""
        return [value for key, value in self.headers if key == name]

    def value(self, name: str) -> str:
        """The first value of the header `name`, "" if there is none."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def media_type(self) -> str:
        """The Content-Type without parameters, in lower case; "" if there is none."""
        return self.value("content-type").partition(";")[0].strip().lower()
