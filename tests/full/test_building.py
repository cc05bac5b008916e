"""Two builds in two folders give the same bytes: the program, the list of its components, and the container image."""

import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import zlib

import freeze
import pytest
from PyInstaller.archive.readers import CArchiveReader

ROOT = pathlib.Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path]:
    """The outputs of two builds of what is under version control, in folders of other names, one after another."""
    folder = tmp_path_factory.mktemp("building")
    return _built(folder / "one"), _built(folder / "another" / "with-a-longer-name")


def _built(copy: pathlib.Path) -> pathlib.Path:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    names = sorted(name for name in tracked.decode().split("\0") if name and (ROOT / name).is_file())
    # In another order each time, and with the time of now: neither may be told from what comes out.
    for name in names if copy.name == "one" else reversed(names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHASHSEED", "SOURCE_DATE_EPOCH")}
    for script in ("freeze.py", "image.py"):
        words = ["out"] if script == "freeze.py" else ["out/nodeseal", "out/image"]
        done = subprocess.run(
            [sys.executable, f"build/{script}", *words], cwd=copy, env=kept, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return copy / "out"


def _state(folder: pathlib.Path) -> dict[str, str]:
    """Everything that a copy of `folder` would have: kind, mode, time and content of each entry."""
    found = {}
    for path in sorted(folder.rglob("*")):
        seen = path.lstat()
        content = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_symlink():
            content = f"to {path.readlink()}"
        when = int(seen.st_mtime) if folder.name == "nodeseal" else 0
        found[str(path.relative_to(folder))] = f"{stat.filemode(seen.st_mode)} {when} {content}"
    return found


@pytest.mark.parametrize("part", ["nodeseal", "image", "rootfs"])
def test_two_builds_are_alike_to_the_last_byte(builds: tuple[pathlib.Path, pathlib.Path], part: str) -> None:
    one, another = (_state(folder / part) for folder in builds)
    assert one
    assert {name for name in {*one, *another} if one.get(name) != another.get(name)} == set()


def test_the_lists_of_components_are_alike(builds: tuple[pathlib.Path, pathlib.Path]) -> None:
    one, another = ((folder / "nodeseal.sbom.cdx.json").read_bytes() for folder in builds)
    assert one == another
    assert (builds[0] / "nodeseal" / "_internal" / "sbom.cdx.json").read_bytes() == one


def test_nothing_inside_names_the_folder_that_it_was_built_in(builds: tuple[pathlib.Path, pathlib.Path]) -> None:
    wanted = str(builds[0].parent).encode()
    program = builds[0] / "nodeseal"
    naming = [path for path in program.rglob("*") if path.is_file() and wanted in path.read_bytes()]
    assert naming == []
    archive = CArchiveReader(str(program / "nodeseal"))
    for name in freeze.archive_order(program / "nodeseal"):  # what is compressed within
        assert wanted not in archive.extract(name), name
    raw = archive.extract("PYZ.pyz")
    inside = 0
    for _, offset, length in archive.open_embedded_archive("PYZ.pyz").toc.values():
        if length:
            assert wanted not in zlib.decompress(raw[offset : offset + length])
            inside += 1
    assert inside > 300


def test_nothing_inside_says_how_it_was_installed(builds: tuple[pathlib.Path, pathlib.Path]) -> None:
    names = {path.name for path in (builds[0] / "nodeseal").rglob("*")}
    assert not names & {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
