"""Prometheus' own tool takes the alerts and what a daemon exposes, and the alerts fire when they should."""

import os
import pathlib
import subprocess

import pytest
import yaml

from tests.docs.test_metrics import ALERTS, scrape
from tests.testbed import tools

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

__all__ = ["scrape"]

CASES = pathlib.Path(__file__).parent / "alerts_test.yaml"


@pytest.fixture(scope="module")
def promtool() -> str:
    """Debian's, from the cache or the archive; run where it lies, never installed."""
    if os.geteuid() != 0 or not os.access("/usr/bin/apt-get", os.X_OK):
        pytest.skip("promtool is fetched from Debian's packages, which takes root")
    return str(tools.promtool())


def run(promtool: str, *words: str, stdin: str = "") -> str:
    """What it says; it must be content."""
    done = subprocess.run([promtool, *words], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_alerts_are_rules(promtool: str) -> None:
    number = sum(len(group["rules"]) for group in yaml.safe_load(ALERTS.read_text())["groups"])
    assert f"SUCCESS: {number} rules found" in run(promtool, "check", "rules", str(ALERTS))


def test_what_is_exposed_is_in_order(promtool: str, scrape: str) -> None:
    assert run(promtool, "check", "metrics", stdin=scrape) == ""


def test_what_is_not_in_order_is_found(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "metrics"], input="x_total{a=b} 1\n", capture_output=True, text=True, check=False
    )
    assert done.returncode != 0


@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_alerts_fire_when_they_should_and_not_before(promtool: str, interval: str, tmp_path: pathlib.Path) -> None:
    """Each case is evaluated as often as it has values: what takes weeks would take minutes otherwise."""
    whole = yaml.safe_load(CASES.read_text())
    assert {case["interval"] for case in whole["tests"]} == {"1m", "1h"}
    chosen = [case for case in whole["tests"] if case["interval"] == interval]
    cases = tmp_path / "cases.yaml"
    cases.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": interval, "tests": chosen}))
    assert "SUCCESS" in run(promtool, "test", "rules", str(cases))
