"""What can go wrong between an API server and us, as far as it decides what to do next.

A configuration is never lost by any of it: the last complete state stays.
Statuses: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from enum import Enum

from agent.errors import NodesealError
from agent.model.answer import printable, shortened

MAX_MESSAGE = 300
"""Longest text of the server's own that is shown, in characters."""

MAX_RETRY_AFTER = 300.0
"""Longest wait that a server can ask of us, in seconds."""


class Trouble(str, Enum):
    """Kinds of trouble; the values are labels of metrics."""

    GONE = "gone"
    """The resource version or the page's token is too old (410)."""
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "notFound"
    CONFLICT = "conflict"
    THROTTLED = "throttled"
    REFUSED = "refused"
    """Any other 4xx: the server understood us and won't."""
    UNAVAILABLE = "unavailable"
    """Nobody answered, the connection was lost, or the server is in trouble itself (5xx)."""
    SILENT = "silent"
    """Connected, and nothing came for too long."""
    MALFORMED = "malformed"
    TOO_LONG = "tooLong"
    CREDENTIALS = "credentials"
    """What we would log in with can't be read."""


class ApiError(NodesealError):
    """An answer of the API server's that is none.  `retry_after` is how long it wants to be left alone, in seconds."""

    def __init__(self, trouble: Trouble, message: str, *, retry_after: float = 0.0) -> None:
        """The message is made printable and short: half of it comes from outside."""
        super().__init__(shortened(printable(message), MAX_MESSAGE))
        self.trouble = trouble
        self.retry_after = retry_after


_OF_STATUS = {
    401: Trouble.UNAUTHORIZED,
    403: Trouble.FORBIDDEN,
    404: Trouble.NOT_FOUND,
    409: Trouble.CONFLICT,
    410: Trouble.GONE,
    429: Trouble.THROTTLED,
}


def refusal(status: int, message: str, retry_after: str = "") -> ApiError:
    """What a status other than 2xx means; `retry_after` is the header of that name, as it came."""
    wait = min(float(retry_after), MAX_RETRY_AFTER) if retry_after.isdecimal() and retry_after.isascii() else 0.0
    if status in _OF_STATUS:
        trouble = _OF_STATUS[status]
    elif status >= 500:
        trouble = Trouble.UNAVAILABLE
    else:
        trouble = Trouble.REFUSED if status >= 400 else Trouble.MALFORMED
    return ApiError(trouble, f"got status {status} of the API server: {message or 'no reason given'}", retry_after=wait)
