"""`install --dry-run` on other people's hosts: what it finds on their disks, and that it writes nothing."""

import json
import os
import pathlib
from typing import Any

import pytest

from agent import cli
from agent.wiring.distributions import Way
from agent.wiring.planning import Changes
from tests.modes.hosts import Host, make_host
from tests.wiring.nodes import SAMPLES, Sample
from tests.wiring.test_distributions import ELSEWHERE, EXPECTED

HANDS_OFF = ("bottlerocket", "gke", "talos")


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_dry_run_tells_what_would_be_done_and_writes_nothing(
    sample: Sample, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: what others own is not run for its version")
    host, expected = make_host(tmp_path, sample.folder), EXPECTED[sample.folder]
    before = host.tree()
    for changes in Changes:
        code, told = dry_run(host, capsys, "--changes", changes.value, "--bin-dir", ELSEWHERE)
        assert code == 0
        assert host.tree() == before
        assert told["distribution"] == sample.name
        steps = told["steps"]
        if sample.way is Way.REFUSE or sample.name in HANDS_OFF:
            assert expected.says in told["unsupported"]
            assert (steps, told["diff"]) == ([], "")
            continue
        assert (told["wiring"], told["unsupported"]) == (sample.way.value, None)
        assert steps[0] == "place the program in /opt/nodeseal/0.1.0"
        assert any(step.endswith("/00-nodeseal to /opt/nodeseal/current/nodeseal") for step in steps)
        files = [] if changes is Changes.NONE else [path for path in (expected.file, *expected.edited) if path]
        added = [line.removeprefix("+++ ") for line in told["diff"].splitlines() if line.startswith("+++ ")]
        assert sorted(added) == sorted([*files, "/etc/nodeseal/bootstrap.json"])
        removed = [line for line in told["diff"].splitlines() if line.startswith("-") and not line.startswith("---")]
        assert removed == []


def dry_run(host: Host, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, dict[str, Any]]:
    """Look at a host that does not run: exit code, and what was told."""
    root = ("--root", str(host.root), "--program", str(host.source))
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "install", "--dry-run", "--format", "json", *root, *words])
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return ended.value.code, told
