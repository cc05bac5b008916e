"""Imported last by the process that `tests.forked` forks from: what that has run by now is told once."""

import sys

if "coverage" in sys.modules:
    from coverage import Coverage

    measuring = Coverage.current()
    if measuring is not None:
        measuring.save()
