"""Turns every skip into a failure where nothing may be skipped: NODESEAL_NO_SKIPS=1, as `.ci/run` sets it."""

import os
from typing import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report a skipped test as failed, with the reason it gave."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("NODESEAL_NO_SKIPS") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {call.excinfo.value if call.excinfo else item.name}"
    return report
