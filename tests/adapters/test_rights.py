"""Who may write what was installed: found out, and set right where it still is what it was."""

import hashlib
import os
import pathlib

import pytest

from agent.adapters import programs, rights
from agent.adapters.hostfiles import HostFiles
from agent.errors import HostError
from agent.wiring.manifest import Entry, Kind, Role

FILE = "/etc/containerd/conf.d/zzz-nodeseal.toml"
TREE = "/opt/nodeseal/0.1.0"
CONTENT = b"version = 3\n"


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A host with a file, and with a program of two files in a folder."""
    for path, content in ((FILE, CONTENT), (f"{TREE}/nodeseal", b"program"), (f"{TREE}/_internal/base.zip", b"more")):
        target = tmp_path / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o755)
    return tmp_path


def file_entry(path: str = FILE) -> Entry:
    """What was recorded of the file."""
    return Entry(path, Kind.FILE, Role.CONFIGURATION, 0o644, hashlib.sha256(CONTENT).hexdigest(), done=True)


def tree_entry(root: pathlib.Path) -> Entry:
    """What was recorded of the program."""
    members = tuple(sorted(programs.members(str(root / TREE[1:])).items()))
    return Entry(TREE, Kind.TREE, Role.PROGRAM, 0o755, members=members, done=True)


def mode(root: pathlib.Path, path: str) -> int:
    """Who may do what there."""
    return (root / path[1:]).stat().st_mode & 0o7777


@pytest.mark.parametrize("open_to", [0o020, 0o002])
def test_a_file_that_others_can_write_is_found_and_taken_from_them(root: pathlib.Path, open_to: int) -> None:
    host = HostFiles(str(root))
    assert rights.wrong(host, file_entry()) == ()
    (root / FILE[1:]).chmod(0o644 | open_to)
    assert rights.wrong(host, file_entry()) == (FILE,)
    assert rights.set_right(host, file_entry()) == ""
    assert mode(root, FILE) == 0o644
    assert rights.wrong(host, file_entry()) == ()


def test_what_is_another_by_now_is_left_as_it_is(root: pathlib.Path) -> None:
    (root / FILE[1:]).write_bytes(b"somebody else's")
    (root / FILE[1:]).chmod(0o666)
    said = rights.set_right(HostFiles(str(root)), file_entry())
    assert said == f"{FILE}: others could change it, and it is not what was installed: install again"
    assert mode(root, FILE) == 0o666


def test_each_open_path_of_a_program_is_found_and_taken_from_others(root: pathlib.Path) -> None:
    host, entry = HostFiles(str(root)), tree_entry(root)
    inside = f"{TREE}/_internal"
    (root / inside[1:]).chmod(0o777)
    assert rights.wrong(host, entry) == (inside,)
    assert rights.set_right(host, entry) == ""
    assert mode(root, inside) == 0o755
    (root / TREE[1:] / "nodeseal").write_bytes(b"another")
    assert "is not what was installed" in rights.set_right(host, entry)


def test_what_others_changed_meanwhile_gets_its_mode_back(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, change = root / FILE[1:], os.chmod
    path.chmod(0o666)

    def faster(at: str, to: int) -> None:
        path.write_bytes(b"somebody else's")
        change(at, to)

    monkeypatch.setattr(os, "chmod", faster)
    said = rights.set_right(HostFiles(str(root)), file_entry())
    assert said == f"{FILE}: others changed it meanwhile, and it is not what was installed: install again"
    assert mode(root, FILE) == 0o666


def test_what_can_not_be_set_right_is_told_with_its_path(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / FILE[1:]).chmod(0o666)

    def refused(at: str, to: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refused)
    with pytest.raises(HostError, match=f"{FILE}: got Operation not permitted; expected to set its mode"):
        rights.set_right(HostFiles(str(root)), file_entry())


def test_a_link_and_what_is_gone_belong_to_nobody(root: pathlib.Path) -> None:
    host = HostFiles(str(root))
    assert rights.wrong(host, Entry("/opt/nodeseal/current", Kind.LINK, Role.CURRENT, 0o777, "0.1.0")) == ()
    (root / FILE[1:]).unlink()
    assert rights.wrong(host, file_entry()) == ()
    assert "is not what was installed" in rights.set_right(host, file_entry())
