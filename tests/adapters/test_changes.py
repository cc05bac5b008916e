"""When a folder with a configuration counts as changed."""

import os
import pathlib
from collections.abc import Callable

import pytest

from agent.adapters import changes
from tests.fileclock import next_step


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """One with two documents."""
    folder = tmp_path / "config"
    folder.mkdir()
    for name in ("config.json", "trusted.crt"):
        (folder / name).write_text(name)
    return folder


def swapped(path: pathlib.Path) -> None:
    """Another file under the same name, with the same times and size."""
    found = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.rename(path)


def rewritten(path: pathlib.Path) -> None:
    """Other content of the same size, and the time put back."""
    found = path.stat()
    next_step(path.parents[1])
    path.write_text(path.read_text().swapcase())
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def linked(path: pathlib.Path) -> None:
    """A link in place of a file."""
    path.unlink()
    path.symlink_to("nowhere")


CHANGES: dict[str, Callable[[pathlib.Path], object]] = {
    "a file's content": lambda folder: (folder / "config.json").write_text("other"),
    "a file's content, and its time put back": lambda folder: rewritten(folder / "config.json"),
    "a file for a file": lambda folder: swapped(folder / "config.json"),
    "one more file": lambda folder: (folder / "nodeseal.yaml").touch(),
    "one less": lambda folder: (folder / "trusted.crt").unlink(),
    "a link for a file": lambda folder: linked(folder / "trusted.crt"),
    "the folder is gone": lambda folder: folder.rename(folder.with_name("gone")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_change_is_noticed(folder: pathlib.Path, what: str) -> None:
    before = changes.stamp(str(folder))
    assert changes.stamp(str(folder)) == before
    CHANGES[what](folder)
    assert changes.stamp(str(folder)) != before


def test_single_file_is_looked_at_too(folder: pathlib.Path) -> None:
    path = folder / "config.json"
    before = changes.stamp(str(path))
    assert changes.stamp(str(path)) == before
    path.write_text("other")
    assert changes.stamp(str(path)) != before


def test_hidden_files_are_nobodys_business(folder: pathlib.Path) -> None:
    before = changes.stamp(str(folder))
    (folder / ".config.json.swp").touch()
    assert changes.stamp(str(folder)) == before


def test_config_map_is_changed_by_its_link(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "mounted"
    for version in ("..1", "..2"):
        (folder / version).mkdir(parents=True)
        (folder / version / "config.json").write_text("the same")
    (folder / "..data").symlink_to("..1")
    (folder / "config.json").symlink_to("..data/config.json")
    before = changes.stamp(str(folder))
    (folder / "..data_tmp").symlink_to("..2")
    assert changes.stamp(str(folder)) == before
    (folder / "..data_tmp").rename(folder / "..data")
    assert changes.stamp(str(folder)) != before


def test_nothing_there_is_like_itself(tmp_path: pathlib.Path) -> None:
    missing = str(tmp_path / "missing")
    assert changes.stamp(missing) == changes.stamp(missing)


def test_only_so_many_files_are_looked_at(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_FILES", 1)
    before = changes.stamp(str(folder))
    (folder / "z").touch()
    assert changes.stamp(str(folder)) == before
