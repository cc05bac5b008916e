"""Stops measuring coverage during tests that carry the marker `unmeasured`, in this process alone.

On CPython 3.11 what is measured takes two to four times as long.  A test that goes through the same lines ten thousand
times need not pay that for each, if others measure them.  Processes that such a test starts are measured as ever: one
of them may be the one that later tests are forked from (`tests.forked`).
"""

import os
import sys
from typing import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure nothing between the beginning and the end of such a test."""
    if item.get_closest_marker("unmeasured") is None or "coverage" not in sys.modules:
        return (yield)
    from coverage import Coverage

    measuring = Coverage.current()
    if measuring is None:
        return (yield)
    at_exit = os._exit
    measuring.stop()
    try:
        return (yield)
    finally:
        measuring.start()
        os._exit = at_exit  # each start wraps it once more, and a child would save as often when it ends
