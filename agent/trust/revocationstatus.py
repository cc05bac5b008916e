"""What is known of one certificate's revocation, and the answer that says nothing of it."""

from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

CLOCK_SKEW = timedelta(minutes=5)
"""How far this host's clock may be behind that of whoever answers."""


class Status(Enum):
    """What an answer says of a certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


class Told(NamedTuple):
    """A status, and the moment from which whoever told it may tell another one; None for no such moment."""

    status: Status
    until: datetime | None = None


class Unusable(Exception):
    """An answer that says nothing of the certificate; the text says why, as `SOURCE text`."""


def revoked_at(invalid_since: datetime | None, signed: datetime | None) -> Status:
    """The status of a revoked certificate for something that was authentically `signed` before it became invalid."""
    if signed is not None and invalid_since is not None and signed < invalid_since:
        return Status.GOOD
    return Status.REVOKED
