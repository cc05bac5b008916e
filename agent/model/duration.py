"""Lengths of time as Go, and so Ratify, writes them: `12h`, `1h30m`."""

import re

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds(text: str) -> float:
    """A length of time that has the form; what has not is passed over."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
