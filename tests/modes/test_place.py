"""Where the program stands: which root is its own, and who may write its files."""

import os
import pathlib
import sys

import pytest

from agent import fastpath
from agent.modes.place import root_of, running_program, unsafe


@pytest.fixture
def program(tmp_path: pathlib.Path) -> pathlib.Path:
    """A program's files, as they are installed."""
    folder = tmp_path / "opt" / "nodeseal" / "1.0"
    (folder / "_internal" / "cryptography").mkdir(parents=True)
    for name in ("nodeseal", "_internal/libssl.so.3", "_internal/cryptography/x.so"):
        (folder / name).write_bytes(b"\x7fELF")
    for path in (tmp_path, folder.parents[1], folder.parent, folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder / "nodeseal"


def test_root_is_what_lies_above_the_programs_folder(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert root_of(str(program)) == str(tmp_path)


def test_symlink_is_followed_to_the_programs_own_root(program: pathlib.Path, tmp_path: pathlib.Path) -> None:
    link = tmp_path / "verifiers-00-nodeseal"
    link.symlink_to(program)
    assert root_of(str(link)) == str(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "/opt/nodeseal/1.0/nodeseal",
        "/usr/local/bin/nodeseal",
        "/nodeseal",
        "/opt/nodeseal/nodeseal",
        "/srv/a/b/nodeseal",
    ],
)
def test_program_that_stands_elsewhere_belongs_to_the_hosts_root(path: str) -> None:
    assert root_of(path) == "/"


def test_program_that_only_its_owner_may_write_is_safe(program: pathlib.Path) -> None:
    assert unsafe(str(program)) == ""
    assert not fastpath.unsafe(str(program))


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.parametrize(
    "which",
    [
        ".",
        "nodeseal",
        "_internal",
        "_internal/libssl.so.3",
        "_internal/cryptography",
        "_internal/cryptography/x.so",
        "..",
        "../..",
    ],
)
def test_program_that_others_may_write_is_unsafe(program: pathlib.Path, which: str, mode: int) -> None:
    path = pathlib.Path(os.path.normpath(program.parent / which))
    path.chmod(mode)
    told = unsafe(str(program))
    assert told == f"{path} may be written by others (mode {mode:o}); expected its owner alone"
    assert fastpath.unsafe(str(program))


def test_folder_above_that_all_may_write_is_safe_where_nobody_can_replace_what_is_not_theirs(
    program: pathlib.Path,
) -> None:
    program.parents[2].chmod(0o1777)
    assert unsafe(str(program)) == ""


def test_program_with_a_part_missing_is_an_error_and_not_safe(program: pathlib.Path) -> None:
    program.unlink()
    with pytest.raises(FileNotFoundError):
        unsafe(str(program))


def test_running_program_is_what_the_kernel_says_whatever_python_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/elsewhere/opt/nodeseal/1/nodeseal")
    assert running_program() == os.path.realpath("/proc/self/exe")


def test_program_of_another_user_is_unsafe(program: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(program, 12345, 0)
        told = f"{program} belongs to user 12345; expected root or the user that runs it"
    else:
        owner = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        told = f"{program} belongs to user {owner}; expected root or the user that runs it"
    assert unsafe(str(program)) == told
