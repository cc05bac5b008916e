"""Puts away now and then what coverage has measured in this process.

A process that is forked from this one has all that was measured so far, and writes it down once more when it ends: late
in a run that took seconds for each evaluation of a policy, and these have three in all.
"""

import sys
import time

import pytest

EVERY = 10.0
"""Seconds after which it is done, before the next test."""

_last = time.monotonic()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Put it away, if it is time."""
    global _last
    if "coverage" not in sys.modules or time.monotonic() - _last < EVERY:
        return
    from coverage import Coverage

    measuring = Coverage.current()
    if measuring is not None:
        measuring.get_data()  # what is measured goes into its file, and is forgotten here
    _last = time.monotonic()
