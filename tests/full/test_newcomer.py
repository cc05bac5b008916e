"""A newcomer's first command, on fresh copies of this checkout with nothing but what Debian brings.

The copies are root's and an ordinary user's, in folders of other names.  So what both have built, the program, the list
of its components and the container image, must be the same to the last byte.
"""

import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import freeze
import pytest
from PyInstaller.archive.readers import CArchiveReader

from tests.commands import Done, run
from tests.testbed.tools import unavailable

pytestmark = [pytest.mark.full, pytest.mark.timeout(2400)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEBIAN_PYTHON = "/usr/bin/python3"
NOBODY = 65534
ORDINARY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
_KEPT = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
Order = Callable[[Iterable[str]], Sequence[str]]


class Built(NamedTuple):
    """A copy in which a demonstration was made, with what it said; `out` is what was built in it."""

    demo: Done
    out: pathlib.Path


class Builds(NamedTuple):
    """The same by two people."""

    root: Built
    ordinary: Built


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    """`make demo` and `make image` in both copies, one after another."""
    reason = unavailable() or _lacking()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("newcomer")
    for parent in (folder, *folder.parents):  # what pytest makes for itself is closed to others
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    yield Builds(
        _built(folder / "one", sorted), _built(folder / "another" / "longer", partial(sorted, reverse=True), ORDINARY)
    )
    shutil.rmtree(folder)


def _lacking() -> str:
    if not os.access(DEBIAN_PYTHON, os.X_OK):
        return f"no {DEBIAN_PYTHON} on this machine"
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return "becoming an ordinary user needs root and setpriv"
    return ""


def _built(folder: pathlib.Path, order: Order, prefix: Sequence[str] = ()) -> Built:
    """In a copy of what is under version control, with a home folder beside it, which is empty.

    Files are made in another order each time, and have the time of now: neither may be told from what comes out.
    """
    copy = folder / "copy"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in order(name for name in tracked.decode().split("\0") if name and (ROOT / name).is_file()):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    (folder / "home").mkdir()
    if prefix:
        for path in (folder / "home", copy, *copy.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    demo = make("demo", copy, *prefix)
    if demo.code == 0:
        image = make("image", copy, *prefix)
        assert image.code == 0, image.out[-3000:] + image.err
    return Built(demo, copy / "out")


def make(target: str, folder: pathlib.Path, *prefix: str) -> Done:
    """Run make in a copy, with Debian's Python first and none of this process's environment."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    environment = {"HOME": str(folder.parent / "home"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **kept}
    return run(
        [*prefix, "make", "--no-print-directory", "-C", str(folder), target], environment=environment, seconds=1100
    )


def test_demonstration_on_a_real_containerd_needs_nothing_but_debian(builds: Builds) -> None:
    done = builds.root.demo  # the home folder was empty: the real tools were fetched, too
    assert done.code == 0, done.out[-3000:] + done.err
    assert done.out.endswith("  21 of 21 lines came out as expected\n")
    assert "containerd 2." in done.out


def test_demonstration_without_root_falls_back_and_says_so(builds: Builds) -> None:
    done = builds.ordinary.demo
    assert done.code == 0, done.out[-3000:] + done.err
    assert "not root: namespaces and mounts need it" in done.out
    assert "called exactly as" in done.out
    assert done.out.endswith("  14 of 14 lines came out as expected\n")


def _state(folder: pathlib.Path) -> dict[str, str]:
    """Everything that a copy of `folder` would have: kind, mode, time and content of each entry.

    By its own file make knows when it was built.
    """
    found = {}
    for path in sorted(each for each in folder.rglob("*") if each != folder / ".stamp"):
        seen = path.lstat()
        content = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_symlink():
            content = f"to {path.readlink()}"
        when = int(seen.st_mtime) if folder.name == "nodeseal" else 0
        found[str(path.relative_to(folder))] = f"{stat.filemode(seen.st_mode)} {when} {content}"
    return found


@pytest.mark.parametrize("part", ["nodeseal", "image", "rootfs"])
def test_two_builds_are_alike_to_the_last_byte(builds: Builds, part: str) -> None:
    one, another = (_state(built.out / part) for built in builds)
    assert one
    assert {name for name in {*one, *another} if one.get(name) != another.get(name)} == set()


def test_the_lists_of_components_are_alike(builds: Builds) -> None:
    one, another = ((built.out / "nodeseal.sbom.cdx.json").read_bytes() for built in builds)
    assert one == another
    assert (builds.root.out / "nodeseal" / "_internal" / "sbom.cdx.json").read_bytes() == one


def test_nothing_inside_names_the_folder_that_it_was_built_in(builds: Builds) -> None:
    wanted = str(builds.root.out.parent).encode()
    program = builds.root.out / "nodeseal"
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


def test_nothing_inside_says_how_it_was_installed(builds: Builds) -> None:
    names = {path.name for path in (builds.root.out / "nodeseal").rglob("*")}
    assert not names & {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
