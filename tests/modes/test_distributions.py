"""`install --dry-run` on other people's hosts: what it finds on their disks, and that it writes nothing."""

import json
import os
import pathlib
import shutil
import sys
from typing import Any

import pytest

from agent import cli
from agent.wiring.distributions import Way
from agent.wiring.planning import Changes
from tests.commands import run
from tests.modes.hosts import Host, make_host
from tests.testbed.tools import unavailable
from tests.wiring.nodes import SAMPLES, Sample
from tests.wiring.test_distributions import ELSEWHERE, EXPECTED

HANDS_OFF = ("bottlerocket", "gke", "talos")


@pytest.mark.unmeasured
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
    advice = told["unsupported"] or "\n".join(told["advice"])
    assert expected.says in advice, "with all that may be changed, the rest is told"


@pytest.mark.parametrize(
    "sample", [each for each in SAMPLES if each.way is Way.REFUSE or each.name in HANDS_OFF], ids=str
)
def test_host_that_can_not_be_installed_on_is_left_alone_and_told_what_to_use(
    sample: Sample, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = make_host(tmp_path, sample.folder)
    before = host.tree()
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "install", "--root", str(host.root), "--program", str(host.source)])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert out.startswith("nothing was done: ")
    assert EXPECTED[sample.folder].says in out
    assert host.tree() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("noexec", ("Permission denied", "it was taken back", "may be mounted noexec")),
        ("ro", ("Read-only file system", "this file system can't be written to: see docs/install.md")),
    ],
)
def test_folder_of_programs_that_takes_none_is_told_and_nothing_stays(
    options: str, words: tuple[str, ...], tmp_path: pathlib.Path
) -> None:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    host = make_host(tmp_path)
    for path in ("opt", "var/cache", "var/log"):
        (host.root / path).mkdir(parents=True)
    before = host.tree()
    mounted = f'mount -t tmpfs -o mode=755,{options} tmpfs {host.root}/opt && exec "$@"'
    install = [sys.executable, "-m", "agent", "install", "--root", str(host.root), "--program", str(host.source)]
    done = run([shutil.which("unshare") or "", "--mount", "/bin/sh", "-c", mounted, "sh", *install])
    assert done.code == 5, done
    assert [word for word in words if word not in done.err] == []
    assert host.tree() == before


def dry_run(host: Host, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, dict[str, Any]]:
    """Look at a host that does not run: exit code, and what was told."""
    root = ("--root", str(host.root), "--program", str(host.source))
    with pytest.raises(SystemExit) as ended:
        cli.main(["nodeseal", "install", "--dry-run", "--format", "json", *root, *words])
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return ended.value.code, told
