"""When a request is sent once more: one rule for every transport; they do the waiting.

A lost connection, or a gateway without its server (502, 503, 504), says little of the registry: two more tries, after
a short wait of random length, so that many nodes do not come back at once.  A registry that says how long to wait
(429 or one of these, with Retry-After) is waited for exactly so long, if that is at most half of the time left; else
its answer stands, and `registry.status` makes "cannot tell" of it.  A wait that cannot be read is none that we keep:
the answer stands too.  Only a GET is sent again.

Pure: the time left, the clock and the dice come in.
"""

import os
import time
from typing import Callable, NamedTuple

from agent.registry.messages import Request, Response

MAX_RETRIES = 2
"""Tries after the first."""

BACK_OFFS = (0.1, 0.3)
"""Seconds before the second and the third try, each taken between its half and one and a half times."""

RETRY_TIME = 0.5
"""Seconds that must be left after the wait for another try to make sense."""

_GATEWAY = frozenset({502, 503, 504})
_TOO_MANY_REQUESTS = 429
_MAX_DIGITS = 9
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _dice() -> float:
    """A number from 0 to 1; not of `random`, whose import costs more than everything else here."""
    return int.from_bytes(os.urandom(2), "big") / 0xFFFF


class RetryPolicy(NamedTuple):
    """`now` is the time of day in seconds since 1970, `dice` gives a number from 0 to 1."""

    now: Callable[[], float] = time.time
    dice: Callable[[], float] = _dice

    def wait_after_loss(self, request: Request, retries: int, left: float) -> float | None:
        """Seconds to wait before the next try after a lost connection, None for no further try.

        `retries` were made already; `left` are the seconds to the deadline.
        """
        if request.body is not None or retries >= MAX_RETRIES:
            return None
        wait = BACK_OFFS[retries] * (0.5 + self.dice())
        return wait if wait + RETRY_TIME <= left else None

    def wait_after(self, response: Response, request: Request, retries: int, left: float) -> float | None:
        """The same after a response; None if it stands."""
        told = bool(response.values("retry-after"))
        if response.status not in _GATEWAY and not (response.status == _TOO_MANY_REQUESTS and told):
            return None
        wait = self.wait_after_loss(request, retries, left)
        if wait is None or not told:
            return wait
        asked = asked_seconds(response, self.now)
        if asked is None or asked > left / 2:
            return None
        return max(asked, wait)


def asked_seconds(response: Response, now: Callable[[], float]) -> float | None:
    """What Retry-After asks for (RFC 9110, 10.2.3), None if it can't be read or isn't there exactly once.

    A date is measured from the response's own, if it has one, so that no difference between two clocks counts.
    """
    told = response.values("retry-after")
    return _seconds(told[0], response.value("date"), now) if len(told) == 1 else None


def _seconds(text: str, date: str, now: Callable[[], float]) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= _MAX_DIGITS else None
    until = _moment(text)
    if until is None:
        return None
    since = _moment(date)
    return max(until - (now() if since is None else since), 0.0)


def _moment(text: str) -> float | None:
    """An HTTP date in its one form that is not obsolete (RFC 9110, 5.6.7), as seconds since 1970."""
    parts = text.split(" ")
    if len(parts) != 6 or parts[5] != "GMT" or parts[2] not in _MONTHS:
        return None
    numbers = [parts[3], parts[1], *parts[4].split(":")]
    if [len(each) for each in numbers] != [4, 2, 2, 2, 2]:
        return None
    if not all(each.isascii() and each.isdigit() for each in numbers):
        return None
    from calendar import timegm

    year, day, hour, minute, second = (int(each) for each in numbers)
    try:
        return float(timegm((year, _MONTHS.index(parts[2]) + 1, day, hour, minute, second)))
    except ValueError:  # the year 0
        return None
