"""What a status other than 200 means: nobody answered, or the answer is wrong.

The border is the one of `agent.errors`: who asks too often, may not ask, or meets a failing server cannot tell; any
other status is the registry's content, which it chooses, and is `Malformed`.
"""

from agent.errors import Cause, Malformed, NodesealError, Unavailable
from agent.registry.messages import Request, Response

OK = 200
UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REFUSED = frozenset({401, 403, 407})
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_MAX_SECONDS_LENGTH = 9


def failure(response: Response, request: Request | str) -> NodesealError:
    """The error that `response` is.  `request` (or its `what`) says in the message what was asked for."""
    return no_answer(response, request) or Malformed(f"{_what(request)}: got status {response.status}; expected 200")


def no_answer(response: Response, request: Request | str) -> Unavailable | None:
    """The error if `response` says that nobody answers, None if it does answer."""
    status = response.status
    if status in _REFUSED:
        hint = "check that the image may be pulled without credentials, or configure them, see docs/credentials.md"
        text = f"{_what(request)}: the registry refuses (status {status})"
        return Unavailable(text, cause=Cause.UNAUTHORIZED, hint=hint)
    if status == _TOO_MANY_REQUESTS:
        text = f"{_what(request)}: too many requests (status {status}{_retry_after(response)})"
        return Unavailable(text, cause=Cause.THROTTLED)
    if status >= 500 or status == _REQUEST_TIMEOUT:
        text = f"{_what(request)}: the registry fails (status {status}{_retry_after(response)})"
        return Unavailable(text, cause=Cause.REGISTRY_UNAVAILABLE)
    return None


def _what(request: Request | str) -> str:
    return request if isinstance(request, str) else request.what


def _retry_after(response: Response) -> str:
    """For people only, after a transport has waited or would not.  A date means something beside a clock alone."""
    text = response.value("retry-after").strip()
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_SECONDS_LENGTH:
        return ""
    return f", asks to wait {int(text)} s"
