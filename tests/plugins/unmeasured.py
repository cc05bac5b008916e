"""Stops measuring coverage during tests that carry the marker `unmeasured`, in this process alone.

On CPython 3.11 what is measured takes two to four times as long.  A test that goes through the same lines ten thousand
times need not pay that for each, if others measure them.  Processes that such a test starts are measured as ever: one
of them may be the one that later tests are forked from (`tests.forked`).

Going on with measuring takes as long as a short test does, so it goes on before the first test that is measured again,
not behind each that is not.
"""

import os
import posix
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from coverage import Coverage

_stopped: "list[tuple[Coverage, Callable[[int], NoReturn]]]" = []
"""What was stopped, with the `os._exit` that it had put in place; at most one."""


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
            _stopped.append((measuring, os._exit))
            os._exit = posix._exit  # a forked process has measured nothing, and this one's file is not its to finish


def pytest_sessionfinish() -> None:
    """What comes behind the last test is measured."""
    _go_on()


def _go_on() -> None:
    if _stopped:
        measuring, at_exit = _stopped.pop()
        measuring.start()
        # Each start wraps it once more, and a child would save as often when it ends.
        os._exit = at_exit  # type: ignore[assignment]
