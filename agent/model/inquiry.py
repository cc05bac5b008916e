"""What a check asks while it goes on: what was revoked, and of whoever runs it, work and patience."""

from typing import Callable, Generator, NamedTuple, TypeVar

Result = TypeVar("Result")


class RevocationQuery(NamedTuple):
    """One thing to be fetched for a revocation check.

    `url` is where a certificate of a trusted signer says that it is; `body` is an OCSP request (DER), or empty for a
    revocation list.  `limit` is the most bytes taken, `seconds` the longest wait.  `fresh` says that an answer kept
    from before won't do.
    """

    url: str
    body: bytes
    limit: int
    seconds: float
    fresh: bool = False


class Fetched(NamedTuple):
    """The answer to a query; `kept` says that it is from before."""

    content: bytes
    kept: bool = False


class Confirmed(NamedTuple):
    """The answer to `query` was checked and found good: it may be kept for the next time."""

    query: RevocationQuery
    content: bytes


class Paused(NamedTuple):
    """One of several signatures was verified: whoever runs the check may let others go on, or end it."""


class Labour(NamedTuple):
    """Work on content that others chose, to be done where it can be ended: it may take any time and memory.

    `work` returns bytes, which are the answer, and raises nothing.  What takes too much is thrown as `LimitExceeded`.
    """

    work: Callable[[], bytes]


Step = RevocationQuery | Confirmed | Paused | Labour
"""What a check asks for."""

Inquiry = Generator[Step, Fetched, Result]
"""A check that has to ask: yields queries and is sent answers; what fails is thrown into it.

What it is sent for a `Confirmed`, or a `Paused`, means nothing.
"""
