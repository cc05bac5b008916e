"""Times and lengths of time as configurations write them.

Ends are RFC 3339 with seconds and a zone (`2026-12-01T12:00:00Z`); lengths are one number and one unit (`24h`).
"""

import re
from datetime import datetime, timezone

END_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})$"
LENGTH_PATTERN = r"^[0-9]{1,6}[smhd]$"

_HOURS_ALONE = 48  # from here on people count days
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def end(text: str) -> datetime | None:
    """The moment that `text` writes, in UTC; None if it writes none."""
    if not re.search(END_PATTERN.replace("$", r"\Z"), text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def seconds(text: str) -> float | None:
    """The length of time that `text` writes, in seconds; None if it writes none."""
    if not re.search(LENGTH_PATTERN.replace("$", r"\Z"), text):
        return None
    return float(int(text[:-1]) * _SECONDS[text[-1]])


def length(value: float) -> str:
    """Seconds as people write them: the largest unit that divides them."""
    for unit in ("d", "h", "m"):
        if value >= _SECONDS[unit] and value % _SECONDS[unit] == 0:
            return f"{value / _SECONDS[unit]:g}{unit}"
    return f"{value:g}s"


def about(value: float) -> str:
    """Seconds as people say them: the two largest units."""
    minutes = int(value) // 60
    if not minutes:
        return f"{int(value)} s"
    hours, minutes = divmod(minutes, 60)
    if hours >= _HOURS_ALONE:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
