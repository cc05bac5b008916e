"""The lock serves the other architecture too: each package has a wheel for it, and the wheel's hash is locked.

Asks the package index that pip is configured to use for what it lists; builds and installs nothing.
"""

import json
import os
import pathlib
import re
import sys

import portable
import pytest

from tests.commands import run

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILDS_WITH = ("altgraph", "packaging", "pyinstaller", "pyinstaller-hooks-contrib", "setuptools")

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]


def locked(name: str) -> dict[str, str]:
    """The entries of a lock by the package's name, without the markers that leave out other machines."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / "requirements" / name).read_text("utf-8"))
    return {entry.partition("==")[0].lower(): entry for entry in entries if "==" in entry.partition("\n")[0]}


def test_every_locked_package_has_a_wheel_for_arm64(tmp_path: pathlib.Path) -> None:
    developing = locked("dev.txt")
    wanted = {**locked("runtime.txt"), **{name: developing[name] for name in BUILDS_WITH if name in developing}}
    assert {"cryptography", "pyinstaller"} <= set(wanted)
    (tmp_path / "wanted.txt").write_text("\n".join(wanted.values()))
    # pip takes a platform as it is named, and nothing older for it: so every glibc from the first on.
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, portable.GLIBC[1] + 1)]
    words = ["install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--require-hashes"]
    words += [*platforms, "--platform=manylinux2014_aarch64", "--python-version=3.11", "--implementation=cp"]
    words += ["--only-binary=:all:", f"--target={tmp_path}/none", f"--report={tmp_path}/report.json"]
    environment = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    command = [sys.executable, "-m", "pip", *words, "-r", str(tmp_path / "wanted.txt")]
    done = run(command, environment=environment, seconds=240)
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "report.json").read_text("utf-8"))["install"]
    names = {re.sub(r"[-_.]+", "-", each["metadata"]["name"]).lower() for each in found}
    assert names == {re.sub(r"[-_.]+", "-", name) for name in wanted}
    native = {each["download_info"]["url"].rpartition("/")[2] for each in found}
    assert not {name for name in native if not name.endswith(("_aarch64.whl", "-none-any.whl"))}
