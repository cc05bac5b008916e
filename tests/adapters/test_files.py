"""Folders that are ours alone, files that are there whole or not at all."""

import os
import pathlib
import threading

import pytest

from agent.adapters import files


def test_missing_folders_are_made_and_the_last_one_is_private(tmp_path: pathlib.Path) -> None:
    for _ in range(2):  # the second time it is there already
        files.make_private_folder(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_two_that_make_the_same_folder_at_once_both_have_it(tmp_path: pathlib.Path) -> None:
    for number in range(20):
        path = str(tmp_path / f"{number}" / "a" / "b")
        start = threading.Barrier(4)
        failed: list[OSError] = []

        def make(path: str = path, start: threading.Barrier = start, failed: list[OSError] = failed) -> None:
            start.wait(10)
            try:
                files.make_private_folder(path)
            except OSError as error:
                failed.append(error)

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert os.stat(path).st_mode & 0o777 == 0o700


def test_a_folder_that_another_made_in_between_is_taken(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "b"

    def made_by_another(*_: object, **__: object) -> None:
        monkeypatch.undo()
        path.mkdir(0o700, parents=True)

    monkeypatch.setattr(os, "makedirs", made_by_another)
    files.make_private_folder(str(path))
    assert path.is_dir()


@pytest.mark.parametrize("kind", ["file", "link to a folder", "dangling link"])
def test_what_is_no_folder_is_refused(tmp_path: pathlib.Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.touch()
    else:
        place.symlink_to(tmp_path if kind == "link to a folder" else tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="expected a folder"):
        files.make_private_folder(str(place))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_folder_that_others_may_write_to_is_refused(tmp_path: pathlib.Path, mode: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(mode)
    with pytest.raises(PermissionError, match="others may write to"):
        files.make_private_folder(str(tmp_path / "a"))


def test_file_is_replaced_whole_and_private(tmp_path: pathlib.Path) -> None:
    for content in (b"old", b"new" * 100_000):
        files.replace(str(tmp_path / "x"), content)
    assert (tmp_path / "x").read_bytes() == b"new" * 100_000
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["x"]


def test_failed_replacement_leaves_the_old_one_and_nothing_beside_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.replace(str(tmp_path / "x"), b"old")

    def no_space(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", no_space)
    with pytest.raises(OSError, match="No space left"):
        files.replace(str(tmp_path / "x"), b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_link_is_never_followed_when_a_file_is_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        files.write_new(str(tmp_path / "link"), b"x")
    assert not (tmp_path / "target").exists()
