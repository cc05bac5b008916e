"""`make soak-cluster` in small: a few nodes, and everything that is done to many.  What it takes is not asserted."""

import os
import pathlib

import pytest

from tests.documents import PERFORMANCE, put_between
from tests.soak import cluster

pytestmark = [pytest.mark.full, pytest.mark.frozen, pytest.mark.timeout(1800)]


def test_a_small_crowd_follows_through_everything_and_a_daemon_puts_each_change_in_force(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each phase waits for every node, and a change for the daemon's pull: who does not come fails it."""
    if os.geteuid() != 0 or not os.access("/usr/bin/apt-get", os.X_OK):
        pytest.skip("kube-apiserver is built from Debian's packages, which takes root")
    text = cluster.whole(tmp_path, 20, quiet=2, outage=2, arriving=3, rest=1)
    with capsys.disabled():
        print(f"\n{text}")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    phases = {cells[0][2:].partition(",")[0] for cells in rows}
    assert {"start", "a change", "nothing happens", "killed", "a change after that", "a change at the end"} <= phases
    start = next(cells for cells in rows if cells[0] == "| start")
    assert start[4] == "5.00"  # a list, a watch, an event for each of three ConfigMaps
    document = tmp_path / "performance.md"
    document.write_text(PERFORMANCE.read_text())
    put_between("soak-cluster", text, document)
    assert text in document.read_text()
