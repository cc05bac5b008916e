"""A tree of folders of the host: what is read of it, and that no link leads out of it."""

import os
from pathlib import Path

import pytest

from agent.adapters import documents
from agent.adapters.documents import DocumentSet
from agent.config import documentset

WANTED = ("policy.json", "stores/ca/*/*", "stores/tsa/*/*")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration with a tree in it."""
    (tmp_path / "tree" / "stores" / "ca" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "stores" / "ca" / "a").mkdir()
    (tmp_path / "tree" / "keys").mkdir()
    for path in ("config.json", "tree/policy.json", "tree/stores/ca/b/2.crt", "tree/stores/ca/b/.1", "tree/keys/key"):
        (tmp_path / path).write_text(path)
    (tmp_path / "tree" / "stores" / "ca" / "a" / "root.crt").write_text("root")
    return tmp_path


def _read(folder: Path, path: str = "tree", home: str | None = "/") -> tuple[dict[str, str], list[tuple[str, bool]]]:
    found = DocumentSet.read(str(folder), home=home)
    read = {document.name: document.content.decode() for document in found.tree(path, WANTED)}
    return read, [(f"{problem.path}: {problem.got}", problem.fatal) for problem in found.problems()]


def test_files_that_are_wanted_are_read_and_nothing_else(folder: Path) -> None:
    read, problems = _read(folder)
    assert read == {
        "policy.json": "tree/policy.json",
        "stores/ca/a/root.crt": "root",
        "stores/ca/b/.1": "tree/stores/ca/b/.1",
        "stores/ca/b/2.crt": "tree/stores/ca/b/2.crt",
    }
    assert problems == []


@pytest.mark.parametrize("path", ["tree", "tree/", "./tree", "../{name}/tree", "{folder}/tree", "~/tree"])
def test_path_is_of_the_host_and_relative_to_the_configuration(folder: Path, path: str) -> None:
    read, _ = _read(folder, path.format(folder=folder, name=folder.name), home=str(folder))
    assert len(read) == 4


def test_document_tells_where_it_lies(folder: Path) -> None:
    found = DocumentSet.read(str(folder), home="/").tree("tree", WANTED)
    assert found[0].origin == str(folder / "tree" / "policy.json")


def test_without_a_person_nothing_of_the_host_is_read(folder: Path) -> None:
    assert _read(folder, home=None) == ({}, [])


@pytest.mark.parametrize("path", ["missing", "config.json", "", "tree/keys"])
def test_what_holds_no_tree_holds_nothing(folder: Path, path: str) -> None:
    assert _read(folder, path) == ({}, [])


def test_folder_itself_may_be_reached_through_a_link(folder: Path) -> None:
    (folder / "link").symlink_to("tree")
    read, _ = _read(folder, "link")
    assert len(read) == 4


@pytest.mark.parametrize(
    ("link", "target", "lost"),
    [
        ("policy.json", "stores/ca/a/root.crt", 1),
        ("stores/ca/a/root.crt", "../b/2.crt", 1),
        ("stores/ca/a", "b", 1),
        ("stores/ca", "../keys", 3),
        ("stores", "/", 3),
        ("stores/tsa", "ca", 0),
        ("stores/ca/a/gone.crt", "nowhere", 0),
    ],
)
def test_link_anywhere_below_is_refused(folder: Path, link: str, target: str, lost: int) -> None:
    place = folder / "tree" / link
    if place.exists():
        place.rename(folder / "tree" / "moved")
    place.symlink_to(target)
    read, problems = _read(folder)
    assert len(read) == 4 - lost
    assert (f"{place}: a symbolic link", True) in problems


def test_folder_in_a_store_is_refused(folder: Path) -> None:
    (folder / "tree" / "stores" / "ca" / "a" / "old").mkdir()
    assert _read(folder)[1] == [(f"{folder}/tree/stores/ca/a/old: a folder", True)]


def test_pipe_in_a_store_is_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "tree" / "stores" / "ca" / "a" / "pipe")
    assert _read(folder)[1] == [(f"{folder}/tree/stores/ca/a/pipe: something that is no regular file", True)]


def test_file_where_only_folders_count_is_told(folder: Path) -> None:
    (folder / "tree" / "stores" / "ca" / "root.crt").write_text("x")
    read, problems = _read(folder)
    assert len(read) == 4
    assert problems == [(f"{folder}/tree/stores/ca/root.crt: something that is no folder", False)]


@pytest.mark.parametrize(
    ("bound", "value", "said"),
    [
        ("MAX_SIZE", 10, "a file of more than 10 bytes"),
        ("MAX_TOTAL", 20, "files of more than 20 bytes together"),
        ("MAX_DOCUMENTS", 3, "more than 3 files"),
    ],
)
def test_tree_out_of_bounds_is_refused_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, said: str
) -> None:
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(documents, bound, value)
    assert _read(folder) == ({}, [(f"{folder}/tree: {said}", True)])


def test_thousands_of_folders_are_refused(folder: Path) -> None:
    for i in range(documentset.MAX_DOCUMENTS):
        (folder / "tree" / "stores" / "ca" / f"c{i}").mkdir()
    assert _read(folder) == ({}, [(f"{folder}/tree: more than {documentset.MAX_DOCUMENTS} files", True)])


def test_path_that_no_file_can_have_is_told(folder: Path) -> None:
    read, problems = _read(folder, "tree\0")
    assert read == {}
    assert [fatal for _, fatal in problems] == [True]


def test_folder_that_can_not_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    found = DocumentSet.read(str(folder / "config.json"), home="/")
    assert found.tree(str(folder / "tree"), WANTED) == ()
    assert [str(problem.got) for problem in found.problems()] == ["Permission denied"]


def test_no_descriptor_stays_open(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    _read(folder)
    (folder / "tree" / "stores" / "ca" / "a" / "link").symlink_to("x")
    _read(folder)
    assert len(os.listdir("/proc/self/fd")) == before
