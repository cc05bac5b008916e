"""A newcomer's first command, on a fresh copy of this checkout with nothing but what Debian brings."""

import os
import pathlib
import shutil
import subprocess
from typing import Iterator

import pytest

from tests.commands import Done, run
from tests.testbed.tools import unavailable

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEBIAN_PYTHON = "/usr/bin/python3"
NOBODY = 65534
_KEPT = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@pytest.fixture
def copy(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A copy of what is under version control, and a home folder beside it; everybody may enter."""
    if not os.access(DEBIAN_PYTHON, os.X_OK):
        pytest.skip(f"no {DEBIAN_PYTHON} on this machine")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in tracked.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "copy" / name)
    (tmp_path / "home").mkdir()
    for parent in (tmp_path, *tmp_path.parents[:2]):  # what pytest makes for itself is closed to others
        parent.chmod(parent.stat().st_mode | 0o011)
    yield tmp_path / "copy"
    shutil.rmtree(tmp_path / "copy")


def make(target: str, folder: pathlib.Path, *prefix: str) -> Done:
    """Run make in a copy, with Debian's Python first and none of this process's environment."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    environment = {"HOME": str(folder.parent / "home"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **kept}
    return run(
        [*prefix, "make", "--no-print-directory", "-C", str(folder), target], environment=environment, seconds=1100
    )


def test_demonstration_on_a_real_containerd_needs_nothing_but_debian(copy: pathlib.Path) -> None:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    done = make("demo", copy)  # the home folder is empty: the real tools are fetched, too
    assert done.code == 0, done.out[-3000:] + done.err
    assert done.out.endswith("  21 of 21 lines came out as expected\n")
    assert "containerd 2." in done.out


def test_demonstration_without_root_falls_back_and_says_so(copy: pathlib.Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("becoming an ordinary user needs root and setpriv")
    for path in (copy.parent / "home", copy, *copy.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    ordinary = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    done = make("demo", copy, *ordinary)
    assert done.code == 0, done.out[-3000:] + done.err
    assert "not root: namespaces and mounts need it" in done.out
    assert "called exactly as" in done.out
    assert done.out.endswith("  14 of 14 lines came out as expected\n")
