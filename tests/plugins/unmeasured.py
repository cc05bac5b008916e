"""Stops measuring coverage during tests that carry the marker `unmeasured`, in this process alone.

On CPython 3.11 what is measured takes two to four times as long.  A test that goes through the same lines ten thousand
times need not pay that for each, if others measure them.  Processes that such a test starts are measured as ever: one
of them may be the one that later tests are forked from (`tests.forked`).

Going on with measuring takes as long as a short test does, so it goes on before the first test that is measured again,
not behind each that is not.
"""

import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from coverage import Coverage

_stopped: "list[Coverage]" = []
"""The `coverage.Coverage` that was stopped; at most one."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Before a test's fixtures: stop, or go on."""
    if item.get_closest_marker("unmeasured") is None:
        _go_on()
    elif "coverage" in sys.modules and not _stopped:
        from coverage import Coverage

        measuring = Coverage.current()
        if measuring is not None:
            measuring.stop()
            measuring.get_data()  # put away: a process that is forked meanwhile would write it down once more
            _stopped.append(measuring)


def pytest_sessionfinish() -> None:
    """What comes behind the last test is measured."""
    _go_on()


def _go_on() -> None:
    if _stopped:
        at_exit = os._exit
        _stopped.pop().start()
        os._exit = at_exit  # each start wraps it once more, and a child would save as often when it ends
